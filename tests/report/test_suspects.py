"""Suspects: votes and doubts by hand, the files to review, and corrections made of them."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from nersweep import suspects as cli
from nersweep.data.corpus import Corpus, Sentence
from nersweep.data.corrections import correct, read_corrections
from nersweep.labels import LabelSet, spans, tags_from_spans
from nersweep.report import page, review
from nersweep.report.disagreements import Disagreements, Entity
from nersweep.report.predictions import TaggedSplit
from nersweep.report.suspects import Scored, doubts, find_suspects, suspects_of
from nersweep.results.probabilities import file_of, read_probabilities, write_probabilities

SCRIPT = "<script>alert(1)</script>"  # a word of the data
LABELS = LabelSet(["LOC", "PER"])
WORDS = ["Old", "Lund", "fell", "Ann", "Lee", "left"]
LENGTHS = np.array([3, 3])
GOLD = ["B-LOC", "O", "O", "B-PER", "I-PER", "O"]


def scored(tags, gold, predicted=0.9):
    """A run with these tags. gold: probabilities of the gold labels; predicted: of its own."""
    split = TaggedSplit(LABELS, WORDS, LENGTHS, GOLD, tags, None)
    return Scored("run", split, np.array(gold), np.full(6, predicted))


def test_a_suspect_is_what_most_runs_say_alike():
    wider = ["B-LOC", "I-LOC", "O", "B-PER", "I-PER", "O"]
    missing = ["B-LOC", "I-LOC", "O", "O", "O", "O"]
    p = [0.9, 0.1, 0.9, 0.6, 0.6, 0.9]
    runs = [scored(wider, p, 0.8), scored(missing, p, 0.6), scored(GOLD, p, p)]
    (suspect,) = suspects_of(runs)
    assert (suspect.number, suspect.words) == (1, ("Old", "Lund", "fell"))
    assert suspect.gold == (Entity(0, 1, "LOC"),)
    assert suspect.proposed == (Entity(0, 2, "LOC"),)
    assert (suspect.agree, suspect.runs) == (2, 3)
    assert suspect.confidence == pytest.approx(0.7)
    of_o, of_new = (0.1 + 0.9 + 0.9) / 3, sum(p) / 6  # I-LOC is no gold label
    margins = [(0.8 - of_new) - (0.1 - of_o), (0.6 - of_new) - (0.1 - of_o), 0]
    assert suspect.doubt == pytest.approx(sum(margins) / 3)  # of the second word alone
    first, second = suspects_of(runs[1:2])
    assert second.gold == (Entity(0, 2, "PER"),) and second.proposed == ()
    both = doubts(runs[1])[3:5]
    assert first.doubt == pytest.approx(margins[1]) and second.doubt == pytest.approx(min(both))
    assert len(suspects_of(runs[:2])) == 1  # one of two is not most
    assert suspects_of(runs[2:]) == []


def sentences_of(split, tags):
    starts = split.ends - split.lengths
    for start, end in zip(starts, split.ends, strict=True):
        yield tuple(split.words[start:end]), tuple(tags[start:end])


@pytest.fixture
def suspects(comparison):
    return find_suspects(comparison.records[:1], 1000)


def test_all_corrections_of_a_run_make_gold_what_it_predicts(comparison, suspects, tmp_path):
    split = comparison.records[0].predictions()
    test = [Sentence(*pair) for pair in sentences_of(split, split.gold_tags)]
    file = tmp_path / "corrections.jsonl"
    lines = [review.correction_line(suspect) + "\n" for suspect in suspects]
    file.write_text("".join(lines), encoding="utf-8")
    corrected = correct(Corpus("mine", "", [], [], test), read_corrections(file), file).test
    assert corrected != test
    for sentence, (_, tags) in zip(corrected, sentences_of(split, split.tags), strict=True):
        assert list(sentence.tags) == tags_from_spans(spans(tags), len(tags))
    order = [suspect.doubt for suspect in suspects]
    assert order == sorted(order, reverse=True)
    assert find_suspects(comparison.records[:1], 3) == suspects[:3]


def copy_of(record, folder, sentences):
    """A record with the first sentences of its test split alone, as of another fold."""
    copy = shutil.copytree(record.folder, folder)
    file = copy / "predictions" / "test.conll"
    blocks = file.read_text(encoding="utf-8").strip().split("\n\n")[:sentences]
    file.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    words = "\n".join(blocks).count("\n") + 1
    everything = np.load(file_of(record.folder, "test"))
    write_probabilities(copy, "test", everything[:, :words])
    return replace(record, folder=copy)


def test_runs_of_other_sentences_add_their_suspects_once(comparison, suspects, tmp_path):
    record = comparison.records[0]
    part = copy_of(record, tmp_path / "part", 20)
    of_part = find_suspects([part], 1000)
    assert 0 < len(of_part) < len(suspects)
    assert all(suspect.number <= 20 for suspect in of_part)
    both = find_suspects([record, part], 1000)
    assert {review.correction_line(suspect) for suspect in both} == {
        review.correction_line(suspect) for suspect in suspects
    }


def test_runs_without_probabilities_have_none(comparison, tmp_path):
    copy = shutil.copytree(comparison.records[0].folder, tmp_path / "old")
    file_of(copy, "test").unlink()
    assert find_suspects([replace(comparison.records[0], folder=copy)], 9) == []
    assert find_suspects([replace(comparison.records[0], folder=None)], 9) == []


@pytest.mark.parametrize("content", [b"", b"no array", np.zeros((2, 3), dtype=np.float32)])
def test_damaged_probabilities_are_a_fault(tmp_path, content):
    write_probabilities(tmp_path, "test", np.zeros((2, 4)))
    assert read_probabilities(tmp_path, "test", 4).shape == (2, 4)
    if isinstance(content, bytes):
        file_of(tmp_path, "test").write_bytes(content)
    else:
        write_probabilities(tmp_path, "test", content)
    with pytest.raises(ValueError, match=r"test\.probabilities\.npy"):
        read_probabilities(tmp_path, "test", 4)


def test_the_report_shows_them_beside_gold(comparison, suspects):
    part = page.Part(comparison, Disagreements(), [], suspects=suspects)
    html = page.page([part], "", "")
    assert html.count("<dt>1 of 1 run, p = ") == len(suspects)
    assert "Perhaps mislabelled" not in page.page([replace(part, suspects=[])], "", "")


def test_the_command_writes_a_table_and_a_page(runs, tmp_path, exit_code, capsys):
    output_dir = runs[0].parents[1]
    (original,) = (output_dir / "runs").iterdir()
    result = json.loads((original / "result.json").read_text(encoding="utf-8"))
    member = {name: result[name] for name in ("name", "fingerprint", "setting", "seed")}
    sweep = output_dir / "sweeps" / "one"
    sweep.mkdir(parents=True)
    (sweep / "sweep.json").write_text(json.dumps({"command": "", "runs": [member]}))
    arguments = ["sweep=one", f"output_dir={output_dir}", f"folder={tmp_path}"]
    assert exit_code(cli.main, *arguments) == 0
    rows = list(csv.DictReader((tmp_path / "suspects.csv").open(encoding="utf-8")))
    html = (tmp_path / "suspects.html").read_text(encoding="utf-8")
    assert rows and html.count("data-correction=") == len(rows)
    assert SCRIPT not in html and any(SCRIPT in row["sentence"] for row in rows)
    for name, value in (("limit", "0"), ("split", "train")):
        assert exit_code(cli.main, *arguments, f"{name}={value}") == 1
        assert f"{name}={value}: must be" in capsys.readouterr().err


def test_a_table_holds_no_formula(suspects):
    suspect = replace(suspects[0], words=("=1+1", "x"), gold=(), proposed=(Entity(0, 1, "LOC"),))
    _, line = review.comma_separated([suspect]).splitlines()
    (row,) = csv.reader([line])
    assert "'=1+1 [LOC]" in row and row[-1] == "'=1+1 x"
