"""CLUENER: JSON lines with offsets of characters."""

import json
from itertools import pairwise

import pytest

from nersweep.data.cluener import Cluener, read_file
from nersweep.data.corpus import document_numbers, tag_counts
from nersweep.faults import Fault
from nersweep.labels import spans

TYPES = {
    "address",
    "book",
    "company",
    "game",
    "government",
    "movie",
    "name",
    "organization",
    "position",
    "scene",
}


def line(text, **label):
    """A line with entities type=[[start, end], ...], end inclusive as in the files."""
    return json.dumps(
        {
            "text": text,
            "label": {type_: by_surface(text, places) for type_, places in label.items()},
        }
    )


def by_surface(text, places):
    result = {}
    for start, end in places:
        result.setdefault(text[start : end + 1], []).append([start, end])
    return result


PLAIN = line("abc", name=[[0, 1]])


def read(folder, *lines):
    (folder / "a.json").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_file(folder / "a.json")[0]


def numbered(folder, sentences):
    """A folder with so many training sentences, each told by its text."""
    folder.mkdir(exist_ok=True)
    (folder / "train.json").write_text(
        "\n".join(line(f"{i:04}", name=[[0, 1]]) for i in range(sentences))
    )
    (folder / "dev.json").write_text(PLAIN)
    return str(folder)


def numbers(sentences):
    return [int("".join(sentence.words)) for sentence in sentences]


def test_characters_are_words_and_the_end_of_an_entity_belongs_to_it(tmp_path):
    (sentence,) = read(tmp_path, line("李白在成都", name=[[0, 1]], address=[[3, 4]]))
    assert sentence.words == ("李", "白", "在", "成", "都")
    assert sentence.tags == ("B-name", "I-name", "O", "B-address", "I-address")
    assert sentence.columns == {}


def test_neighbours_of_one_type_stay_two_entities(tmp_path):
    (sentence,) = read(tmp_path, line("abcd", name=[[0, 1], [2, 2]]))
    assert sentence.tags == ("B-name", "I-name", "B-name", "O")


def test_a_surface_may_stand_in_several_places_and_a_type_have_several_surfaces(tmp_path):
    (sentence,) = read(tmp_path, line("ab-ab-cd-e", name=[[3, 4], [0, 1], [6, 7]], game=[[9, 9]]))
    assert spans(sentence.tags) == [(0, 2, "name"), (3, 5, "name"), (6, 8, "name"), (9, 10, "game")]


def test_an_entity_given_twice_is_one(tmp_path):
    (sentence,) = read(tmp_path, '{"text": "abc", "label": {"name": {"ab": [[0, 1], [0, 1]]}}}')
    assert sentence.tags == ("B-name", "I-name", "O")


def test_a_text_without_entities_is_a_sentence(tmp_path):
    assert [s.tags for s in read(tmp_path, line("ab"), line("c", name=[]))] == [("O", "O"), ("O",)]


def test_a_line_may_name_its_document(tmp_path):
    lines = [f'{PLAIN[:-1]}, "document": {name}}}' for name in ('"x"', 3, '"x"', "null", 3)]
    sentences = read(tmp_path, *lines)
    assert document_numbers(sentences).tolist() == [0, 1, 0, 2, 1]
    assert document_numbers(read(tmp_path, PLAIN, PLAIN)).tolist() == [0, 1]


def test_white_space_is_a_word_that_can_be_seen_and_no_character_is_dropped(tmp_path):
    text = "a b\u3000c\td\ne\u00a0\u2028\u200b\ufeff\x00 "
    (sentence,) = read(tmp_path, line(text, name=[[0, 2]]))
    assert "".join(sentence.words) == "a␣b␣c␣d␣e␣␣\u200b\ufeff\x00␣"
    assert len(sentence.words) == len(text)
    assert sentence.tags[:4] == ("B-name", "I-name", "I-name", "O")


def test_characters_beyond_the_basic_plane_count_as_one(tmp_path):
    (sentence,) = read(tmp_path, line("\U00020bb7a", name=[[0, 0]]))
    assert sentence.words == ("\U00020bb7", "a") and sentence.tags == ("B-name", "O")


def test_a_byte_order_mark_carriage_returns_and_blank_lines_are_no_sentences(tmp_path):
    (tmp_path / "a.json").write_bytes(f"\ufeff{PLAIN}\r\n\r\n{PLAIN}".encode())
    assert [s.words for s in read_file(tmp_path / "a.json")[0]] == [("a", "b", "c")] * 2


ONE = '{"text": "abcd", "label": {"name": %s}}'
SHAPE = "expected {type: {surface: [[start, end], ...]}}"
FAULTS = {
    "{": "not valid JSON (Expecting property name enclosed in double quotes, column 2)",
    "abc": "not valid JSON (Expecting value, column 1)",
    "[" * 200_000: "not valid JSON (",
    f'{{"text": "a", "label": {{}}, "id": {"1" * 5_000}}}': "not valid JSON (Exceeds the limit",
    '{"text": "a", "text": "b", "label": {}}': 'not valid JSON (key "text" occurs twice)',
    r'{"text": "a\ud800", "label": {}}': "not valid JSON ('utf-8' codec can't encode character "
    "'\\ud800'",
    "[]": f'no text; expected {{"text": ..., "label": {SHAPE.removeprefix("expected ")}}}',
    "5": "no text; expected",
    '"text"': "no text; expected",
    '{"label": {}}': "no text; expected",
    '{"id": 0, "text": "abc"}': f"no label (as in the public test.json); {SHAPE}",
    '{"text": "", "label": {}}': 'text "": must be text of at least one character',
    '{"text": 5, "label": {}}': "text 5: must be text of at least one character",
    '{"text": "abcd", "label": null}': f"label null: {SHAPE}",
    '{"text": "abcd", "label": ["name"]}': f'label ["name"]: {SHAPE}',
    ONE % "[[0, 1]]": f'label {{"name": [[0, 1]]}}: {SHAPE}',
    '{"text": "abcd", "label": {"a b": {}}}': 'type "a b": must be one word',
    '{"text": "abcd", "label": {"": {}}}': 'type "": must be one word',
    ONE % '{"ab": 0}': 'name "ab" 0: expected [[start, end], ...]',
    ONE % '{"ab": {"0": 1}}': 'name "ab" {"0": 1}: expected [[start, end], ...]',
    ONE % '{"ab": []}': 'name "ab" []: expected [[start, end], ...]',
    ONE % '{"ab": [0, 1]}': 'name "ab" 0: expected two whole numbers, [start, end]',
    ONE % '{"ab": [[0]]}': 'name "ab" [0]: expected two whole numbers, [start, end]',
    ONE % '{"ab": [[0, 1, 2]]}': 'name "ab" [0, 1, 2]: expected two whole numbers, [start, end]',
    ONE % '{"ab": [[0, 1.0]]}': 'name "ab" [0, 1.0]: expected two whole numbers, [start, end]',
    ONE % '{"ab": [["0", 1]]}': 'name "ab" ["0", 1]: expected two whole numbers, [start, end]',
    ONE % '{"ab": [[false, true]]}': (
        'name "ab" [false, true]: expected two whole numbers, [start, end]'
    ),
    ONE % '{"de": [[3, 4]]}': 'name "de" [3, 4]: outside the text, whose offsets are 0 to 3',
    ONE % '{"d": [[-1, 3]]}': 'name "d" [-1, 3]: outside the text, whose offsets are 0 to 3',
    ONE % '{"d": [[-1, -1]]}': 'name "d" [-1, -1]: outside the text, whose offsets are 0 to 3',
    ONE % '{"": [[2, 1]]}': 'name "" [2, 1]: ends before it starts',
    ONE % '{"ba": [[1, 0]]}': 'name "ba" [1, 0]: ends before it starts',
    ONE % '{"ab": [[1, 2]]}': 'name "ab" [1, 2]: the text has "bc" there',
    ONE % '{"abc": [[0, 1]]}': 'name "abc" [0, 1]: the text has "ab" there',
    '{"text": "a", "label": {}, "document": [1]}': ("document [1]: must be text or a whole number"),
}


@pytest.mark.parametrize("content", FAULTS, ids=FAULTS.values())
def test_faults_name_file_and_line(content, tmp_path, faults_of):
    (tmp_path / "a.json").write_text(f"{PLAIN}\n\n{content}\n{PLAIN}\n")
    (fault,) = faults_of(lambda: read_file(tmp_path / "a.json"))
    assert fault.setting.startswith(f"{tmp_path}/a.json:3")
    assert str(fault).startswith(f"{tmp_path}/a.json:3: {FAULTS[content]}")


def test_bytes_that_are_no_text_and_a_file_without_sentences(tmp_path, faults_of):
    file = tmp_path / "a.json"
    file.write_bytes(f"{PLAIN}\n".encode() + b'{"text": "M\xfcller", "label": {}}')
    (fault,) = faults_of(lambda: read_file(file))
    assert (fault.setting, fault.must) == (f"{file}:2", "not valid UTF-8 (byte 0xfc)")
    for text in ("", "\n\n"):
        file.write_text(text)
        assert faults_of(lambda: read_file(file)) == (Fault(str(file), must="no sentence in it"),)


def test_of_entities_that_overlap_the_outermost_become_tags(tmp_path):
    text = "".join(chr(0x4E00 + i) for i in range(40))
    published = line(text, book=[[15, 34]], company=[[16, 19], [23, 26]])
    (tmp_path / "a.json").write_text(f"{PLAIN}\n{published}\n")
    (plain, nested), notes = read_file(tmp_path / "a.json")
    assert spans(nested.tags) == [(15, 35, "book")] and plain.entities is None
    assert nested.entities == ((15, 35, "book"), (16, 20, "company"), (23, 27, "company"))
    (note,) = notes
    assert note.startswith("a.json:2: company [16, 19] and company [23, 26] overlap")


# The splits


def test_a_tenth_of_train_is_for_development_and_both_keep_the_order_of_the_file(tmp_path):
    corpus = Cluener(path=numbered(tmp_path, 205), dev_seed=1).load()
    train, dev = numbers(corpus.train), numbers(corpus.dev)
    assert len(dev) == 20 and sorted(train + dev) == list(range(205))
    assert all(a < b for part in (train, dev) for a, b in pairwise(part))
    assert [s.words for s in corpus.test] == [("a", "b", "c")]
    assert corpus.notes == (
        "dev is 20 of the 205 sentences of train.json, drawn with data.dev_seed=1; test is "
        "dev.json, as the public "
        "test.json has no labels",
    )


def test_the_development_split_is_the_same_on_every_machine(tmp_path):
    path = numbered(tmp_path, 60)
    drawn = {seed: numbers(Cluener(path=path, dev_seed=seed).load().dev) for seed in (0, 1, 2)}
    assert drawn == {
        0: [25, 35, 40, 46, 52, 56],
        1: [9, 13, 19, 20, 26, 35],
        2: [2, 3, 20, 21, 29, 31],
    }


def test_few_sentences_leave_one_for_development_and_one_is_too_few(tmp_path, faults_of):
    corpus = Cluener(path=numbered(tmp_path, 2), dev_seed=1).load()
    assert len(corpus.train) == len(corpus.dev) == 1
    (fault,) = faults_of(Cluener(path=numbered(tmp_path, 1), dev_seed=1).load)
    assert fault.setting == str(tmp_path / "train.json") and "expected ≥ 2" in fault.must


def test_a_type_that_training_lacks_is_noted(tmp_path):
    path = numbered(tmp_path, 20)
    (tmp_path / "dev.json").write_text(line("abc", game=[[0, 0]]))
    assert Cluener(path=path, dev_seed=1).load().notes[1:] == (
        "test: B-game (1 words) is not in the training data",
    )


def test_the_environment_names_a_folder_of_data_sets(tmp_path, monkeypatch, faults_of):
    numbered(tmp_path / "cluener", 20)
    monkeypatch.setenv("NERSWEEP_DATA", str(tmp_path))
    assert Cluener(path=None, dev_seed=1).load().source == str(tmp_path / "cluener")
    monkeypatch.setenv("NERSWEEP_DATA", "/nowhere")
    assert Cluener(path=str(tmp_path / "cluener"), dev_seed=1).load().source == str(
        tmp_path / "cluener"
    )
    (fault,) = faults_of(lambda: Cluener(path=None, dev_seed=1))
    assert (fault.setting, fault.value) == ("data", "cluener")
    assert fault.must.startswith("no train.json under /nowhere/cluener (of NERSWEEP_DATA);")


def test_a_seed_below_zero_is_refused(tmp_path, assert_refused_as):
    path = numbered(tmp_path, 20)
    assert_refused_as(lambda: Cluener(path=path, dev_seed=-1), "dev_seed=-1")


def test_a_folder_must_hold_both_files(tmp_path, faults_of):
    (tmp_path / "train.json").write_text(PLAIN)
    (fault,) = faults_of(lambda: Cluener(path=str(tmp_path), dev_seed=1))
    assert str(fault) == (
        f"data=cluener: no dev.json under {tmp_path}; expected train.json, dev.json of "
        "https://github.com/CLUEbenchmark/CLUENER2020; set data.path=DIR"
    )


def test_without_a_folder_the_remedy_is_named(monkeypatch, faults_of):
    monkeypatch.delenv("NERSWEEP_DATA", raising=False)
    (fault,) = faults_of(lambda: Cluener(path=None, dev_seed=1))
    assert (fault.setting, fault.must) == ("data", "no folder given")
    assert "data.path=DIR" in fault.remedy and "NERSWEEP_DATA" in fault.remedy


# The published files


@pytest.fixture(scope="module")
def published(local_data):
    return local_data("cluener")


def test_counts_of_cluener(published):
    corpus = Cluener(path=str(published), dev_seed=1).load()
    assert [len(s) for s in corpus.splits().values()] == [10748 - 1075, 1075, 1343]
    counts = tag_counts([*corpus.train, *corpus.dev])
    assert {tag[2:] for tag in counts if tag != "O"} == TYPES
    assert counts["O"] == 294549 and counts.total() == 401764
    entities = [n for tag, n in counts.items() if tag != "O"]
    assert round(counts["O"] / counts.total(), 3) == 0.733
    assert round(counts["O"] / min(entities)) == 262 and round(max(entities) / min(entities)) == 10
    assert tag_counts(corpus.test)["O"] == 36747
    assert len(corpus.notes) == 2 and corpus.notes[1].startswith(
        "train.json:1507: company [16, 19] and "
    )


@pytest.mark.parametrize(("file", "left_out"), [("train.json", 2), ("dev.json", 0)])
def test_the_tags_agree_with_the_published_labels(file, left_out, published):
    examples = [
        json.loads(line) for line in (published / file).read_text(encoding="utf-8").splitlines()
    ]
    sentences, _ = read_file(published / file)
    missing = []
    for example, sentence in zip(examples, sentences, strict=True):
        assert "".join(sentence.words) == example["text"]  # no white space in it
        expected = {
            (start, end + 1, type_)
            for type_, surfaces in example["label"].items()
            for places in surfaces.values()
            for start, end in places
        }
        result = set(spans(sentence.tags))
        assert result <= expected
        missing += expected - result
    assert sorted(missing) == [(16, 20, "company"), (23, 27, "company")][:left_out]
