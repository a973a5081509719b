"""The figure of a report on several data sets: the difference of each setting on each of them."""

import numpy as np
from matplotlib.figure import Figure

from nersweep.plotting import styled
from nersweep.report.figures.drawing import WIDTH, Look, canvas, lane_height, legend, wrap
from nersweep.report.figures.scores import VERDICTS
from nersweep.report.sets import Synopsis

COLUMNS = 3  # of sets beside each other
TITLE = "Differences on each data set"
CAPTION = (
    "The difference of each setting from the baseline on each data set, with its interval from "
    "seeds and documents. Each set has its own scale; the band is the resolution on all of them."
)
ALTERNATIVE = (
    "A panel for each data set, in it a line with an interval for each setting; the table below "
    "has the numbers."
)


@styled
def differences(synopsis: Synopsis) -> Figure | None:
    """Draw a panel for each set, with a lane for each setting; None without an interval."""
    settings = synopsis.settings
    if not any(
        contrast and np.isfinite(contrast.low) for each in settings for contrast in each.contrasts
    ):
        return None
    names = [wrap(each.setting, 22) for each in settings]
    columns = min(COLUMNS, len(synopsis.sections))
    lines = -(-len(synopsis.sections) // columns)
    figure = canvas(0.6 + lines * (0.7 + lane_height(names) * len(names)), WIDTH + 0.5)
    panels = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
    for panel in panels[len(synopsis.sections) :]:
        panel.set_visible(False)
    for number, section in enumerate(synopsis.sections):
        axes = panels[number]
        resolution = section.comparison.resolution
        band: Look = {"color": "0.9", "zorder": 0, "label": f"within ±{resolution:g} points"}
        axes.axvspan(-resolution, resolution, **band)
        axes.axvline(0, color="0.35", linewidth=1, zorder=1)
        for lane, across in enumerate(settings):
            contrast = across.contrasts[number]
            if contrast is None or not np.isfinite(contrast.low):
                continue
            name, colour, marker, face = VERDICTS[contrast.verdict]
            line: Look = {"color": colour, "linewidth": 2, "solid_capstyle": "butt"}
            axes.plot([contrast.low, contrast.high], [lane, lane], **line)
            look: Look = {"color": colour, "mfc": face or colour, "mew": 1.5, "markersize": 6}
            axes.plot(contrast.difference, lane, marker, linestyle="none", label=name, **look)
        axes.set_title(wrap(section.name, 30))
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(axis="y", length=0)
        axes.locator_params(axis="x", nbins=5)
    metric = synopsis.sections[0].comparison.metric.label
    title = f"difference in {metric} from {wrap(synopsis.baseline, 50)}, points"
    figure.suptitle(title, fontsize=9)
    legend(figure, *panels[: len(synopsis.sections)])
    return figure
