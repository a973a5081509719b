"""A comparison whose data are hostile, with known predictions."""

import random
import shutil
from dataclasses import replace

import pytest

from nersweep import __main__ as cli
from nersweep.report.comparison import compare
from nersweep.report.predictions import read_predictions
from nersweep.report.records import read_run
from nersweep.results.counts import write_counts
from nersweep.results.result import FinishedResult, read_result, write_result

SCRIPT = "<script>alert(1)</script>"
TYPES = ["LOC", "ORG", "</style><b>PER"]
WORDS = [
    SCRIPT,
    "'\"><img",
    "src=x",
    "onerror=alert(1)>",
    "{{7*7}}",
    "&amp;",
    "<!--",
    "]]>",
    "Ada",
    "met",
    "Bob",
    ".",
]
SETTINGS = ["cross_entropy", "focal-g2", "crf", "dice"]
SEEDS = (1, 2)


def sentence(rng):
    """Words with their tags: entities of one to three words among others."""
    rows = []
    while len(rows) < 12:
        type_ = rng.choice([None, None, *TYPES])
        size = 1 if type_ is None else rng.randint(1, 3)
        tags = ["O"] if type_ is None else [f"B-{type_}"] + [f"I-{type_}"] * (size - 1)
        rows += [(rng.choice(WORDS), tag) for tag in tags]
    return rows


def with_mistakes(tags, rng):
    """Tags, some of them changed."""
    others = ["O", *(f"B-{type_}" for type_ in TYPES)]
    return [rng.choice(others) if rng.random() < 0.06 else tag for tag in tags]


@pytest.fixture(scope="session")
def runs(tmp_path_factory, exit_code):
    """Folders of finished runs, four settings × two seeds: a real run with other predictions."""
    folder, rng = tmp_path_factory.mktemp("harm"), random.Random(1)
    corpora = {split: [sentence(rng) for _ in range(40)] for split in ("train", "dev", "test")}
    for split, sentences in corpora.items():
        blocks = ["".join(f"{word} {tag}\n" for word, tag in rows) for rows in sentences]
        (folder / f"{split}.txt").write_text("\n".join(blocks), encoding="utf-8")
    overrides = [
        "data=conll",
        *(f"data.{split}={folder}/{split}.txt" for split in corpora),
        f"output_dir={folder}",
    ]
    small = ["model.hidden=8", "model.layers=1", "model.heads=2", "train.epochs=1", "device=cpu"]
    assert exit_code(cli.main, *overrides, *small) == 0
    (original,) = (folder / "runs").iterdir()
    folders = []
    for setting in SETTINGS:
        for seed in SEEDS:
            copy = shutil.copytree(original, folder / "copies" / f"{setting}-s{seed}")
            result = read_result(copy / "result.json")
            assert isinstance(result, FinishedResult)
            result.name, result.setting, result.seed = copy.name, setting, seed
            result.config |= {"seed": seed, "loss": setting}
            result.test = replace(result.test, f1=rng.random())
            write_result(copy, result)
            blocks = []
            for rows in corpora["test"]:
                tags = with_mistakes([tag for _, tag in rows], rng)
                lines = [
                    f"{word} {gold} {tag}\n" for (word, gold), tag in zip(rows, tags, strict=True)
                ]
                blocks.append("".join(lines))
            (copy / "predictions" / "test.conll").write_text("\n".join(blocks), encoding="utf-8")
            counts = {}
            for split in ("dev", "test"):
                sentences = read_predictions(copy, split, TYPES).sentence_counts
                counts[split] = replace(sentences, marked=False)
            write_counts(copy, counts)
            folders.append(copy)
    return folders


@pytest.fixture(scope="session")
def comparison(runs):
    return compare([read_run(folder, "test") for folder in runs], "cross_entropy", "test")
