"""Losses for token classification, in plain PyTorch: `from nersweep.losses import FocalLoss`.

One file per formula. `effective_weights` turns any token loss into a class-balanced one. Importing
this package imports nothing but torch.
"""

from nersweep.losses.base import Loss, TokenLoss
from nersweep.losses.batch_balanced import BatchBalancedFocalLoss, effective_weights
from nersweep.losses.boundary import BoundaryIoULoss
from nersweep.losses.compound import CompoundLoss
from nersweep.losses.contrastive import SupConLoss
from nersweep.losses.crf import CRF, CRFLoss
from nersweep.losses.cross_entropy import CrossEntropyLoss
from nersweep.losses.dice import DiceLoss
from nersweep.losses.embedding_smoothing import EmbeddingSmoothingLoss
from nersweep.losses.focal import FocalLoss
from nersweep.losses.gce import GCELoss
from nersweep.losses.ghm import GHMCLoss
from nersweep.losses.label_smoothing import LabelSmoothingLoss
from nersweep.losses.logit_adjusted import LogitAdjustedLoss
from nersweep.losses.poly1 import Poly1Loss
from nersweep.losses.self_adjusting_dice import SelfAdjustingDiceLoss
from nersweep.losses.trainer import TrainerLoss
from nersweep.losses.tversky import TverskyLoss

__all__ = [
    "CRF",
    "BatchBalancedFocalLoss",
    "BoundaryIoULoss",
    "CRFLoss",
    "CompoundLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "EmbeddingSmoothingLoss",
    "FocalLoss",
    "GCELoss",
    "GHMCLoss",
    "LabelSmoothingLoss",
    "LogitAdjustedLoss",
    "Loss",
    "Poly1Loss",
    "SelfAdjustingDiceLoss",
    "SupConLoss",
    "TokenLoss",
    "TrainerLoss",
    "TverskyLoss",
    "effective_weights",
]
