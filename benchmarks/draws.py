"""How often intervals over drawn splits hold the truth: folds, and new draws for each seed.

A corpus has 200 documents. A document adds to the difference of two settings where it is tested,
with a standard deviation of 10 points over documents, and where it is trained on, with that of
--train; a run adds chance of .1 points. Both effects have the mean 0, which is the truth. Prints
the share of corpora whose interval holds it, with the variance (1/n + ρ)·s² and with s²/n.

    OMP_NUM_THREADS=1 python benchmarks/draws.py
"""

import argparse

import numpy as np

from nersweep.evaluation.inference import infer
from nersweep.evaluation.influence import Sample

DOCUMENTS, DOCUMENT_SD, RUN_SD = 200, 10.0, 0.1
FOLDS, SHARE = 5, 0.1  # of dev, and of the test split of a resample
WORLDS = (("resample", 3), ("resample", 5), ("resample", 10), ("folds", 1), ("folds", 3))


def differences(kind: str, seeds: int, train_sd: float, rng) -> tuple[list[float], float]:
    """Return the difference of each run on one corpus, and ρ."""
    tested = DOCUMENT_SD * rng.normal(size=DOCUMENTS)
    trained = train_sd * rng.normal(size=DOCUMENTS)
    held_out = int(SHARE * DOCUMENTS)
    order = rng.permutation(DOCUMENTS)
    gaps: list[float] = []
    for _ in range(seeds):
        if kind == "resample":
            order = rng.permutation(DOCUMENTS)
            parts = [order[:held_out]]
        else:
            parts = np.array_split(order, FOLDS)
        for test in parts:
            train = order[~np.isin(order, test)][held_out:]
            gaps.append(tested[test].mean() + trained[train].mean() + RUN_SD * rng.normal())
    return gaps, len(test) / len(train)


def holds(gaps: list[float], overlap: float) -> bool:
    """Return whether the interval of the difference holds 0. overlap: ρ, 0 for s²/n."""
    samples: list[Sample] = []
    for name, scores in (("a", [0.0] * len(gaps)), ("b", gaps)):
        by_run = dict(enumerate(scores))
        samples.append(Sample(name, by_run, dict.fromkeys(by_run, np.zeros(2)), overlap))
    (contrast,) = infer(samples, draws=4999).contrasts
    return contrast.low <= 0 <= contrast.high


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--train", type=float, nargs="+", default=[0.0, 10.0, 30.0])
    options = parser.parse_args()
    print("| splits | seeds | sd of training | (1/n + ρ)·s² | s²/n |\n|---|---|---|---|---|")
    for kind, seeds in WORLDS:
        for train_sd in options.train:
            rng = np.random.default_rng(0)
            corrected = plain = 0
            for _ in range(options.trials):
                gaps, overlap = differences(kind, seeds, train_sd, rng)
                corrected += holds(gaps, overlap)
                plain += holds(gaps, 0.0)
            shares = f"{corrected / options.trials:.3f} | {plain / options.trials:.3f}"
            print(f"| {kind} | {seeds} | {train_sd:g} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
