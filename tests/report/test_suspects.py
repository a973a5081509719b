"""Sentences that runs contradict alike, against votes counted one by one."""

from collections import Counter
from dataclasses import replace

import pytest

from nersweep.report import page
from nersweep.report.disagreements import Disagreements
from nersweep.report.suspects import find_suspects


def by_hand(comparison, least):
    """{sentence: (entities with how many runs agree)} by loops over words."""
    splits = [record.predictions() for record in comparison.records]
    split = splits[0]
    gold = {tuple(row) for row in split.gold.tolist()}
    runs = [{tuple(row) for row in each.predicted.tolist()} for each in splits]
    votes = Counter(entity for run in runs for entity in run if entity not in gold)
    for start, end, type_ in gold:
        silent = [not any(a < end and start < b for a, b, _ in run) for run in runs]
        votes[start, end, type_] = sum(silent)
    result, first = {}, 0
    for number, length in enumerate(split.lengths.tolist(), 1):
        for (start, end, type_), count in votes.items():
            if count >= least and first <= start < first + length:
                entity = (start - first, end - first, split.labels.types[type_ - 1])
                result.setdefault(number, {})[entity] = count
        first += length
    return result


@pytest.mark.parametrize("agreement", [0.2, 0.3])
def test_suspects_are_what_enough_runs_say_alike(comparison, monkeypatch, agreement):
    monkeypatch.setattr("nersweep.report.suspects.AGREEMENT", agreement)
    assert len(comparison.records) == 8
    expected = by_hand(comparison, {0.2: 2, 0.3: 3}[agreement])
    suspects = find_suspects(comparison, limit=1000)
    assert suspects and len(suspects) == len(expected)
    for suspect in suspects:
        entities = expected[suspect.number]
        assert {entity[:3] for entity in suspect.entities} == entities.keys()
        assert suspect.runs == min(entities.values())
        gold = {entity[:3] for entity in suspect.gold}
        for entity in suspect.entities:
            assert (entity.error == "missed") == (entity[:3] in gold)
    runs = [suspect.runs for suspect in suspects]
    assert runs == sorted(runs, reverse=True)
    assert find_suspects(comparison, limit=1) == suspects[:1]


def test_few_runs_and_an_archive_give_none(comparison, monkeypatch):
    monkeypatch.setattr("nersweep.report.suspects.AGREEMENT", 0.2)
    (row, *_) = comparison.rows
    assert find_suspects(replace(comparison, rows=(row,))) == []  # two runs
    rows = []
    for row in comparison.rows:
        archived = tuple(replace(record, folder=None) for record in row.records)
        rows.append(replace(row, records=archived))
    assert find_suspects(replace(comparison, rows=tuple(rows))) == []


def test_the_page_shows_them_beside_gold_with_the_runs(comparison, monkeypatch):
    monkeypatch.setattr("nersweep.report.suspects.AGREEMENT", 0.2)
    suspects = find_suspects(comparison)
    part = page.Part(comparison, Disagreements(), [], suspects=suspects)
    html = page.page([part], "", "")
    assert html.count('<div class="line"') == 2 * len(suspects)
    for suspect in suspects:
        assert f"<dt>{suspect.runs} of 8 runs" in html
    assert "Perhaps mislabelled" not in page.page([replace(part, suspects=[])], "", "")
