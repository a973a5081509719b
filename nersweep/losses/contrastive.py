"""Contrastive losses on the features under the logits."""

import math
from typing import Literal

import torch
from torch import Tensor

from nersweep.losses.base import IGNORE, Loss, require


class SupConLoss(Loss):
    """Supervised contrastive loss: pull tokens of a class together, push other classes apart.

    Called as `loss(features, targets)`: features (..., H); targets (...), class ids, -100 ignored.
    z is a token's features over their Euclidean norm; a zero vector stays zero, without a gradient.
    A scalar; without anchors (pairs) 0 with a zero gradient. Takes no class weights; computes in
    float32 at least, also under autocast. Needs memory for anchors × tokens numbers.

    form "supcon": the mean over anchors i of
        -1/|P(i)| Σ_{p in P(i)} log( exp(z_i·z_p/τ) / Σ_{a≠i} exp(z_i·z_a/τ) )
    with a any real token and P(i) the other tokens of i's class. Tokens of the class `outside` (O)
    are never anchors, only negatives; an anchor without a positive is left out.
    form "margin": the mean over unordered pairs of tokens of ½D² for the same class and
    ½max(0, margin-D)² for two classes, D = |z_i - z_j|. A pair of `outside` tokens is left out.

    temperature: τ > 0, no unit. margin > 0, a distance; D is at most 2. outside: a class id, or -1
    for none.

    A step cannot be split: its tokens are compared with each other.

    Raises UserError for arguments out of range. Khosla et al. 2020, eq. 2 (L_out), with a mean over
    anchors for the sum; Hadsell et al. 2006, eq. 4, with a mean over pairs, on normalised features.
    That O has no positives is ours.
    """

    needs = ("features", "targets")
    splits = False

    def __init__(
        self,
        temperature: float = 0.1,
        form: Literal["supcon", "margin"] = "supcon",
        margin: float = 1.0,
        outside: int = 0,
    ):
        super().__init__()
        valid = math.isfinite(temperature) and temperature > 0
        require(valid, "temperature", temperature, "> 0 and finite")
        require(form in ("supcon", "margin"), "form", form, "supcon or margin")
        require(math.isfinite(margin) and margin > 0, "margin", margin, "> 0 and finite")
        self.temperature = temperature
        self.form = form
        self.margin = margin
        self.outside = outside

    def forward(self, features: Tensor, targets: Tensor) -> Tensor:
        # Autocast would multiply matrices in half precision.
        with torch.autocast(features.device.type, enabled=False):
            # Tokens are selected although a GPU waits: with masks it would be tokens² numbers.
            x, y = features[targets != IGNORE], targets[targets != IGNORE]  # (N, H), (N,)
            x = x.to(torch.promote_types(x.dtype, torch.float32))
            norm = x.norm(dim=-1, keepdim=True)  # (N, 1)
            z = x / torch.where(norm > 0, norm, torch.inf)  # (N, H)
            return self.supcon(z, y) if self.form == "supcon" else self.pairs(z, y)

    def supcon(self, z: Tensor, y: Tensor) -> Tensor:
        """Return the loss of form "supcon": z (N, H), y (N,) -> a scalar."""
        anchor = ((y != self.outside) & (y.bincount()[y] > 1)).nonzero()  # (A, 1)
        same = (y[anchor] == y).scatter(1, anchor, False)  # (A, N)
        similarity = z[anchor.squeeze(1)] @ z.T / self.temperature  # (A, N)
        log_total = similarity.scatter(1, anchor, -torch.inf).logsumexp(1)  # (A,)
        return (log_total - (similarity * same).sum(1) / same.sum(1)).sum() / max(len(anchor), 1)

    def pairs(self, z: Tensor, y: Tensor) -> Tensor:
        """Return the loss of form "margin": z (N, H), y (N,) -> a scalar."""
        anchor = (y != self.outside).nonzero()  # (A, 1)
        after = torch.arange(len(y), device=y.device) > anchor  # (A, N)
        counts = (y == self.outside) | after  # (A, N), each pair once
        norms = z.square().sum(1)  # (N,)
        square = norms[anchor] + norms - 2 * z[anchor.squeeze(1)] @ z.T  # (A, N), D²
        square = square.clamp(min=0)
        # The root has an infinite slope at 0. A D² below its terms' rounding error is 0, flat.
        least = torch.finfo(z.dtype).eps
        distance = torch.where(square > least, square.clamp(min=least).sqrt(), 0)  # (A, N)
        apart = (self.margin - distance).clamp(min=0).square()  # (A, N)
        losses = torch.where(y[anchor] == y, square, apart) / 2  # (A, N)
        return (losses * counts).sum() / counts.sum().clamp(min=1)
