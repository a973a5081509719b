"""Boundary IoU."""

from collections.abc import Sequence

import torch
from torch import Tensor

from nersweep.losses.base import IGNORE, Loss, real_tokens, require


class BoundaryIoULoss(Loss):
    """Boundary IoU: the mean over gold spans of 1 - IoU of the span and its type's probability.

    For a gold span s of type X, m_t = p(B-X) + p(I-X) at token t, and

        IoU = Σ_{t in s} m_t / (|s| + Σ m_t over the tokens outside s, within its sentence and at
        most `window` tokens away)

    Only the neighbourhood of gold spans counts, so a spurious span costs nothing: add this loss to
    a token loss. Another gold span of the same type in that neighbourhood counts as outside too, so
    there even a perfect prediction costs something. A scalar in [0, 1]; without spans 0 with a zero
    gradient. Takes no class weights; computes in float32 at least.

    labels: the C class names in order: O, B-X and I-X. window ≥ 0, in tokens.
    Called as `loss(logits, targets, lengths)`: logits (..., C), raw scores; targets (...), IOB2
    class ids of consecutive words; tokens whose target is -100 are dropped first. lengths (S,), the
    real words of each sentence in order. Without lengths, each row of targets (S, T) is a sentence,
    and targets of another shape are one sentence. A span starts at B-X, and at an I-X that
    continues nothing.

    A step cannot be split: the mean is over the spans of the whole step.

    Raises UserError for another kind of label, a negative window, logits that do not fit the labels
    and, on CPU, lengths that do not add up to the real words. Of no publication.
    """

    needs = ("logits", "targets", "lengths")
    splits = False
    type_of: Tensor
    begins: Tensor

    def __init__(self, labels: Sequence[str], window: int = 2):
        super().__init__()
        wrong = []
        for name in labels:
            if name != "O" and not (name.startswith(("B-", "I-")) and name[2:]):
                wrong.append(name)
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
        # How far a neighbour can be. Given lengths are on the host: reading them waits for no GPU.
        longest = targets.shape[-1] if lengths is None else max(lengths.tolist(), default=0)
        reach = min(self.window, longest)
        lengths = self.checked_lengths(logits, targets, lengths)  # (S,)
        order = (targets == IGNORE).flatten().argsort(stable=True)  # (N,), real tokens first
        logits, gold, real = real_tokens(logits, targets)  # (N, C), (N,), (N,)
        p = logits.index_select(0, order).softmax(-1)  # (N, C)
        gold, real = gold.index_select(0, order), real.index_select(0, order)  # (N,), (N,)

        lengths = lengths.to(targets.device, non_blocking=True)  # (S,)
        ends = lengths.cumsum(0)  # (S,)
        position = torch.arange(len(gold), device=gold.device)  # (N,)
        sentence = torch.searchsorted(ends, position, right=True)  # (N,)
        sentence = sentence.clamp(max=len(lengths) - 1)
        begin, end = (ends - lengths)[sentence], ends[sentence]  # (N,), of a token's sentence
        type_ = self.type_of[gold].where(real, 0)  # (N,)
        inside = type_ > 0  # (N,)
        first = self.begins[gold] | (position == begin) | (type_ != type_.roll(1))  # (N,)
        starts = inside & first  # (N,), at a span's first token
        last = ~inside.roll(-1) | starts.roll(-1) | (position + 1 == end)  # (N,)
        stops = inside & last  # (N,), at a span's last token

        # m of each type, and of O: (N, types + 1).
        mass = p.new_zeros(len(p), self.types + 1).index_add(1, self.type_of, p)
        # 1 - m of a token in the span is the probability of the other classes, not a subtraction.
        missed = (p * (self.type_of != type_[:, None])).sum(1) * inside  # (N,)
        # At a span's first token the m of those before it, at its last one of those after it.
        away = torch.arange(1, reach + 1, device=gold.device)  # (reach,)
        before, after = position[:, None] - away, position[:, None] + away  # (N, reach)
        preceding = (before >= begin[:, None]) & starts[:, None]  # (N, reach)
        following = (after < end[:, None]) & stops[:, None]  # (N, reach)
        counts = torch.cat([preceding, following], 1)  # (N, 2·reach)
        near = torch.cat([before, after], 1).clamp(0, len(p) - 1)  # (N, 2·reach)
        near = near * mass.shape[1] + type_[:, None]
        neighbours = mass.flatten().index_select(0, near.flatten()).view(near.shape)
        outside = (neighbours * counts).sum(1)  # (N,)
        # As many places as there could be spans: a GPU would wait for their number.
        span = (starts.cumsum(0) - 1).clamp(min=0)  # (N,)
        wrong = torch.zeros_like(missed).index_add(0, span, missed + outside)  # (N,)
        size = torch.zeros_like(missed).index_add(0, span, inside.to(p.dtype))  # (N,)
        spurious = torch.zeros_like(missed).index_add(0, span, outside)  # (N,)
        return (wrong / (size + spurious).clamp(min=1)).sum() / starts.sum().clamp(min=1)

    def checked_lengths(self, logits: Tensor, targets: Tensor, lengths: Tensor | None) -> Tensor:
        """Return the lengths of the sentences, (S,). Raises UserError if shapes do not fit."""
        classes = len(self.type_of)
        shape = tuple(logits.shape)
        require(shape[-1] == classes, "logits", shape, f"(..., {classes}) with {classes} labels")
        real = targets != IGNORE
        if lengths is None:
            return real.sum(1) if targets.dim() == 2 else real.sum().reshape(1)
        if targets.device.type == "cpu":
            words, real_words = int(lengths.sum()), int(real.sum())
            allowed = f"those of the {real_words} real targets"
            require(words == real_words, "lengths", f"{words} words in all", allowed)
        return lengths
