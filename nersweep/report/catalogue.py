"""The catalogue of losses: `python -m nersweep.report.catalogue [FOLDER]` writes FOLDER/losses.md and its pictures.

ENTRIES holds what a person has to say about each option of conf/loss, in the order of the document. Knobs, defaults,
ranges, classes, weights and curves come from the configuration and the classes themselves.
"""

import argparse
import inspect
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")

import numpy as np
import torch
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from nersweep.build import Recipe, build, signature
from nersweep.faults import CONF, fault_lines, flat, shown
from nersweep.labels import LabelSet
from nersweep.losses import CRF

# Words per label in the training split of CoNLL-2003, the label set of the README's first real run.
CONLL = {
    "O": 169578,
    "B-LOC": 7140,
    "I-LOC": 1157,
    "B-MISC": 3438,
    "I-MISC": 1155,
    "B-ORG": 6321,
    "I-ORG": 3704,
    "B-PER": 6600,
    "I-PER": 4528,
}
SMALL = {"O": 16, "B-X": 3, "I-X": 1}  # the batch in which one word's p_y varies; the others have p_y = .8
STEP = {"O": 540, "B-X": 50, "I-X": 10}  # an optimiser step
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


class Option:
    """loss=NAME as its YAML has it, with the class weights and the head that it asks for."""

    def __init__(self, name: str, conf: Traversable):
        self.name = name
        own = section(conf, "loss", name)
        overrides = [item for item in own.pop("defaults", []) if OmegaConf.is_dict(item)]
        self.groups = {key.removeprefix("override /"): value for item in overrides for key, value in item.items()}
        self.config = OmegaConf.merge(*(section(conf, *chosen) for chosen in self.groups.items()), own)
        self.knobs = [key for key, value in raw(own).items() if key != "loss" and "${" not in str(value)]

    def recipe(self, *settings: str) -> Recipe:
        """Of the loss, with settings as typed: "focal_gamma=3". Raises ValueError for those that are out of range."""
        return self.part("loss", OmegaConf.merge(self.config, OmegaConf.from_dotlist(list(settings))))

    def part(self, name: str, config: DictConfig) -> Any:
        return build(name, raw(config)[name], OmegaConf.to_container(config, resolve=True)[name])

    def loss(self, *settings: str, counts: Mapping[str, int] = SMALL, weight: Tensor | None = None) -> Any:
        made = self.recipe(*settings).make(counts=list(counts.values()), labels=tuple(counts), weight=weight)
        return made.eval()  # GHM-C and moving centroids keep what they have seen as it is

    def weights(self, counts: Mapping[str, int], *settings: str) -> np.ndarray:
        """(C,), by the scheme that the option chooses."""
        config = OmegaConf.merge(self.config, OmegaConf.from_dotlist(list(settings)))
        return self.part("weights", config)(np.array([*counts.values()]), tuple(counts))

    def default(self, knob: str) -> str:
        value = self.groups.get(knob, OmegaConf.select(self.config, knob))
        value = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
        return shown(value).replace("'", "")

    def range(self, knob: str, conf: Traversable) -> str:
        """What the class says when it refuses another value; of a group, its options."""
        if knob in self.groups:
            return ", ".join(options(conf, knob))
        if isinstance(OmegaConf.select(self.config, knob), bool):
            return "true or false"
        lines = [self.fault(knob, value) for value in (math.nan, -1, "?")]
        allowed = next((line.partition(": must be ")[2] for line in lines if ": must be " in line), "")
        kind = lines[-1].partition(": expected ")[2]
        return (f"{kind} {allowed}" if kind == "a whole number" else allowed) or kind or "–"

    def fault(self, knob: str, value: object) -> str:
        changed = OmegaConf.create(raw(self.config))
        OmegaConf.update(changed, knob, value, merge=False)
        for name in ("weights", "loss") if "weights" in self.groups else ("loss",):
            try:
                self.part(name, changed)
            except ValueError as error:
                return str(error)
        return ""


def options(conf: Traversable, group: str) -> list[str]:
    return sorted(file.name.removesuffix(".yaml") for file in (conf / group).iterdir() if file.name.endswith(".yaml"))


def section(conf: Traversable, group: str, name: str) -> DictConfig:
    """An option's file as it stands in the whole configuration."""
    text = (conf / group / f"{name}.yaml").read_text(encoding="utf-8")
    config = OmegaConf.create(text)
    return config if "# @package _global_" in text else OmegaConf.create({group: config})


def raw(config: DictConfig) -> dict[str, Any]:
    return OmegaConf.to_container(config, resolve=False)


# Curves. Everything is computed in float64 by the option's own loss and autograd.


def spread(p: Tensor, gold: int, rest: Sequence[float]) -> Tensor:
    """Logits (points, C) with p_y = p (points,), the other classes having shares `rest` (C-1,) of what is left."""
    shares = torch.tensor([*rest[:gold], 0.0, *rest[gold:]], dtype=p.dtype)  # (C,)
    onehot = torch.eye(len(shares), dtype=p.dtype)[gold]
    return (p[:, None] * onehot + (1 - p[:, None]) * shares).log().requires_grad_()


def even(classes: int) -> list[float]:
    return [1 / (classes - 1)] * (classes - 1)


def curve(label: str, losses: Tensor, at: Tensor, column: int | None = None) -> Curve:
    """losses (points,), each a function of its own row of `at`, (points,) or (points, C) with the column looked at."""
    (gradient,) = torch.autograd.grad(losses.sum(), at)
    gradient = gradient if column is None else gradient[:, column]
    return Curve(label, losses.detach().numpy(), gradient.abs().numpy())


def by_setting(*settings: str) -> Callable[[Option], Picture]:
    """One word of three classes, under several settings."""

    def draw(option: Option) -> Picture:
        curves = []
        for setting in settings:
            loss, logits = option.loss(*setting.split(), "loss.reduction=none"), spread(P, 0, even(3))
            curves.append(curve(setting, loss(logits, torch.zeros(len(P), dtype=torch.long)), logits, 0))
        return Picture(curves, "One word, three classes; the other two share the rest evenly.")

    return draw


def of_class(option: Option, name: str, counts: Mapping[str, int], loss: Any, label: str, **more: Tensor) -> Curve:
    gold = list(counts).index(name)
    logits = spread(P, gold, even(len(counts)))
    return curve(label, loss(logits, torch.full((len(P),), gold), **more), logits, gold)


def by_weight(*lines: tuple[str, str]) -> Callable[[Option], Picture]:
    """lines: (settings, class)."""

    def draw(option: Option) -> Picture:
        curves = []
        for settings, name in lines:
            weights = option.weights(CONLL, *settings.split())
            loss = option.loss("loss.reduction=none", counts=CONLL, weight=torch.from_numpy(weights))
            label = f"{settings or 'defaults'}, {name}: weight {weights[[*CONLL].index(name)]:.3g}"
            curves.append(of_class(option, name, CONLL, loss, label))
        return Picture(
            curves,
            f"One word of the class, weighted from the label counts of CoNLL-2003 ({CONLL['O']:,} words O, "
            f"{CONLL['B-PER']:,} B-PER, {CONLL['I-MISC']:,} I-MISC), before the loss is divided by the sum of weights.",
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
        "One word of each class under the default, with the label counts of CoNLL-2003; p_y is that of the logits as "
        "they are, and the other eight classes share the rest evenly.",
    )


def by_step(option: Option) -> Picture:
    step = torch.arange(len(STEP)).repeat_interleave(torch.tensor([*STEP.values()]))
    plain = option.loss("batch_balance_beta=0", "loss.reduction=none")
    loss = option.loss("loss.reduction=none")
    weights = loss.class_weights(step, len(STEP)).tolist()
    lines = [of_class(option, "O", STEP, plain, "batch_balance_beta=0: any class", step_targets=step)]
    for (name, count), weight in zip(STEP.items(), weights, strict=True):
        label = f"{name}: {count} words, weight {weight:.3g}"
        lines.append(of_class(option, name, STEP, loss, label, step_targets=step))
    counts = ", ".join(f"{count} {name}" for name, count in STEP.items())
    return Picture(
        lines,
        f"One word of each class under the default, in a step of {sum(STEP.values())} words ({counts}); the loss is "
        "shown before it is divided by the sum of weights.",
    )


def by_likeness(option: Option) -> Picture:
    """Three classes, the second like the first, the third like none."""
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
        lines.append(curve(f"{setting}, {where}", loss(logits, targets, features=features), logits, other))
    return Picture(
        lines,
        f"One word, three classes; the label embeddings of the other two have cosines {alike:g} and {far:g} with that "
        "of the gold class, and one of them, as named, gets nine tenths of the rest. The gradient is that of its "
        "logit: at the gold class's own the two do not differ.",
        gradient="|d loss / d logit of that class|",
    )


def in_batch(*lines: tuple[str, str]) -> Callable[[Option], Picture]:
    """lines: (settings, gold class of the word that varies)."""

    def draw(option: Option) -> Picture:
        gold = torch.arange(len(SMALL)).repeat_interleave(torch.tensor([*SMALL.values()]))  # (N,)
        others = torch.stack([spread(torch.full((1,), 0.8, dtype=P.dtype), y, even(3))[0] for y in gold.tolist()])
        curves = [
            one_of(f"{name} word, {settings or 'defaults'}", option.loss(*settings.split()), others, gold, name)
            for settings, name in lines
        ]
        counts = ", ".join(f"{count} {name}" for name, count in SMALL.items())
        return Picture(
            curves,
            f"The loss of a batch of {len(gold)} words ({counts}) in which one word's p_y varies and all others have "
            "p_y = .8; the rest is shared evenly.",
            loss="loss of the batch",
        )

    return draw


def one_of(label: str, loss: Any, others: Tensor, gold: Tensor, name: str) -> Curve:
    """The loss of a batch, logits (N, C), over the p_y of its first word of a class."""
    y = list(SMALL).index(name)
    place = gold.tolist().index(y)
    varied = spread(P, y, even(len(SMALL)))
    batches = ([*others[:place].detach(), row, *others[place + 1 :].detach()] for row in varied)
    return curve(label, torch.stack([loss(torch.stack(batch), gold) for batch in batches]), varied, y)


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
        f"The loss of a batch of {len(gold)} words in which one word's p_y varies; of the others 12 have .97, 3 have "
        ".85, 2 have .45 and 2 have .05. First call, so that the moving average is the batch itself. It jumps where "
        "the word enters another bin.",
        loss="loss of the batch",
    )


def by_transition(option: Option) -> Picture:
    """The sentence B-X I-X O, over the score of B-X -> I-X."""
    labels = LabelSet(["X"])
    gold, lengths = torch.tensor(labels.encode(["B-X", "I-X", "O"])), torch.tensor([3])
    onehot = torch.nn.functional.one_hot(gold, len(labels)).double()
    x, lines = torch.linspace(-6, 6, 150, dtype=torch.float64), []
    for lead, constrained in ((0, False), (0, True), (1, True), (3, True)):
        crf, loss = CRF(len(labels), *(labels.legal_transitions() if constrained else ())).double(), option.loss()
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
        "A CRF scores paths, so p_y of a word makes no sense: the x axis is the score of the transition B-X → I-X in "
        "the sentence B-X I-X O, all other transitions being 0. The gold labels' emissions are above the others' by "
        "the number given.",
        x,
        "score of the gold transition B-X → I-X",
        loss="loss per word",
        gradient="|d loss / d transition score|",
    )


def by_overlap(option: Option) -> Picture:
    """Seven words, a gold span in the middle."""
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
        "The boundary term alone, of a sentence of seven words with one span, O O B-X I-X I-X O O. The x axis is m, "
        "the probability of B-X or I-X, at one word; the other words have m = .9 in the span and .1 outside.",
        x_label="m = p(B-X) + p(I-X) at one word",
        loss="boundary term",
        gradient="|d loss / d log-odds of m|",
    )


def by_similarity(option: Option) -> Picture:
    """Two words of a class and an O word at right angles to both."""
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
        second = torch.stack([cosine, (1 - cosine**2).sqrt(), torch.zeros_like(cosine)], -1)  # (points, 3)
        values = [term(torch.stack([base[0], row, base[1]]), targets) for row in second]
        lines.append(curve(setting, torch.stack(values), cosine))
    return Picture(
        lines,
        "The contrastive term alone, which sees features and no probabilities: the x axis is the cosine of two words "
        "of one class; a third word, O, is at right angles to both.",
        x,
        "cosine of two words of one class",
        loss="contrastive term",
        gradient="|d loss / d cosine|",
    )


# What a person has to say.


@dataclass(frozen=True, kw_only=True)
class Entry:
    title: str
    kind: str
    formula: str  # TeX
    knobs: Mapping[str, str] = field(default_factory=dict)  # what each means; its range and default are derived
    example: str = ""  # settings of the command
    use: str
    avoid: str
    sources: Mapping[str, str] = field(default_factory=dict)  # citation, as the docstring has it -> title and notes
    picture: Callable[[Option], Picture]


KINDS = {
    "token": "Token losses",
    "weighted": "Weighted variants",
    "batch": "Batch losses",
    "structured": "Structured and auxiliary losses",
}
GAMMA = "how much confident words are scaled down"
WEIGHTS = "the scheme of the class weights"
FOCAL_FORM = r"(1-p_y)^\gamma \log p_y"

ENTRIES: dict[str, Entry] = {
    "cross_entropy": Entry(
        title="Cross entropy",
        kind="token",
        formula=r"\ell = -\log p_y",
        use="Always first: it is the default, and what every other loss is compared with.",
        avoid="Rare types are missed: every word counts the same, and most words are O.",
        picture=by_setting("loss.reduction=none"),
    ),
    "focal": Entry(
        title="Focal loss",
        kind="token",
        formula=rf"\ell = -{FOCAL_FORM}",
        knobs={
            "focal_gamma": GAMMA,
            "focal_alpha": "the paper's α, one weight per class: a list, or a mapping label: weight; "
            "null takes those of `weights=`",
        },
        example="focal_gamma=3",
        use="Many words are easy, most of them O, and together outweigh the few hard ones. It needs no counts.",
        avoid="Labels have errors: a word that stays wrong keeps its loss while the others lose theirs. It looks at "
        "confidence, not at the class: a rare type that is easy is scaled down too. Probabilities come out less "
        "extreme than those of cross entropy.",
        sources={"Lin et al. 2017, eq. 4-5": "*Focal Loss for Dense Object Detection*"},
        picture=by_setting("focal_gamma=0", "focal_gamma=0.5", "focal_gamma=2", "focal_gamma=5"),
    ),
    "label_smoothing": Entry(
        title="Label smoothing",
        kind="token",
        formula=r"\ell = -\sum_k t_k \log p_k, \qquad t_k = (1-\varepsilon)\,[k=y] + \frac{\varepsilon}{K}",
        knobs={"label_smoothing": "ε, the share of the target that is spread over all classes"},
        example="label_smoothing=0.05",
        use="The model is too sure of itself, or a few labels are wrong.",
        avoid="Imbalance is the only trouble: each rare class gets the same ε/K at every O word, and no class is "
        "favoured. Nor does it know which classes are confused; `embedding_smoothing` does.",
        sources={"Szegedy et al. 2016, section 7": "*Rethinking the Inception Architecture for Computer Vision*"},
        picture=by_setting("label_smoothing=0", "label_smoothing=0.05", "label_smoothing=0.1", "label_smoothing=0.3"),
    ),
    "embedding_smoothing": Entry(
        title="Label smoothing towards similar classes",
        kind="token",
        formula=r"\ell = -\sum_k t_k \log p_k, \qquad t_k = (1-\varepsilon)\,[k=y] + "
        r"\varepsilon\,\frac{e^{\alpha \cos(e_k, e_y)}}{\sum_{j \ne y} e^{\alpha \cos(e_j, e_y)}}\,[k \ne y]",
        knobs={
            "embedding_smoothing": "ε, the share of the target that is spread",
            "embedding_smoothing_inverse_temperature": "α, how much the most similar classes get of it",
            "embedding_smoothing_over": "the classes of the softmax; `all` has the gold class among them",
            "embedding_smoothing_momentum": "of the moving average that makes the label embeddings",
        },
        example="embedding_smoothing=0.05",
        use="Some types are confused with each other for good reason, as ORG and LOC, and the errors in the labels "
        "are of that kind. The label embeddings e are the classes' mean features, moved with each step and never "
        "trained through the target.",
        avoid="The features are still random, as at the start of a model trained from scratch: the similarities are "
        "then arbitrary.",
        sources={
            "Szegedy et al. 2016, section 7": "*Rethinking the Inception Architecture for Computer Vision*, "
            "for even similarities; no form of this loss is standard"
        },
        picture=by_likeness,
    ),
    "logit_adjusted": Entry(
        title="Logit adjustment",
        kind="token",
        formula=r"\ell = -\log \frac{e^{z_y + \tau \log \pi_y}}{\sum_k e^{z_k + \tau \log \pi_k}}, \qquad "
        r"\pi_k = \frac{n_k}{\sum_j n_j}",
        knobs={"logit_adjusted_tau": "τ, how much of the prior is taken out; at 1 it is balanced softmax"},
        example="logit_adjusted_tau=0.5",
        use="Rare classes are to be found more often, by a margin that follows from their counts. The predictions come "
        "from the logits z as they are.",
        avoid="The data to be tagged is as imbalanced as the training split and precision matters as much as recall: "
        "at τ = 1 the logits are free of the prior, so that rare types are predicted more often than they occur. With "
        "`weights=` besides, the same imbalance is corrected twice.",
        sources={
            "Menon et al. 2021, eq. 10": "*Long-tail learning via logit adjustment*",
            "Ren et al. 2020, eq. 4": "*Balanced Meta-Softmax for Long-Tailed Visual Recognition*",
        },
        picture=by_prior,
    ),
    "poly1": Entry(
        title="Poly-1 loss",
        kind="token",
        formula=r"\ell = -\log p_y + \varepsilon\,(1-p_y)",
        knobs={"poly1_epsilon": "ε, added to the first coefficient of the expansion of cross entropy"},
        example="poly1_epsilon=2",
        use="The smallest change to cross entropy is to be tried: its gradient times 1 + ε·p_y. Above 0 words that are "
        "nearly right count more, below 0 less, as in focal loss; at −1 the gradient is (1−p_y)².",
        avoid="Words that are badly wrong are to count more or less: there, where p_y is near 0, it is cross entropy "
        "at any ε.",
        sources={"Leng et al. 2022, section 4.3": "*PolyLoss: A Polynomial Expansion Perspective*"},
        picture=by_setting("poly1_epsilon=-1", "poly1_epsilon=0", "poly1_epsilon=1", "poly1_epsilon=4"),
    ),
    "gce": Entry(
        title="Generalised cross entropy",
        kind="token",
        formula=r"\ell = \frac{1 - p_y^{\,q}}{q}",
        knobs={"gce_q": "between cross entropy, towards 0, and 1−p_y, at 1"},
        example="gce_q=0.3",
        use="Labels have errors: a word's gradient is that of cross entropy times p_y^q, so that one that looks "
        "mislabelled counts less.",
        avoid="Labels are clean and types rare: the words of a rare type start with a small p_y, look mislabelled, and "
        "are learned slowly; the more so, the nearer q is to 1.",
        sources={
            "Zhang & Sabuncu 2018, eq. 6": "*Generalized Cross Entropy Loss for Training Deep Neural Networks with "
            "Noisy Labels*"
        },
        picture=by_setting("gce_q=0.01", "gce_q=0.3", "gce_q=0.7", "gce_q=1"),
    ),
    "self_adjusting_dice": Entry(
        title="Self-adjusting dice loss",
        kind="token",
        formula=r"\ell = \sum_k \left(1 - \frac{2 f_k y_k + s}{f_k + y_k + s}\right), \qquad "
        r"f_k = (1-p_k)^\alpha\, p_k",
        knobs={
            "self_adjusting_dice_alpha": "α, how much confident words are scaled down",
            "self_adjusting_dice_smooth": "s, without a unit",
            "self_adjusting_dice_square": "f² for f in the denominator",
        },
        example="self_adjusting_dice_alpha=0.01 self_adjusting_dice_square=true",
        use="A bounded loss per word is wanted, in the form of a soft F1. The authors advise α = .01 with the square "
        "for many classes.",
        avoid="α is near 1, as by default: f falls to 0 at p = 1 as at p = 0, so that a word that is surely right "
        "keeps a loss of 1/(1+s), and one that is surely wrong costs no more.",
        sources={"Li et al. 2020, section 3.4": "*Dice Loss for Data-imbalanced NLP Tasks*"},
        picture=by_setting(
            "self_adjusting_dice_alpha=0",
            "self_adjusting_dice_alpha=0.01 self_adjusting_dice_square=true",
            "self_adjusting_dice_alpha=0.3",
            "self_adjusting_dice_alpha=1",
        ),
    ),
    "weighted_cross_entropy": Entry(
        title="Weighted cross entropy",
        kind="weighted",
        formula=r"\ell = -w_y \log p_y",
        knobs={"weights": WEIGHTS},
        example="weights=inverse_sqrt",
        use="Rare types are missed, and recall may be bought with precision.",
        avoid="Some class has so few words that its weight makes them the whole step: take `weights=inverse_sqrt`, "
        "`weights=effective` or a cap, `weights.cap=10`. Mislabelled words of rare classes are weighted up too.",
        picture=by_weight(("", "O"), ("", "B-PER"), ("", "I-MISC")),
    ),
    "weighted_focal": Entry(
        title="Weighted focal loss",
        kind="weighted",
        formula=rf"\ell = -w_y {FOCAL_FORM}",
        knobs={"weights": WEIGHTS, "focal_gamma": GAMMA},
        example="weights=effective effective_beta=0.9999",
        use="Both are wanted: rare classes up, easy words down.",
        avoid="Neither has been tried alone: both take from O, whose words are frequent and easy.",
        sources={"Lin et al. 2017, eq. 4-5": "*Focal Loss for Dense Object Detection*; the weight is its α"},
        picture=by_weight(("", "O"), ("", "B-PER"), ("", "I-MISC")),
    ),
    "class_balanced": Entry(
        title="Class-balanced loss",
        kind="weighted",
        formula=rf"\ell = -w_y {FOCAL_FORM}, \qquad w_c \propto \frac{{1-\beta}}{{1-\beta^{{\,n_c}}}}",
        knobs={
            "class_balance_beta": "β of the effective number of words of a class; 0 is uniform, towards 1 it nears the "
            "inverse count",
            "focal_gamma": GAMMA + "; at 0 the base is cross entropy",
        },
        example="class_balance_beta=0.9999",
        use="Weights are wanted between none and the inverse count, with one number to tune: on a logarithmic scale of "
        "1−β, as [class weights](#class-weights) shows.",
        avoid="All classes have far more than 1/(1−β) words: their weights are then equal, and it is focal loss.",
        sources={"Cui et al. 2019, eq. 2": "*Class-Balanced Loss Based on Effective Number of Samples*"},
        picture=by_weight(
            ("class_balance_beta=0.999", "O"),
            ("class_balance_beta=0.999", "I-MISC"),
            ("class_balance_beta=0.9999", "O"),
            ("class_balance_beta=0.9999", "I-MISC"),
        ),
    ),
    "batch_balanced": Entry(
        title="Focal loss balanced by the step",
        kind="weighted",
        formula=rf"\ell = -w_y {FOCAL_FORM}, \qquad w_c \propto \frac{{1-\beta}}{{1-\beta^{{\,m_c}}}}",
        knobs={
            "batch_balance_beta": "β, with the counts m of the optimiser step; absent classes take no part",
            "focal_gamma": GAMMA,
        },
        example="batch_balance_beta=0.99",
        use="Counts of the training split are unknown or change, as in a stream; otherwise `class_balanced`.",
        avoid="Steps are small: the same word then weighs more or less by what else is in its step. A class with far "
        "fewer than 1/(1−β) words in the step weighs nearly the inverse of its count there.",
        sources={"Cui et al. 2019, eq. 2": "*Class-Balanced Loss Based on Effective Number of Samples*"},
        picture=by_step,
    ),
    "dice": Entry(
        title="Dice loss",
        kind="batch",
        formula=r"L = \frac{1}{K} \sum_k \left(1 - \frac{2 \sum_i p_{ik} y_{ik} + s}"
        r"{\sum_i p_{ik} + \sum_i y_{ik} + s}\right)",
        knobs={
            "dice_smooth": "s, in words",
            "dice_square": "p² for p in the denominator",
            "dice_exclude": "labels left out of the mean, as in `[O]`",
            "dice_absent": "`skip` leaves classes without gold words in the step out of the mean",
            "dice_log": "minus the logarithm of the coefficient for one minus it",
        },
        example="dice_exclude=[O] dice_absent=skip",
        use="Every class is to have the same say however few its words: it is one minus the mean soft F1 of classes.",
        avoid="Steps are so small that most classes have no gold word: those have nothing to gain, and under `include` "
        "only pay for their false positives. The gradient fades where p_y is near 0; `compound` adds a token loss.",
        sources={
            "Milletari et al. 2016, section 3": "*V-Net: Fully Convolutional Neural Networks for Volumetric Medical "
            "Image Segmentation*",
            "Li et al. 2020, section 3.3": "*Dice Loss for Data-imbalanced NLP Tasks*",
        },
        picture=in_batch(("", "O"), ("", "I-X"), ("dice_smooth=0", "I-X"), ("dice_square=true", "I-X")),
    ),
    "tversky": Entry(
        title="Tversky loss",
        kind="batch",
        formula=r"L = \frac{1}{K} \sum_k \left(1 - \frac{\mathrm{TP}_k + s}"
        r"{\mathrm{TP}_k + a\,\mathrm{FP}_k + b\,\mathrm{FN}_k + s}\right)^{\gamma}",
        knobs={
            "tversky_a": "the price of a false positive",
            "tversky_b": "the price of a false negative",
            "tversky_gamma": "above 1 the classes that are far off count more",
            "tversky_smooth": "s, in words",
        },
        example="tversky_a=0.5 tversky_b=0.5",
        use="Precision and recall are not worth the same: a larger a favours precision, a larger b recall. At "
        "a = b = ½ and γ = 1 it is dice loss with twice the s.",
        avoid="As for dice loss.",
        sources={
            "Salehi et al. 2017, section 2.2": "*Tversky loss function for image segmentation using 3D fully "
            "convolutional deep networks*",
            "Abraham & Khan 2019": "*A Novel Focal Tversky loss function with improved Attention U-Net for lesion "
            "segmentation*; of it the γ",
        },
        picture=in_batch(
            ("", "O"),
            ("", "I-X"),
            ("tversky_a=0.7 tversky_b=0.3", "I-X"),
            ("tversky_gamma=2", "I-X"),
        ),
    ),
    "ghm": Entry(
        title="GHM-C",
        kind="batch",
        formula=r"L = \frac{1}{N} \sum_i \beta_i\,(-\log p_{y_i}), \qquad "
        r"\beta_i = \frac{N}{M\,R_{b(i)}}, \qquad b(i) = \mathrm{bin\ of\ } 1-p_{y_i}",
        knobs={
            "ghm_bins": "equal bins of the gradient's norm, 1−p_y, on [0, 1]",
            "ghm_momentum": "of the moving average of the words R in a bin; M is the number of bins that are not empty",
        },
        example="ghm_bins=30",
        use="Easy words are too many and outliers, such as mislabelled words, are to count less as well: every bin "
        "that is not empty has the same weight in all.",
        avoid="Steps are small: a bin with one word gives it the weight of a whole bin, and the loss jumps from step "
        "to step. Hard words that are many, as at the start of training, are taken for a crowd and count less.",
        sources={"Li, Liu & Wang 2019": "*Gradient Harmonized Single-stage Detector*, eq. 4-8"},
        picture=by_density,
    ),
    "crf": Entry(
        title="Conditional random field",
        kind="structured",
        formula=r"L = \log Z - \mathrm{score}(y), \qquad \mathrm{score}(y) = a_{y_1} + \sum_t z_{t, y_t} + "
        r"\sum_t A_{y_t, y_{t+1}} + e_{y_T}",
        knobs={
            "head.constrained": "transitions that IOB2 does not allow are forbidden, in training and in decoding",
            "loss.reduction": "divided by the words of the step, by its sentences, or not at all",
        },
        example="head.constrained=false",
        use="A word's label depends on its neighbours' labels: the loss is of the whole sequence, and Viterbi decodes "
        "it. The scores of transitions are trained with the model; `train.head_lr` gives them a rate of their own.",
        avoid="Only illegal sequences are to be ruled out: `head.decode=viterbi` does so with any token loss, and "
        "trains nothing.",
        sources={
            "Lafferty et al. 2001": "*Conditional Random Fields: Probabilistic Models for Segmenting and Labeling "
            "Sequence Data*"
        },
        picture=by_transition,
    ),
    "boundary": Entry(
        title="Cross entropy with boundary IoU",
        kind="structured",
        formula=r"L = L_{\mathrm{CE}} + \lambda \cdot \frac{1}{S} \sum_s (1 - \mathrm{IoU}_s), \qquad "
        r"\mathrm{IoU}_s = \frac{\sum_{t \in s} m_t}{|s| + \sum_{t \in \mathrm{window}(s)} m_t}, \qquad "
        r"m_t = p_t(\mathrm{B}) + p_t(\mathrm{I})",
        knobs={
            "boundary_weight": "λ",
            "boundary_window": "how many words before and after a span count as its neighbourhood",
        },
        example="boundary_weight=1",
        use="Types are right and edges wrong: spans a word too long or too short.",
        avoid="Spurious spans are the trouble: far from gold spans they cost it nothing, so it is only ever "
        "added to a token loss. Another gold span of the same type within the window counts as outside.",
        sources={"Of no publication": "there is no standard form"},
        picture=by_overlap,
    ),
    "contrastive": Entry(
        title="Cross entropy with a contrastive term",
        kind="structured",
        formula=r"L = L_{\mathrm{CE}} + \lambda \cdot \frac{1}{A} \sum_i \frac{-1}{|P(i)|} \sum_{j \in P(i)} "
        r"\log \frac{e^{z_i \cdot z_j / \tau}}{\sum_{a \ne i} e^{z_i \cdot z_a / \tau}}",
        knobs={
            "contrastive_weight": "λ",
            "contrastive_temperature": "τ, of form `supcon`",
            "contrastive_form": "`margin`: ½D² for two words of a class, ½max(0, margin−D)² for others",
            "contrastive_margin": "of form `margin`, a distance; D is at most 2",
        },
        example="contrastive_weight=0.5",
        use="The features of types are to be told apart, not only their logits. z are the normalised features; O words "
        "are negatives only, and never anchors.",
        avoid="Steps are small: an anchor needs another word of its label, here of B-PER and not of PER, in the same "
        "step. Memory grows with anchors × words.",
        sources={
            "Khosla et al. 2020, eq. 2": "*Supervised Contrastive Learning*",
            "Hadsell et al. 2006, eq. 4": "*Dimensionality Reduction by Learning an Invariant Mapping*",
        },
        picture=by_similarity,
    ),
    "compound": Entry(
        title="Sum of losses",
        kind="structured",
        formula=r"L = \sum_i \lambda_i L_i",
        knobs={
            "compound_weights": "λ of each term, ≥ 0; a term with 0 is not computed",
            "focal_gamma": "of the focal term",
            "dice_smooth": "of the dice term",
            "boundary_window": "of the boundary term",
            "contrastive_temperature": "of the contrastive term",
        },
        example="compound_weights.boundary=0.5",
        use="One term has what the other lacks, as a token loss whose gradient does not fade beside dice, which "
        "follows F1. Each term is logged under its own name.",
        avoid="The terms have not been tried alone: their λ are further knobs to tune, and their sizes differ.",
        picture=in_batch(
            ("compound_weights.dice=0", "I-X"),
            ("compound_weights.focal=0", "I-X"),
            ("", "I-X"),
            ("compound_weights.dice=3", "I-X"),
        ),
    ),
}


# The document.

HEAD = """# The catalogue of losses

<!-- Written by `make docs`, that is by `python -m nersweep.report.catalogue`; edit nersweep/report/catalogue.py. -->

Every option of `loss=`, with its formula, knobs, use, source, and a picture of loss and gradient. `make docs` writes
this page: defaults come from `conf/loss`, ranges from the classes' own refusals, curves from the losses themselves.
"""

CONVENTIONS = """## What all share

- **Notation.** p = softmax(z) over the K classes, z the logits of a word, y its gold class, p_y the probability of the
  gold class; N real words in an optimiser step, n_c words of class c in the training split, w_c the weight of c;
  [k=y] is 1 where it is true and 0 elsewhere.
- **Words.** A word counts once, by its first piece. Targets of `-100`, which further pieces and padding have in other
  code, take no part in any sum, count or mean; only the CRF refuses them, as its recursion is over words.
- **Reduction.** The token losses and their weighted variants have `loss.reduction`: `mean`, the default, is Σ w_y·ℓ
  over Σ w_y; `token_mean` divides by N whatever the weights; `sum` by nothing. Formulas with ℓ are of one word, those
  with L of a step.
- **Nothing to count.** A step without real words, or with weights of 0 only, gives 0 and a zero gradient.
- **Class weights.** `weights=NAME` goes with every loss whose class has a `weight`; others refuse it. In the two
  smoothing losses the term of each class k has the weight w_k.
- **Splitting.** A step of a loss that can be split goes through the model in `train.accumulation` micro-batches,
  divided by what the whole step has, with the same gradient. A step of another loss is kept whole.
- **In other code.** Each class works without the rest: `from nersweep.losses import FocalLoss`.
"""


def write(folder: Path, conf: Traversable | None = None) -> None:
    """losses.md and img/losses/*.svg. Raises ValueError for an option of conf/loss without an entry, or with a knob
    that its entry does not explain."""
    conf = files(CONF) if conf is None else conf
    found = catalogue(conf)
    images = folder / "img" / "losses"
    images.mkdir(parents=True, exist_ok=True)
    pictures = {option.name: ENTRIES[option.name].picture(option) for option in found}
    for name, picture in pictures.items():
        draw(images / f"{name}.svg", picture)
    draw_weights(images / "class_weights.svg", conf)
    (folder / "losses.md").write_text(document(found, pictures, conf), encoding="utf-8")


def catalogue(conf: Traversable) -> list[Option]:
    """The options in the order of ENTRIES."""
    there = options(conf, "loss")
    where = "nersweep/report/catalogue.py"
    lines = [f"loss={name}: no entry in ENTRIES of {where}; write one" for name in there if name not in ENTRIES]
    lines += [
        f"loss={name}: has an entry in {where} and no conf/loss/{name}.yaml" for name in ENTRIES if name not in there
    ]
    found = [Option(name, conf) for name in ENTRIES if name in there]
    for option in found:
        told = ENTRIES[option.name].knobs
        silent = [knob for knob in option.knobs if knob not in told]
        lines += [f"{knob}: the entry of loss={option.name} in {where} does not say what it means" for knob in silent]
        gone = [
            k for k in told if k not in option.groups and k not in option.config and k not in flat(raw(option.config))
        ]
        lines += [f"{knob}: loss={option.name}, whose entry in {where} explains it, has no such knob" for knob in gone]
    if lines:
        raise ValueError("\n".join(lines))
    return found


def document(found: Sequence[Option], pictures: Mapping[str, Picture], conf: Traversable) -> str:
    parts = [HEAD, overview(found), CONVENTIONS]
    for kind, heading in KINDS.items():
        chosen = [option for option in found if ENTRIES[option.name].kind == kind]
        parts += [f"## {heading}\n", *(chapter(option, pictures[option.name], conf) for option in chosen)]
    return "\n".join([*parts, weights_chapter(conf)])


def overview(found: Sequence[Option]) -> str:
    rows = [
        (
            f"[`{option.name}`](#{option.name})",
            KINDS[ENTRIES[option.name].kind].lower(),
            ", ".join(f"`{knob}`" for knob in ENTRIES[option.name].knobs) or "–",
            "yes" if takes_weights(option) else "no",
            "yes" if option.loss().splits else "no",
            f"`{option.recipe().target.__name__}`",
        )
        for option in found
    ]
    return table(("`loss=`", "kind", "knobs", "class weights", "step splits", "class"), rows)


def takes_weights(option: Option) -> list[str]:
    """The classes that do: its own, or those of its terms."""
    return [loss.__name__ for loss in option.recipe().losses() if "weight" in signature(loss)]


def chapter(option: Option, picture: Picture, conf: Traversable) -> str:
    entry = ENTRIES[option.name]
    command = " ".join(f"python -m nersweep loss={option.name} {entry.example}".split())
    lines = [f"### {option.name}", "", f"{entry.title}.", "", "```math", entry.formula, "```", ""]
    if entry.knobs:
        rows = [(f"`{k}`", f"`{option.default(k)}`", option.range(k, conf), entry.knobs[k]) for k in entry.knobs]
        lines += [table(("knob", "default", "range", "meaning"), rows)]
    lines += ["```bash", command, "```", ""]
    lines += [f"**When to use it.** {entry.use}", "", f"**When not.** {entry.avoid}", ""]
    weighted = takes_weights(option)
    by = f" by {' and '.join(weighted)}" if option.recipe().target.__name__ not in weighted else ""
    sources = "; ".join(f"{citation}: {title}" for citation, title in entry.sources.items())
    facts = {
        "A step": "can be split." if option.loss().splits else "cannot be split.",
        "Class weights": f"are taken{by}." if weighted else "are refused.",
        "Class": "; its terms: ".join(filter(None, map(", ".join, classes(option)))) + ".",
        "Source": f"{sources}." if sources else "",
    }
    lines += [" ".join(f"**{name}** {text}" for name, text in facts.items() if text), ""]
    lines += [f"![{entry.title}: loss and gradient](img/losses/{option.name}.svg)", "", f"*{picture.caption}*", ""]
    return "\n".join(lines)


def classes(option: Option) -> Iterator[list[str]]:
    """Links to the file of the loss, and to those of its terms."""
    recipe = option.recipe()
    for targets in ([recipe.target], [term.target for term in recipe.arguments.get("terms", {}).values()]):
        yield [f"[`{t.__name__}`](../{inspect.getmodule(t).__name__.replace('.', '/')}.py)" for t in targets]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


# Class weights.


def schemes(conf: Traversable) -> dict[str, np.ndarray]:
    """What is typed -> weights (C,) of the labels of CoNLL-2003."""
    betas = (0.99, 0.999, 0.9999, 0.99999)
    typed = [f"weights={name}" for name in options(conf, "weights") if name not in ("none", "manual", "effective")]
    typed += [f"weights=effective effective_beta={beta:g}" for beta in betas]
    return {"weights=none": np.ones(len(CONLL))} | {text: weights_of(conf, text) for text in typed}


def short(typed: Iterable[str]) -> list[str]:
    """weights=inverse -> inverse; weights=effective effective_beta=0.99 -> β=0.99."""
    return [text.rpartition("weights=")[2].replace("effective effective_beta=", "β=") for text in typed]


def weights_of(conf: Traversable, typed: str) -> np.ndarray:
    """(C,), of what is typed: "weights=inverse weights.cap=10"."""
    scheme, *settings = typed.split()
    config = OmegaConf.merge(section(conf, *scheme.split("=")), OmegaConf.from_dotlist(settings))
    made = build("weights", raw(config)["weights"], OmegaConf.to_container(config, resolve=True)["weights"])
    return made(np.array([*CONLL.values()]), tuple(CONLL))


def of_entities(weights: np.ndarray) -> float:
    """The share of Σ n_c·w_c that words of entities have: of the loss, if all words were equally hard."""
    total = weights * np.array([*CONLL.values()])
    return float(total[1:].sum() / total.sum())


def weights_chapter(conf: Traversable) -> str:
    found = schemes(conf)
    head = [
        "label",
        "words",
        *(f"`{name}`" for name in short(found)),
    ]
    rows = [
        [f"{name}", f"{count:,}", *(f"{weights[i]:.3g}" for weights in found.values())]
        for i, (name, count) in enumerate(CONLL.items())
    ]
    rows += [["largest / smallest", "", *(f"{w.max() / w.min():.3g}" for w in found.values())]]
    rows += [["entities' share of Σ n·w", "", *(f"{of_entities(w):.1%}" for w in found.values())]]
    pinned = "weights=inverse weights.o_weight=one weights.normalize=entity_mean"
    config = section(conf, "weights", "effective").weights
    meaning = {
        "smoothing": "added to the count of every class that occurs",
        "normalize": "what has mean 1: the classes (`mean`), those of entities (`entity_mean`), all words "
        "(`token_mean`), or nothing (`none`)",
        "o_weight": "O as computed (`computed`), exactly 1 (`one`), or at most 1 (`cap`)",
        "cap": "an upper bound for every weight; `null` for none",
    }
    settings = [(f"`weights.{name}`", f"`{shown(config[name])}`", text) for name, text in meaning.items()]
    lines = [
        "## Class weights",
        "",
        "`weights=NAME` computes them from the label counts of the training split, for every data set anew; each run "
        "prints and logs them. Of the class c with n_c of N words, K classes occurring:",
        "",
        "```math",
        r"\text{inverse: } \frac{N}{K n_c} \qquad \text{inverse sqrt: } \sqrt{\frac{N}{K n_c}} \qquad "
        r"\text{effective: } \frac{1-\beta}{1-\beta^{\,n_c}}",
        "```",
        "",
        table(("setting", "default", "meaning"), settings),
        "`weights=manual manual_weights='{O: 0.2, B-PER: 1.5}'` takes them as typed; a label that is not named weighs "
        "1. `effective_beta` is the β of `weights=effective` "
        f"(default `{shown(section(conf, 'weights', 'effective').effective_beta)}`); Cui et al. 2019, eq. 2.",
        "",
        "What each gives on the label counts of CoNLL-2003, with the default settings (β: `weights=effective "
        "effective_beta=β`):",
        "",
        table(head, rows),
        "The last row is the share of the loss that words of entities would have if all words were equally hard. β up "
        "to .99 changes nothing here, and a lower β is a weaker re-weighting: tune it on a logarithmic scale of 1−β. "
        f"O pinned at 1 is not a stronger one: `{pinned}` gives entities {of_entities(weights_of(conf, pinned)):.1%}, "
        f"less than no weights at all, {of_entities(found['weights=none']):.1%}.",
        "",
        "![Class weights against counts](img/losses/class_weights.svg)",
        "",
        "*Left: the weight of each label of CoNLL-2003 against its count, both on logarithmic scales. Right: the last "
        "row of the table.*",
        "",
    ]
    return "\n".join(lines)


# Pictures. Colours that the colour-blind tell apart (Okabe and Ito), each with a line style for print in grey.

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


def draw_weights(path: Path, conf: Traversable) -> None:
    found = schemes(conf)
    names = short(found)
    figure = Figure(figsize=(7.6, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    counts = np.array([*CONLL.values()])
    order = counts.argsort()
    for style, name, weights in zip(STYLES, names, found.values(), strict=True):
        left.plot(counts[order], weights[order], label=name, markersize=4, **style)
    left.set(xscale="log", yscale="log", xlabel="words of the label", ylabel="weight", title="weight against count")
    left.grid(color="0.9", linewidth=0.6)
    shares = [of_entities(weights) for weights in found.values()]
    right.barh(names, shares, color="0.6")
    for row, share in enumerate(shares):
        right.text(share + 0.01, row, f"{share:.0%}", va="center", fontsize=9)
    right.invert_yaxis()
    right.set(xlim=(0, 1.12), xticks=np.linspace(0, 1, 6), xlabel="entities' share of Σ n·w", title="what entities get")
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    save(path, figure)


def save(path: Path, figure: Figure) -> None:
    """As SVG with text as text; the same bytes each time, with two digits of a coordinate, which is plenty."""
    fonts = ["DejaVu Sans", "Verdana"]
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "nersweep", "font.sans-serif": fonts}):
        figure.savefig(path, metadata={"Date": None, "Creator": None})
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"(\d\.\d\d)\d+", r"\1", text), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m nersweep.report.catalogue", description="Writes the catalogue.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs"), help="docs where not given")
    folder = parser.parse_args(arguments).folder
    try:
        write(folder)
    except Exception as error:
        print(*(f"nersweep: {line}" for line in fault_lines(error)), sep="\n", file=sys.stderr)
        return 1
    print(f"wrote {folder / 'losses.md'} and {len(ENTRIES) + 1} pictures in {folder / 'img' / 'losses'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
