"""What a reader must know beside the table, and what may be concluded from it, in plain words."""

from collections.abc import Sequence

import numpy as np

from nersweep.evaluation import stats
from nersweep.report.rows import ALPHA, Row, loss_of, points
from nersweep.results.result import FinishedResult

WORTHWHILE = (0.003, 0.005, 0.01)  # differences of F1 that one would like to see: .3 points
MOST_ALIKE = 6  # rows without a visible difference that have a sentence each


def notes(rows: Sequence[Row], base: Row | None, asked: str, tried: int = 0) -> list[str]:
    """What a reader must know beside the table. tried: how many settings a study did, where the runs are its own."""
    lines = []
    there = [row for row in rows if row.records]
    results = [record.result for row in there for record in row.records]
    first = there[0].records[0]
    models = sorted({record.config["choice"]["model"] for row in there for record in row.records})
    lines.append(
        f"data {first.config['choice']['data']}, scored on {first.split}; model {', '.join(models)}"
    )
    if tried > 1:
        lines.append(
            f"a study tried {tried} settings: the best of so many looks better than it is on dev, which chose it"
        )
    if first.split == "dev":
        lines.append(
            "dev chose the best epoch, and in a study the settings too: its scores are too high for new data"
        )
    lines += other_versions(results)
    machines = sorted({f"{result.device}, {result.hardware}" for result in results})
    if len(machines) > 1:
        lines.append(
            f"runs of different machines, whose times cannot be compared: {'; '.join(machines)}"
        )
    lines += [
        f"{row.setting}: several runs of seed {', '.join(map(str, row.doubled))}; one of the latest version counts"
        for row in there
        if row.doubled
    ]
    if base is None and len(there) > 1:
        lines.append(
            f"baseline={asked}: no such row, so that nothing is compared; there are {names_of(there)}"
        )
    elif base and base.setting != asked:
        rivals = [
            row for row in there if loss_of(row.records) == asked and row.setting != base.setting
        ]
        if rivals:
            lines.append(
                f"baseline={asked}: {base.setting} is taken, as it comes first; also {names_of(rivals)}"
            )
    if max(len(row.seeds) for row in there) == 1:
        lines.append(
            "one seed: no test can tell a difference from chance; intervals are over sentences alone"
        )
    elif base:
        lines += about_seeds(there, base)
    return lines


def other_versions(results: Sequence[FinishedResult]) -> list[str]:
    """A line where the runs are of different code."""
    names = dict.fromkeys(name for result in results for name in result.versions)
    of = {
        name: sorted({result.versions.get(name, "unknown") for result in results}) for name in names
    }
    differing = ", ".join(
        f"{name} {' and '.join(found)}" for name, found in of.items() if len(found) > 1
    )
    return [f"runs of different versions stand side by side: {differing}"] if differing else []


def about_seeds(there: Sequence[Row], base: Row) -> list[str]:
    """Which rows have other seeds, and what so many seeds can show."""
    lines = []
    if other := [row for row in there if row.seeds != base.seeds]:
        lines.append(
            f"not the same seeds as {base.setting}: {names_of(other)}; compared over those that are shared, if any"
        )
    against = [row.versus for row in there if row.versus and len(row.versus.seeds) > 1]
    if not against:
        return lines
    n, tested = max(len(of.seeds) for of in against), len(against)
    least = stats.smallest_p(n)
    holm = f", {min(tested * least, 1):.3g}{corrected(tested)}" if tested > 1 else ""
    lines.append(
        f"with {n} seeds the sign-flip test over seeds cannot give a p below {least:.3g}{holm}"
    )
    sd = float(np.median([row.sd for row in there if len(row.seeds) > 1]))
    if sd > 0:
        enough = ", ".join(
            f"{about(seeds_to_see(d, sd, tested))} for {100 * d:.1f}" for d in WORTHWHILE
        )
        lines.append(
            "seeds for each row with which a t test over seeds sees so many points of F1 with 80% power, at the median "
            f"sd of {100 * sd:.2f} points, of {tested} row{'s' * (tested > 1)} against the baseline: {enough}; chance "
            "in the sentences comes on top, and no number of seeds takes it away"
        )
    return lines


def seeds_to_see(difference: float, sd: float, tested: int) -> int:
    """How many a row needs so that a test over seeds sees the difference with 80% power, of so many rows that are
    tested: what a t test needs at a level divided by them, and no fewer than with which the sign-flip test can come
    below it. To be called better or worse, a row must stand against chance in the sentences too, which takes more."""
    level = ALPHA / tested
    least = next(
        (n for n in range(2, stats.EXACT + 1) if stats.smallest_p(n) <= level), stats.EXACT + 1
    )
    return max(least, stats.seeds_needed(sd, difference, alpha=level)) if sd > 0 else least


def about(n: int) -> str:
    """Two digits of it: an sd of few seeds knows no more."""
    return f"{float(f'{n:.2g}'):,.0f}"


def names_of(rows: Sequence[Row]) -> str:
    return ", ".join(row.setting for row in rows)


def conclusions(rows: Sequence[Row], base: Row | None) -> list[str]:
    """What may be concluded and what not, in plain words, for each row beside the baseline, where some were tested. Of
    many rows without a difference that could be seen one line tells."""
    if not any(row.versus and len(row.versus.seeds) > 1 for row in rows):
        return []
    others = [row for row in rows if row.records and row.setting != base.setting]
    alike = [
        row
        for row in others
        if row.versus and row.versus.interval[0] <= 0 <= row.versus.interval[1]
    ]
    if len(alike) <= MOST_ALIKE:
        return [conclusion(row, base) for row in others]
    names = ", ".join(f"{row.setting} ({points(row.versus.difference)})" for row in alike)
    told = f"No difference to {base.setting} can be seen of {names}: their intervals, in the table, hold 0."
    return [conclusion(row, base) for row in others if row not in alike] + [told]


def conclusion(row: Row, base: Row) -> str:
    """A difference is seen where its interval, as wide as so many rows need, leaves out 0 and the test over seeds
    agrees; it seems to be there where that test could not agree, as there are too few seeds."""
    against, n = row.versus, len(row.versus.seeds) if row.versus else 0
    if n < 2:
        what = f"one seed ({against.seeds[0]})" if against else "no seed"
        return f"{row.setting} and {base.setting} share {what}: whether they differ is not tested."
    low, high = map(points, against.interval)
    measured = f"{points(against.difference)} points of F1, 95% interval {low} to {high}"
    clear, seen = (not low <= 0 <= high for low, high in (against.interval, against.corrected))
    least, p = (
        min(against.tested * stats.smallest_p(n), 1),
        f"p = {against.adjusted_seeds:.3g} after Holm's correction",
    )
    confirmed, enough = against.adjusted_seeds <= ALPHA, least <= ALPHA
    word = "better" if against.difference > 0 else "worse"
    if seen and confirmed:
        return f"{row.setting} is {word} than {base.setting} on these data: {measured}, {p}{lost(row)}."
    if seen and not enough:
        return (
            f"{row.setting} seems {word} than {base.setting}: {measured}; {n} seeds are too few for the test over "
            f"seeds to confirm it (its p cannot go below {least:.3g}{corrected(against.tested)}){lost(row)}."
        )
    begins = "That" if clear else "No difference between"
    told = [f"{begins} {row.setting} and {base.setting} "]
    told[0] += (
        f"differ is not confirmed with {n} seeds: " if clear else f"can be seen with {n} seeds: "
    )
    told[0] += measured
    if seen:
        told[0] += f"; the interval leaves out 0, but the test over seeds does not confirm it ({p})"
    elif clear:
        told[0] += (
            f"; the interval leaves out 0, but not one that is as wide as {against.tested} rows need"
        )
    elif confirmed:
        told[0] += (
            f"; the seeds agree ({p}), but chance in the sentences of this test set could explain it"
        )
    told[0] += lost(row)
    sd = float(np.sqrt((row.sd**2 + base.sd**2) / 2))
    if (needed := seeds_to_see(WORTHWHILE[0], sd, against.tested)) > n:
        told.append(
            f"A t test over seeds needs about {about(needed)} for each to see {100 * WORTHWHILE[0]:.1f} points with "
            f"80% power, at their sd of {100 * sd:.2f}, and chance in the sentences comes on top"
        )
    if against.adjusted_sentences <= ALPHA:
        told.append(
            f"These very models do differ (p = {against.adjusted_sentences:.3g} over sentences), which says nothing of "
            "other seeds"
        )
    return ". ".join(told) + "."


def corrected(tested: int) -> str:
    return f" after Holm's correction for {tested} rows" if tested > 1 else ""


def lost(row: Row) -> str:
    """Seeds that did not finish, as with a loss that diverges: the others are no fair sample."""
    left = len(row.unfinished)
    return (
        f"; {left} of its {len(row.records) + left} seeds did not finish, and are not counted"
        if left
        else ""
    )
