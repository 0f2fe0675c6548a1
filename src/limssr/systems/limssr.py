"""LIMSSR's row in the table of systems; the model itself is the room `limssr.model`."""

from limssr.model.limssr import LimssrModel
from limssr.systems.system import System

LIMSSR = System(
    title="LIMSSR",
    source="LIMSSR, arXiv 2605.00434",
    summary="the streams as one sequence that a language model reads; two paths, one of which knows what was missing",
    family="limssr",
    builder=LimssrModel,
    reads_backbone=True,
    absent="learned placeholders",
    checked="scores and a training step of the published model, at its settings",
)
