"""The table of systems: every network that `model.system` can name, LIMSSR first; rows are loaded when asked for."""

from typing import TYPE_CHECKING

from limssr.core.lazy import LazyTable, Where

if TYPE_CHECKING:
    from limssr.systems.system import System

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
    }
)
"""Name -> what the system declares. `limssr.systems.build.build_model` builds one."""
