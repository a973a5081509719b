"""Boundary IoU."""

from collections.abc import Sequence

import torch
from torch import Tensor

from nersweep.losses.base import IGNORE, Loss, real_tokens, require


class BoundaryIoULoss(Loss):
    """Boundary IoU: the mean over gold spans of 1 - IoU, the overlap of a span with the probability of its type.

    For a gold span s of type X, m_t = p(B-X) + p(I-X) at token t, and IoU = Σ_{t in s} m_t / (|s| + Σ m_t over the
    tokens outside s that are in its sentence and at most `window` tokens from it). Only the neighbourhood of gold spans
    counts, so a spurious span costs nothing: it is only ever added to a token loss. Another gold span of the same type
    in that neighbourhood counts as outside too, so that there even a perfect prediction costs something. A scalar in
    [0, 1]; without spans 0 with a zero gradient. Takes no class weights; computes in float32 at least.

    labels: the C class names in order: O, B-X and I-X. window ≥ 0, in tokens.
    Called as `loss(logits, targets, lengths)`: logits (..., C), raw scores; targets (...), IOB2 class ids of words that
    stand one after another; tokens whose target is -100 are dropped before anything else. lengths (S,), the real words
    of each sentence in order. Without lengths, each row of targets (S, T) is a sentence, and targets of another shape
    are one sentence. A span starts at B-X, and at I-X that continues nothing.

    A step cannot be split: the mean is over the spans of the whole step.

    Raises ValueError for another kind of label, a negative window, logits that do not fit the labels, and, on CPU,
    lengths that do not add up to the real words. Of no publication.
    """

    needs = ("logits", "targets", "lengths")
    splits = False

    def __init__(self, labels: Sequence[str], window: int = 2):
        super().__init__()
        wrong = [
            name for name in labels if name != "O" and not (name[:2] in ("B-", "I-") and name[2:])
        ]
        require(not wrong, "labels", wrong, "O, B-TYPE or I-TYPE")
        require(window >= 0, "window", window, "≥ 0 tokens")
        self.window = window
        types = sorted({name[2:] for name in labels} - {""})
        self.types = len(types)
        type_of = torch.tensor([types.index(name[2:]) + 1 if name[2:] else 0 for name in labels])
        begins = torch.tensor([name.startswith("B-") for name in labels])
        self.register_buffer("type_of", type_of, persistent=False)  # (C,), 0 for O
        self.register_buffer("begins", begins, persistent=False)  # (C,)

    def forward(self, logits: Tensor, targets: Tensor, lengths: Tensor | None = None) -> Tensor:
        classes = len(self.type_of)
        require(
            logits.shape[-1] == classes,
            "logits",
            tuple(logits.shape),
            f"(..., {classes}) with {classes} labels",
        )
        # How far a neighbour can be. Lengths are read: on the host, that waits for no GPU.
        reach = min(
            self.window, targets.shape[-1] if lengths is None else max(lengths.tolist(), default=0)
        )
        if lengths is None:
            real = targets != IGNORE
            lengths = real.sum(1) if targets.dim() == 2 else real.sum().reshape(1)
        if targets.device.type == "cpu":
            words, real = int(lengths.sum()), int((targets != IGNORE).sum())
            require(
                words == real,
                "lengths",
                f"{words} words in all",
                f"those of the {real} real targets",
            )
        order = (targets == IGNORE).flatten().argsort(stable=True)  # (N,), the real ones first
        logits, gold, real = (
            x.index_select(0, order) for x in real_tokens(logits, targets)
        )  # (N, C), (N,), (N,)
        p = logits.softmax(-1)

        lengths = lengths.to(targets.device, non_blocking=True)  # (S,)
        sentence_ends, position = (
            lengths.cumsum(0),
            torch.arange(len(gold), device=gold.device),
        )  # (S,), (N,)
        sentence = torch.searchsorted(sentence_ends, position, right=True).clamp(
            max=len(lengths) - 1
        )  # (N,)
        begin, end = (
            (sentence_ends - lengths)[sentence],
            sentence_ends[sentence],
        )  # (N,), of a token's sentence
        type_ = self.type_of[gold].where(real, 0)  # (N,)
        inside = type_ > 0
        starts = inside & (
            self.begins[gold] | (position == begin) | (type_ != type_.roll(1))
        )  # (N,)
        stops = inside & (
            ~inside.roll(-1) | starts.roll(-1) | (position + 1 == end)
        )  # (N,), at a span's last token

        mass = p.new_zeros(len(p), self.types + 1).index_add(
            1, self.type_of, p
        )  # (N, types), m of each type, and of O
        # 1 - m of a token in the span is the probability of the other classes: no subtraction from 1.
        missed = (p * (self.type_of != type_[:, None])).sum(1) * inside  # (N,)
        # At a span's first token the m of those before it, at its last one of those after it.
        away = torch.arange(1, reach + 1, device=gold.device)
        before, after = position[:, None] - away, position[:, None] + away  # (N, reach)
        counts = torch.cat(
            [(before >= begin[:, None]) & starts[:, None], (after < end[:, None]) & stops[:, None]],
            1,
        )
        near = (
            torch.cat([before, after], 1).clamp(0, len(p) - 1) * mass.shape[1] + type_[:, None]
        )  # (N, 2·reach)
        outside = (mass.flatten().index_select(0, near.flatten()).view(near.shape) * counts).sum(
            1
        )  # (N,)
        # As many places as there could be spans: how many there are, a GPU would have to be waited for.
        span = (starts.cumsum(0) - 1).clamp(min=0)  # (N,)
        wrong, size, spurious = (
            torch.zeros_like(missed).index_add(0, span, x)
            for x in (missed + outside, inside.to(p.dtype), outside)
        )
        return (wrong / (size + spurious).clamp(min=1)).sum() / starts.sum().clamp(min=1)
