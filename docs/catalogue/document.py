"""The catalogue as a Markdown document with pictures."""

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from catalogue.curves import STYLES, Picture, draw, save
from catalogue.entries import ENTRIES, KINDS
from catalogue.options import CONLL, Option, options, raw, section
from nersweep.config.build import build, signature
from nersweep.config.flat import flat
from nersweep.config.knobs import CONF
from nersweep.faults import shown

HEAD = """# The catalogue of losses

<!-- Written by `make docs`: edit docs/catalogue/entries.py. -->

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
    where = "docs/catalogue/entries.py"
    lines = [
        f"loss={name}: no entry in ENTRIES of {where}; write one"
        for name in there
        if name not in ENTRIES
    ]
    lines += [
        f"loss={name}: has an entry in {where} and no conf/loss/{name}.yaml"
        for name in ENTRIES
        if name not in there
    ]
    found = [Option(name, conf) for name in ENTRIES if name in there]
    for option in found:
        told = ENTRIES[option.name].knobs
        silent = [knob for knob in option.knobs if knob not in told]
        lines += [
            f"{knob}: the entry of loss={option.name} in {where} does not say what it means"
            for knob in silent
        ]
        gone = [
            k
            for k in told
            if k not in option.groups
            and k not in option.config
            and k not in flat(raw(option.config))
        ]
        lines += [
            f"{knob}: loss={option.name}, whose entry in {where} explains it, has no such knob"
            for knob in gone
        ]
    if lines:
        raise ValueError("\n".join(lines))
    return found


def document(found: Sequence[Option], pictures: Mapping[str, Picture], conf: Traversable) -> str:
    parts = [HEAD, overview(found), CONVENTIONS]
    for kind, heading in KINDS.items():
        chosen = [option for option in found if ENTRIES[option.name].kind == kind]
        parts += [
            f"## {heading}\n",
            *(chapter(option, pictures[option.name], conf) for option in chosen),
        ]
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
        rows = [
            (f"`{k}`", f"`{option.default(k)}`", option.range(k, conf), entry.knobs[k])
            for k in entry.knobs
        ]
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
    lines += [
        f"![{entry.title}: loss and gradient](img/losses/{option.name}.svg)",
        "",
        f"*{picture.caption}*",
        "",
    ]
    return "\n".join(lines)


def classes(option: Option) -> Iterator[list[str]]:
    """Links to the file of the loss, and to those of its terms."""
    recipe = option.recipe()
    for targets in (
        [recipe.target],
        [term.target for term in recipe.arguments.get("terms", {}).values()],
    ):
        yield [
            f"[`{t.__name__}`](../{inspect.getmodule(t).__name__.replace('.', '/')}.py)"
            for t in targets
        ]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


# Class weights.


def schemes(conf: Traversable) -> dict[str, np.ndarray]:
    """What is typed -> weights (C,) of the labels of CoNLL-2003."""
    betas = (0.99, 0.999, 0.9999, 0.99999)
    typed = [
        f"weights={name}"
        for name in options(conf, "weights")
        if name not in ("none", "manual", "effective")
    ]
    typed += [f"weights=effective effective_beta={beta:g}" for beta in betas]
    return {"weights=none": np.ones(len(CONLL))} | {text: weights_of(conf, text) for text in typed}


def short(typed: Iterable[str]) -> list[str]:
    """weights=inverse -> inverse; weights=effective effective_beta=0.99 -> β=0.99."""
    return [
        text.rpartition("weights=")[2].replace("effective effective_beta=", "β=") for text in typed
    ]


def weights_of(conf: Traversable, typed: str) -> np.ndarray:
    """(C,), of what is typed: "weights=inverse weights.cap=10"."""
    scheme, *settings = typed.split()
    config = OmegaConf.merge(section(conf, *scheme.split("=")), OmegaConf.from_dotlist(settings))
    made = build(
        "weights", raw(config)["weights"], OmegaConf.to_container(config, resolve=True)["weights"]
    )
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
    settings = [
        (f"`weights.{name}`", f"`{shown(config[name])}`", text) for name, text in meaning.items()
    ]
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


def draw_weights(path: Path, conf: Traversable) -> None:
    found = schemes(conf)
    names = short(found)
    figure = Figure(figsize=(7.6, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    counts = np.array([*CONLL.values()])
    order = counts.argsort()
    for style, name, weights in zip(STYLES, names, found.values(), strict=True):
        left.plot(counts[order], weights[order], label=name, markersize=4, **style)
    left.set(
        xscale="log",
        yscale="log",
        xlabel="words of the label",
        ylabel="weight",
        title="weight against count",
    )
    left.grid(color="0.9", linewidth=0.6)
    shares = [of_entities(weights) for weights in found.values()]
    right.barh(names, shares, color="0.6")
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
