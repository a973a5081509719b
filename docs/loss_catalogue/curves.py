"""Loss and gradient as curves, computed by the losses themselves, and their pictures."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from loss_catalogue.options import CONLL, SMALL, STEP, Option
from nersweep.faults import shown
from nersweep.labels import LabelSet
from nersweep.losses import CRF

P = torch.linspace(0.005, 0.995, 150, dtype=torch.float64)
GRADIENT = "|d loss / d logit_y|"


class Curve(NamedTuple):
    """loss and gradient (points,), over the x of a picture."""

    label: str
    loss: np.ndarray
    gradient: np.ndarray


@dataclass(frozen=True)
class Picture:
    curves: Sequence[Curve]
    caption: str
    x: Tensor = field(default_factory=lambda: P)
    x_label: str = "p_y, the probability of the gold class"
    loss: str = "loss"
    gradient: str = GRADIENT


# Curves. Everything is computed in float64 by the option's own loss and autograd.


def spread(p: Tensor, gold: int, rest: Sequence[float]) -> Tensor:
    """Return logits (points, C) with p_y = p (points,).

    The other classes have the shares `rest` (C-1,) of the remaining probability.
    """
    shares = torch.tensor([*rest[:gold], 0.0, *rest[gold:]], dtype=p.dtype)  # (C,)
    onehot = torch.eye(len(shares), dtype=p.dtype)[gold]
    return (p[:, None] * onehot + (1 - p[:, None]) * shares).log().requires_grad_()


def even(classes: int) -> list[float]:
    return [1 / (classes - 1)] * (classes - 1)


def curve(label: str, losses: Tensor, at: Tensor, column: int | None = None) -> Curve:
    """Return losses (points,) with their gradients.

    Each loss is a function of its own row of `at`, (points,), or (points, C) and a column of it.
    """
    (gradient,) = torch.autograd.grad(losses.sum(), at)
    gradient = gradient if column is None else gradient[:, column]
    return Curve(label, losses.detach().numpy(), gradient.abs().numpy())


def by_setting(*settings: str) -> Callable[[Option], Picture]:
    """Draw one word of three classes, under several settings."""

    def draw(option: Option) -> Picture:
        curves = []
        for setting in settings:
            loss, logits = (
                option.loss(*setting.split(), "loss.reduction=none"),
                spread(P, 0, even(3)),
            )
            curves.append(
                curve(setting, loss(logits, torch.zeros(len(P), dtype=torch.long)), logits, 0)
            )
        return Picture(curves, "One word, three classes; the other two share the rest evenly.")

    return draw


def of_class(
    option: Option, name: str, counts: Mapping[str, int], loss: Any, label: str, **more: Tensor
) -> Curve:
    gold = list(counts).index(name)
    logits = spread(P, gold, even(len(counts)))
    return curve(label, loss(logits, torch.full((len(P),), gold), **more), logits, gold)


def by_weight(*lines: tuple[str, str]) -> Callable[[Option], Picture]:
    """Draw one word per line, which gives settings and class."""

    def draw(option: Option) -> Picture:
        curves = []
        for settings, name in lines:
            weights = option.weights(CONLL, *settings.split())
            loss = option.loss(
                "loss.reduction=none", counts=CONLL, weight=torch.from_numpy(weights)
            )
            label = f"{settings or 'defaults'}, {name}: weight {weights[[*CONLL].index(name)]:.3g}"
            curves.append(of_class(option, name, CONLL, loss, label))
        return Picture(
            curves,
            f"One word of the class, weighted from the label counts of CoNLL-2003 ({CONLL['O']:,} "
            f"words O, "
            f"{CONLL['B-PER']:,} B-PER, {CONLL['I-MISC']:,} I-MISC), before the loss is divided "
            f"by the sum of weights.",
        )

    return draw


def by_prior(option: Option) -> Picture:
    plain = option.loss("logit_adjusted_tau=0", "loss.reduction=none", counts=CONLL)
    loss = option.loss("loss.reduction=none", counts=CONLL)
    lines = [of_class(option, "O", CONLL, plain, "logit_adjusted_tau=0: any class")]
    for name in ("O", "B-PER", "I-MISC"):
        lines.append(of_class(option, name, CONLL, loss, f"{name}: {CONLL[name]:,} words"))
    return Picture(
        lines,
        "One word of each class under the default, with the label counts of CoNLL-2003; p_y is "
        "that of the logits as "
        "they are, and the other eight classes share the rest evenly.",
    )


def by_step(option: Option) -> Picture:
    step = torch.arange(len(STEP)).repeat_interleave(torch.tensor([*STEP.values()]))
    plain = option.loss("batch_balance_beta=0", "loss.reduction=none")
    loss = option.loss("loss.reduction=none")
    weights = loss.class_weights(step, len(STEP)).tolist()
    lines = [
        of_class(option, "O", STEP, plain, "batch_balance_beta=0: any class", step_targets=step)
    ]
    for (name, count), weight in zip(STEP.items(), weights, strict=True):
        label = f"{name}: {count} words, weight {weight:.3g}"
        lines.append(of_class(option, name, STEP, loss, label, step_targets=step))
    counts = ", ".join(f"{count} {name}" for name, count in STEP.items())
    return Picture(
        lines,
        f"One word of each class under the default, in a step of {sum(STEP.values())} words "
        f"({counts}); the loss is "
        "shown before it is divided by the sum of weights.",
    )


def by_likeness(option: Option) -> Picture:
    """Draw three classes: the second is similar to the first, the third to none."""
    alike, far = 0.6, 0.0
    vectors = torch.tensor([[1.0, 0.0, 0.0], [alike, (1 - alike**2) ** 0.5, 0.0], [0.0, 0.0, 1.0]])
    features, targets = torch.zeros(len(P), 3), torch.zeros(len(P), dtype=torch.long)
    lines = []
    for setting, other, where in (
        ("embedding_smoothing=0", 1, "either"),
        ("embedding_smoothing=0.1", 1, "alike"),
        ("embedding_smoothing=0.1", 2, "not alike"),
        ("embedding_smoothing=0.3", 1, "alike"),
    ):
        loss = option.loss(setting, "loss.reduction=none")
        loss.embeddings = vectors
        logits = spread(P, 0, [0.9, 0.1] if other == 1 else [0.1, 0.9])
        lines.append(
            curve(f"{setting}, {where}", loss(logits, targets, features=features), logits, other)
        )
    return Picture(
        lines,
        f"One word, three classes; the label embeddings of the other two have cosines {alike:g} "
        f"and {far:g} with that "
        "of the gold class, and one of them, as named, gets nine tenths of the rest. The gradient "
        "is that of its "
        "logit: at the gold class's own the two do not differ.",
        gradient="|d loss / d logit of that class|",
    )


def in_batch(*lines: tuple[str, str]) -> Callable[[Option], Picture]:
    """Draw the loss of a batch per line, which gives settings and the class of the varied word."""

    def draw(option: Option) -> Picture:
        gold = torch.arange(len(SMALL)).repeat_interleave(torch.tensor([*SMALL.values()]))  # (N,)
        others = torch.stack(
            [spread(torch.full((1,), 0.8, dtype=P.dtype), y, even(3))[0] for y in gold.tolist()]
        )
        curves = [
            one_of(
                f"{name} word, {settings or 'defaults'}",
                option.loss(*settings.split()),
                others,
                gold,
                name,
            )
            for settings, name in lines
        ]
        counts = ", ".join(f"{count} {name}" for name, count in SMALL.items())
        return Picture(
            curves,
            f"The loss of a batch of {len(gold)} words ({counts}) in which one word's p_y varies "
            f"and all others have "
            "p_y = .8; the rest is shared evenly.",
            loss="loss of the batch",
        )

    return draw


def one_of(label: str, loss: Any, others: Tensor, gold: Tensor, name: str) -> Curve:
    """Return the loss of a batch, logits (N, C), over the p_y of its first word of a class."""
    y = list(SMALL).index(name)
    place = gold.tolist().index(y)
    varied = spread(P, y, even(len(SMALL)))
    batches = ([*others[:place].detach(), row, *others[place + 1 :].detach()] for row in varied)
    return curve(
        label, torch.stack([loss(torch.stack(batch), gold) for batch in batches]), varied, y
    )


def by_density(option: Option) -> Picture:
    p = torch.tensor([0.97] * 12 + [0.85] * 3 + [0.45] * 2 + [0.05] * 2, dtype=P.dtype)
    gold, lines = torch.zeros(len(p) + 1, dtype=torch.long), []
    others = spread(p, 0, even(3)).detach()
    for bins in (1, 4, 10):
        loss, varied = option.loss(f"ghm_bins={bins}"), spread(P, 0, even(3))
        values = torch.stack([loss(torch.cat([row[None], others]), gold) for row in varied])
        lines.append(curve(f"ghm_bins={bins}", values, varied, 0))
    return Picture(
        lines,
        f"The loss of a batch of {len(gold)} words in which one word's p_y varies; of the others "
        f"12 have .97, 3 have "
        ".85, 2 have .45 and 2 have .05. First call, so that the moving average is the batch "
        "itself. It jumps where "
        "the word enters another bin.",
        loss="loss of the batch",
    )


def by_transition(option: Option) -> Picture:
    """Draw the sentence B-X I-X O, over the score of B-X -> I-X."""
    labels = LabelSet(["X"])
    gold, lengths = torch.tensor(labels.encode(["B-X", "I-X", "O"])), torch.tensor([3])
    onehot = torch.nn.functional.one_hot(gold, len(labels)).double()
    x, lines = torch.linspace(-6, 6, 150, dtype=torch.float64), []
    for lead, constrained in ((0, False), (0, True), (1, True), (3, True)):
        crf, loss = (
            CRF(len(labels), *(labels.legal_transitions() if constrained else ())).double(),
            option.loss(),
        )
        values, slopes = [], []
        for score in x:
            crf.zero_grad()
            crf.transitions.data[gold[0], gold[1]] = score
            value = loss(lead * onehot, gold, lengths, crf)
            value.backward()
            values.append(value.item())
            slopes.append(abs(crf.transitions.grad[gold[0], gold[1]].item()))
        label = f"gold emissions lead by {lead}, head.constrained={shown(constrained)}"
        lines.append(Curve(label, np.array(values), np.array(slopes)))
    return Picture(
        lines,
        "A CRF scores paths, so p_y of a word makes no sense: the x axis is the score of the "
        "transition B-X → I-X in "
        "the sentence B-X I-X O, all other transitions being 0. The gold labels' emissions are "
        "above the others' by "
        "the number given.",
        x,
        "score of the gold transition B-X → I-X",
        loss="loss per word",
        gradient="|d loss / d transition score|",
    )


def by_overlap(option: Option) -> Picture:
    """Draw seven words with a gold span in the middle."""
    gold = torch.tensor([0, 0, 1, 2, 2, 0, 0])
    inside, outside = 0.9, 0.1
    others = torch.where(gold > 0, inside, outside).double()
    lines = []
    for settings, word, what in (
        ("boundary_window=2", 3, "word in the span"),
        ("boundary_window=2", 0, "word two before the span"),
        ("boundary_window=1", 0, "word two before the span"),
    ):
        term, values = option.loss(settings).parts["boundary"], []
        score = P.logit().requires_grad_()  # of m, as the log-odds of entity against O
        for one in score:
            m = torch.where(torch.arange(len(gold)) == word, one.sigmoid(), others)
            values.append(term(torch.stack([1 - m, m / 2, m / 2], -1).log(), gold))
        lines.append(curve(f"{what}, {settings}", torch.stack(values), score))
    return Picture(
        lines,
        "The boundary term alone, of a sentence of seven words with one span, O O B-X I-X I-X O "
        "O. The x axis is m, "
        "the probability of B-X or I-X, at one word; the other words have m = .9 in the span and "
        ".1 outside.",
        x_label="m = p(B-X) + p(I-X) at one word",
        loss="boundary term",
        gradient="|d loss / d log-odds of m|",
    )


def by_similarity(option: Option) -> Picture:
    """Draw two words of a class and an O word at right angles to both."""
    targets, lines = torch.tensor([1, 1, 0]), []
    x = torch.linspace(-0.99, 0.99, 150, dtype=torch.float64)
    base = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    for setting in (
        "contrastive_temperature=0.1",
        "contrastive_temperature=0.3",
        "contrastive_temperature=1",
        "contrastive_form=margin",
    ):
        term, cosine = option.loss(setting).parts["contrastive"], x.clone().requires_grad_()
        second = torch.stack(
            [cosine, (1 - cosine**2).sqrt(), torch.zeros_like(cosine)], -1
        )  # (points, 3)
        values = [term(torch.stack([base[0], row, base[1]]), targets) for row in second]
        lines.append(curve(setting, torch.stack(values), cosine))
    return Picture(
        lines,
        "The contrastive term alone, which sees features and no probabilities: the x axis is the "
        "cosine of two words "
        "of one class; a third word, O, is at right angles to both.",
        x,
        "cosine of two words of one class",
        loss="contrastive term",
        gradient="|d loss / d cosine|",
    )


# Pictures. Colours that the colour-blind tell apart (Okabe and Ito), each with a line style for
# print in grey.

STYLES = [
    {"color": "black", "linestyle": "-"},
    {"color": "#0072B2", "linestyle": "--"},
    {"color": "#D55E00", "linestyle": "-."},
    {"color": "#009E73", "linestyle": ":", "linewidth": 2.2},
    {"color": "#CC79A7", "linestyle": "-", "marker": "o"},
    {"color": "#56B4E9", "linestyle": "--", "marker": "s"},
    {"color": "#E69F00", "linestyle": "-.", "marker": "^"},
]


def draw(path: Path, picture: Picture) -> None:
    figure = Figure(figsize=(7.6, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for style, line in zip(STYLES, picture.curves, strict=False):
        left.plot(picture.x, line.loss, label=line.label, **style)
        right.plot(picture.x, line.gradient, **style)
    for axes, what in ((left, picture.loss), (right, picture.gradient)):
        axes.set(xlabel=picture.x_label, ylabel=what)
        axes.grid(color="0.9", linewidth=0.6)
    left.set_title("loss")
    right.set_title("gradient")
    if len(picture.curves) > 1:
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    save(path, figure)


def save(path: Path, figure: Figure) -> None:
    """Write an SVG: text stays text, same bytes each time, coordinates cut to two digits."""
    fonts = ["DejaVu Sans", "Verdana"]
    with matplotlib.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "nersweep", "font.sans-serif": fonts}
    ):
        figure.savefig(path, metadata={"Date": None, "Creator": None})
    text = path.read_text(encoding="utf-8")
    short = re.sub(
        r'="[^"]*"', lambda attribute: re.sub(r"(\d\.\d\d)\d+", r"\1", attribute[0]), text
    )
    path.write_text(short, encoding="utf-8")
