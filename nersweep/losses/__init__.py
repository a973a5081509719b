"""Losses for token classification, in plain PyTorch: `from nersweep.losses import FocalLoss`.

One file per formula. Every module class (CRF, FocalLoss, TrainerLoss, ...) of a file here is a public name of the
package, and so is `effective_weights`, which makes any loss a class-balanced one. Needs torch alone.
"""

from importlib import import_module
from pkgutil import iter_modules

from torch import nn

for _module in iter_modules(__path__, f"{__name__}."):
    for _name, _value in vars(import_module(_module.name)).items():
        if (
            isinstance(_value, type)
            and issubclass(_value, nn.Module)
            and _value.__module__ == _module.name
        ):
            globals()[_name] = _value

effective_weights = import_module(f"{__name__}.batch_balanced").effective_weights
