"""Several data sets in one report: who is grouped, what holds across, and the files of each."""

import csv
import json
import shutil

import numpy as np
import pytest
from finished import finished_result, record, unfinished

from nersweep import terminal
from nersweep.evaluation import stats
from nersweep.faults import UserError
from nersweep.report import sets
from nersweep.report.__main__ import main
from nersweep.report.comparison import compare
from nersweep.report.figures.files import write_differences
from nersweep.results.result import read_result, write_result
from nersweep.results.sets import Place, data_settings, group_runs, name_of

SENTENCES = 400


def run(
    data="conll2003",
    loss="focal",
    seed=1,
    right=600,
    model="minilm",
    checksum=None,
    settings=None,
):
    """A run that predicts so many of 800 entities, at places of its own, and nothing wrong."""
    correct = np.full(SENTENCES, right // SENTENCES)
    rng = np.random.default_rng([seed, right, len(data)])
    correct[rng.permutation(SENTENCES)[: right % SENTENCES]] += 1
    counts = np.stack([correct, correct, np.full(SENTENCES, 2)], axis=1)
    choice = {"loss": loss, "data": data, "model": model}
    facts = {"checksum": checksum or data, "sentences": {"train": 80}, "entities": {"PER": 9}}
    result = finished_result(
        loss,
        seed,
        float(stats.f1(counts.sum(0))),
        {"PER": 800},
        {"choice": choice, "loss": loss, "data": {"path": "x"} if settings is None else settings},
        data=facts,
    )
    confusion = np.array([[len(loss), right]])
    return record(result, counts=counts, confusion=confusion)


def of_sets(right):
    """Two seeds of each setting on each set; right: entities, by set and loss."""
    runs = []
    for data, losses in right.items():
        for loss, entities in losses.items():
            runs += [run(data, loss, seed, entities + seed) for seed in (1, 2, 3)]
    return runs


def synopsis_of(runs):
    groups = group_runs(runs)
    return sets.summarise(
        {name: compare(group, "cross_entropy", "test") for name, group in groups.items()}
    )


BASE = {"cross_entropy": 500}


def test_runs_are_grouped_by_data_and_by_encoders_of_several_settings():
    one = [run(loss=loss) for loss in ("focal", "dice")]
    assert list(group_runs(one)) == ["conll2003"]
    other = [run("wnut17"), run("wnut17", "dice", model="bert")]  # one setting each: rows
    assert {name: len(group) for name, group in group_runs([*one, *other]).items()} == {
        "conll2003": 2,
        "wnut17": 2,
    }
    other += [run("wnut17", "dice"), run("wnut17", model="bert")]
    assert list(group_runs([*one, *other])) == [
        "conll2003",
        "wnut17, minilm",
        "wnut17, bert",
    ]


def test_an_unfinished_run_is_in_the_group_of_its_data():
    there, unknown = unfinished("dice"), unfinished("dice", 2)
    there.dataset, there.encoder = "wnut17", "minilm"
    groups = group_runs([run(), run("wnut17"), unknown, there])
    assert groups["wnut17"][1:] == [there] and groups["conll2003"][1:] == [unknown]
    assert group_runs([unknown]) == {"": [unknown]}


def test_other_data_under_one_name_are_refused():
    runs = [run(loss="cross_entropy"), run(), run(seed=2, checksum="0ther"), run("wnut17")]
    with pytest.raises(UserError, match="have different data"):
        synopsis_of(runs)


def test_data_of_one_option_are_named_by_the_settings_that_differ():
    other = {"checksum": "0ther", "settings": {"path": "my/other", "files": {"dev": "dev.txt"}}}
    own = {"settings": {"path": "my-other", "files": {"dev": "dev.txt"}}}
    pending = unfinished("dice")
    pending.dataset, pending.encoder, pending.data_checksum = "conll2003", "minilm", "0ther"
    groups = group_runs([run(**own), run("wnut17"), pending, run(**other), run(seed=2, **other)])
    assert {name: len(group) for name, group in groups.items()} == {
        "conll2003 data.path=my-other": 1,
        "wnut17": 1,
        "conll2003 data.path=my/other": 3,
    }
    sections = [sets.Section(name, None) for name in groups]
    assert len({section.folder for section in sections}) == 3
    assert all("/" not in section.folder for section in sections)


def test_data_of_unknown_settings_are_named_by_their_checksum():
    archived = [run(settings={}), run(checksum="0123456789abcdef", settings={})]
    assert list(group_runs(archived)) == ["conll2003 conll200", "conll2003 01234567"]
    assert list(group_runs(archived[1:])) == ["conll2003"]


def test_a_password_is_in_no_name():
    for settings in ({"url": "http://me:secret@host"}, {"url": "http://me:word@host"}):
        assert run(settings=settings).place.settings == {"data.url": "http://me:***@host"}


def test_each_set_has_its_own_baseline_and_the_sentences_count_sets():
    better, worse = BASE | {"focal": 600, "dice": 400}, BASE | {"focal": 600, "dice": 600}
    synopsis = synopsis_of(of_sets({"a": better, "b": worse, "c": better | {"focal": 504}}))
    assert [section.name for section in synopsis.sections] == ["a", "b", "c"]
    focal, dice = synopsis.settings
    assert (focal.setting, focal.better.sets, focal.worse.sets, focal.better.of) == (
        "focal",
        2,
        0,
        3,
    )
    assert (dice.better.sets, dice.worse.sets) == (1, 2)
    for section, contrast in zip(synopsis.sections, focal.contrasts, strict=True):
        (row,) = [row for row in section.comparison.rows if row.setting == "focal"]
        assert row.contrast is contrast
    first, second = synopsis.conclusions
    assert first.startswith("focal is better than cross_entropy on at least 2 of 3 sets (p ")
    assert "and worse on at least 2 of 3 sets (p " in second


def test_of_two_sets_the_sentences_say_both_and_either():
    on_both = BASE | {"focal": 600, "dice": 501}
    first, second = synopsis_of(of_sets({"a": on_both, "b": on_both})).conclusions
    assert first.startswith("focal is better than cross_entropy on both sets (p ")
    assert second == "dice is not shown to be better or worse than cross_entropy on either set."


def test_a_setting_counts_only_the_sets_on_which_it_ran():
    runs = of_sets({"a": BASE | {"focal": 600, "dice": 500}, "b": BASE | {"focal": 600}})
    by_name = {across.setting: across for across in synopsis_of(runs).settings}
    assert by_name["focal"].better.of == 2
    dice = by_name["dice"]
    assert dice.better.of == 1 and dice.contrasts[0] is not None and dice.contrasts[1] is None
    sentence = "dice is not shown to be better or worse than cross_entropy on its only set."
    assert sentence in synopsis_of(runs).conclusions
    (row,) = [row for row in sets.table_of(synopsis_of(runs)).rows if row[0] == "dice"]
    assert row[2:] == ["–", "0 of 1", "0 of 1"]


def test_the_figure_has_a_panel_for_each_set(tmp_path):
    few = BASE | {"focal": 600, "dice": 400}
    (picture,) = write_differences(synopsis_of(of_sets(dict.fromkeys("abcd", few))), tmp_path)
    drawn = picture.svg.read_text()
    assert drawn.count('<g id="axes_') == 4
    assert write_differences(synopsis_of([run(), run("b")]), tmp_path) == []


@pytest.fixture
def sweep(runs, tmp_path):
    """A sweep of two data sets, and of a third without a finished run; no tracker has it."""
    members = []
    for data in ("news", "tweets", "letters"):
        for number, folder in enumerate(runs):
            fingerprint = f"{data}{number:03d}".ljust(64, "0")
            result = read_result(folder / "result.json")
            config = result.config | {"choice": result.choice | {"data": data}}
            result.config, result.dataset, result.fingerprint = config, data, fingerprint
            result.data.checksum = data
            place = tmp_path / "outputs" / "runs" / f"{result.name}-{fingerprint[:8]}"
            if data != "letters":
                shutil.copytree(folder, place)
                write_result(place, result)
            identity = {"setting": result.setting, "seed": result.seed, "dataset": data}
            members.append({"name": result.name, "fingerprint": fingerprint, **identity})
    file = tmp_path / "outputs" / "sweeps" / "sets" / "sweep.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"command": "python -m nersweep -m", "runs": members}))
    return file.parent


@pytest.mark.slow
def test_the_report_has_a_folder_for_each_set_and_one_page(
    sweep, monkeypatch, capsys, tmp_path, exit_code
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(terminal, "faults", [])
    assert exit_code(main) == 0
    out, folder = capsys.readouterr().out, sweep / "report"
    assert out.index("on at least") if "on at least" in out else "is not shown" in out
    assert "letters: no run has finished" in out
    for name in ("news", "tweets"):
        names = {file.name for file in (folder / name).iterdir()}
        assert {"report.md", "report.csv", "report.tex", "f1.png"} <= names
    assert not (folder / "letters").exists()
    html = (folder / "report.html").read_text()
    assert html.count('class="decision"') == 2 and html.count("<h2 class=") == 3
    ids = [part.partition('"')[0] for part in html.split(' id="')[1:]]
    assert len(ids) == len(set(ids))
    for part in html.split(' href="#')[1:]:
        assert part.partition('"')[0] in ids
    with (folder / "report.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert {line["set"] for line in lines} == {"news", "tweets"}
    assert {line["setting"] for line in lines} == {"focal-g2", "crf", "dice"}


def test_folds_of_one_corpus_are_one_set_whatever_their_seed_and_fold():
    folds = {"folds": 5, "fold": 2, "resample": True, "split_seed": 7, "share": 1.0}
    settings = data_settings(folds)
    assert settings == {"data.folds": "5", "data.resample": "true", "data.share": "1.0"}
    assert data_settings({"fold": None, "split_seed": 7}) == {
        "data.fold": "null",
        "data.split_seed": "7",
    }
    newer = Place("conll", "tiny", "a", {"data.train": "x", "data.share": "1.0"})
    older = Place("conll", "tiny", "b", {"data.train": "y"})
    assert name_of(newer, [newer, older]) == "conll data.train=x"
