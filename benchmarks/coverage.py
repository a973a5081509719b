"""How often the 95% intervals over seeds contain the truth, and how wide they are.

    OMP_NUM_THREADS=1 python benchmarks/coverage.py --trials 1000

Two settings of equal true F1 run with n seeds on a generated test set as large as that of
CoNLL-2003: 3,453 sentences, 1.64 entities per sentence on average, F1 about 91.8. An entity is
recognised if a normal score exceeds a threshold. The score adds up the difficulty of the sentence
and of the entity, the effect of the setting on them, and noise of each run; a run may also shift
the threshold for all entities. Runs thus differ for two reasons: noise on single entities averages
out over more sentences, a run that is better as a whole stays better. Four in five of the entities
that are missed have a wrong one predicted in their place.

Prints Markdown: the share of intervals that contain the truth and their mean width in points, for
the mean F1 of a setting over all seeds and sentences, and for the difference of two settings. The
standard error of a share near .95 is .007 for 1,000 trials.
"""

import argparse

import numpy as np
from scipy import special

from nersweep.evaluation.stats import (
    bootstrap_interval,
    f1,
    interval_of_mean,
    resampled_f1,
    student_interval,
)

SENTENCES, ENTITIES = 3453, 1.64
FOUND, REPLACED = (
    0.915,
    0.8,
)  # share of entities found; of the others, share with a wrong one in their place
SETTING = 0.03  # variance of the score that is the setting's own, of 1 in all
# Why seeds differ -> variance of the score that is chance, sd of the threshold over runs.
CAUSES = {
    "chance in entities": (0.08, 0.0),
    "better and worse runs": (0.01, 0.0115),
    "unstable training": (0.03, 0.04),
}
INTERVALS = {
    "bootstrap": lambda resampled, scores: bootstrap_interval(resampled),
    "Student": student_interval,
    "t over seeds": lambda resampled, scores: interval_of_mean(scores),
}


def two_settings(rng: np.random.Generator, seeds: int, chance: float, shift: float) -> np.ndarray:
    """Counts (2, seeds, sentences, 3)."""
    gold = rng.negative_binomial(2, 2 / (2 + ENTITIES), SENTENCES)
    where = np.repeat(np.arange(SENTENCES), gold)  # the sentence of each entity
    hard = np.sqrt(0.3) * rng.normal(size=SENTENCES)[where] + np.sqrt(0.7) * rng.normal(
        size=len(where)
    )
    replaced = rng.random(len(where)) < REPLACED
    counts = np.zeros((2, seeds, SENTENCES, 3))
    for setting in counts:
        common = np.sqrt(1 - chance - SETTING) * hard + np.sqrt(SETTING) * rng.normal(
            size=len(where)
        )
        for run in setting:
            score = common + np.sqrt(chance) * rng.normal(size=len(where))
            hits = score + special.ndtri(FOUND) + shift * rng.normal() > 0
            run[:, 0] = np.bincount(where, hits, SENTENCES)
            run[:, 1] = np.bincount(where, hits | replaced, SENTENCES)
            run[:, 2] = gold
    return counts


def true_f1(shift: float) -> float:
    """The mean over runs of F1 on endlessly many sentences."""
    points, weights = np.polynomial.hermite_e.hermegauss(21)
    hits = special.ndtr(special.ndtri(FOUND) + shift * points)
    return float(
        np.average(
            f1(np.stack([hits, hits + REPLACED * (1 - hits), np.ones(21)], -1)), weights=weights
        )
    )


def main(trials: int, seeds: list[int]) -> None:
    names = [f"{what}, {name}" for what in ("mean", "difference") for name in INTERVALS]
    print(f"| why seeds differ | sd | seeds | {' | '.join(names)} |")
    print("|---" * (3 + len(names)) + "|")
    for cause, (chance, shift) in CAUSES.items():
        for n in seeds:
            held, widths, variances = np.zeros(len(names)), np.zeros(len(names)), 0.0
            for trial in range(trials):
                counts = two_settings(np.random.default_rng(trial), n, chance, shift)
                resampled, scores = resampled_f1(counts, seed=trial), f1(counts.sum(-2))
                variances += scores.var(1, ddof=1).mean() / trials
                cases = [(resampled[:, 0], scores[0], true_f1(shift))]
                cases.append((resampled[:, 1] - resampled[:, 0], scores[1] - scores[0], 0.0))
                hits = [
                    (*interval(*case[:2]), case[2])
                    for case in cases
                    for interval in INTERVALS.values()
                ]
                low, high, truth = np.transpose(hits)
                held += (low <= truth) & (truth <= high)
                widths += 100 * (high - low)
            cells = [
                f"{h / trials:.3f} ({w / trials:.2f})" for h, w in zip(held, widths, strict=True)
            ]
            print(
                f"| {cause} | {100 * variances**0.5:.2f} | {n} | {' | '.join(cells)} |", flush=True
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 5, 10])
    main(**vars(parser.parse_args()))
