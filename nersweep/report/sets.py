"""Reports on several data sets or encoders: a section for each, and what a setting shows on all."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nersweep.evaluation.conjunction import Conjunction, better_and_worse
from nersweep.evaluation.inference import Contrast
from nersweep.machine.files import fingerprint
from nersweep.report.comparison import Comparison
from nersweep.report.conclusions import p_words
from nersweep.report.rows import points
from nersweep.report.tables import NOTHING, Table, interval


@dataclass(frozen=True)
class Section:
    """The runs on one data set, or with one encoder on it. name: of both, as far as they vary."""

    name: str
    comparison: Comparison

    @property
    def folder(self) -> str:
        """The name of its folder within that of the report; short, also where paths name it."""
        name = re.sub(r"[^\w.-]+", "-", self.name)
        if "/" in self.name or len(name) > 80:
            name = f"{name[:70]}-{fingerprint(self.name)[:8]}"
        return name


@dataclass(frozen=True)
class Across:
    """What a setting shows on all sets. contrasts: by section; None where it has none.

    better, worse: on how many of the sets on which it has a finished run.
    """

    setting: str
    contrasts: tuple[Contrast | None, ...]
    better: Conjunction
    worse: Conjunction


@dataclass(frozen=True)
class Synopsis:
    """The sections of a report, and each setting across them, the best first.

    baseline: what the others are compared with. missing: sets of which no run has finished.
    """

    sections: tuple[Section, ...]
    baseline: str
    settings: tuple[Across, ...]
    missing: tuple[str, ...] = ()

    @property
    def conclusions(self) -> list[str]:
        """A sentence for each setting."""
        return [sentence(across, self.baseline) for across in self.settings]

    @property
    def notes(self) -> list[str]:
        """What a reader must know beside the sentences."""
        notes = [
            "the intervals of one set hold together in 95%, those of several sets do not; a number "
            "of sets holds for each setting on its own"
        ]
        return notes + [f"{name}: no run has finished" for name in self.missing]


def summarise(comparisons: Mapping[str, Comparison], missing: Sequence[str] = ()) -> Synopsis:
    """Return what the settings show on all sets. comparisons: by the name of the set, in order."""
    sections = tuple(Section(name, comparison) for name, comparison in comparisons.items())
    baselines: dict[str, None] = {}
    settings: dict[str, None] = {}
    for section in sections:
        baseline = section.comparison.baseline
        if baseline:
            baselines[baseline] = None
            settings |= dict.fromkeys(contrasts_of(section.comparison))
    across = [of_setting(setting, sections) for setting in settings if setting not in baselines]
    across.sort(key=lambda each: (each.worse.sets - each.better.sets, -mean_difference(each)))
    return Synopsis(sections, " or ".join(baselines), tuple(across), tuple(missing))


def contrasts_of(comparison: Comparison) -> dict[str, Contrast | None]:
    """Return the contrast of each setting that has a finished run; of one that did not train None.

    Settings that made the same predictions have the same one.
    """
    contrasts: dict[str, Contrast | None] = {}
    for row in comparison.finished:
        for setting in (row.setting, *row.equals):
            contrasts[setting] = row.contrast
    return contrasts


def of_setting(setting: str, sections: Sequence[Section]) -> Across:
    """Return what a setting shows on all sets."""
    contrasts: list[Contrast | None] = []
    compared: list[Contrast | None] = []
    for section in sections:
        known = contrasts_of(section.comparison)
        contrasts.append(known.get(setting))
        if section.comparison.baseline and setting in known:
            compared.append(known[setting])
    alpha = min(section.comparison.alpha for section in sections)
    better, worse = better_and_worse(compared, alpha)
    return Across(setting, tuple(contrasts), better, worse)


def mean_difference(across: Across) -> float:
    """Return the mean difference over sets; lowest without any."""
    differences = [contrast.difference for contrast in across.contrasts if contrast]
    return float(np.mean(differences)) if differences else -np.inf


def sentence(across: Across, baseline: str) -> str:
    """Say on how many sets a setting is better or worse than the baseline."""
    parts: list[str] = []
    for word, bound in (("better", across.better), ("worse", across.worse)):
        if bound.sets:
            than = "" if parts else f" than {baseline}"
            where = f"at least {fraction(bound)} sets" if bound.sets < bound.of else all_of(bound)
            parts.append(f"{word}{than} on {where} ({p_words(bound.p)})")
    if not parts:
        of = across.better.of
        where = {1: "its only set", 2: "either set"}.get(of, f"any of {of} sets")
        return f"{across.setting} is not shown to be better or worse than {baseline} on {where}."
    return f"{across.setting} is {', and '.join(parts)}."


def all_of(bound: Conjunction) -> str:
    return {1: "its only set", 2: "both sets"}.get(bound.of, f"all {bound.of} sets")


def fraction(bound: Conjunction) -> str:
    """Return a number of sets: 2 of 3."""
    return f"{bound.sets} of {bound.of}"


def table_of(synopsis: Synopsis) -> Table:
    """Return the differences of all settings on all sets as a table."""
    header = ["setting", *(section.name for section in synopsis.sections), "better on", "worse on"]
    about = ["", *("" for _ in synopsis.sections)]
    about.append(
        "the least number of sets on which it is better, with 95%; the p value of u of k sets is "
        "(k − u + 1) times the u-th smallest of the sets"
    )
    about.append("the same for worse")
    rows: list[list[str]] = []
    for across in synopsis.settings:
        cells = [cell(contrast) for contrast in across.contrasts]
        rows.append([across.setting, *cells, fraction(across.better), fraction(across.worse)])
    return Table(f"Difference from {synopsis.baseline}, in points", header, rows, about)


def cell(contrast: Contrast | None) -> str:
    """Return a difference with its interval."""
    if contrast is None:
        return NOTHING
    if not np.isfinite(contrast.low):
        return points(contrast.difference)
    return f"{points(contrast.difference)} {interval((contrast.low, contrast.high), points)}"
