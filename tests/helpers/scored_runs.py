"""Finished run folders of made-up systems: real files and a real evaluation, without any training."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from limssr.core.config import RunConfig
from limssr.core.recipes import parse_config
from limssr.data.store.reader import FeatureStore
from limssr.evaluation.evaluate import evaluate
from limssr.runs.folder import SystemScores, write_config, write_run, write_scores


@dataclass
class Guess:
    """The truth and some noise; nothing, or always the same, under some subsets."""

    noise: float
    seed: int
    blind: tuple[str, ...] = ()
    constant: tuple[str, ...] = ()
    shift: float = 0.0

    def score(self, samples):
        truth_NC = np.stack([sample.scores for sample in samples])
        streams = "+".join(samples[0].streams)
        rng = np.random.default_rng([self.seed, len(streams)])
        if streams in self.blind:
            return np.full(truth_NC.shape, np.nan)
        if streams in self.constant:
            return np.full(truth_NC.shape, 3.0)
        return truth_NC + self.shift + self.noise * rng.normal(size=truth_NC.shape)

    def why_no_prediction(self, streams):
        return "it was never shown that" if "+".join(streams) in self.blind else None


@dataclass
class RunWriter:
    """Writes run folders below `root`."""

    root: Path
    store: Path
    references: dict = field(default_factory=dict)

    def __call__(self, name, *, seed=42, noise=1.0, system="attention", references=None, **options):
        """Write one.

        Args:
            name: Folder, and the run's name.
            seed: Of the run.
            noise: Of its predictions.
            system: Its name.
            references: Name -> noise of what stands beside it.
            options: blind, constant: subsets ("video+audio"); samples: a function of the test samples; streams: names;
                criteria: names; set: KEY=VALUE of the configuration; record: more of run.json; bootstrap: resamples.
        """
        folder = self.root / name
        folder.mkdir(parents=True)
        store = FeatureStore.open(self.store)
        changes = [f"seed={seed}", f"name={name}", f"model.system={system}", *options.get("set", ())]
        config = parse_config(RunConfig().model_dump(mode="json"), where=name, overrides=changes)
        modalities, criteria = store.select(options.get("streams"), options.get("criteria"))
        names = tuple(modality.name for modality in modalities)
        samples = store.samples("test", list(names), [one.name for one in criteria])
        samples = options.get("samples", list)(samples)
        scores = []
        kind = {name: options[name] for name in ("blind", "constant", "shift") if name in options}
        guesses = {system: Guess(noise, seed, **kind)}
        guesses |= {other: Guess(error, 0) for other, error in (references or {}).items()}
        for title, guess in guesses.items():
            found = evaluate(
                guess,
                samples,
                names,
                criteria,
                config=config.evaluation.model_copy(update={"bootstrap": options.get("bootstrap", 50)}),
            )
            scores.append(SystemScores.of(title, found))
        write_scores(folder, scores)
        write_config(folder, config)
        write_run(folder, self._document(config, store, names, criteria) | options.get("record", {})
                  | {"references": [self._reference(other) for other in references or ()]})  # fmt: skip
        return folder

    def _document(self, config, store, names, criteria):
        info = {"path": str(self.store), "name": store.info.name, "fingerprint": store.fingerprint}
        return {
            "status": "done", "name": config.name, "seed": config.seed, "system": config.model.system,
            "selection": config.train.selection, "availability": None, "store": info, "modalities": list(names),
            "criteria": [vars(one) for one in criteria], "num_samples": {"train": 44, "val": 4, "test": 12},
            "owned_streams": {"train": {"+".join(names): 44}}, "parameters": {"total": 20, "trained": 10},
            "timings": {"training_s": 100.0 + config.seed}, "environment": {"device_name": "a processor"},
        }  # fmt: skip

    def _reference(self, name):
        on = "complete" if name.endswith("-complete") else "available"
        return {"name": name, "summary": name, "trained_on": on, "seconds": 2.0}
