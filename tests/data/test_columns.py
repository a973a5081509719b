"""Column files."""

from functools import partial
from pathlib import Path

import datasets
import pytest

from nersweep.data import hub
from nersweep.data.columns import Catalogued, ColumnFiles, read_file
from nersweep.data.corpus import Corpus, Sentence, document_numbers, tag_counts
from nersweep.data.normalise import assemble
from nersweep.faults import Fault


def write(folder, **files):
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return {name: str(folder / name) for name in files}


PLAIN = "Ada B-PER\nsmiles O\n\nPau B-LOC\n"


def test_words_tags_and_further_columns(tmp_path):
    text = "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n\nPeter NNP B-NP B-PER"
    write(tmp_path, a=text)
    first, second = read_file(tmp_path / "a", ["word", "pos", "chunk", "tag"])
    assert first.words == ("EU", "rejects") and first.tags == ("B-ORG", "O")
    assert first.columns == {"pos": ("NNP", "VBZ"), "chunk": ("B-NP", "B-VP")}
    assert second.words == ("Peter",)


def test_tabs_spaces_carriage_returns_and_a_byte_order_mark_are_read(tmp_path):
    (tmp_path / "a").write_bytes("\ufeffAda\tB-PER\r\n\t\r\nPau  B-LOC\r\n".encode())
    assert [s.words for s in read_file(tmp_path / "a")] == [("Ada",), ("Pau",)]


def test_white_space_of_other_kinds_stays_inside_a_word(tmp_path):
    write(tmp_path, a="Ada\u00a0L\u2028x B-PER\n")
    assert read_file(tmp_path / "a")[0].words == ("Ada\u00a0L\u2028x",)


ROW = "Ada NNP B-NP B-PER\n"
WHOLE = ["word", "pos", "chunk", "tag"]


def numbers(folder, text, columns=WHOLE):
    """The numbers of the documents of a file's sentences."""
    write(folder, a=text)
    return document_numbers(read_file(folder / "a", columns)).tolist()


@pytest.mark.parametrize(
    "mark",
    [
        "-DOCSTART- -X- -X- O\n\n",
        "-DOCSTART-\t-X-\t-1-\tO\n\n",
        "-DOCSTART-\n",
        "# newdoc\n",
        "# newdoc id = weblog-1\n# sent_id = 1\n# text = Ada\n",
        "# newdoc id = O\n# newpar id = 2\n",
    ],
)
def test_a_mark_begins_a_document(mark, tmp_path):
    two, one = f"{mark}{ROW}\n{ROW}\n", f"{mark}{ROW}\n"
    assert numbers(tmp_path, two + one + two) == [0, 0, 1, 2, 2]
    assert numbers(tmp_path, mark + two + one) == [0, 0, 1]  # an empty document is none
    assert numbers(tmp_path, f"{ROW}\n{ROW}\n{one}") == [0, 0, 1]  # the first one needs no mark
    assert numbers(tmp_path, f"{ROW}{mark}{ROW}") == [0, 1]  # a mark ends a sentence
    assert {s.words for s in read_file(tmp_path / "a", WHOLE)} == {("Ada",)}


def test_without_marks_each_sentence_is_its_own_document(tmp_path):
    assert numbers(tmp_path, f"{ROW}\n{ROW}\n{ROW}") == [0, 1, 2]


def test_a_column_says_which_document_a_sentence_is_of(tmp_path):
    text = "-DOCSTART- -X- O\n\nAda b B-PER\nran b O\n\nPau a B-LOC\n\nKim b B-PER\n"
    assert numbers(tmp_path, text, ["word", "document", "tag"]) == [0, 1, 0]


def test_a_hash_in_the_text_is_a_word(tmp_path):
    write(tmp_path, a="# O\n= O\n\n# O\nnewdoc B-PER\n\na O\n# O\n")
    words = [sentence.words for sentence in read_file(tmp_path / "a")]
    assert words == [("#", "="), ("#", "newdoc"), ("a", "#")]


def test_marks_survive_normalising_and_enter_the_checksum(tmp_path):
    marked = "-DOCSTART- O\n\na B-PER\n\nb I-PER\n\n# newdoc\nc O\n"
    files = write(tmp_path, marked=marked, plain="a B-PER\n\nb I-PER\n\nc O\n")
    one, other = (ColumnFiles(train=f, dev=f, test=f).load() for f in files.values())
    assert [document_numbers(s).tolist() for s in one.splits().values()] == [[0, 0, 1]] * 3
    assert one.checksum != other.checksum
    assert other.sizes() == "3 train, 3 dev, 3 test sentences"
    assert one.sizes() == f"{other.sizes()}; 2 train, 2 dev, 2 test documents"
    mixed = Corpus("a", "here", other.train, other.dev, one.test)
    assert len({mixed.checksum, one.checksum, other.checksum}) == 3
    assert mixed.sizes() == f"{other.sizes()}; 2 test documents"


def test_a_data_set_of_the_hub_may_name_a_column_of_documents(tmp_path):
    label = datasets.ClassLabel(names=["O", "B-PER"])
    features = {
        "tokens": datasets.List(datasets.Value("string")),
        "tags": datasets.List(label),
        "file": datasets.Value("string"),
    }
    rows = {"tokens": [["a"], ["b"], ["c"]], "tags": [[0], [1], [0]], "file": ["x", "x", "y"]}
    table = datasets.Dataset.from_dict(rows, datasets.Features(features))
    splits = dict.fromkeys(("train", "validation", "test"), table)
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "set")
    columns = {"word": "tokens", "tag": "tags"}
    plain = hub.load_dataset(str(tmp_path / "set"), "main", columns)
    columns["document"] = "file"
    sentences = hub.load_dataset(str(tmp_path / "set"), "main", columns)["dev"]
    assert [sentence.tags for sentence in sentences] == [("O",), ("B-PER",), ("O",)]
    assert document_numbers(sentences).tolist() == [0, 0, 1]
    assert document_numbers(plain["dev"]).tolist() == [0, 1, 2]


def test_equal_strings_are_in_memory_once(tmp_path):
    write(tmp_path, a="Zürich NNP B-LOC\nZürich NNP O\n\nZürich NNP B-LOC\n")
    first, second = read_file(tmp_path / "a", ["word", "pos", "tag"])
    assert len({id(word) for word in first.words + second.words}) == 1
    assert len({id(value) for value in first.columns["pos"] + second.columns["pos"]}) == 1
    # As other formats may give them.
    sentences = [Sentence(("".join(["Zü", "rich"]),), ("B-LOC",)) for _ in range(2)]
    assert sentences[0].words[0] is not sentences[1].words[0]
    splits = {"train": sentences, "dev": sentences, "test": sentences}
    both = assemble("a", "here", splits).train
    assert both[0].words[0] is both[1].words[0] and both[0].tags[0] is both[1].tags[0]


def test_one_corpus_in_three_schemes(tmp_path):
    schemes = {
        "iob1": "a I-PER\nb I-PER\nc B-PER\nd O\n",
        "iob2": "a B-PER\nb I-PER\nc B-PER\nd O\n",
        "bioes": "a B-PER\nb E-PER\nc S-PER\nd O\n",
    }
    files = write(tmp_path, **schemes)
    corpora = [ColumnFiles(train=f, dev=f, test=f).load() for f in files.values()]
    assert {corpus.train[0].tags for corpus in corpora} == {("B-PER", "I-PER", "B-PER", "O")}
    notes = [corpus.notes for corpus in corpora]
    assert notes == [("tags are IOB1",), (), ("tags are BIOES",)]


def test_inside_without_beginning_is_repaired_and_counted(tmp_path):
    files = write(tmp_path, train=PLAIN, dev="a I-PER\nb I-PER\n\nc B-LOC\nd I-PER\n", test=PLAIN)
    corpus = ColumnFiles(**files).load()
    assert corpus.dev[0].tags == ("B-PER", "I-PER") and corpus.dev[1].tags == ("B-LOC", "B-PER")
    assert corpus.notes[0] == "dev: 2 I- tags began an entity and are read as B-"


def test_a_label_that_training_lacks_is_kept_and_named(tmp_path):
    files = write(tmp_path, train=PLAIN, dev=PLAIN, test="Z B-ORG\n")
    corpus = ColumnFiles(**files).load()
    assert corpus.test[0].tags == ("B-ORG",)
    assert corpus.notes == ("test: B-ORG (1 words) is not in the training data",)


def test_the_checksum_sees_the_boundaries_of_documents_alone(tmp_path):
    mark = "# newdoc id = {}\n"
    texts = {
        "named": f"{mark.format('x')}{ROW}\n{ROW}\n{mark.format('y')}{ROW}\n",
        "renamed": f"{mark.format('y')}{ROW}\n{ROW}\n{mark.format('z')}{ROW}\n",
        "moved": f"{mark.format('x')}{ROW}\n{mark.format('y')}{ROW}\n{ROW}\n",
    }
    sums = {}
    for name, path in write(tmp_path, **texts).items():
        sums[name] = ColumnFiles(train=path, dev=path, test=path).load().checksum
    assert sums["named"] == sums["renamed"] != sums["moved"]


def test_the_checksum_sees_words_tags_splits_and_columns(tmp_path):
    texts = {
        "a": "w x O\n\nv y B-PER\n",
        "b": "w x O\nv y B-PER\n",
        "c": "w z O\n\nv y B-PER\n",
        "d": "w x O\n\nv y O\n",
    }
    files = write(tmp_path, **texts)

    def checksum(train, dev):
        return ColumnFiles(train=files[train], dev=files[dev], test=files["a"]).load().checksum

    sums = [
        checksum("a", "a"),
        checksum("a", "b"),
        checksum("b", "a"),
        checksum("c", "a"),
        checksum("d", "a"),
    ]
    assert len(set(sums)) == 5 and checksum("a", "a") == sums[0]


@pytest.mark.parametrize(
    ("content", "line", "must"),
    [
        (b"a O\nb\n", 2, "1 columns, expected 2"),
        (b"a O\nb x O\n", 2, "3 columns, expected 2"),
        (b"only\n", 1, "1 columns, expected 2"),
    ],
)
def test_faults_name_file_and_line(tmp_path, content, line, must, faults_of):
    file = tmp_path / "a"
    file.write_bytes(content)
    (fault,) = faults_of(lambda: read_file(file))
    assert (fault.setting, fault.must) == (f"{file}:{line}", must)


def test_a_tag_of_no_scheme_is_named_with_its_line(tmp_path, faults_of):
    files = write(tmp_path, train=PLAIN, dev=PLAIN, test="a O\n\nb PER\n")
    (fault,) = faults_of(ColumnFiles(**files).load)
    assert (fault.setting, fault.value) == (f"{files['test']}:3: tag", "PER")


@pytest.mark.parametrize("content", ["", "-DOCSTART- O\n\n"])
def test_a_file_without_sentences_is_refused(tmp_path, content, faults_of):
    files = write(tmp_path, a=content)
    (fault,) = faults_of(lambda: read_file(Path(files["a"])))
    assert fault == Fault(files["a"], must="no sentence in it")


def test_a_folder_or_nothing_in_the_place_of_a_file(tmp_path, faults_of):
    (folder,) = faults_of(lambda: read_file(tmp_path))
    assert folder == Fault(str(tmp_path), must="is a folder, expected a file")
    (missing,) = faults_of(lambda: read_file(tmp_path / "nothing"))
    assert missing == Fault(str(tmp_path / "nothing"), must="no such file")


def test_every_missing_file_is_named(tmp_path, faults_of):
    files = write(tmp_path, dev=PLAIN)
    faults = faults_of(lambda: ColumnFiles(train="t", dev=files["dev"], test="s"))
    assert faults == (Fault("train", "t", "no such file"), Fault("test", "s", "no such file"))


def test_columns_without_word_or_tag_are_refused(assert_refused_as):
    make = partial(ColumnFiles, train="t", dev="d", test="s", columns=["word", "pos"])
    assert_refused_as(make, "columns=['word', 'pos']")


CONLL = {
    "name": "conll2003",
    "files": {"train": "train.txt", "dev": "valid.txt", "test": "test.txt"},
    "columns": ["word", "pos", "chunk", "tag"],
    "hub": {},
}


def test_counts_of_conll_2003(local_data):
    corpus = Catalogued(path=str(local_data("conll2003")), **CONLL).load()
    assert [len(s) for s in corpus.splits().values()] == [14041, 3250, 3453]
    assert [sum(len(x.words) for x in s) for s in corpus.splits().values()] == [
        203621,
        51362,
        46435,
    ]
    assert corpus.sizes().endswith("; 946 train, 216 dev, 231 test documents")  # -DOCSTART- lines
    assert tag_counts(corpus.train)["B-LOC"] == 7140 and tag_counts(corpus.train)["O"] == 169578
    assert not corpus.notes


def test_counts_of_wnut_17(local_data):
    files = {"train": "train.conll", "dev": "dev.conll", "test": "test.conll"}
    path = str(local_data("wnut17"))
    corpus = Catalogued(
        name="wnut17", path=path, files=files, columns=["word", "tag"], hub={}
    ).load()
    assert [len(s) for s in corpus.splits().values()] == [3394, 1009, 1287]
    assert {tag[2:] for tag in tag_counts(corpus.train) if tag != "O"} == {
        "corporation", "creative-work", "group", "location", "person", "product",
    }  # fmt: skip


def test_the_environment_names_a_folder_of_data_sets(tmp_path, monkeypatch):
    (tmp_path / "conll2003").mkdir()
    row = "Ada NNP B-NP B-PER\n"
    write(tmp_path / "conll2003", **{"train.txt": row, "valid.txt": row, "test.txt": row})
    monkeypatch.setenv("NERSWEEP_DATA", str(tmp_path))
    assert Catalogued(path=None, **CONLL).load().source == str(tmp_path / "conll2003")
