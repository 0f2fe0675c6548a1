"""Does the model infer what is missing, or invent it? Recovery, usefulness and sensitivity of inferred streams.

docs/results/inside.md reports these numbers; docs/explain.md says what each can show and what it cannot.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from limssr.core.types import Sample
from limssr.evaluation.scorer import ModelScorer, Scorer
from limssr.explain.groups import finite, over_groups
from limssr.explain.inferred import Pair, Reads
from limssr.explain.probes import KINDS, altered_placeholders, score_altered, with_other_streams
from limssr.explain.scored import Scored, Subset
from limssr.explain.similarity import Recovery, recovery, shuffled
from limssr.explain.trust import Return, return_document
from limssr.model.limssr import LimssrModel

MAX_TARGETS = 32
"""Moments of a withheld stream that are read back; of more, the directions in which the samples differ most."""


def moments_of(samples: Sequence[Sample], stream: str) -> np.ndarray:
    """[N, 2 D] mean and deviation over the valid segments of a stream, each standardised over the samples."""
    rows = []
    for sample in samples:
        features_TD = sample.streams[stream].astype(np.float64)
        valid_TD = features_TD[~np.isnan(features_TD).all(axis=1)]
        rows.append(np.concatenate([valid_TD.mean(axis=0), valid_TD.std(axis=0)]))
    moments_NS = np.stack(rows)
    spread_S = moments_NS.std(axis=0)
    return (moments_NS - moments_NS.mean(axis=0)) / np.where(spread_S > 0, spread_S, 1.0)


def reduced(moments_NS: np.ndarray) -> np.ndarray:
    """At most `MAX_TARGETS` columns: the directions of largest spread, with the size that they have."""
    if moments_NS.shape[1] <= MAX_TARGETS:
        return moments_NS
    left, sizes, _ = np.linalg.svd(moments_NS - moments_NS.mean(axis=0), full_matrices=False)
    return left[:, :MAX_TARGETS] * sizes[:MAX_TARGETS]


def recovery_document(
    pair: Pair, reads: Reads, samples: Sequence[Sample], names: Sequence[str], group_N: np.ndarray
) -> dict[str, Any]:
    """How well the moments of a withheld stream are read from the states at its placeholders.

    Args:
        pair: The stream and the subset that withholds it.
        reads: Subset -> what was read.
        samples: All samples.
        names: The M streams.
        group_N: Group of each sample.

    Returns:
        stream, subset, num_samples, and r2 (with an interval over groups) of: placeholders; shown_states: the mean
        states of the streams that are shown, in the same reading; shown_moments: the moments of these streams
        themselves; shuffled: placeholders of other samples; beyond: placeholders minus shown_states.
    """
    own = [samples[n] for n in pair.rows_N]
    groups = group_N[pair.rows_N]
    targets_ND = reduced(moments_of(own, pair.stream))
    read = reads[pair.subset]
    places = [int(np.flatnonzero(read.rows_N == row)[0]) for row in pair.rows_N]
    shown = [list(names).index(name) for name in pair.subset]
    states_NS = read.states_NMH[places][:, shown].reshape(len(own), -1).astype(np.float64)
    sources = {
        "placeholders": pair.inferred_NH.astype(np.float64),
        "shown_states": states_NS,
        "shown_moments": np.concatenate([moments_of(own, name) for name in pair.subset], axis=1),
        "shuffled": shuffled(pair.inferred_NH.astype(np.float64), 0),
    }
    found = {name: recovery(states_NH, targets_ND, groups) for name, states_NH in sources.items()}
    document: dict[str, Any] = {"stream": pair.stream, "subset": list(pair.subset), "num_samples": len(own)}
    document |= {name: over_groups(one.of, groups).to_dict() for name, one in found.items()}
    document["beyond"] = _beyond(found["placeholders"], found["shown_states"], groups)
    return document


def _beyond(first: Recovery, second: Recovery, group_N: np.ndarray) -> dict[str, Any]:
    return over_groups(lambda rows: first.of(rows) - second.of(rows), group_N).to_dict()


def sensitivity_documents(
    scorer: ModelScorer, scored: Scored, subset: Subset, width_C: np.ndarray, group_N: np.ndarray
) -> list[dict[str, Any]]:
    """What happens to scores under one subset when the placeholders of an absent stream are altered.

    A score should hardly move when nonsense stands where a stream is absent; where blanking makes it worse, what was
    inferred was of use.
    """
    model = scorer.model
    assert isinstance(model, LimssrModel)
    shown, rows, before_NC = _shown(scored, subset)
    found = []
    for m, name in enumerate(scored.names):
        if name in subset or name in scorer.unseen:
            continue
        for kind in KINDS:
            if kind == "exchanged" and len(scored.names) < 2:
                continue
            after_NC = score_altered(scorer, shown, altered_placeholders(model, m, kind))
            change = _change(scored, rows, before_NC, after_NC, width_C)
            document = return_document(Return(stream=name, subset=subset, **change), group_N[rows])
            found.append({"kind": kind, **document})
    return found


def swap_documents(
    scorer: Scorer, scored: Scored, subset: Subset, width_C: np.ndarray, group_N: np.ndarray
) -> list[dict[str, Any]]:
    """What happens to scores under one subset when a shown stream is that of another sample: they should move."""
    shown, rows, before_NC = _shown(scored, subset)
    found = []
    for name in subset if len(shown) > 1 else ():
        after_NC = np.asarray(scorer.score(with_other_streams(shown, name, seed=0)), dtype=np.float64)
        change = _change(scored, rows, before_NC, after_NC, width_C)
        document = return_document(Return(stream=name, subset=subset, **change), group_N[rows])
        found.append({"kind": "swapped", **document})
    return found


def _shown(scored: Scored, subset: Subset) -> tuple[list[Sample], np.ndarray, np.ndarray]:
    rows = np.flatnonzero(np.isfinite(scored.by_subset[subset]).any(axis=1))
    return [scored.samples[n].restricted_to(subset) for n in rows], rows, scored.by_subset[subset][rows]


def _change(
    scored: Scored, rows: np.ndarray, before_NC: np.ndarray, after_NC: np.ndarray, width_C: np.ndarray
) -> dict[str, np.ndarray]:
    return {"moved_NC": (after_NC - before_NC) / width_C, "wanted_NC": (scored.truth_NC[rows] - before_NC) / width_C}


def usefulness_document(
    learned: Mapping[str, Any] | None, sensitivity: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> dict[str, Any]:
    """Reliability of each absent stream, as the model learned it, and what blanking it costs, over its subsets.

    Returns:
        Stream -> reliability (None where the head learns none) and lost: mean growth of the error in widths of the
        interval when the inferred stream is blanked; below 0 it did harm.
    """
    reliabilities = (learned or {}).get("reliabilities") or {}
    found = {}
    for name in names:
        lost = [
            -one["nearer"]["value"]
            for one in sensitivity
            if one["stream"] == name and one["kind"] == "blanked" and one["nearer"]["value"] is not None
        ]
        found[name] = {
            "reliability": finite(reliabilities[name]) if name in reliabilities else None,
            "lost": finite(float(np.mean(lost))) if lost else None,
        }
    return found
