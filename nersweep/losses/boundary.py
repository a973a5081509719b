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

    Raises ValueError for another kind of label, a negative window, logits that do not fit the labels, and lengths that
    do not add up to the real words. Of no publication.
    """

    needs = ("logits", "targets", "lengths")
    splits = False

    def __init__(self, labels: Sequence[str], window: int = 2):
        super().__init__()
        wrong = [name for name in labels if name != "O" and not (name[:2] in ("B-", "I-") and name[2:])]
        require(not wrong, "labels", wrong, "O, B-TYPE or I-TYPE")
        require(window >= 0, "window", window, "≥ 0 tokens")
        self.window = window
        types = sorted({name[2:] for name in labels} - {""})
        type_of = torch.tensor([types.index(name[2:]) + 1 if name[2:] else 0 for name in labels])
        begins = torch.tensor([name.startswith("B-") for name in labels])
        self.register_buffer("type_of", type_of, persistent=False)  # (C,), 0 for O
        self.register_buffer("begins", begins, persistent=False)  # (C,)

    def forward(self, logits: Tensor, targets: Tensor, lengths: Tensor | None = None) -> Tensor:
        classes = len(self.type_of)
        require(logits.shape[-1] == classes, "logits", tuple(logits.shape), f"(..., {classes}) with {classes} labels")
        if lengths is None:
            real = targets != IGNORE
            lengths = real.sum(1) if targets.dim() == 2 else real.sum().reshape(1)
        lengths = lengths.to(targets.device)  # (S,)
        logits, gold = real_tokens(logits, targets)  # (N, C), (N,)
        words = int(lengths.sum())
        require(words == len(gold), "lengths", f"{words} words in all", f"those of the {len(gold)} real targets")
        p = logits.softmax(-1)

        sentence_ends = lengths.cumsum(0)  # (S,)
        sentence = torch.repeat_interleave(lengths)  # (N,)
        begin, end = (sentence_ends - lengths)[sentence], sentence_ends[sentence]  # (N,), of a token's sentence
        position, type_ = torch.arange(len(gold), device=gold.device), self.type_of[gold]  # (N,)
        starts = (type_ > 0) & (self.begins[gold] | (position == begin) | (type_ != type_.roll(1)))  # (N,)
        first = starts.nonzero().squeeze(1)  # (spans,)
        size = torch.bincount(starts.cumsum(0)[type_ > 0] - 1, minlength=len(first))  # (spans,), in tokens

        # All pairs of a span and a token in it or near it, one after another: (P,).
        low = torch.maximum(first - self.window, begin[first])  # (spans,)
        near = torch.minimum(first + size + self.window, end[first]) - low  # (spans,), tokens in it or near it
        span = torch.repeat_interleave(near)
        token = low[span] + torch.arange(len(span), device=span.device) - (near.cumsum(0) - near)[span]
        inside = (token >= first[span]) & (token < (first + size)[span])
        of_type = self.type_of == type_[first][span, None]  # (P, C)
        # 1 - m of a token in the span is the probability of the other classes: no subtraction from 1.
        wrong = (p[token] * (of_type ^ inside[:, None])).sum(1)  # (P,), 1 - m inside, m outside
        zeros = p.new_zeros(len(first))
        apart = zeros.index_add(0, span, wrong)  # (spans,)
        union = size + zeros.index_add(0, span, wrong * ~inside)  # (spans,)
        return (apart / union).sum() / max(len(first), 1)
