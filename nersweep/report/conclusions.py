"""Conclude from a comparison, in plain words."""

from collections.abc import Sequence

import numpy as np

from nersweep.evaluation import stats
from nersweep.report.power import (
    ALPHA,
    WORTHWHILE,
    approximately,
    holm_suffix,
    seeds_to_detect,
)
from nersweep.report.rows import Contrast, Row, points

SENTENCES = 6  # rows without a visible difference that still get a sentence each


def conclude(rows: Sequence[Row], baseline: Row | None) -> list[str]:
    """Return a conclusion for each row but the baseline; none if no row could be tested.

    Many rows without a visible difference share one sentence.
    """
    tested = [row for row in rows if row.contrast and len(row.contrast.seeds) > 1]
    if baseline is None or not tested:
        return []
    others = [row for row in rows if row.records and row.setting != baseline.setting]
    alike = [row for row in others if row.contrast and row.contrast.includes_zero]
    if len(alike) <= SENTENCES:
        return [conclusion(row, baseline) for row in others]
    names: list[str] = []
    for row in alike:
        assert row.contrast
        names.append(f"{row.setting} ({points(row.contrast.difference)})")
    lines = [conclusion(row, baseline) for row in others if row not in alike]
    lines.append(
        f"No difference from {baseline.setting} can be seen for {', '.join(names)}: "
        "their intervals, in the table, include 0."
    )
    return lines


def conclusion(row: Row, baseline: Row) -> str:
    """Return the conclusion on a row against the baseline.

    A difference is called real if its interval, corrected for the number of rows, excludes 0 and
    the test over seeds agrees; it "seems" real if there are too few seeds for that test to agree.
    """
    contrast = row.contrast
    if contrast is None:
        return f"{row.setting} and {baseline.setting} share no seed, so they are not tested."
    seeds = len(contrast.seeds)
    if seeds < 2:
        return (
            f"{row.setting} and {baseline.setting} share one seed ({contrast.seeds[0]}), "
            "so they are not tested."
        )
    low, high = map(points, contrast.interval)
    measured = f"{points(contrast.difference)} points of F1, 95% interval {low} to {high}"
    smallest = min(contrast.tested * stats.smallest_p(seeds), 1)
    word = "better" if contrast.difference > 0 else "worse"
    excludes_zero = not contrast.corrected[0] <= 0 <= contrast.corrected[1]
    if excludes_zero and contrast.adjusted_seeds <= ALPHA:
        return (
            f"{row.setting} is {word} than {baseline.setting} on this data: {measured}, "
            f"{p_of_seeds(contrast)}{unfinished_clause(row)}."
        )
    if excludes_zero and smallest > ALPHA:
        return (
            f"{row.setting} seems {word} than {baseline.setting}: {measured}; {seeds} seeds are "
            "too few for the test over seeds to confirm it (its p cannot go below "
            f"{smallest:.3g}{holm_suffix(contrast.tested)}){unfinished_clause(row)}."
        )
    return unconfirmed(row, contrast, baseline, measured, excludes_zero)


def unconfirmed(
    row: Row, contrast: Contrast, baseline: Row, measured: str, excludes_zero: bool
) -> str:
    """Explain why no difference is called real, and what it would take to detect one."""
    seeds, pair = len(contrast.seeds), f"between {row.setting} and {baseline.setting}"
    if contrast.includes_zero:
        text = f"No difference {pair} can be seen with {seeds} seeds: {measured}"
    else:
        text = f"A difference {pair} is not confirmed with {seeds} seeds: {measured}"
    if excludes_zero:
        text += (
            "; the interval excludes 0, but the test over seeds does not confirm it "
            f"({p_of_seeds(contrast)})"
        )
    elif not contrast.includes_zero:
        text += (
            f"; the interval excludes 0, but one as wide as {contrast.tested} rows need does not"
        )
    elif contrast.adjusted_seeds <= ALPHA:
        text += (
            f"; the seeds agree ({p_of_seeds(contrast)}), "
            "but chance in the sentences of this test set could explain it"
        )
    sentences = [text + unfinished_clause(row)]
    sd = float(np.sqrt((row.sd**2 + baseline.sd**2) / 2))
    needed = seeds_to_detect(WORTHWHILE[0], sd, contrast.tested)
    if needed > seeds:
        sentences.append(
            f"A t test over seeds needs about {approximately(needed)} per row to detect "
            f"{100 * WORTHWHILE[0]:.1f} points with 80% power, at their sd of {100 * sd:.2f} "
            "points, and chance in the sentences comes on top"
        )
    if contrast.adjusted_sentences <= ALPHA:
        sentences.append(
            "These particular models do differ "
            f"(p = {contrast.adjusted_sentences:.3g} over sentences), "
            "which says nothing about other seeds"
        )
    return ". ".join(sentences) + "."


def p_of_seeds(contrast: Contrast) -> str:
    """Return the p of the test over seeds, in words."""
    return f"p = {contrast.adjusted_seeds:.3g} after Holm's correction"


def unfinished_clause(row: Row) -> str:
    """Count the seeds that did not finish: the others are no fair sample if a loss diverges."""
    unfinished = len(row.unfinished)
    if not unfinished:
        return ""
    seeds = len(row.records) + unfinished
    return f"; {unfinished} of its {seeds} seeds did not finish and are not counted"
