"""Data sets of the hub's library in folders."""

import json

import datasets
import pytest

from nersweep.data.corpus import types_of
from nersweep.data.hub import HubData, HubError, refuse_outside
from nersweep.labels import spans

TOKENS = [["Tessa", "sang"], ["New", "Lund"], ["Mira", "Holm", "Lund"]] * 10
TAGS = [["B-PER", "O"], ["B-LOC", "I-LOC"], ["B-PER", "I-PER", "B-LOC"]] * 10  # 20 PER, 20 LOC
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def part(labels=LABELS, **columns):
    names = datasets.List(datasets.ClassLabel(names=labels))
    features = {"tokens": datasets.List(datasets.Value("string")), "ner_tags": names}
    for name in columns:
        features[name] = datasets.Value("string")
    numbers = [[labels.index(tag) for tag in tags] for tags in TAGS]
    rows = {"tokens": TOKENS, "ner_tags": numbers, **columns}
    return datasets.Dataset.from_dict(rows, features=datasets.Features(features))


def entities(sentences):
    counts = {}
    for sentence in sentences:
        for _, _, type_ in spans(sentence.tags):
            counts[type_] = counts.get(type_, 0) + 1
    return counts


@pytest.fixture
def folder(tmp_path):
    """A folder whose splits number the labels in different orders."""
    splits = {
        "train": part(),
        "validation": part(LABELS[::-1]),
        "gold": part(LABELS[2:] + LABELS[:2]),
    }
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "set")
    return tmp_path / "set"


def test_labels_have_their_own_names_in_each_split(folder):
    data = HubData(name=str(folder), splits={"train": "train", "dev": "validation", "test": "gold"})
    corpus = data.load()
    for sentences in corpus.splits().values():
        assert entities(sentences) == {"PER": 20, "LOC": 20}
        assert [list(s.words) for s in sentences] == TOKENS
    assert any("words in tokens, tags in ner_tags" in note for note in corpus.notes)


def test_splits_are_guessed_and_the_others_drawn(folder):
    corpus = HubData(name=str(folder)).load()
    assert [len(s) for s in corpus.splits().values()] == [27, 30, 3]
    assert types_of(corpus.test) == {"PER", "LOC"}


def test_one_split_is_enough_and_a_column_of_documents_counts(tmp_path):
    part(doc_id=[f"d{i // 3}" for i in range(30)]).save_to_disk(tmp_path / "set")
    corpus = HubData(name=str(tmp_path / "set")).load()
    ids = [{s.document for s in sentences} for sentences in corpus.splits().values()]
    assert sum(map(len, ids)) == len(set().union(*ids)) == 10


def test_faults_of_splits_columns_and_folders(folder, tmp_path, faults_of):
    def fault_of(**settings):
        (fault,) = faults_of(lambda: HubData(**{"name": str(folder)} | settings).load())
        return fault

    fault = fault_of(dev_share=0.2)
    assert (fault.setting, fault.value) == ("data.dev_share", 0.2)
    fault = fault_of(splits={"train": "train", "dev": "dev"})
    assert fault.setting == "data.splits" and "it has train, validation, gold" in fault.remedy
    assert fault_of(splits={"train": "train", "gold": "gold"}).setting == "splits"
    assert fault_of(columns={"tag": "ner"}).setting == "data.columns.tag"
    fault = fault_of(name=str(tmp_path))
    assert fault.setting == "data.name" and "state.json" in fault.must
    datasets.Dataset.from_dict({"tokens": TOKENS}).save_to_disk(tmp_path / "untagged")
    assert fault_of(name=str(tmp_path / "untagged")).must == "no column of tags is known"


def test_a_folder_that_names_files_elsewhere_is_refused(folder, faults_of):
    state = folder / "train" / "state.json"
    content = json.loads(state.read_text())
    content["_data_files"] = [{"filename": "../gold/data-00000-of-00001.arrow"}]
    state.write_text(json.dumps(content))
    (fault,) = faults_of(HubData(name=str(folder)).load)
    assert fault.setting == "data.name" and "another folder" in fault.must
    for name in ("../set/gold", "/tmp", ".."):
        (folder / "dataset_dict.json").write_text(json.dumps({"splits": [name]}))
        (fault,) = faults_of(HubData(name=str(folder)).load)
        assert fault.setting == "data.name" and "another folder" in fault.must


README = """---
configs:
- config_name: default
  data_files: PATH
---
"""


def test_a_readme_that_names_files_outside_of_the_hub_is_refused(tmp_path):
    private = tmp_path / "private.csv"
    private.write_text("tokens,tags\n")
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "README.md").write_text(README.replace("PATH", str(private)))
    files = datasets.load_dataset_builder(str(folder)).config.data_files
    assert files["train"] == [str(private)]
    with pytest.raises(HubError, match="outside of the hub"):
        refuse_outside(files)


def test_files_of_the_hub_and_in_its_archives_are_read():
    file = "hf://datasets/owner/name@0123/data"
    refuse_outside({"train": [f"{file}.csv", f"zip://a.csv::{file}.zip"]})
    for outside in (f"zip://{file}.csv::/a.zip", "https://example.org/a.csv", "/a.csv", "a.csv"):
        with pytest.raises(HubError, match="outside of the hub"):
            refuse_outside({"train": [f"{file}.csv", outside]})


def test_a_name_that_the_hub_cannot_have_is_refused(faults_of):
    (fault,) = faults_of(HubData(name="no/such/name").load)
    assert (fault.setting, fault.value) == ("data.name", "no/such/name")
