"""Help of every verb, and that flags do not multiply unnoticed."""

import re
import resource
import subprocess
import sys

import pytest

from limssr.cli.table import VERBS, all_verbs
from limssr.core.version import __version__
from limssr.data.importers import IMPORTERS
from limssr.model.backbone.families import KNOWN
from limssr.systems.table import SYSTEMS

COMMON = {"--help", "--json", "--debug"}
# Where the work is done: nothing that a recipe, which says what is done, could know.
CLUSTER = ("--engine", "--address", "--needs")
FLAGS = {
    "doctor": {"--device"},
    "demo": {"--backbone", "--out", "--epochs", "--seed", "--video", "--device"},
    "extract": {
        "--list",
        "--encoders",
        "--segments",
        "--scale",
        "--split",
        "--seed",
        "--words",
        "--name",
        "--processes",
        *CLUSTER,
        "--resume",
        "--contained",
    },
    "data import percepiano": set(),
    "data import fs1000": {"--align", "--allow-missing"},
    "data import fisv": {"--align", "--allow-missing"},
    "data import rg": {"--align", "--allow-missing"},
    "data import mfn": {"--dataset"},
    "data import table": {
        *("--scale", "--name", "--segment-s", "--rate", "--time", "--align", "--split", "--seed"),
        # What a table cannot say of itself, and what is refused unless somebody says that it is meant.
        *("--header", "--columns", "--zeros", "--words", "--markup", "--copies"),
    },
    "data inspect": {"--figure"},
    "data append": set(),
    "data publish": set(),
    "data verify": set(),
    "data mask": {"--rate", "--seed", "--pattern", "--splits"},
    "config": set(),
    "data split": {"--out", "--seed"},
    "systems": {"--bibtex"},
    "completion": set(),
    "data import other": set(),
    "auto": {"--out", "--minutes", "--candidates", "--without", "--set", "--backbone", "--seed", "--device"},
    "train": {
        "--out",
        "--resume",
        "--variant",
        "--set",
        "--system",
        "--complete-training",
        "--backbone",
        "--store",
        "--seed",
        # Several runs and their account, which no recipe of one run can ask for.
        "--folds",
        # The wish of whoever has several GPUs and no launcher.
        "--processes",
        # A slice of a training, for a scheduler and for a search that gives up some of its tries.
        "--until",
        # Leaves the machine only where somebody asks for it, which no recipe should do.
        "--track",
        "--device",
        "--dry-run",
    },
    "import-checkpoint": {
        "--backbone",
        "--task",
        "--criterion",
        "--scale",
        "--num-segments",
        "--streams",
        "--embeddings",
        "--allow-download",
    },
    "card": {"--out", "--source", "--license", "--data-license"},
    "export": {"--references", "--license", "--data-license"},
    "push": {"--public", "--references", "--license", "--data-license", "--dry-run"},
    "pull": {"--revision"},
    "evaluate": {"--split", "--store", "--seed", "--int8", "--device"},
    "prefixes": {"--device"},
    "live": {"--sample", "--speed", "--int8", "--lines", "--device"},
    "serve": {
        *("--host", "--port", "--token-file", "--device"),
        # How much one client, and all of them, may ask for.
        *("--max-body", "--max-segments", "--max-waiting", "--wait-ms", "--workers"),
    },
    "explain": {"--split", "--samples", "--source", "--subsets", "--member", "--against", "--store", "--device"},
    "predict": {
        *("--out", "--member", "--interval", "--int8", "--device", "--header", "--columns"),
        *(*CLUSTER, "--shards"),
        "--encoders",  # a run on published features cannot know where the weights of their encoders are
        *("--shard", "--join"),  # what a task of a scheduler does, and what comes after all of them
    },
    "report": set(),
    "compare": {
        "--against",
        "--no-references",
        "--order",
        "--timing",
        "--rounds",
        "--resamples",
        "--resample",
        "--interval",
        "--predictions",
        "--metrics",
        "--format",
        "--store",
        "--out",
        "--device",
    },
    "describe": {"--variant", "--set", "--backbone", "--store"},
    "reproduce": {
        "--store",
        "--criteria",
        "--protocol",
        "--seeds",
        "--systems",
        "--backbone",
        "--set",
        "--out",
        "--processes",
        *CLUSTER,
        "--dry-run",
        "--print-commands",
        "--device",
    },
    "sweep": {
        "--systems",
        "--seeds",
        "--tries",
        *("--sampler", "--halving"),
        "--folds",
        "--sizes",
        "--epochs",
        "--training",
        "--variant",
        "--backbone",
        "--store",
        "--set",
        "--out",
        "--processes",
        *CLUSTER,
        "--resample",
        "--device",
        "--dry-run",
        "--print-commands",
    },
    "ablate": {
        "--table",
        "--seeds",
        "--extra-backbone",
        "--variant",
        "--store",
        "--set",
        "--out",
        "--processes",
        *CLUSTER,
        "--device",
        "--dry-run",
        "--print-commands",
    },
    "benchmark live": {
        *("--backbone", "--weights", "--num-layers", "--modalities", "--segments", "--sessions", "--repeats"),
        *("--threads", "--int8", "--out", "--device"),
    },
    "benchmark extract": {"--encoders", "--segments", "--rates", "--repeats", "--out"},
    "benchmark serve": {"--clients", "--requests", "--wait-ms", "--out"},
    "benchmark": {
        "--backbone",
        "--weights",
        "--num-layers",
        "--modalities",
        "--segments",
        "--batch-size",
        "--num-samples",
        "--store",
        "--works",
        "--savings",
        "--no-memory",
        "--repeats",
        "--quick",
        "--growth",
        "--axes",
        "--grid",
        "--side",
        "--set",
        "--literal-precision",
        "--threads",
        "--out",
        "--device",
        "--int8",
    },
}
POSITIONALS = {
    "extract": ["MANIFEST", "STORE"],
    "data import percepiano": ["ROOT", "STORE"],
    "data import fs1000": ["ROOT", "STORE"],
    "data import fisv": ["ROOT", "STORE"],
    "data import rg": ["ROOT", "STORE"],
    "data import mfn": ["ROOT", "STORE"],
    "data import table": ["MANIFEST", "STORE"],
    "data mask": ["STORE", "OUT"],
    "data split": ["SOURCE", "SHARES"],
    "train": ["RECIPE"],
    "import-checkpoint": ["FILE", "OUT"],
    "completion": [],
    "data import other": ["NAME", "SOURCE", "STORE"],
    "card": ["RUN"],
    "export": ["RUN", "FILE"],
    "push": ["RUN", "OWNER"],
    "pull": ["SOURCE", "RUN"],
    "evaluate": ["RUN"],
    "predict": ["RUN", "SOURCE"],
    "report": ["RUN"],
    "explain": ["RUN"],
    "compare": ["RUN", "RUN"],
    "describe": ["RECIPE"],
    "config": ["KEY"],
    "reproduce": ["DATASET"],
}


def options(text):
    """Help text -> flag -> the words that explain it. An option opens a line; up to the next, all is its own."""
    found = {}
    flag = None
    for line in (line.strip("│| ") for line in text.splitlines()):
        opening = re.match(r"(?:-\w, )?(--[a-z][a-z0-9-]*)(.*)", line)
        if opening:
            flag = opening[1]
            found[flag] = opening[2]
        elif flag and re.search(r"\w", line):
            found[flag] += f" {line}"
    return found


@pytest.mark.parametrize("verb", FLAGS)
def test_help_lists_exactly_the_known_flags(limssr, verb):
    outcome = limssr(*verb.split(), "--help")
    assert outcome.code == 0
    assert set(options(outcome.out)) == FLAGS[verb] | COMMON


@pytest.mark.parametrize("verb", FLAGS)
def test_every_option_is_explained(limssr, verb):
    for flag, text in options(limssr(*verb.split(), "--help").out).items():
        words = re.sub(r"\(default: .*?\)|\(repeatable\)|[A-Z]{2,}|[{}\[\]|,]", " ", text).split()
        assert len(words) >= 3, (flag, text)


@pytest.mark.parametrize("verb", POSITIONALS)
def test_positionals_are_named(limssr, verb):
    usage = limssr(*verb.split(), "--help").out.split("\n\n")[0]
    named = re.findall(r"\b[A-Z]{3,}\b", usage.partition("[-h]")[2])
    expected = POSITIONALS[verb]
    assert [word for word in named if word in expected] == expected


def test_help_names_every_system(limssr):
    for verb in ("train", "sweep"):
        words = re.split(r"[\s│,.;]+", limssr(verb, "--help").out)
        assert set(SYSTEMS) <= set(words)


def test_the_map_shows_every_verb_once_in_four_groups(limssr):
    assert set(all_verbs()) == set(FLAGS)
    for words in ([], ["--help"], ["-h"]):
        outcome = limssr(*words)
        assert outcome.code == 0
        shown = re.findall(r"^  (\S+(?: \S+)?)  +\S", outcome.out, flags=re.MULTILINE)
        assert shown == list(dict.fromkeys(" ".join(verb.split()[:2]) for verb in all_verbs()))
        assert len(re.findall(r"^[A-Z][a-z ]+$", outcome.out, flags=re.MULTILINE)) == len(VERBS) == 4
        assert max(map(len, outcome.out.splitlines())) <= 80
    listed = limssr("--json").document["verbs"]
    assert [entry["verb"] for entry in listed] == shown


@pytest.mark.parametrize(("folder", "verbs"), [("data", "mask"), ("data import", "table")])
def test_words_that_lead_on_show_what_they_hold(limssr, folder, verbs):
    outcome = limssr(*folder.split())
    assert outcome.code == 0
    assert re.search(rf"^  {verbs}  ", outcome.out, flags=re.MULTILINE)
    assert [entry["verb"] for entry in limssr(*folder.split(), "--json").document["verbs"]]


def test_help_may_be_asked_for_as_a_word(limssr):
    assert limssr("help").out == limssr("--help").out
    assert limssr("help", "data", "mask").out == limssr("data", "mask", "--help").out
    assert limssr("help", "data").out == limssr("data").out


@pytest.mark.parametrize("words", [["--version"], ["-V"], ["version"]])
def test_the_version_is_told(limssr, words):
    assert limssr(*words).out == f"limssr {__version__}\n"
    assert limssr(*words, "--json").document == {"limssr": __version__}


@pytest.mark.parametrize("verb", FLAGS)
def test_no_default_is_shown_where_there_is_none(limssr, verb):
    text = " ".join(limssr(*verb.split(), "--help").out.replace("│", " ").split())
    assert not re.findall(r"\(default: *(?:None|False|\(\))?\)|\{None,|,None\}", text)


def test_help_is_one_document_under_json(limssr):
    assert "--dry-run" in limssr("train", "--help", "--json").document["help"]
    assert "RECIPE" in limssr("train", "demo", "-h", "--json").document["help"]


def test_an_option_has_one_name_in_all_verbs():
    one = {"--data": "--store", "--model": "--backbone", "--plan": "--dry-run", "--override": "--set"}
    assert [(verb, flag) for verb, flags in FLAGS.items() for flag in flags if flag in one] == []
    trains = {"train", "sweep", "ablate", "reproduce"}
    for flag in ("--store", "--set", "--dry-run", "--out", "--device"):
        assert all(flag in FLAGS[verb] for verb in trains), flag


def test_help_is_quick_and_loads_no_torch():
    program = (
        "import sys, limssr.cli\n"
        "code = limssr.cli.main(['train', '--help'])\n"
        "heavy = {'torch', 'transformers', 'pyarrow', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else code)"
    )
    times_s = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert done.returncode == 0, done.stderr
    # Seconds of the processor, not of the clock: the machine may be busy with something else.
    assert min(times_s) < 1.0


def test_every_source_has_its_verb_and_every_backbone_its_word(limssr):
    assert {f"data import {source}" for source in IMPORTERS} == {
        verb for verb in FLAGS if verb.startswith("data import ") and verb != "data import other"
    }
    words = re.split(r"[\s│,;:]+", limssr("train", "--help").out)
    assert set(KNOWN) <= set(words)
