"""Tables of words and tags."""

import csv
import io
import json

import numpy as np
import pandas
import pyarrow
import pytest
from pyarrow import parquet

from nersweep.data.tables import CsvFiles, ParquetFiles, choose
from nersweep.labels import spans

# Words and tags of each sentence; 4 PER, 3 LOC, by hand.
SENTENCES = [
    (["Tessa", "Holm", "sang", "in", "Lund", "."], "B-PER I-PER O O B-LOC O"),
    (['"', "NA", '"', ",", "null", "1"], "O O O O O O"),
    (["Mira", "it's"], "B-PER O"),
    (["New", "Lund", "and", "Lund"], "B-LOC I-LOC O B-LOC"),
    (["Tessa", "Mira"], "B-PER B-PER"),
]
COUNTS = {"PER": 4, "LOC": 3}


def assert_sentences(sentences, words=None):
    """These are the sentences above."""
    expected = [tuple(each) for each, _ in SENTENCES] if words is None else words
    assert [sentence.words for sentence in sentences] == expected
    counts = dict.fromkeys(COUNTS, 0)
    for sentence in sentences:
        for _, _, type_ in spans(sentence.tags):
            counts[type_.upper()] += 1
    assert counts == COUNTS


def written(rows, **settings):
    text = io.StringIO()
    csv.writer(text, **settings).writerows(rows)
    return text.getvalue()


def read_csv(folder, content, notes=None, **settings):
    file = folder / "a.csv"
    file.write_text(content, encoding="utf-8", newline="")
    reader = CsvFiles(train=str(file), **settings)
    sentences = reader.read(file)
    if notes is not None:
        notes += reader.notes
    return sentences


def kaggle(number="Sentence: {}", every=False):
    """Rows with the number of the sentence in its first row only, as Kaggle's NER corpus has it."""
    rows = [["Sentence #", "Word", "POS", "Tag"]]
    for i, (words, tags) in enumerate(SENTENCES, start=1):
        for place, (word, tag) in enumerate(zip(words, tags.split(), strict=True)):
            mark = number.format(i) if every or place == 0 else ""
            rows.append([mark, word, "X", tag.replace("PER", "per")])
    return rows


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_word_in_each_row_with_the_number_of_its_sentence(delimiter, every, tmp_path):
    notes = []
    sentences = read_csv(tmp_path, written(kaggle(every=every), delimiter=delimiter), notes)
    assert_sentences(sentences)
    assert {tag for s in sentences for tag in s.tags} >= {"B-per", "B-LOC"}
    assert sentences[0].columns == {"pos": ("X",) * 6}
    assert notes == ["a.csv: a word in each row, words in Word, tags in Tag"]


def test_blank_lines_end_sentences_too(tmp_path):
    blocks = []
    for words, tags in SENTENCES:
        blocks.append(written(zip(words, tags.split(), strict=True)))
    assert_sentences(read_csv(tmp_path, "word,label\r\n" + "\r\n".join(blocks)))
    assert_sentences(read_csv(tmp_path, "word,label\r\n" + ",\r\n".join(blocks)))


def test_a_tag_that_fits_no_scheme_is_named_with_its_sentence(tmp_path, faults_of):
    file = tmp_path / "a.csv"
    good = "Tessa sang,B-PER O\nLund sang,B-PER O\n"
    file.write_text(f"words,tags\n{good}Mira sang,PER O\n")
    (fault,) = faults_of(CsvFiles(train=str(file), dev=str(file)).load)
    assert (fault.setting, fault.value) == ("train, sentence 3: tag", "PER")


def test_sentence_ids_of_pandas_may_be_missing(tmp_path):
    rows = {"word": [], "tag": [], "sentence": []}
    for number, (words, tags) in enumerate(SENTENCES):
        rows["word"] += words
        rows["tag"] += tags.split()
        rows["sentence"] += [float(number)] + [float("nan")] * (len(words) - 1)
    file = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table(rows), file)
    assert_sentences(ParquetFiles(train=str(file)).read(file))


def test_a_change_of_document_ends_a_sentence(tmp_path):
    rows = "doc_id,sentence_id,token,tag\na,1,x,O\na,2,y,O\nb,2,z,B-X\nb,2,w,O\n"
    sentences = read_csv(tmp_path, rows)
    assert [s.words for s in sentences] == [("x",), ("y",), ("z", "w")]
    assert [s.document for s in sentences] == ["a", "a", "b"]


LISTS = {
    "python": repr,
    "numpy": lambda items: str(np.array(items)),
    "json": json.dumps,
}


@pytest.mark.parametrize("show", LISTS.values(), ids=LISTS)
def test_a_sentence_in_each_row_as_lists(show, tmp_path):
    rows = [["id", "tokens", "ner_tags"]]
    for i, (words, tags) in enumerate(SENTENCES):
        rows.append([i, show(words), show(tags.split())])
    assert_sentences(read_csv(tmp_path, written(rows)))


def test_a_sentence_in_each_row_between_blanks(tmp_path):
    rows = [["text", "labels"], *([" ".join(words), tags] for words, tags in SENTENCES)]
    assert_sentences(read_csv(tmp_path, written(rows)))
    rows = [["Sentence #", "Sentence", "POS", "Tag"]]
    for i, (words, tags) in enumerate(SENTENCES, start=1):
        rows.append(
            [f"Sentence: {i}", " ".join(words), repr(["X"] * len(words)), repr(tags.split())]
        )
    assert_sentences(read_csv(tmp_path, written(rows)))


FAULTS = {
    "word,tag\na,O\n": "no column says where sentences end",
    "id,said\n1,a\n": "no column of words is known",
    "word,said\na,O\n": "no column of tags is known",
    "sentence,word,tag\n1,a,O\n1,b\n": "2 columns, expected 3",
    "sentence,word,tag\n1,a,O\n,,O\n": "the word is empty",
    'sentence,word,tag\n1,a,O\n1,"b,O\n': "not valid CSV",
    'sentence,word,tag\n1,a,O\n1,"b,O\n1,c"d,O\n': "not valid CSV",
    'sentence,word,tag\n1,a,O\n1,"b\n",O\n': "a line break in the word",
    "sentence,word,tag\n1,a,1\n1,b,0\n": "the tags in tag are numbers",
    "sentence,word,tag\n": "no sentence in it",
    "tag,word,tag\na,b,O\n": "several columns are called tag",
    "": "no sentence in it",
    "words,tags\na b,O O\nc d,O O\ne f,O\n": "2 words, but 1 values in tags",
    "words,tags\n\"['a', 'b\",\"['O', 'O']\"\n": "words is no list of texts",
    "words,tags\n\"['a', 'it's']\",\"['O', 'O']\"\n": "words is no list of texts",
    "words,tags\n\"['a', '\\ud83d']\",\"['O', 'O']\"\n": "words is no list of texts",
    "words,tags\na b,\"['O', 'O']\"\na b c,\"['O', 'O']\"\n": "3 words, but 2 values in tags",
    "words,tags\na b,\"['O', '\\xg']\"\n": "tags is no list of texts",
}
LINES = {
    "several": 1,
    "2 columns": 3,
    "the word": 3,
    "not valid": 3,
    "a line": 3,
    "2 words": 4,
    "3 words": 3,
    "words is": 2,
    "tags is": 2,
}


@pytest.mark.parametrize("content", FAULTS, ids=FAULTS.values())
def test_faults_name_the_file_and_where_there_is_one_the_line(content, tmp_path, faults_of):
    (fault,) = faults_of(lambda: read_csv(tmp_path, content))
    assert fault.must.startswith(FAULTS[content])
    lines = [f":{line}" for start, line in LINES.items() if fault.must.startswith(start)]
    assert fault.setting == f"{tmp_path}/a.csv{''.join(lines)}"


def test_columns_may_be_named(tmp_path, faults_of):
    content = "n,said,kind,tag\n1,a,B-X,zzz\n2,b,O,zzz\n"
    columns = {"word": "said", "tag": "kind", "sentence": "n"}
    assert [s.tags for s in read_csv(tmp_path, content, columns=columns)] == [("B-X",), ("O",)]
    (fault,) = faults_of(lambda: read_csv(tmp_path, content, columns={"tag": "king"}))
    assert (fault.setting, fault.value) == ("data.columns.tag", "king")
    assert fault.remedy == "it has n, said, kind, tag"


@pytest.mark.parametrize(
    ("names", "word", "tag"),
    [
        ("id tokens pos_tags ner_tags", "tokens", "ner_tags"),
        ("text label", "text", "label"),
        ("Sentence #, Word, POS, Tag".replace(", ", "|"), "Word", "Tag"),
        ("lang|tags|tokens", "tokens", "tags"),
    ],
)
def test_likely_columns(names, word, tag):
    chosen = choose("a", names.split("|" if "|" in names else " "), None)
    assert (chosen["word"], chosen["tag"]) == (word, tag)


def read_parquet(folder, table, **settings):
    file = folder / "a.parquet"
    parquet.write_table(table, file)
    return ParquetFiles(train=str(file), **settings).read(file)


def listed(labels=None):
    """A table of lists; labels: the tags by number, if tags are numbers."""
    tags = [each.split() for _, each in SENTENCES]
    if labels:
        tags = [[labels.index(tag) for tag in each] for each in tags]
    return pyarrow.table({"tokens": [words for words, _ in SENTENCES], "ner_tags": tags})


LABELS = ["I-LOC", "B-PER", "O", "I-PER", "B-LOC"]


@pytest.mark.parametrize("labels", [LABELS, LABELS[::-1]])
def test_numbers_are_named_by_the_schema_whatever_their_order(labels, tmp_path):
    feature = {"feature": {"names": labels, "_type": "ClassLabel"}, "_type": "List"}
    metadata = {"huggingface": json.dumps({"info": {"features": {"ner_tags": feature}}})}
    assert_sentences(read_parquet(tmp_path, listed(labels).replace_schema_metadata(metadata)))


def test_numbers_may_be_named_by_a_setting(tmp_path, faults_of):
    assert_sentences(read_parquet(tmp_path, listed(LABELS), labels=LABELS))
    (fault,) = faults_of(lambda: read_parquet(tmp_path, listed(LABELS)))
    assert "data.labels" in fault.remedy
    (fault,) = faults_of(lambda: read_parquet(tmp_path, listed(LABELS), labels=LABELS[:3]))
    assert fault.setting == f"{tmp_path}/a.parquet, row 1" and "no label" in fault.must


def test_lists_of_texts_and_rows_of_words_as_pandas_writes_them(tmp_path):
    assert_sentences(read_parquet(tmp_path, listed()))
    header, *rows = kaggle("{}")
    frame = pandas.DataFrame(rows, columns=header).replace("", None)
    frame["Sentence #"] = frame["Sentence #"].astype(float)
    assert_sentences(read_parquet(tmp_path, pyarrow.Table.from_pandas(frame)))


def test_lists_that_json_prints_keep_their_words(tmp_path):
    words = ["\U0001f600", "1/2", "\u00e9", '"']
    shown = json.dumps(words).replace("/", "\\/")
    content = written([["words", "tags"], [shown, json.dumps(["B-PER", "O", "O", "O"])]])
    (sentence,) = read_csv(tmp_path, content)
    assert sentence.words == tuple(words)


def test_labels_name_numbers_as_pandas_writes_them_and_no_others(tmp_path, faults_of):
    content = "sentence,word,tag\n1,a,1.0\n1,b,0.0\n"
    (sentence,) = read_csv(tmp_path, content, labels=["O", "B-PER"])
    assert sentence.tags == ("B-PER", "O")
    content = content.replace("0.0", "-1")
    (fault,) = faults_of(lambda: read_csv(tmp_path, content, labels=["O", "B-PER"]))
    assert fault.must.startswith("tag -1 has no label")


def test_words_and_tags_are_two_columns_of_one_name_each(tmp_path, faults_of):
    columns = {"word": "tag", "tag": "tag"}
    (fault,) = faults_of(lambda: read_csv(tmp_path, "id,tag\n1,O\n", columns=columns))
    assert (fault.setting, fault.value) == ("data.columns.tag", "tag")
    arrays = [pyarrow.array([["a"]]), pyarrow.array([["O"]]), pyarrow.array([["O"]])]
    table = pyarrow.Table.from_arrays(arrays, names=["words", "tags", "tags"])
    (fault,) = faults_of(lambda: read_parquet(tmp_path, table))
    assert fault.must == "several columns are called tags"


def test_a_file_that_is_no_parquet(tmp_path, faults_of):
    file = tmp_path / "a.parquet"
    for content in (b"", b"PAR1", b"word,tag\n" * 99):
        file.write_bytes(content)
        reader = ParquetFiles(train=str(file))
        (fault,) = faults_of(lambda reader=reader: reader.read(file))
        assert fault.setting == str(file) and fault.must.startswith("not a Parquet file")


def test_words_that_are_no_text_and_damaged_metadata(tmp_path, faults_of):
    table = pyarrow.table({"tokens": [[{"text": "a"}]], "tags": [["O"]]})
    (fault,) = faults_of(lambda: read_parquet(tmp_path, table))
    assert fault.setting.endswith("a.parquet, row 1") and "must be text" in fault.must
    table = pyarrow.table({"tokens": [[b"a"]], "tags": [["O"]]})
    (fault,) = faults_of(lambda: read_parquet(tmp_path, table))
    assert "must be text" in fault.must
    for metadata in ("{", "[]", '{"info": 5}', '{"info": {"features": 5}}'):
        table = listed(LABELS).replace_schema_metadata({"huggingface": metadata})
        (fault,) = faults_of(lambda table=table: read_parquet(tmp_path, table))
        assert "metadata" in fault.must
    table = listed(LABELS).replace_schema_metadata({"huggingface": '{"info": {"features": {}}}'})
    assert_sentences(read_parquet(tmp_path, table, labels=LABELS))
