"""The table of systems: every network that `model.system` can name, LIMSSR first; rows are loaded when asked for.

Behind those of limssr stand the systems of others: of installed packages that have the entry point `limssr.systems`,
and those that `register_system` has added. A name in a recipe only ever looks a row up: it imports nothing.
"""

from typing import TYPE_CHECKING, Any

from limssr.core.lazy import LazyTable, PlugIns, Where

if TYPE_CHECKING:
    from limssr.systems.system import System

ENTRY_POINTS = "limssr.systems"


def _declared(name: str, found: Any) -> "System":
    from limssr.systems.system import declared

    return declared(name, found)


SYSTEMS: "LazyTable[System]" = LazyTable(
    {
        "limssr": Where("limssr.systems.limssr", "LIMSSR"),
        # for incomplete streams (the paper's Table 1)
        "mcmoe": Where("limssr.systems.incomplete.mcmoe.mcmoe", "MCMOE"),
        "momke": Where("limssr.systems.incomplete.momke", "MOMKE"),
        "gcnet": Where("limssr.systems.incomplete.gcnet", "GCNET"),
        "sdr-gnn": Where("limssr.systems.incomplete.sdr_gnn", "SDR_GNN"),
        "actionmae": Where("limssr.systems.incomplete.actionmae", "ACTIONMAE"),
        "mlp-mixer": Where("limssr.systems.incomplete.mlp_mixer", "MLP_MIXER"),
        "imder": Where("limssr.systems.incomplete.imder.imder", "IMDER"),
        "pamfn": Where("limssr.systems.incomplete.pamfn.pamfn", "PAMFN"),
        # for complete streams (the paper's Table 2)
        "t2cr": Where("limssr.systems.complete.t2cr.t2cr", "T2CR"),
        "asgtn": Where("limssr.systems.complete.asgtn", "ASGTN"),
        "cofinal": Where("limssr.systems.complete.cofinal", "COFINAL"),
        "gdlt": Where("limssr.systems.complete.gdlt", "GDLT"),
        "sgn": Where("limssr.systems.complete.sgn", "SGN_SYSTEM"),
        "vatp-net": Where("limssr.systems.complete.vatp_net", "VATP_NET"),
        # related systems that the paper names
        "corrkd": Where("limssr.systems.related.corrkd", "CORRKD"),
        "pcd": Where("limssr.systems.related.pcd", "PCD_SYSTEM"),
        "missrag": Where("limssr.systems.related.missrag", "MISSRAG"),
        "gain": Where("limssr.systems.related.gain", "GAIN_SYSTEM"),
        "dmvg": Where("limssr.systems.related.dmvg.dmvg", "DMVG_SYSTEM"),
        # simple references
        "attention": Where("limssr.systems.simple.attention", "ATTENTION"),
        "attention-mean": Where("limssr.systems.simple.attention", "ATTENTION_MEAN"),
        "attention-zeros": Where("limssr.systems.simple.attention", "ATTENTION_ZEROS"),
        "attention-learned": Where("limssr.systems.simple.attention", "ATTENTION_LEARNED"),
        "statistics": Where("limssr.systems.simple.statistics", "STATISTICS"),
        "late-fusion": Where("limssr.systems.simple.late_fusion", "LATE_FUSION"),
        "bidirectional": Where("limssr.systems.simple.bidirectional", "BIDIRECTIONAL"),
    },
    PlugIns(group=ENTRY_POINTS, made=_declared),
)
"""Name -> what the system declares. `limssr.systems.build.build_model` builds one."""


def register_system(name: str, system: Any, **facts: Any) -> None:
    """Add a system of your own to the table, for this process: a recipe's `model.system` then finds it.

    Runs in other processes (`sweep --processes 2`) do not see it: install a package with the entry point
    `limssr.systems` for that (docs/own-system.md).

    Args:
        name: What recipes call it: letters, digits, `-` and `_`.
        system: A class derived from `Network` or `ComparisonSystem`, built as (config, modalities, criteria) or
            (config, modalities, criteria, options), or a whole `System`.
        facts: Fields of `System` where a class is given, such as `title`, `summary`, `options`, `hidden_values`.

    Raises:
        InputError: The name is taken or is none, or the system is neither.
    """
    from limssr.systems.system import declared

    SYSTEMS.add(name, declared(name, system, **facts))
