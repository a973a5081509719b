"""How often the simultaneous intervals hold, how often they find a difference, what seeds it takes.

    OMP_NUM_THREADS=1 python benchmarks/coverage.py --documents test.txt --out coverage.jsonl

Five settings and a baseline run with n seeds on generated test sets of 231 documents. documents: a
file of CoNLL-2003's format, whose documents and entities are drawn with replacement; without it,
documents of generated sizes. An entity is recognised if a normal score exceeds a threshold. The
score adds up the difficulty of its document and its own, the effects of the setting on both, and
noise of each run on both; a run may also shift the threshold for all entities. Four in five of the
missed entities have a wrong one predicted in their place.

The variances of effects and of noise, the correlations of effects, and those of the noise of runs
that share a seed are those of the 30 runs of docs/results/conll2003_table.jsonl; --calibrate prints
what both vary by, --archive what the archive says. Settings 3 and 5 are the strongly weighted
losses. Seed sds above those of the archive come from shifts, which runs with one seed do not share.

Cells are appended to --out as they are ready, and those that are there are not repeated. Prints
Markdown. The standard error of a share of .05 is .007 for 1,000 trials. Intervals of fixed seeds
have 9,999 draws, so that q has the level .05 ± .002, in all trials alike.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import optimize, special

from nersweep.evaluation.conjunction import better_and_worse
from nersweep.evaluation.differences import interaction_of
from nersweep.evaluation.inference import Contrast, Verdict, infer
from nersweep.evaluation.influence import Rate, Sample, cluster_counts, measure
from nersweep.evaluation.sequential import look
from nersweep.evaluation.stats import f1
from nersweep.report.archive import unpack

ROOT = Path(__file__).parents[1]
ARCHIVE = ROOT / "docs" / "results" / "conll2003_table.jsonl"
ROWS = 5
FOUND, REPLACED = 0.836, 0.8
# Shares of the variance of a score, 1 in all: the rest is the entity's own difficulty.
DOCUMENT = 0.215  # difficulty of the document
EFFECT = 0.0050  # a setting's effect of √A = .1 points, of which
EFFECT_ON_DOCUMENT = 0.12  # this share is on documents
RUN = 0.0175  # the noise of a run of √(W·n) = .2 points, of which
RUN_ON_DOCUMENT = 0.05  # this share is on documents
# What the archive says, baseline first; the baseline's effect is 0.
EFFECT_SDS = (0.0, 0.087, 0.096, 0.487, 0.046, 0.553)  # √A, in points
EFFECT_CORRELATION = (
    (1.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    (0.0, 1.0, 0.91, 0.26, 0.17, 0.19),
    (0.0, 0.91, 1.0, 0.31, 0.20, 0.27),
    (0.0, 0.26, 0.31, 1.0, 0.11, 0.97),
    (0.0, 0.17, 0.20, 0.11, 1.0, 0.12),
    (0.0, 0.19, 0.27, 0.97, 0.12, 1.0),
)
RUN_SDS = (0.19, 0.20, 0.20, 0.25, 0.21, 0.23)  # √(W·n) of runs, in points
RUN_CORRELATION = (  # of runs that share a seed, before the threshold
    (1.0, 0.63, 0.59, 0.08, 0.80, 0.08),
    (0.63, 1.0, 0.90, 0.12, 0.63, 0.12),
    (0.59, 0.90, 1.0, 0.12, 0.63, 0.12),
    (0.08, 0.12, 0.12, 1.0, 0.08, 0.60),
    (0.80, 0.63, 0.63, 0.08, 1.0, 0.08),
    (0.08, 0.12, 0.12, 0.60, 0.08, 1.0),
)
SDS = {  # of F1 over seeds, in points, at least RUN_SDS: the rest is a shift of the threshold
    "archive": (0.0,) * 6,
    ".2": (0.2,) * 6,
    ".4": (0.4,) * 6,
    ".6": (0.6,) * 6,
    "unequal": (0.2, 0.2, 0.3, 0.4, 0.6, 0.3),
    "one unstable": (0.2, 0.2, 0.2, 0.2, 0.2, 0.8),
}
EFFECTS = (-0.62, -0.75, -8.64, 0.02, -9.48)  # of the archive
DRAWS = 9_999


def document_sizes(file: Path | None) -> np.ndarray:
    """Return the gold entities of each document, of a file or generated."""
    if file is None:
        generated = np.random.default_rng(0).negative_binomial(1.6, 1.6 / (1.6 + 24.4), 231)
        return np.maximum(generated, 1)
    _, gold = documents_of(file)
    return gold


def documents_of(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the document of each sentence, and the gold entities of each document."""
    documents: list[int] = []
    entities: list[int] = []
    for block in file.read_text(encoding="utf-8").split("\n\n"):
        lines = block.strip().split("\n")
        if lines[0].startswith("-DOCSTART-"):
            entities.append(0)
            lines = lines[1:]
        if not lines or not lines[0]:
            continue
        documents.append(len(entities) - 1)
        previous = "O"
        for line in lines:
            tag = line.split()[-1]
            if tag.startswith("B-") or (tag != "O" and previous[1:] != tag[1:]):
                entities[-1] += 1
            previous = tag
    return np.array(documents), np.array(entities)


def true_f1(threshold: float, shift: float) -> float:
    """Return F1 in points on endlessly many documents, in the mean over runs."""
    points, weights = np.polynomial.hermite_e.hermegauss(21)
    hits = special.ndtr(threshold + shift * points)
    counts = np.stack([hits, hits + REPLACED * (1 - hits), np.ones(21)], -1)
    return float(100 * np.average(f1(counts), weights=weights))


def threshold_of(score: float, shift: float) -> float:
    """Return the threshold with this true F1."""
    return float(optimize.brentq(lambda t: true_f1(t, shift) - score, -3, 4))


def shift_of(sd: float, run_sd: float, effect: float) -> float:
    """Return the sd of a run's shift that gives F1 this sd over seeds, in points."""
    level = threshold_of(true_f1(special.ndtri(FOUND), 0) + effect, 0)
    slope = (true_f1(level + 0.01, 0) - true_f1(level - 0.01, 0)) / 0.02
    return float(np.sqrt(max(sd**2 - run_sd**2, 0)) / slope)


class World:
    """Settings with given effects and seed sds, baseline first, on documents of given sizes."""

    def __init__(self, sizes: np.ndarray, sds: tuple[float, ...], effects: tuple[float, ...]):
        self.sizes = sizes
        self.truth = np.array([0.0, *effects])
        triples = zip(sds, RUN_SDS, self.truth, strict=True)
        self.shifts = np.array([shift_of(*triple) for triple in triples])
        base = true_f1(special.ndtri(FOUND), self.shifts[0])
        pairs = zip(self.shifts, self.truth, strict=True)
        self.thresholds = np.array([threshold_of(base + effect, shift) for shift, effect in pairs])
        effect_sds = np.sqrt(EFFECT) * np.array(EFFECT_SDS) / 0.1
        run_sds = np.sqrt(RUN) * np.array(RUN_SDS) / 0.2
        self.rest = np.sqrt(1 - DOCUMENT - effect_sds**2 - run_sds**2)  # (rows,)
        self.effect = effect_sds[:, None] * np.linalg.cholesky(EFFECT_CORRELATION)
        self.run = run_sds[:, None] * np.linalg.cholesky(RUN_CORRELATION)

    def samples(self, seeds: int, rng: np.random.Generator) -> list[Sample]:
        """Return the runs of all settings on one test set."""
        sizes = rng.choice(self.sizes, len(self.sizes))
        documents, rows = len(sizes), len(self.truth)
        where = np.repeat(np.arange(documents), sizes)
        filled = sizes > 0
        starts = (sizes.cumsum() - sizes)[filled]

        def noise(root: np.ndarray, share: float, repeats: int) -> np.ndarray:
            """Return noise (rows, repeats, entities), a share of its variance on documents."""
            own = normals(rng, rows, repeats * len(where))
            common = normals(rng, rows, repeats * documents)
            scaled = (np.sqrt(1 - share) * root).astype(np.float32) @ own
            scaled = scaled.reshape(rows, repeats, -1)
            of_document = (np.sqrt(share) * root).astype(np.float32) @ common
            scaled += of_document.reshape(rows, repeats, -1)[..., where]
            return scaled

        difficulty = normals(rng, 1, len(where))
        level = np.sqrt(DOCUMENT) * normals(rng, 1, documents)[:, where]
        level = level + self.rest[:, None] * difficulty + self.thresholds[:, None]
        score = noise(self.run, RUN_ON_DOCUMENT, seeds)
        score += noise(self.effect, EFFECT_ON_DOCUMENT, 1) + level[:, None]
        score += self.shifts[:, None, None] * rng.normal(size=(rows, seeds, 1))
        hits = score > 0
        replaced = hits | (rng.random(len(where)) < REPLACED)
        counts = np.zeros((rows, seeds, documents, 1, 3))
        counts[..., filled, 0, 0] = np.add.reduceat(hits, starts, -1, np.int32)
        counts[..., filled, 0, 1] = np.add.reduceat(replaced, starts, -1, np.int32)
        counts[..., 0, 2] = sizes
        samples: list[Sample] = []
        for row in range(rows):
            runs = dict(zip(range(1, seeds + 1), counts[row], strict=True))
            samples.append(measure(f"row {row}", runs, Rate()))
        return samples


def normals(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Return standard normals (rows, columns) in single precision."""
    return rng.standard_normal((rows, columns), dtype=np.float32)


def fixed_cell(world: World, seeds: int, trials: int) -> dict[str, float]:
    """Return what fixed seeds give: shares of trials, and means over like rows."""
    covered = false = found = candidates = 0.0
    width = regret = 0.0
    like = [0, 1, 3]
    for trial in range(trials):
        samples = world.samples(seeds, np.random.default_rng((trial, seeds)))
        result = infer(samples, 0.5, draws=DRAWS)
        low = np.array([contrast.low for contrast in result.contrasts])
        high = np.array([contrast.high for contrast in result.contrasts])
        truth = world.truth[1:]
        outside = (low > 0) | (high < 0)
        covered += ((low <= truth) & (truth <= high)).all()
        false += (outside & (truth == 0)).any()
        found += outside[like].mean()
        width += (high - low)[like].mean() / 2
        best = int(world.truth.argmax())
        candidates += result.standings[best].candidate
        names = [standing.name for standing in result.standings]
        regret += world.truth.max() - world.truth[names.index(result.choice)]
    sums = {"coverage": covered, "error": false, "power": found, "half": width}
    sums |= {"candidates": candidates, "regret": regret}
    return {name: float(value) / trials for name, value in sums.items()}


def sequential_cell(world: World, seeds: int, trials: int, resolution: float) -> dict[str, float]:
    """Return what looks give: family-wise error, answers, right answers and runs."""
    false = answered = runs = covered = 0.0
    for trial in range(trials):
        samples = world.samples(seeds, np.random.default_rng((trial, seeds)))
        progress = look(samples, list(range(1, seeds + 1)), resolution)
        wrong = missed = False
        longest = progress.look
        lengths: list[int] = []
        for row in range(1, ROWS + 1):
            name, truth = f"row {row}", world.truth[row]
            contrast = progress.stopped.get(name) or progress.open[name]
            outside = contrast.low > 0 or contrast.high < 0
            wrong |= outside and (truth == 0 or truth * contrast.difference < 0)
            wrong |= contrast.verdict is Verdict.SAME and abs(truth) > resolution
            missed |= not contrast.low <= truth <= contrast.high
            lengths.append(contrast.seeds)
        false += wrong
        covered += not missed
        answered += len(progress.stopped) / ROWS
        runs += sum(lengths) + longest
    sums = {"error": false, "coverage": covered, "answered": answered, "runs": runs}
    return {name: float(value) / trials for name, value in sums.items()}


def sets_cell(
    sizes: np.ndarray, sds: tuple[float, ...], seeds: int, effects: tuple[float, ...], trials: int
) -> dict[str, float]:
    """Return what is said of several test sets. effects: of all settings on each, 0 or above.

    error: the share of settings of which too much is said, better on more sets than those with an
    effect or worse on any; any_error: of trials with such a setting. bound: the mean number of sets
    on which a setting is said to be better.
    """
    worlds = [World(sizes, sds, (effect,) * ROWS) for effect in effects]
    true = sum(effect > 0 for effect in effects)
    errors = any_errors = bound = 0.0
    for trial in range(trials):
        contrasts: list[list[Contrast]] = []
        for number, world in enumerate(worlds):
            samples = world.samples(seeds, np.random.default_rng((trial, seeds, number)))
            contrasts.append(list(infer(samples, 0.5, draws=DRAWS).contrasts))
        wrong: list[bool] = []
        for of_setting in zip(*contrasts, strict=True):
            better, worse = better_and_worse(of_setting)
            wrong.append(better.sets > true or worse.sets > 0)
            bound += better.sets / ROWS
        errors += sum(wrong) / ROWS
        any_errors += any(wrong)
    sums = {"error": errors, "any_error": any_errors, "bound": bound}
    return {name: float(value) / trials for name, value in sums.items()}


def cells(seeds: list[int]) -> Iterator[tuple[str, str, int, tuple[float, ...]]]:
    """Yield the kind, seed sds, seeds and effects of each cell."""
    none = (0.0,) * ROWS
    yield "sequential", "archive", 10, EFFECTS
    for sds in SDS:
        for n in seeds:
            yield "fixed", sds, n, none
    for effect in (0.6, 1.0, 2.0):
        yield "fixed", ".2", 5, (effect,) * ROWS
    for sds in SDS:
        yield "sequential", sds, 10, none
    yield "sequential", ".2", 10, EFFECTS
    yield "sequential", ".4", 10, EFFECTS
    for true in range(4):
        yield "sets", ".2", 5, (1.0,) * true + (0.0,) * (3 - true)


def archive_samples(file: Path) -> list[Sample]:
    """Return the archive's runs by document, in the order of the simulated settings."""
    documents, _ = documents_of(file)
    counts: dict[str, dict[int, np.ndarray]] = {}
    for line in ARCHIVE.read_text(encoding="utf-8").splitlines():
        run = json.loads(line)
        name, _, seed = run["result"]["name"].rpartition("-s")
        by_document = cluster_counts(unpack(run["counts"]), documents)[:, None]
        counts.setdefault(name, {})[int(seed)] = by_document
    order = ("cross_entropy", "focal", "class", "batch", "label", "weighted")
    samples: list[Sample] = []
    for start in order:
        for name in counts:
            if name.startswith(start):
                samples.append(measure(name, counts[name], Rate()))
    return samples


def print_archive(file: Path) -> None:
    """Print what the archive's first 2, 3 and 5 seeds say."""
    whole = archive_samples(file)
    for seeds in (2, 3, 5):
        samples = [sample.first(list(range(1, seeds + 1))) for sample in whole]
        started = time.process_time()
        result = infer(samples)
        seconds = time.process_time() - started
        print(f"\n{seeds} seeds, q {result.quantile:.2f}, {seconds:.2f} s")
        for contrast, standing in zip(result.contrasts, result.standings[1:], strict=True):
            interval = f"[{contrast.low:+.2f}, {contrast.high:+.2f}]"
            figures = f"{contrast.difference:+.2f} {interval} | {contrast.p:.4f}"
            decision = f"{standing.best:.2f} | {standing.regret:.2f}"
            print(f"| {contrast.name} | {figures} | {contrast.verdict} | {decision} |")
    progress = look(whole, list(range(1, 11)), 0.5)
    for name, contrast in progress.stopped.items():
        print(f"looks: {name} stops after {contrast.seeds} seeds: {contrast.verdict}")


def print_calibration(file: Path) -> None:
    """Print the components of variance of the archive and of the simulation."""
    world = World(document_sizes(file), SDS["archive"], EFFECTS)
    sets = [archive_samples(file)]
    sets += [world.samples(5, np.random.default_rng(trial)) for trial in range(20)]
    figures = [components(samples) for samples in sets]
    for name, rows in (("archive", figures[:1]), ("simulated", figures[1:])):
        print(name, "(runs: s, √(W·n), sd over documents; differences: s, √(W·n), √A), in points")
        print(np.sqrt(np.mean(np.square(rows), 0)).round(3).T)


def components(samples: list[Sample]) -> list[list[float]]:
    """Return by setting, for runs and then for differences: s, √(W·n), and what documents do."""
    rows: list[list[float]] = []
    result = infer(samples, draws=DRAWS)
    for row, sample in enumerate(samples):
        scores = np.array(list(sample.scores.values()))
        influences = np.array(list(sample.influences.values()))
        count = influences.shape[1]
        noise = np.sqrt(len(scores) * interaction_of(influences))
        own = [scores.std(ddof=1), noise, np.sqrt(count * influences.mean(0).var(ddof=1))]
        own += [0.0, 0.0, 0.0]
        if row:
            gaps = influences - np.array(list(samples[0].influences.values()))
            contrast = result.contrasts[row - 1]
            base = np.array(list(samples[0].scores.values()))
            own[3] = (scores - base).std(ddof=1)
            own[4] = np.sqrt(len(gaps) * interaction_of(gaps))
            own[5] = np.sqrt(contrast.document_variance)
        rows.append(own)
    return rows


def run(cell: tuple[str, str, int, tuple[float, ...]], sizes: np.ndarray, trials: int):
    """Return the figures of a cell."""
    kind, sds, seeds, effects = cell
    if kind == "sets":
        return sets_cell(sizes, SDS[sds], seeds, effects, trials)
    world = World(sizes, SDS[sds], effects)
    if kind == "fixed":
        return fixed_cell(world, seeds, trials)
    return sequential_cell(world, seeds, trials, 0.5)


def main(documents: Path | None, out: Path, trials: int, seeds: list[int], kinds: list[str]):
    sizes = document_sizes(documents)
    ready: dict[str, dict[str, float]] = {}
    if out.exists():
        for line in out.read_text(encoding="utf-8").splitlines():
            values = json.loads(line)
            ready[values["cell"]] = values["figures"]
    for cell in cells(seeds):
        key = json.dumps([*cell, trials])
        if cell[0] not in kinds:
            continue
        if key not in ready:
            ready[key] = run(cell, sizes, trials)
            with out.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"cell": key, "figures": ready[key]}) + "\n")
        kind, sds, n, effects = cell
        figures = ", ".join(f"{name} {value:.3f}" for name, value in ready[key].items())
        print(f"| {kind} | {sds} | {n} | {effects} | {figures} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=Path)
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--archive", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("coverage.jsonl"))
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 5, 8, 10])
    parser.add_argument("--kinds", nargs="+", default=["fixed", "sequential", "sets"])
    options = vars(parser.parse_args())
    calibrate, archive = options.pop("calibrate"), options.pop("archive")
    if calibrate:
        print_calibration(options["documents"])
    elif archive:
        print_archive(options["documents"])
    else:
        main(**options)
