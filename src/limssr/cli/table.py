"""The table of verbs: what `limssr VERB` can be, in four groups and in the order of a project's life."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from limssr.cli.options import Verb
from limssr.cli.verbs.ablate import Ablate
from limssr.cli.verbs.auto import Auto
from limssr.cli.verbs.benchmark import Benchmark
from limssr.cli.verbs.benchmark_live import BenchmarkExtract, BenchmarkLive, BenchmarkServe
from limssr.cli.verbs.checkpoint import ImportCheckpoint
from limssr.cli.verbs.compare import Compare
from limssr.cli.verbs.completion import Completion
from limssr.cli.verbs.config import Config
from limssr.cli.verbs.data import (
    ImportFisv,
    ImportFs1000,
    ImportMfn,
    ImportOther,
    ImportPercepiano,
    ImportRg,
    ImportTable,
    Inspect,
    Mask,
    SplitData,
    Verify,
)
from limssr.cli.verbs.explain import Explain
from limssr.cli.verbs.extract import Extract
from limssr.cli.verbs.live import Live, Prefixes
from limssr.cli.verbs.predict import Predict
from limssr.cli.verbs.reproduce import Reproduce
from limssr.cli.verbs.run import Demo, Describe, Doctor, Evaluate, Report, Train
from limssr.cli.verbs.serve import Serve
from limssr.cli.verbs.share import Card, Export, Pull, Push
from limssr.cli.verbs.sweep import Sweep
from limssr.cli.verbs.systems import Systems
from limssr.cli.verbs.versions import Append, Publish


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One verb.

    Attributes:
        verb: The class whose fields are its options.
        line: What it does, for the map of verbs; short enough for a terminal of 80 columns.
        renamed: Options that had another name once -> their name now. The old one still works and says so.
    """

    verb: type[Verb]
    line: str
    renamed: Mapping[str, str] = field(default_factory=dict)


FOLDERS = {
    "data": "make, look at, check, mask and divide feature stores",
    "data import": "read data from where it lies into a feature store",
}
"""Words that only lead on to a verb."""

VERBS: Mapping[str, Mapping[str, Entry]] = {
    "Look around": {
        "doctor": Entry(verb=Doctor, line="what this machine can do"),
        "demo": Entry(verb=Demo, line="everything once, on simulated data with a known answer"),
        "config": Entry(verb=Config, line="every key of a recipe: type, default, meaning"),
        "completion": Entry(verb=Completion, line="complete verbs and options in a shell"),
        "systems": Entry(verb=Systems, line="the systems there are to compare with"),
    },
    "Data": {
        "extract": Entry(verb=Extract, line="make a feature store of recordings and sensor tables"),
        "data import percepiano": Entry(verb=ImportPercepiano, line="a checkout of the PercePiano repository"),
        "data import fs1000": Entry(verb=ImportFs1000, line="the published FS1000 features"),
        "data import fisv": Entry(verb=ImportFisv, line="the published Fis-V features"),
        "data import rg": Entry(verb=ImportRg, line="the published Rhythmic Gymnastics features"),
        "data import mfn": Entry(verb=ImportMfn, line="ICT-MMMO or POM, as released with MFN"),
        "data import table": Entry(verb=ImportTable, line="own data: a manifest of array files and scores"),
        "data import other": Entry(verb=ImportOther, line="with an importer that an installed package brings"),
        "data inspect": Entry(verb=Inspect, line="what a store holds"),
        "data append": Entry(verb=Append, line="a new version of a store, with more samples"),
        "data publish": Entry(verb=Publish, line="copy a store to a bucket or hub"),
        "data verify": Entry(verb=Verify, line="hash and check every file and sample of a store again"),
        "data mask": Entry(verb=Mask, line="a copy of a store from which streams are removed"),
        "data split": Entry(verb=SplitData, line="a copy of a store or a manifest with new splits, by group"),
    },
    "One model": {
        "auto": Entry(verb=Auto, line="the best model for a store, in the time there is"),
        "train": Entry(verb=Train, line="train as a recipe says, evaluate, write the report"),
        "evaluate": Entry(verb=Evaluate, line="score a split with every subset of the streams"),
        "predict": Entry(verb=Predict, line="score new samples, each with the streams it has"),
        "live": Entry(verb=Live, line="a score after each segment, while a performance goes on"),
        "prefixes": Entry(verb=Prefixes, line="how good scores are before a performance has ended"),
        "serve": Entry(verb=Serve, line="a page and an HTTP interface that score with runs"),
        "explain": Entry(verb=Explain, line="why scores are what they are, and how far to trust them"),
        "report": Entry(verb=Report, line="write a run's report again"),
        "describe": Entry(verb=Describe, line="parameters, multiply-accumulates, sequence lengths"),
        "import-checkpoint": Entry(verb=ImportCheckpoint, line="turn a published checkpoint into a run folder"),
        "card": Entry(verb=Card, line="write a run's model card"),
        "export": Entry(verb=Export, line="pack a run into one file for others"),
        "push": Entry(verb=Push, line="send a run to the Hugging Face Hub"),
        "pull": Entry(verb=Pull, line="take a run that others exported or pushed"),
    },
    "Many models": {
        "compare": Entry(verb=Compare, line="finished runs side by side, with paired tests"),
        "sweep": Entry(verb=Sweep, line="every system on one store, with one budget of tuning"),
        "ablate": Entry(
            verb=Ablate,
            line="the paper's ablation tables, or ours, on any store",
            renamed={"--backbone": "--extra-backbone"},
        ),
        "reproduce": Entry(
            verb=Reproduce,
            line="the paper's tables on its features, beside its numbers",
            renamed={"--data": "--store"},
        ),
        "benchmark": Entry(verb=Benchmark, line="our computation against the published one"),
        "benchmark live": Entry(verb=BenchmarkLive, line="a new segment beside reading all of it again"),
        "benchmark extract": Entry(verb=BenchmarkExtract, line="what reading a recording costs"),
        "benchmark serve": Entry(verb=BenchmarkServe, line="a served run under load"),
    },
}


def all_verbs() -> dict[str, Entry]:
    """Words of a verb -> its entry, over all groups."""
    return {words: entry for group in VERBS.values() for words, entry in group.items()}
