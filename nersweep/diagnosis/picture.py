"""The picture of a diagnosis: how many words carry which tag."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, PercentFormatter, StrMethodFormatter

from nersweep.machine import files as files_module
from nersweep.plotting import styled

SHADES = {"train": "#0072B2", "dev": "#E69F00", "test": "1.0"}  # dark, middle and white in grey too
PANELS = {"B-": "B-, the first words of entities", "I-": "I-, their further words"}


@styled
def draw(folder: Path, name: str, counts: Mapping[str, Counter[str]]) -> list[Path]:
    """Writes labels.png and labels.svg. counts: of each split, how many words carry each tag. The types stand in the
    order of their entities in the training split."""
    types = {tag[2:] for of in counts.values() for tag in of if tag != "O"}
    types = sorted(types, key=lambda type_: (-counts["train"][f"B-{type_}"], type_))
    figure = Figure(figsize=(9, 1.8 + 0.42 * len(types)), layout="constrained")
    outside, *inside = figure.subplots(1, 3, width_ratios=(1, 2, 2))
    figure.suptitle(f"{name}: words of each tag")
    rows = list(SHADES)
    shares = [counts[split]["O"] / max(1, counts[split].total()) for split in rows]
    outside.barh(rows, shares, color=list(SHADES.values()), edgecolor="black", linewidth=0.4)
    for row, part in enumerate(shares):
        outside.text(
            part - 0.03,
            row,
            f"{part:.1%}",
            ha="right",
            va="center",
            color="black" if row else "white",
        )
    outside.set(xlim=(0, 1), xlabel="share of the words", title="O, outside entities")
    outside.xaxis.set_major_formatter(PercentFormatter(1))
    outside.invert_yaxis()
    most = max((n for of in counts.values() for tag, n in of.items() if tag != "O"), default=1)
    for axes, (prefix, title) in zip(inside, PANELS.items(), strict=True):
        axes.set(xscale="log", xlim=(0.8, most * 4), xlabel="words (log scale)", title=title)
        bars(axes, types, {split: [counts[split][prefix + t] for t in types] for split in rows})
    inside[1].tick_params(labelleft=False)
    handles, names = inside[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3)
    files = [folder / f"labels.{kind}" for kind in ("png", "svg")]
    for file in files:
        with files_module.in_place_of(file) as beside:
            svg = file.suffix == ".svg"
            figure.savefig(
                beside, format=file.suffix[1:], dpi=150, metadata={"Date": None} if svg else None
            )
    return files


def bars(axes: Axes, types: Sequence[str], counts: Mapping[str, Sequence[int]]) -> None:
    """A bar for each type and split, with its number; none where there is no word."""
    height = 0.8 / len(counts)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    for i, (split, values) in enumerate(counts.items()):
        at = np.arange(len(types)) + (i - (len(counts) - 1) / 2) * height
        axes.barh(
            at, values, height, color=SHADES[split], edgecolor="black", linewidth=0.4, label=split
        )
        for y, n in zip(at, values, strict=True):
            axes.text(max(n, 0.8) * 1.1, y, f"{n:,}", va="center", fontsize=6.5)
    axes.set_yticks(range(len(types)), types)
    axes.invert_yaxis()
