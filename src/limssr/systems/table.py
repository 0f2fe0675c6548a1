"""The table of names: every system that `model.system` can name, and what it declares."""

from limssr.systems.complete import asgtn, cofinal, gdlt, sgn, vatp_net
from limssr.systems.complete.t2cr import t2cr
from limssr.systems.contract import System
from limssr.systems.incomplete import actionmae, gcnet, mlp_mixer, momke, sdr_gnn
from limssr.systems.incomplete.imder import imder
from limssr.systems.incomplete.mcmoe import mcmoe
from limssr.systems.incomplete.pamfn import pamfn
from limssr.systems.related import corrkd, gain, missrag, pcd
from limssr.systems.related.dmvg import dmvg
from limssr.systems.simple import attention, bidirectional, late_fusion, statistics

SYSTEMS: dict[str, System] = {
    # for incomplete streams (the paper's Table 1)
    "mcmoe": mcmoe.MCMOE,
    "momke": momke.MOMKE,
    "gcnet": gcnet.GCNET,
    "sdr-gnn": sdr_gnn.SDR_GNN,
    "actionmae": actionmae.ACTIONMAE,
    "mlp-mixer": mlp_mixer.MLP_MIXER,
    "imder": imder.IMDER,
    "pamfn": pamfn.PAMFN,
    # for complete streams (the paper's Table 2)
    "t2cr": t2cr.T2CR,
    "asgtn": asgtn.ASGTN,
    "cofinal": cofinal.COFINAL,
    "gdlt": gdlt.GDLT,
    "sgn": sgn.SGN_SYSTEM,
    "vatp-net": vatp_net.VATP_NET,
    # related systems that the paper names
    "corrkd": corrkd.CORRKD,
    "pcd": pcd.PCD_SYSTEM,
    "missrag": missrag.MISSRAG,
    "gain": gain.GAIN_SYSTEM,
    "dmvg": dmvg.DMVG_SYSTEM,
    # simple references
    "attention": attention.ATTENTION,
    "attention-mean": attention.ATTENTION_MEAN,
    "attention-zeros": attention.ATTENTION_ZEROS,
    "attention-learned": attention.ATTENTION_LEARNED,
    "statistics": statistics.STATISTICS,
    "late-fusion": late_fusion.LATE_FUSION,
    "bidirectional": bidirectional.BIDIRECTIONAL,
}
"""Name (`model.system` of a recipe) -> declaration. `limssr.systems.build.build_model` seeds and builds it."""
