"""The catalogue as a Markdown document with pictures."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from loss_catalogue.curves import STYLES, Picture, draw, save
from loss_catalogue.entries import ENTRIES, KINDS
from loss_catalogue.options import CONLL, Option, options, raw, section
from nersweep.config.build import build, signature
from nersweep.config.flat import flat
from nersweep.config.knobs import CONF
from nersweep.faults import Fault, UserError, shown

ENTRIES_FILE = "docs/loss_catalogue/entries.py"

HEAD = """# The catalogue of losses

<!-- Written by `make docs`: edit docs/loss_catalogue/entries.py. -->

Every option of `loss=`, with its formula, knobs, use, source, and a picture of loss and gradient.
`make docs` generates this page: defaults come from `conf/loss`, ranges from the errors of the
classes, curves from the losses themselves.
"""

CONVENTIONS = """## What all losses share

- **Notation.** p = softmax(z) over the K classes, z the logits of a word, y its gold class, p_y the
  probability of the gold class; N real words in an optimiser step, n_c words of class c in the
  training split, w_c the weight of c; [k=y] is 1 where it is true and 0 elsewhere.
- **Words.** A word counts once, by its first piece. Targets of `-100`, which other code uses for
  further pieces and padding, enter no sum, count or mean; only the CRF refuses them, since its
  recursion is over words.
- **Reduction.** The token losses and their weighted variants have `loss.reduction`: `mean`, the
  default, is Σ w_y·ℓ over Σ w_y; `token_mean` divides by N whatever the weights; `sum` divides by
  nothing. Formulas with ℓ are for one word, those with L for a step.
- **Nothing to count.** A step without real words, or with weights of 0 only, gives 0 and a zero
  gradient.
- **Class weights.** `weights=NAME` works with every loss whose class has a `weight`; other losses
  refuse it. In the two smoothing losses the term of each class k has the weight w_k.
- **Splitting.** If a step of a loss can be split, it goes through the model in `train.accumulation`
  micro-batches, divided by the totals of the whole step, with the same gradient. Otherwise a step
  is kept whole.
- **In other code.** Each class works on its own: `from nersweep.losses import FocalLoss`.
"""


def write(folder: Path, conf: Traversable | None = None) -> None:
    """Write losses.md and img/losses/*.svg.

    Raises UserError for an option of conf/loss without an entry, or with a knob that its entry does
    not explain.
    """
    conf = files(CONF) if conf is None else conf
    chapters = catalogue(conf)
    images = folder / "img" / "losses"
    images.mkdir(parents=True, exist_ok=True)
    pictures = {option.name: ENTRIES[option.name].picture(option) for option in chapters}
    for name, picture in pictures.items():
        draw(images / f"{name}.svg", picture)
    draw_weights(images / "class_weights.svg", conf)
    (folder / "losses.md").write_text(document(chapters, pictures, conf), encoding="utf-8")


def catalogue(conf: Traversable) -> list[Option]:
    """Return the options in the order of ENTRIES. Raises UserError if both do not agree."""
    names = options(conf, "loss")
    faults = []
    for name in names:
        if name not in ENTRIES:
            faults.append(
                Fault("loss", name, f"no entry in ENTRIES of {ENTRIES_FILE}", "write one")
            )
    chapters = []
    for name, entry in ENTRIES.items():
        if name not in names:
            faults.append(Fault("loss", name, f"has an entry, but no conf/loss/{name}.yaml"))
            continue
        option = Option(name, conf)
        chapters.append(option)
        for knob in option.knobs:
            if knob not in entry.knobs:
                faults.append(Fault(knob, must=f"the entry of loss={name} does not explain it"))
        settings = {*option.groups, *option.config, *flat(raw(option.config))}
        for knob in entry.knobs:
            if knob not in settings:
                faults.append(Fault(knob, must=f"loss={name} has no such knob, but its entry does"))
    if faults:
        raise UserError(*faults)
    return chapters


def document(chapters: Sequence[Option], pictures: Mapping[str, Picture], conf: Traversable) -> str:
    parts = [HEAD, overview(chapters), CONVENTIONS]
    for kind, heading in KINDS.items():
        chosen = [option for option in chapters if ENTRIES[option.name].kind == kind]
        parts += [
            f"## {heading}\n",
            *(chapter(option, pictures[option.name], conf) for option in chosen),
        ]
    return "\n".join([*parts, weights_chapter(conf)])


def overview(chapters: Sequence[Option]) -> str:
    rows = [
        (
            f"[`{option.name}`](#{option.name})",
            KINDS[ENTRIES[option.name].kind].lower(),
            ", ".join(f"`{knob}`" for knob in ENTRIES[option.name].knobs) or "–",
            "yes" if takes_weights(option) else "no",
            "yes" if option.loss().splits else "no",
            f"`{option.recipe().target.__name__}`",
        )
        for option in chapters
    ]
    return table(("`loss=`", "kind", "knobs", "class weights", "step splits", "class"), rows)


def takes_weights(option: Option) -> list[str]:
    """Return the classes that take weights: that of the option, or those of its terms."""
    return [loss.__name__ for loss in option.recipe().losses() if "weight" in signature(loss)]


def chapter(option: Option, picture: Picture, conf: Traversable) -> str:
    """Return the section of one option."""
    entry = ENTRIES[option.name]
    command = f"python -m nersweep loss={option.name} {entry.example}".rstrip()
    lines = [f"### {option.name}", "", f"{entry.title}.", "", "```math", entry.formula, "```", ""]
    if entry.knobs:
        rows = []
        for knob, meaning in entry.knobs.items():
            default = f"`{option.default(knob)}`"
            rows.append((f"`{knob}`", default, option.range(knob, conf), meaning))
        lines.append(table(("knob", "default", "range", "meaning"), rows))
    lines += ["```bash", command, "```", ""]
    lines += [f"**When to use it.** {entry.use}", "", f"**When not.** {entry.avoid}", ""]
    lines += [" ".join(facts(option)), ""]
    lines += [f"![{entry.title}: loss and gradient](img/losses/{option.name}.svg)", ""]
    lines += [f"*{picture.caption}*", ""]
    return "\n".join(lines)


def facts(option: Option) -> Iterator[str]:
    """Yield what holds of an option: splitting, class weights, classes, sources."""
    recipe = option.recipe()
    yield f"**A step** {'can' if option.loss().splits else 'cannot'} be split."
    weighted = takes_weights(option)
    if not weighted:
        yield "**Class weights** are refused."
    elif recipe.target.__name__ in weighted:
        yield "**Class weights** are taken."
    else:
        yield f"**Class weights** are taken by {' and '.join(weighted)}."
    terms = [link(term.target) for term in recipe.arguments.get("terms", {}).values()]
    suffix = f"; its terms: {', '.join(terms)}" if terms else ""
    yield f"**Class** {link(recipe.target)}{suffix}."
    sources = [f"{citation}: {title}" for citation, title in ENTRIES[option.name].sources.items()]
    if sources:
        yield f"**Source** {'; '.join(sources)}."


def link(target: type) -> str:
    """Return a link to the file of a class."""
    return f"[`{target.__name__}`](../{target.__module__.replace('.', '/')}.py)"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


# Class weights.

WEIGHTS = r"""## Class weights

`weights=NAME` computes class weights from the label counts of the training split, separately for
each data set; each run prints and logs them. For a class c with n_c of N words, K classes
occurring:

```math
\text{inverse: } \frac{N}{K n_c} \qquad \text{inverse sqrt: } \sqrt{\frac{N}{K n_c}} \qquad
\text{effective: } \frac{1-\beta}{1-\beta^{\,n_c}}
```

SETTINGS
`weights=manual manual_weights='{O: 0.2, B-PER: 1.5}'` sets them by hand; a label that is not named
weighs 1. `effective_beta` is the β of `weights=effective` (default `BETA`); Cui et al. 2019, eq. 2.

What each scheme gives on the label counts of CoNLL-2003, with the default settings
(β: `weights=effective effective_beta=β`):

TABLE
The last row is the share of the loss that words of entities would have if all words were equally
hard. β up to .99 changes nothing here, and a lower β is a weaker re-weighting: tune it on a
logarithmic scale of 1−β. Pinning O at 1 is not a stronger one: `PINNED` gives entities
SHARE_PINNED, less than no weights at all, SHARE_NONE.

![Class weights against counts](img/losses/class_weights.svg)

*Left: the weight of each label of CoNLL-2003 against its count, both on logarithmic scales. Right:
the last row of the table.*
"""
PINNED = "weights=inverse weights.o_weight=one weights.normalize=entity_mean"
MEANING = {
    "smoothing": "added to the count of every class that occurs",
    "normalize": "what has mean 1: the classes (`mean`), those of entities (`entity_mean`), "
    "all words (`token_mean`), or nothing (`none`)",
    "o_weight": "O as computed (`computed`), exactly 1 (`one`), or at most 1 (`cap`)",
    "cap": "an upper bound for every weight; `null` for none",
}


def schemes(conf: Traversable) -> dict[str, np.ndarray]:
    """Return name -> weights (C,) of the labels of CoNLL-2003."""
    weights = {"none": np.ones(len(CONLL))}
    for name in options(conf, "weights"):
        if name not in ("none", "manual", "effective"):
            weights[name] = weights_of(conf, f"weights={name}")
    for beta in (0.99, 0.999, 0.9999, 0.99999):
        command = f"weights=effective effective_beta={beta:g}"
        weights[f"β={beta:g}"] = weights_of(conf, command)
    return weights


def weights_of(conf: Traversable, command: str) -> np.ndarray:
    """Return the weights (C,) for settings such as "weights=inverse weights.cap=10"."""
    scheme, *settings = command.split()
    config = OmegaConf.merge(section(conf, *scheme.split("=")), OmegaConf.from_dotlist(settings))
    resolved = OmegaConf.to_container(config, resolve=True)
    weights = build("weights", raw(config)["weights"], resolved["weights"])
    return weights(np.array([*CONLL.values()]), tuple(CONLL))


def entity_share(weights: np.ndarray) -> float:
    """Return the entity words' share of Σ n_c·w_c: of the loss, if all words were equally hard."""
    total = weights * np.array([*CONLL.values()])  # (C,)
    return float(total[1:].sum() / total.sum())


def weights_chapter(conf: Traversable) -> str:
    weights = schemes(conf)
    rows = []
    for i, (label, count) in enumerate(CONLL.items()):
        rows.append([label, f"{count:,}", *(f"{values[i]:.3g}" for values in weights.values())])
    spreads = [f"{values.max() / values.min():.3g}" for values in weights.values()]
    shares = [f"{entity_share(values):.1%}" for values in weights.values()]
    rows.append(["largest / smallest", "", *spreads])
    rows.append(["entities' share of Σ n·w", "", *shares])
    effective = section(conf, "weights", "effective")
    settings = []
    for name, meaning in MEANING.items():
        settings.append((f"`weights.{name}`", f"`{shown(effective.weights[name])}`", meaning))
    values = {
        "SETTINGS": table(("setting", "default", "meaning"), settings),
        "BETA": shown(effective.effective_beta),
        "TABLE": table(["label", "words", *(f"`{name}`" for name in weights)], rows),
        "SHARE_PINNED": f"{entity_share(weights_of(conf, PINNED)):.1%}",
        "SHARE_NONE": f"{entity_share(weights['none']):.1%}",
        "PINNED": PINNED,
    }
    text = WEIGHTS
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def draw_weights(path: Path, conf: Traversable) -> None:
    weights_by_name = schemes(conf)
    figure = Figure(figsize=(7.6, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    counts = np.array([*CONLL.values()])
    order = counts.argsort()
    for style, (name, weights) in zip(STYLES, weights_by_name.items(), strict=True):
        left.plot(counts[order], weights[order], label=name, markersize=4, **style)
    left.set(
        xscale="log",
        yscale="log",
        xlabel="words of the label",
        ylabel="weight",
        title="weight against count",
    )
    left.grid(color="0.9", linewidth=0.6)
    shares = [entity_share(weights) for weights in weights_by_name.values()]
    right.barh(list(weights_by_name), shares, color="0.6")
    for row, share in enumerate(shares):
        right.text(share + 0.01, row, f"{share:.0%}", va="center", fontsize=9)
    right.invert_yaxis()
    right.set(
        xlim=(0, 1.12),
        xticks=np.linspace(0, 1, 6),
        xlabel="entities' share of Σ n·w",
        title="what entities get",
    )
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    save(path, figure)
