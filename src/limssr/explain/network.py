"""The parts of an explanation that look into LIMSSR: attention, inferred streams, recovery, sensitivity."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from limssr.core.errors import InputError
from limssr.core.progress import Reporter
from limssr.core.types import Sample
from limssr.evaluation.scorer import ModelScorer
from limssr.explain.attention import attention_document, attention_table
from limssr.explain.clusters import cloud_document, clouds_of, embed
from limssr.explain.figures.attention import draw_attention
from limssr.explain.figures.inferred import (
    draw_clusters,
    draw_columns,
    draw_recovery,
    draw_sensitivity,
    draw_similarity,
)
from limssr.explain.found import Explanation
from limssr.explain.groups import groups_of
from limssr.explain.hallucination import recovery_document, sensitivity_documents, usefulness_document
from limssr.explain.inferred import MIN_SAMPLES, Pair, inferred_document, inferred_table, pairs_of
from limssr.explain.reading import Read, read_subset
from limssr.explain.scored import Scored, Subset
from limssr.explain.subject import Subject
from limssr.explain.trust import widths_of
from limssr.runs.reliability.calibration import LEVEL
from limssr.systems.build import build_model

MAX_READ = 500
"""Samples whose attention and states are looked at; of more, so many at equal distances."""
MAX_PAIRS = 12
"""Withheld streams and subsets that are measured one by one."""


def explain_network(
    subject: Subject,
    scored: Scored,
    subsets: Sequence[Subset],
    single: Sequence[Sample],
    found: Explanation,
    *,
    reporter: Reporter,
) -> None:
    """Fill in what only LIMSSR has, or why there is nothing.

    Args:
        subject: The run.
        scored: Its samples under subsets.
        subsets: The subsets to look at.
        single: Samples that are explained one by one.
        found: Is filled.
        reporter: Is told of the progress.
    """
    network = subject.network
    if network is None:
        found.why_not["attention"] = f"{subject.system} has no fusion slots{_member_hint(subject)}"
        found.why_not["inferred"] = f"{subject.system} has no placeholders whose states could be read"
        _draw_sensitivity(subject, found)
        return
    if not network.config.num_fusion_tokens:
        found.why_not["attention"] = "this model was built without fusion slots (model.num_fusion_tokens: 0)"
        found.why_not["inferred"] = "states are read together with the attention of the slots, which it has not"
        _draw_sensitivity(subject, found)
        return
    assert isinstance(subject.found.scorer, ModelScorer)
    samples = _some(subject.samples, found)
    try:
        reads = _read(subject.found.scorer, samples, _with_truth(subsets, scored, samples), reporter)
    except InputError as error:  # a backbone whose attention cannot be seen
        found.why_not["attention"] = found.why_not["inferred"] = str(error)
        _draw_sensitivity(subject, found)
        return
    _explain_attention(subject, {s: reads[s] for s in subsets if s in reads}, samples, single, found)
    pairs = _pairs(subject, reads, subsets, found)
    if pairs:
        _explain_inferred(subject, reads, pairs, samples, found, reporter=reporter)
        _explain_recovery(subject, reads, pairs, samples, found)
    _explain_sensitivity(subject, scored, subsets, found)
    _draw_sensitivity(subject, found)


def _member_hint(subject: Subject) -> str:
    return "; a member of it may have (--member)" if subject.system in ("auto", "mixture") else ""


def _some(samples: Sequence[Sample], found: Explanation) -> tuple[Sample, ...]:
    if len(samples) <= MAX_READ:
        return tuple(samples)
    found.notes.append(f"attention and states are measured on {MAX_READ} of {len(samples)} samples, at equal distances")
    return tuple(samples[n * len(samples) // MAX_READ] for n in range(MAX_READ))


def _with_truth(subsets: Sequence[Subset], scored: Scored, samples: Sequence[Sample]) -> list[Subset]:
    """The subsets, and what samples own: true states are read where everything is shown."""
    owned = [tuple(name for name in scored.names if name in one.streams) for one in samples]
    return list(dict.fromkeys([*subsets, *owned]))


def _read(
    scorer: ModelScorer, samples: Sequence[Sample], subsets: Sequence[Subset], reporter: Reporter
) -> dict[Subset, Read]:
    reads: dict[Subset, Read] = {}
    reporter.start("reading", len(subsets))
    for subset in subsets:
        if scorer.why_no_prediction(subset) is None:
            reads[subset] = read_subset(scorer, samples, subset)
        reporter.advance("reading")
    return reads


def _explain_attention(
    subject: Subject,
    reads: dict[Subset, Read],
    samples: Sequence[Sample],
    single: Sequence[Sample],
    found: Explanation,
) -> None:
    document = attention_document(reads, subject.names, groups_of(samples))
    found.sections["attention"] = document
    found.tables["attention"] = attention_table(reads, subject.names, [one.id for one in samples])
    found.drawings.append(draw_attention(reads, subject.names, document))
    place = next((n for n, one in enumerate(samples) if single and one.id == single[0].id), None)
    if place is not None:
        drawn = draw_attention(reads, subject.names, document, row=place)
        found.drawings.append(replace(drawn, words=f"The same of {samples[place].id} alone."))


def _pairs(subject: Subject, reads: dict[Subset, Read], subsets: Sequence[Subset], found: Explanation) -> list[Pair]:
    """The withheld streams that are measured; of many, those with most and with fewest streams shown."""
    network = subject.network
    assert network is not None
    if network.config.absent != "placeholders" or network.config.num_missing_tokens == 0:
        found.why_not["inferred"] = f"this model has no placeholders (model.absent: {network.config.absent})"
        return []
    unseen = subject.found.scorer.unseen if isinstance(subject.found.scorer, ModelScorer) else ()
    every = [one for one in pairs_of(reads, subject.names) if one.subset in subsets and one.stream not in unseen]
    if not every:
        found.why_not["inferred"] = f"fewer than {MIN_SAMPLES} samples own a stream that a subset withholds"
        return []
    if len(every) > MAX_PAIRS:
        most = max(len(one.subset) for one in every)
        order = sorted(every, key=lambda one: (len(one.subset) not in (1, most), len(one.subset) == 1))
        found.notes.append(f"inferred streams are measured for {MAX_PAIRS} of {len(every)} pairs of stream and subset")
        every = order[:MAX_PAIRS]
    return every


def _explain_inferred(
    subject: Subject,
    reads: dict[Subset, Read],
    pairs: Sequence[Pair],
    samples: Sequence[Sample],
    found: Explanation,
    *,
    reporter: Reporter,
) -> None:
    network, scorer = subject.network, subject.found.scorer
    assert network is not None
    assert isinstance(scorer, ModelScorer)
    untrained = build_model(network.config, network.modalities, network.criteria, seed=subject.config.seed)
    untrained.calibrate(subject.training)
    before = ModelScorer(
        untrained.to(scorer.device),
        batch_size=scorer.batch_size,
        device=scorer.device,
        num_segments=scorer.num_segments,
        padding=scorer.padding,
    )
    wanted = {(one.stream, one.subset) for one in pairs}
    reads_before = _read(before, samples, list(reads), reporter)
    pairs_before = [one for one in pairs_of(reads_before, subject.names) if (one.stream, one.subset) in wanted]
    place = {(one.stream, one.subset): one for one in pairs_before}
    document = inferred_document(pairs, [place[one.stream, one.subset] for one in pairs], groups_of(samples))
    found.sections["inferred"] = document
    found.tables["inferred"] = inferred_table(pairs, [one.id for one in samples])
    found.drawings.append(draw_similarity(document, subject.names))
    _draw_columns(subject, pairs, found)
    try:
        clouds = clouds_of({s: r for s, r in reads.items() if set(s) <= set(subject.names)}, subject.names)
    except InputError as error:
        found.notes.append(f"no picture of clusters: {error}")
        return
    documents = [cloud_document(one, subject.names) for one in clouds]
    document["clusters"] = documents
    if len(clouds) <= 8:
        found.drawings.append(draw_clusters(clouds, [embed(one) for one in clouds], documents, subject.names))
    else:
        kept = [clouds[0], *(one for one in clouds[1:] if len(one.subset) in (1, len(subject.names)))][:8]
        shown = [documents[clouds.index(one)] for one in kept]
        found.drawings.append(draw_clusters(kept, [embed(one) for one in kept], shown, subject.names))


def _draw_columns(subject: Subject, pairs: Sequence[Pair], found: Explanation) -> None:
    """As in the paper: one stream missing, all others shown."""
    columns, streams, wanted = {}, {}, {}
    for one in pairs:
        if len(one.subset) == len(subject.names) - 1 and len(one.streams) > 1:
            title = f"{one.stream} from {' + '.join(one.subset)}"
            cosines_NK = one.cosines()
            columns[title] = cosines_NK / cosines_NK.sum(axis=1, keepdims=True)
            streams[title], wanted[title] = one.streams, one.stream
    if columns and all(np.isfinite(values).all() for values in columns.values()):
        found.drawings.append(draw_columns(columns, streams, wanted))


def _explain_recovery(
    subject: Subject, reads: dict[Subset, Read], pairs: Sequence[Pair], samples: Sequence[Sample], found: Explanation
) -> None:
    section, group_N = found.sections["hallucination"], groups_of(samples)
    if section is None:
        return
    if len(set(group_N.tolist())) < 2:
        found.notes.append("recovery needs samples of at least two groups")
        return
    rows = [recovery_document(one, reads, samples, subject.names, group_N) for one in pairs]
    section["recovery"] = rows
    found.drawings.append(draw_recovery(rows, subject.names))


def _explain_sensitivity(subject: Subject, scored: Scored, subsets: Sequence[Subset], found: Explanation) -> None:
    section, network = found.sections["hallucination"], subject.network
    if section is None or network is None or subject.errors is None or "inferred" in found.why_not:
        return
    assert isinstance(subject.found.scorer, ModelScorer)
    group_N = groups_of(scored.samples)
    for subset in subsets:
        width_C = widths_of(subject.errors, subset, subject.criteria, LEVEL)
        section["sensitivity"] += sensitivity_documents(subject.found.scorer, scored, subset, width_C, group_N)
    section["usefulness"] = usefulness_document(network.learned(), section["sensitivity"], subject.names)


def _draw_sensitivity(subject: Subject, found: Explanation) -> None:
    section = found.sections["hallucination"]
    if section is not None and section["sensitivity"]:
        found.drawings.append(draw_sensitivity(section["sensitivity"], subject.names))
