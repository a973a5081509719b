"""Each rule fires within its bound and not at it, and what is recommended can be run."""

import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hydra._internal.utils import get_args_parser

from nersweep.command import line
from nersweep.config import check
from nersweep.config import schema as sections
from nersweep.config.compose import Composer
from nersweep.diagnosis.imbalance import Diagnosis, Unseen
from nersweep.diagnosis.recommendation import (
    ALWAYS,
    CONLL,
    CRF,
    RULES,
    Finding,
    examine,
    findings,
    recommend,
)
from nersweep.run import plan

ROOT = Path(__file__).parents[2]
NONE_UNSEEN = Unseen(0, 0, 0)


def diagnosis(*entity_words, **changes):
    """Of classes with so many words each; nothing else is odd about it."""
    classes = ("O", *(f"B-{i}" for i in range(len(entity_words))))
    counts = np.array([10_000, *entity_words])
    quiet = Diagnosis(
        classes=classes,
        counts=dict.fromkeys(("train", "dev", "test"), counts),
        batch_size=32,
        absent=np.zeros(len(classes)),
        absent_balanced=np.zeros(len(classes)),
        batch_enough=1,
        unseen={"dev": NONE_UNSEEN, "test": NONE_UNSEEN},
        entity_words={1: sum(entity_words)},
        other_type=0.0,
        untagged=0.0,
        repeated=0,
        repeated_differing=0,
        copied={"dev": 0.0, "test": 0.0},
    )
    return replace(quiet, **changes)


MIDDLING = (2000, 100)  # 20 times, and no rule for it
WITHIN_AND_AT = {
    "even classes, by ratio": (diagnosis(3507, 501), diagnosis(3508, 501)),
    "even classes, by words": (diagnosis(3000, 501), diagnosis(3000, 500)),
    "rare classes, by words": (diagnosis(900, 99), diagnosis(900, 100)),
    "rare classes, by ratio": (diagnosis(2001, 100), diagnosis(2000, 100)),
    "absent from batches": tuple(
        diagnosis(*MIDDLING, absent=np.array([0, 0, x])) for x in (0.51, 0.5)
    ),
    "new names, of dev": tuple(
        diagnosis(*MIDDLING, unseen={"dev": Unseen(1, 1, x), "test": NONE_UNSEEN})
        for x in (0.81, 0.8)
    ),
    "new names, of test": tuple(
        diagnosis(*MIDDLING, unseen={"dev": NONE_UNSEEN, "test": Unseen(1, 1, x)})
        for x in (0.81, 0.8)
    ),
    "ambiguous names": tuple(diagnosis(*MIDDLING, other_type=x) for x in (0.051, 0.05)),
    "noisy labels, by name": tuple(diagnosis(*MIDDLING, untagged=x) for x in (0.011, 0.01)),
    "noisy labels, by sentence": tuple(
        diagnosis(*MIDDLING, repeated=20, repeated_differing=x) for x in (3, 2)
    ),
    "noisy labels, by enough sentences": tuple(
        diagnosis(*MIDDLING, repeated=x, repeated_differing=x) for x in (10, 9)
    ),
}


@pytest.mark.parametrize("case", WITHIN_AND_AT)
def test_a_rule_fires_within_its_bound_and_not_at_it(case):
    within, at = WITHIN_AND_AT[case]
    assert [finding.name for finding in findings(within)] == [case.partition(",")[0]]
    assert findings(at) == []


def test_a_finding_tells_the_statistic_that_fired_it():
    (rare,) = findings(diagnosis(900, 99))
    assert "B-1, has 99 words" in rare.statistic and "above 20" not in rare.statistic
    (rare,) = findings(diagnosis(2001, 100))
    assert "20.0 times" in rare.statistic and "below 100" not in rare.statistic
    (absent,) = findings(diagnosis(*MIDDLING, absent=np.array([0, 0.6, 0.75]), batch_enough=77))
    assert "B-1 is absent from 75.0%" in absent.statistic and "1 other" in absent.statistic
    assert "train.batch_size=77" in absent.hypothesis


def test_the_evidence_of_conll_is_that_of_the_archive():
    report = (ROOT / "docs" / "results" / "conll2003_table" / "report.md").read_text("utf-8")
    for loss, name in {
        "label_smoothing": "label\\_smoothing-ls0.1",
        "focal": "focal-g2",
        "inverse weights": "weighted\\_cross\\_entropy-inverse",
    }.items():
        (line,) = (line for line in report.splitlines() if line.startswith(f"- {name} is "))
        numbers = re.findall(r"[+−]\d+\.\d\d", line)[:3]
        assert f"{loss} {numbers[0]} [{numbers[1]}, {numbers[2]}]" in CONLL


@pytest.mark.parametrize("ambiguity", [0, 0.15])
@pytest.mark.parametrize("noise", [0, 0.05, 0.1])
def test_names_outside_of_entities_tell_noise_from_ambiguity(noise, ambiguity):
    result = generated(ambiguity, noise)
    fired = [finding.name for finding in findings(result)]
    assert ("noisy labels" in fired) == (noise > 0)
    assert ("ambiguous names" in fired) == (ambiguity > 0)


def generated(ambiguity: float, noise: float) -> Diagnosis:
    sections.register()
    overrides = [f"data.ambiguity={ambiguity}", f"data.label_noise={noise}"]
    with Composer() as composer:
        parts = check.check_overrides(composer, overrides).parts
    return examine(parts, plan.learn(parts, seed=1), batch_size=32)


def outcomes() -> list[list[Finding]]:
    """All combinations of findings: each rule fires or not, but never both even and rare."""
    one_each = [within for within, _ in WITHIN_AND_AT.values()]
    of_rule = {rule: next(f for d in one_each if (f := rule(d))) for rule in RULES}
    subsets = [
        [of_rule[rule] for rule, on in zip(RULES, ons, strict=True) if on]
        for ons in product((0, 1), repeat=len(RULES))
    ]
    return [
        outcome
        for outcome in subsets
        if not {"even classes", "rare classes"} <= {f.name for f in outcome}
    ]


def test_a_sweep_has_at_most_six_settings_and_cross_entropy_and_smoothing_always():
    assert len(outcomes()) == 48
    for outcome in outcomes():
        sweep = recommend(outcome, "token")
        assert tuple(sweep[:2]) == ALWAYS and len(set(sweep)) == len(sweep) <= 6
        assert set(recommend(outcome, "span")) == set(sweep) - {CRF}


@pytest.mark.parametrize("head", [[], ["head=span"], ["head.decode=viterbi"]], ids=" ".join)
def test_each_setting_is_a_run_without_faults(head):
    sections.register()
    chosen = "span" if "head=span" in head else "token"
    every = {setting for outcome in outcomes() for setting in recommend(outcome, chosen)}
    assert len(every) == 6 + (chosen == "token")
    for setting in every:
        if setting == CRF and head == ["head.decode=viterbi"]:
            continue
        read = line.read(get_args_parser().parse_args([*setting, *head]))
        assert read.faults == [] and len(read.runs) == 1


# Share of O, the largest class over the smallest, the same of entity classes, percent of test
# entities with new names; the rules that fire.
REFERENCE = {
    "conll2003": (0.833, 147, 6.2, None, ["even classes"]),
    "wnut17": (
        0.950,
        1295,
        14,
        98,
        ["rare classes", "absent from batches", "new names", "noisy labels"],
    ),
    "cluener": (0.733, 262, 10, None, ["noisy labels"]),
}


@pytest.mark.parametrize("name", REFERENCE)
def test_the_figures_of_known_data(name, local_data):
    o_share, ratio, entity_ratio, unseen, names = REFERENCE[name]
    sections.register()
    with Composer() as composer:
        parts = check.check_overrides(
            composer, [f"data={name}", f"data.path={local_data(name)}"]
        ).parts
    result = examine(parts, plan.learn(parts, seed=1), batch_size=32)
    assert result.o_share == pytest.approx(o_share, abs=0.001)
    assert round(result.ratio) == ratio
    assert result.entity_ratio == pytest.approx(
        entity_ratio, abs=0.4 if entity_ratio >= 10 else 0.05
    )
    assert unseen is None or round(100 * result.unseen["test"].any_case) == unseen
    assert [finding.name for finding in findings(result)] == names
