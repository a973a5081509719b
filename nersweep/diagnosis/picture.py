"""The figure of a diagnosis: how many words have which tag."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, PercentFormatter, StrMethodFormatter

from nersweep.machine.files import in_place_of
from nersweep.plotting import styled

SHADES = {"train": "#0072B2", "dev": "#E69F00", "test": "1.0"}  # dark, middle, white in grey too
PANELS = {"B-": "B-, the first words of entities", "I-": "I-, their further words"}
BAR: dict[str, Any] = {"edgecolor": "black", "linewidth": 0.4}


@styled
def draw(folder: Path, name: str, counts: Mapping[str, Counter[str]]) -> list[Path]:
    """Write labels.png and labels.svg, and return their paths.

    counts: words of each tag, by split. Types are in the order of their training entities.
    """
    entity_counts: Counter[str] = Counter()  # the most words of a tag in any split
    for split_counts in counts.values():
        entity_counts |= split_counts
    del entity_counts["O"]
    types = {tag[2:] for tag in entity_counts}
    order = sorted(types, key=lambda type_: (-counts["train"][f"B-{type_}"], type_))
    figure = Figure(figsize=(9, 1.8 + 0.42 * len(order)), layout="constrained")
    outside, *inside = figure.subplots(1, 3, width_ratios=(1, 2, 2))
    figure.suptitle(f"{name}: words of each tag")
    draw_outside(outside, counts)
    limit = 4 * max(entity_counts.values(), default=1)
    for axes, (prefix, title) in zip(inside, PANELS.items(), strict=True):
        axes.set(xscale="log", xlim=(0.8, limit), xlabel="words (log scale)", title=title)
        bars: dict[str, list[int]] = {}
        for split in SHADES:
            bars[split] = [counts[split][prefix + type_] for type_ in order]
        draw_bars(axes, order, bars)
    inside[1].tick_params(labelleft=False)
    handles, names = inside[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3)
    files = [folder / "labels.png", folder / "labels.svg"]
    for path, metadata in zip(files, (None, {"Date": None}), strict=True):
        with in_place_of(path) as file:
            figure.savefig(file, format=path.suffix[1:], dpi=150, metadata=metadata)
    return files


def draw_outside(axes: Axes, counts: Mapping[str, Counter[str]]) -> None:
    """Draw the share of words outside entities, a bar for each split."""
    for row, (split, shade) in enumerate(SHADES.items()):
        part = counts[split]["O"] / max(1, counts[split].total())
        axes.barh(row, part, color=shade, **BAR)
        colour = "black" if row else "white"
        axes.text(part - 0.03, row, f"{part:.1%}", ha="right", va="center", color=colour)
    axes.set_yticks(range(len(SHADES)), list(SHADES))
    axes.set(xlim=(0, 1), xlabel="share of the words", title="O, outside entities")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.invert_yaxis()


def draw_bars(axes: Axes, types: Sequence[str], counts: Mapping[str, Sequence[int]]) -> None:
    """Draw a bar with its number for each type and split."""
    height = 0.8 / len(counts)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    for number, (split, values) in enumerate(counts.items()):
        places = np.arange(len(types)) + (number - (len(counts) - 1) / 2) * height
        axes.barh(places, values, height, color=SHADES[split], label=split, **BAR)
        for place, count in zip(places, values, strict=True):
            axes.text(max(count, 0.8) * 1.1, place, f"{count:,}", va="center", fontsize=6.5)
    axes.set_yticks(range(len(types)), types)
    axes.invert_yaxis()
