"""The linear-chain conditional random field, its best paths and its loss."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from nersweep.losses.base import IGNORE, Loss, require

REDUCTIONS = ("token_mean", "mean", "sum")
Mask = Any  # booleans: a tensor, an array or a list


def places(lengths: Tensor, words: int) -> tuple[Tensor, Tensor, Tensor]:
    """Locate W consecutive words of S sentences of these lengths (S,).

    Returns each word's sentence (W,), the number of words before it there (W,) and after it (W,).
    """
    device = lengths.device
    sentence = torch.arange(len(lengths), device=device)  # (S,)
    sentence = sentence.repeat_interleave(lengths, output_size=words)  # (W,)
    begin = (lengths.cumsum(0) - lengths)[sentence]  # (W,)
    before = torch.arange(len(sentence), device=device) - begin  # (W,)
    return sentence, before, lengths[sentence] - 1 - before


def columns(lengths: Tensor, words: int, longest: int) -> tuple[Tensor, Tensor]:
    """Return the words of each sentence in order, (T, S) with T the longest length, and reversed.

    Where the sentence is shorter than T its column repeats its last word, which must not be used.
    """
    place = torch.arange(longest, device=lengths.device)[:, None].minimum(lengths - 1)  # (T, S)
    last = lengths.cumsum(0) - 1  # (S,)
    ahead, back = last - lengths + 1 + place, last - place  # (T, S)
    # A sentence without words gets any word.
    return ahead.clamp(0, words - 1), back.clamp(0, words - 1)


def at_end(rows: Sequence[Tensor], lengths: Tensor) -> Tensor:
    """Return the row of each sentence's last word, (S, K), out of T rows (S, K), one per place."""
    sentence = torch.arange(len(lengths), device=lengths.device)  # (S,)
    return torch.stack(list(rows))[(lengths - 1).clamp(min=0), sentence]


def log_partition(
    emissions: Tensor, lengths: Tensor, start: Tensor, transitions: Tensor, end: Tensor
) -> Tensor:
    """Return log Z of each sentence, (S,), by the forward recursion in log space.

    Exact for scores of any size.
    """
    # The gradient of a logsumexp over nothing but -inf is NaN.
    emissions, start = emissions.clamp(min=-1e30), start.clamp(min=-1e30)  # (W, K), (K,)
    transitions, end = transitions.clamp(min=-1e30), end.clamp(min=-1e30)  # (K, K), (K,)
    emitted = emissions[columns(lengths, len(emissions), int(lengths.max()))[0]]  # (T, S, K)
    sums = [start + emitted[0]]  # (S, K)
    for now in emitted[1:]:
        sums.append(torch.logsumexp(sums[-1][:, :, None] + transitions, 1) + now)  # (S, K)
    return torch.logsumexp(at_end(sums, lengths) + end, -1).where(lengths > 0, 0)


class LogPartition(torch.autograd.Function):
    """`log_partition` with its gradient, faster, for scores ≤ 0; also returns whether it is exact.

    The recursion is over probabilities, divided by their sum at each word (Rabiner 1989, section
    V.A). One loop takes each sentence and its reverse together: both directions give the gradient,
    the expected counts of labels and of pairs of labels. Exact means that no probability came so
    close to the dtype's smallest number that what was lost below it is more than rounding.
    """

    @staticmethod
    def forward(
        ctx: Any,
        emissions: Tensor,
        start: Tensor,
        transitions: Tensor,
        end: Tensor,
        lengths: Tensor,
        longest: int,
    ) -> tuple[Tensor, bool]:
        classes, size = emissions.shape[1], len(lengths)
        column = torch.stack(columns(lengths, len(emissions), longest), 1)  # (T, 2, S)
        emitted = emissions.exp().index_select(0, column.flatten())
        emitted = emitted.view(*column.shape, classes)  # (T, 2, S, K)
        step = transitions.exp()  # (K, K)
        steps = torch.stack([step, step.mT])  # (2, K, K)
        # The last column gives the sum of what arrives: (2, K, K+1).
        steps = torch.cat([steps, steps.new_ones(2, classes, 1)], -1)
        starts = torch.stack([start, end])[:, None]  # (2, 1, K)

        # arriving: what reaches each word without its own emission, and beside it the sum of what
        # left the word before; leaving: what leaves each word, its own emission included.
        arriving = emitted.new_ones(*column.shape, classes + 1)  # (T, 2, S, K+1)
        leaving = torch.empty_like(emitted)  # (T, 2, S, K)
        arriving[0, ..., :-1] = starts.exp()
        now = torch.mul(arriving[0, ..., :-1], emitted[0], out=leaving[0])
        messages, totals = arriving[..., :-1], arriving[..., -1:]
        parts = (arriving, messages, totals, emitted, leaving)
        for product, message, total, emission, result in zip(
            *(part[1:].unbind() for part in parts), strict=True
        ):
            torch.bmm(now, steps, out=product)
            now = torch.div(message, total, out=result).mul_(emission)

        # A sum of K products that is at least this loses no more than rounding with products below
        # tiny.
        limits = torch.finfo(emitted.dtype)
        least = classes**2 * limits.tiny / limits.eps
        # A label that cannot start is rightly 0. So is one that no step reaches, but it counts as
        # inexact.
        smallest = [torch.where(starts.isneginf(), 1, leaving[0]).amin()]
        smallest += [x[1:].amin() for x in (leaving, arriving) if len(x) > 1]
        exact = bool(torch.stack(smallest).amin() >= least)

        sentence, before, after = places(lengths, len(emissions))
        ahead = before * 2 * size + sentence  # (W,), each word's row among T·2·S
        back = (after * 2 + 1) * size + sentence
        arriving, leaving = arriving.flatten(0, 2), leaving.flatten(0, 2)
        forward = leaving.index_select(0, ahead)  # (W, K)
        backward = arriving.index_select(0, back)[:, :-1]  # (W, K)
        log_z = arriving[:, -1].index_select(0, ahead).log()  # (W,)
        log_z += torch.where(after == 0, (forward * backward).sum(-1).log(), 0)
        forward /= forward.sum(-1, keepdim=True)
        labels = forward * backward
        total = labels.sum(-1, keepdim=True)
        onward = leaving.index_select(0, back)  # (W, K), to the word before
        ctx.save_for_backward(
            labels / total, forward / total, onward, step, sentence, before, after
        )
        return log_z.new_zeros(size).index_add_(0, sentence, log_z), exact

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Any) -> tuple[Tensor | None, ...]:
        labels, forward, onward, step, sentence, before, after = ctx.saved_tensors
        gradient = gradient.index_select(0, sentence)[:, None]  # (W, 1)
        emissions = labels * gradient  # (W, K)
        left = forward * gradient * (after > 0)[:, None]  # (W, K)
        with torch.autocast(step.device.type, enabled=False):
            transitions = step * (left[:-1].mT @ onward[1:])
        starts = (emissions * (before == 0)[:, None]).sum(0)  # (K,)
        ends = (emissions * (after == 0)[:, None]).sum(0)  # (K,)
        return emissions, starts, transitions, ends, None, None


@torch.no_grad()
def viterbi(
    emissions: Tensor, lengths: Tensor, start: Tensor, transitions: Tensor, end: Tensor
) -> Tensor:
    """Return the labels (W,) of each sentence's best path, the one with the highest score.

    emissions (W, K), raw scores of the words of S consecutive sentences; lengths (S,) in words,
    their sum W; start (K,), transitions (K, K) from row to column, end (K,). A score of -inf
    forbids, and is respected as long as some path is allowed.
    """
    if not len(emissions):
        return lengths.new_zeros(0)
    words, longest = len(emissions), int(lengths.max())
    lengths = lengths.to(emissions.device, non_blocking=True)
    emitted = emissions.to(torch.promote_types(emissions.dtype, torch.float32))
    emitted = emitted[columns(lengths, words, longest)[0]]  # (T, S, K)
    steps = transitions.mT.contiguous()  # (K, K), from column to row
    best, origins = [start + emitted[0]], []
    for now in emitted[1:]:
        value, origin = (best[-1][:, None] + steps).max(-1)  # (S, K), (S, K)
        best.append(value + now)
        origins.append(origin)
    last = (at_end(best, lengths) + end).argmax(-1)  # (S,)
    labels = [last]
    for place in reversed(range(len(origins))):
        previous = origins[place].gather(1, labels[-1][:, None])[:, 0]
        labels.append(torch.where(place < lengths - 1, previous, last))
    sentence, before, _ = places(lengths, words)
    return torch.stack(labels[::-1])[before, sentence]


def allowed(name: str, mask: Mask, shape: tuple[int, ...]) -> Tensor:
    """Return the mask as booleans of this shape; None is True everywhere."""
    if mask is None:
        return torch.ones(shape, dtype=torch.bool)
    booleans = torch.as_tensor(mask, dtype=torch.bool)
    given = tuple(booleans.shape)
    require(given == shape, name, given, f"booleans of shape {shape}")
    require(bool(booleans.any()), name, booleans.tolist(), "True somewhere")
    return booleans


class CRF(nn.Module):
    """Linear-chain conditional random field: p(path) = exp(score(path)) / Z, Z over all paths.

        score(path) = start[y_1] + Σ emissions[t, y_t] + Σ transitions[y_t, y_t+1] + end[y_T]

    classes K ≥ 1; start (K,), transitions (K, K) from row to column, and end (K,) are learned, from
    0. start_allowed (K,) and step_allowed (K, K), booleans as from `LabelSet.legal_transitions`,
    forbid the rest, in training and decoding: it scores -inf. None allows everything. The masks are
    not saved.

    Sentences are consecutive, without padding: emissions (W, K), raw scores, and lengths (S,) in
    words, their sum W. The recursion is over words: drop pieces without a label first. Scores are
    computed in float32 at least.

    Raises UserError for a mask of another shape or that allows nothing, and where emissions and
    lengths do not fit. Lafferty et al. 2001.
    """

    start_allowed: Tensor
    step_allowed: Tensor

    def __init__(self, classes: int, start_allowed: Mask = None, step_allowed: Mask = None):
        super().__init__()
        require(classes >= 1, "classes", classes, "≥ 1")
        self.start = nn.Parameter(torch.zeros(classes))
        self.transitions = nn.Parameter(torch.zeros(classes, classes))
        self.end = nn.Parameter(torch.zeros(classes))
        start = allowed("start_allowed", start_allowed, (classes,))
        self.register_buffer("start_allowed", start, persistent=False)
        step = allowed("step_allowed", step_allowed, (classes, classes))
        self.register_buffer("step_allowed", step, persistent=False)

    def scores(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return start (K,), transitions (K, K) and end (K,), -inf where forbidden."""
        start = self.start.masked_fill(~self.start_allowed, -torch.inf)
        return start, self.transitions.masked_fill(~self.step_allowed, -torch.inf), self.end

    def neg_log_likelihood(self, emissions: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
        """Return log Z - score(gold path) of each sentence, (S,), for targets (W,) in [0, K).

        0 for a sentence without words, infinite where the gold path is forbidden. Raises UserError
        for targets outside [0, K), on CPU; a GPU reports them itself, later.
        """
        emissions, lengths = self.check(emissions, lengths)
        classes = len(self.start)
        shape = tuple(targets.shape)
        require(shape == (len(emissions),), "targets", shape, f"of shape ({len(emissions)},)")
        if not len(targets):
            return emissions.sum() + emissions.new_zeros(len(lengths))
        if targets.device.type == "cpu":  # reading them on a GPU would wait for it
            low, high = int(targets.min()), int(targets.max())
            remedy = "drop words without a label, and shorten lengths"
            require(low >= 0, "targets", low, f"in [0, {classes}); {remedy}")
            require(high < classes, "targets", high, f"in [0, {classes})")
        longest = int(lengths.max())
        lengths = lengths.to(emissions.device, non_blocking=True)
        # Minus their maximum, which changes every path alike, all scores are ≤ 0 and Z is near the
        # best path.
        emissions = emissions - emissions.detach().amax(-1, keepdim=True)  # (W, K)
        start, transitions, end = (x.to(emissions.dtype) - x.detach().amax() for x in self.scores())

        log_z: Tensor
        log_z, exact = LogPartition.apply(  # type: ignore[no-untyped-call]
            emissions, start, transitions, end, lengths, longest
        )
        if not exact:
            log_z = log_partition(emissions, lengths, start, transitions, end)
        sentence, before, after = places(lengths, len(targets))
        gold = emissions.gather(1, targets[:, None])[:, 0]  # (W,)
        pairs = transitions.flatten().index_select(0, targets.roll(1) * classes + targets)
        gold = gold + torch.where(before == 0, start.index_select(0, targets), pairs)
        gold = gold + torch.where(after == 0, end.index_select(0, targets), 0)
        return log_z - gold.new_zeros(len(lengths)).index_add(0, sentence, gold)

    def decode(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """Return the labels (W,) of each sentence's best path."""
        return viterbi(*self.check(emissions, lengths), *self.scores())

    @torch.no_grad()
    def marginals(self, emissions: Tensor, lengths: Tensor, temperature: float = 1.0) -> Tensor:
        """Return the probability of each label at each word over all paths of its sentence, (W, K).

        Forward times backward messages, in log space (Rabiner 1989, eq. 27). temperature > 0
        divides the score of each path.
        """
        emissions, lengths = self.check(emissions / temperature, lengths)
        if not len(emissions):
            return emissions
        words, longest = len(emissions), int(lengths.max())
        lengths = lengths.to(emissions.device, non_blocking=True)
        start, transitions, end = (
            (x.to(emissions.dtype) / temperature).clamp(min=-1e30) for x in self.scores()
        )

        def messages(order: Tensor, first: Tensor, steps: Tensor) -> Tensor:
            """Return what arrives at each place, its own emission not included, (T, S, K)."""
            arriving = [first.expand(len(lengths), -1)]
            for before in emissions[order[:-1]]:
                arriving.append(torch.logsumexp((arriving[-1] + before)[:, :, None] + steps, 1))
            return torch.stack(arriving)

        ahead, back = columns(lengths, words, longest)
        forward, backward = messages(ahead, start, transitions), messages(back, end, transitions.mT)
        sentence, before, after = places(lengths, words)
        return (forward[before, sentence] + emissions + backward[after, sentence]).softmax(-1)

    def check(self, emissions: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the emissions in float32 at least, and the lengths, after checking that they fit.

        Reads the lengths: on the host, that waits for no GPU.
        """
        shape, words, classes = tuple(emissions.shape), len(emissions), len(self.start)
        require(shape == (words, classes), "emissions", shape, f"of shape (words, {classes})")
        fits = int(lengths.sum()) == words
        require(fits, "lengths", lengths.tolist(), f"{words} in sum, the words of emissions")
        dtype = torch.promote_types(emissions.dtype, self.start.dtype)
        dtype = torch.promote_types(dtype, torch.float32)
        return emissions.to(dtype), lengths


class CRFLoss(Loss):
    """The negative log-likelihood of a `CRF`: log Z - score(gold path), summed over sentences.

    Called as `loss(logits, targets, lengths, crf)`: logits (W, K), raw scores of the words of S
    consecutive sentences; targets (W,) in [0, K); lengths (S,) in words; crf, the module with the
    scores of start, transitions and end. reduction: "token_mean" divides by the number of words,
    "mean" by the number of sentences, "sum" by nothing. For one micro-batch, step_targets and
    step_lengths are those of the whole optimiser step, whose words and sentences then count.
    Exactly 0 with a zero gradient without words.

    Infinite where the gold path is forbidden. Raises UserError for an unknown reduction, and for
    what `CRF` refuses, such as a target of -100: the recursion is over words, so drop pieces
    without a label first. Lafferty et al. 2001.
    """

    needs = ("logits", "targets", "lengths", "crf", "step_targets", "step_lengths")

    def __init__(self, reduction: str = "token_mean"):
        super().__init__()
        require(reduction in REDUCTIONS, "reduction", reduction, "one of " + ", ".join(REDUCTIONS))
        self.reduction = reduction

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        lengths: Tensor,
        crf: CRF,
        step_targets: Tensor | None = None,
        step_lengths: Tensor | None = None,
    ) -> Tensor:
        total = crf.neg_log_likelihood(logits, targets, lengths).sum()
        if self.reduction == "sum":
            return total
        if self.reduction == "mean":
            return total / max(len(lengths if step_lengths is None else step_lengths), 1)
        words = (targets if step_targets is None else step_targets) != IGNORE
        return total / words.sum().clamp(min=1)
