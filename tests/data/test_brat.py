"""brat's folders of texts and annotations."""

import pytest

from nersweep.data.brat import BratFiles
from nersweep.labels import spans

TEXT = "Tessa Holm and Mira Holm sang.\nLund and New Lund are far.\n"
ENTITIES = [
    "T1\tPER 0 10\tTessa Holm",
    "T2\tPER 15 24\tMira Holm",
    "T3\tLOC 31 35\tLund",
    "T4\tLOC 40 48\tNew Lund",
]
OTHERS = [
    "R1\tNear Arg1:T3 Arg2:T4",
    "#1\tAnnotatorNotes T1\tsure",
    "A1\tFamous T1",
    "* Equiv T1 T2",
]


def folder(path, *lines, text=TEXT, name="a"):
    (path / f"{name}.txt").parent.mkdir(parents=True, exist_ok=True)
    (path / f"{name}.txt").write_text(text, encoding="utf-8", newline="")
    (path / f"{name}.ann").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return BratFiles(train=str(path))


def test_each_text_is_a_document_and_each_line_a_sentence(tmp_path):
    folder(tmp_path, *OTHERS, *ENTITIES)
    reader = folder(tmp_path, name="sub/b")
    sentences = reader.read(tmp_path)
    assert [len(s.words) for s in sentences] == [7, 7] * 2
    assert [s.document for s in sentences] == [0, 0, 1, 1]
    assert [spans(s.tags) for s in sentences] == [
        [(0, 2, "PER"), (3, 5, "PER")],
        [(0, 1, "LOC"), (2, 4, "LOC")],
        [],
        [],
    ]


def test_line_ends_of_windows_count_as_characters(tmp_path):
    reader = folder(tmp_path, "T1\tLOC 3 7\tLund\r", text="a\r\nLund\r\n")
    assert [s.tags for s in reader.read(tmp_path)] == [("O",), ("B-LOC",)]


def test_an_entity_of_several_parts_is_read_from_the_first_to_the_last(tmp_path):
    reader = folder(tmp_path, "T1\tPER 0 5;20 24\tTessa Holm")
    sentence, _ = reader.read(tmp_path)
    assert sentence.tags == ("B-PER", "I-PER", "I-PER", "I-PER", "I-PER", "O", "O")
    assert any("several parts" in note and note.endswith(": 1") for note in reader.notes)


def test_a_text_without_annotation_is_left_out_and_counted(tmp_path):
    reader = folder(tmp_path, *ENTITIES)
    (tmp_path / "b.txt").write_text("Nobody read this.")
    assert len(reader.read(tmp_path)) == 2
    assert any(".ann" in note and note.endswith(": 1") for note in reader.notes)


@pytest.mark.parametrize(
    "line",
    [
        "T1 PER 0 5 Tessa",
        "T1\tPER 0\tTessa",
        "T1\tPER 0 5",
        "T1\tPER 0 5\tTess",
        "T1\tPER 0 4\tTess",
        "T1\tPER 0 500\tTessa",
        "T1\tPER 5 0\tTessa",
        "T1\tPER 0 5;6 700\tTessa Holm",
    ],
)
def test_a_wrong_entity_is_named_with_its_line(line, tmp_path, faults_of):
    reader = folder(tmp_path, ENTITIES[0], line)
    (fault,) = faults_of(lambda: reader.read(tmp_path))
    assert fault.setting.startswith(f"{tmp_path}/a.ann:2")


def test_a_folder_must_hold_both_files(tmp_path, faults_of):
    reader = folder(tmp_path, *ENTITIES)
    (fault,) = faults_of(lambda: reader.read(tmp_path / "a.txt"))
    assert "expected a folder" in fault.must
    (tmp_path / "a.txt").unlink()
    (fault,) = faults_of(lambda: reader.read(tmp_path))
    assert fault.must == "no a.txt beside it"
