"""The model: build it, train what it declares trainable, save it, load it."""

from limssr.model.build import build_model, calibrate, make_optimizer, parameter_groups
from limssr.model.limssr import LimssrModel
from limssr.model.saving import load_pretrained, load_saved_state, save_pretrained, state_to_save

__all__ = [
    "LimssrModel",
    "build_model",
    "calibrate",
    "load_pretrained",
    "load_saved_state",
    "make_optimizer",
    "parameter_groups",
    "save_pretrained",
    "state_to_save",
]
