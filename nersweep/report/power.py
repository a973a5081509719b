"""How many seeds it takes to detect a difference."""

from nersweep.evaluation import stats

ALPHA = 0.05  # level of all tests
WORTHWHILE = (0.003, 0.005, 0.01)  # differences of F1 worth detecting: 0.3 points and more


def seeds_to_detect(difference: float, sd: float, tested: int) -> int:
    """Return how many seeds a row needs to detect a difference of F1 with 80% power.

    tested: rows that are tested, by which the level is divided. As many as a t test needs, and no
    fewer than the sign-flip test needs to reach that level. To be called better or worse, a row
    must also stand against chance in the sentences, which takes more.
    """
    level = ALPHA / tested
    fewest = 2
    while fewest <= stats.EXACT and stats.smallest_p(fewest) > level:
        fewest += 1
    if sd <= 0:
        return fewest
    return max(fewest, stats.seeds_needed(sd, difference, alpha=level))


def approximately(seeds: int) -> str:
    """Return two digits of a number of seeds: the sd of a few seeds supports no more."""
    return f"{float(f'{seeds:.2g}'):,.0f}"


def holm_suffix(tested: int) -> str:
    """Return the words that follow a p value which was corrected for several rows."""
    return f" after Holm's correction for {tested} rows" if tested > 1 else ""
