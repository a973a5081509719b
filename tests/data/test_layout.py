"""The layout of column files."""

import pytest

from nersweep.data.columns import ColumnFiles, read_file
from nersweep.data.layout import Columns
from nersweep.faults import Fault


def load(folder, text, **settings):
    file = folder / "a"
    file.write_text(text, encoding="utf-8")
    path = str(file)
    return ColumnFiles(train=path, dev=path, test=path, **settings).load()


def pairs(corpus):
    return [list(zip(s.words, s.tags, strict=True)) for s in corpus.train]


def test_tabs_alone_separate_where_every_row_has_one(tmp_path):
    corpus = load(tmp_path, "Tessa\tNNP\tO\nNew Lund\t\tB-LOC\n")
    (sentence,) = corpus.train
    assert sentence.words == ("Tessa", "New Lund") and sentence.tags == ("O", "B-LOC")
    assert sentence.columns == {"column2": ("NNP", "")}


def test_a_set_separator_wins(tmp_path):
    text = "a\tNN O\nb\tNN B-X\n"
    assert load(tmp_path, text, separator="space").train[0].tags == ("O", "B-X")
    text = "a,O\nNew Lund,B-LOC\n"
    assert load(tmp_path, text, separator=",").train[0].words == ("a", "New Lund")
    text = "a  O\nb B-X\n"
    assert load(tmp_path, text).train[0].words == ("a", "b")


def test_rows_with_and_without_tabs_are_refused_where_that_matters(tmp_path, faults_of):
    text = "a\tb c\tO\nd\te\tO\nf g O\n"
    (fault,) = faults_of(lambda: load(tmp_path, text))
    assert fault.setting == f"{tmp_path / 'a'}:3" and "data.separator" in fault.remedy
    assert load(tmp_path, "a\tO\nb\tO\nc B-X\n").train[0].words == ("a", "b", "c")


def test_the_width_is_that_of_most_rows(tmp_path, faults_of):
    rows = "a NN O\nb NN B-X\n"
    (fault,) = faults_of(lambda: load(tmp_path, f"first O\n{rows}"))
    assert fault == Fault(f"{tmp_path / 'a'}:1", must="2 columns, expected 3")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a NN O\nb x O O\nc O\nd NN B-X\n", 2),  # as many columns as four rows of three
        ("\n\n\na O\nb\nc B-X\n", 5),
        ("a O\n\n \nb B-X\n\nc x O\n", 6),
        ("a B-X\nPlan B-sides O\nc O\n", 2),
    ],
)
def test_a_row_of_another_width_is_named_by_its_line(text, line, tmp_path, faults_of):
    (fault,) = faults_of(lambda: load(tmp_path, text))
    assert fault.setting == f"{tmp_path / 'a'}:{line}" and "columns, expected" in fault.must


@pytest.mark.parametrize(
    "text", ["a  O\nb  B-X\n", " a O \n b B-X \n", "a \tO\n b\t B-X\n", "a\t O\nb \tB-X\n"]
)
def test_blanks_around_columns_do_not_count(text, tmp_path):
    assert pairs(load(tmp_path, text)) == [[("a", "O"), ("b", "B-X")]]


def test_an_empty_last_column_is_none(tmp_path):
    corpus = load(tmp_path, "a\tO\t\nb\tB-X\t\n")
    assert corpus.train[0].tags == ("O", "B-X")


COMMENTS = [
    # the lines, settings, the words of each sentence
    ("# O\na B-X\n\n#a O\n# O\n", {}, ["# a", "#a #"]),
    ("# text = O\na B-X\n\n# sent_id = 3\nb O\n", {}, ["a", "b"]),
    ("# a comment here\na B-X\n\nb O\n# O\n", {}, ["a", "b #"]),
    ("# id 1 x=y\na _ _ B-X\n\n# id 2 x=y\n# _ _ O\n", {}, ["a", "#"]),
    ("#id 1\na B-X\n\n#id 2\nb O\n#id O\n", {"comment": "#id "}, ["a", "b"]),
    ("% x\na B-X\n% y z\nb O\n", {"comment": "%"}, ["a b"]),
    ("# O\na B-X\n\n#x O\n", {"comment": "# "}, ["a", "#x"]),
    ("# O\na B-X\n\n#x O\n", {"comment": ""}, ["# a", "#x"]),
    ("1 a B-X\n2 b O\n\n1 c O\n\n#x y O\n1 d O\n", {}, ["a b", "c", "d"]),
    ("1 # O\n2 a B-X\n\n# any line\n1 #b O\n2 c O\n", {}, ["# a", "#b c"]),
]


@pytest.mark.parametrize(("text", "settings", "sentences"), COMMENTS)
def test_comments_and_words_that_begin_with_a_hash(text, settings, sentences, tmp_path):
    corpus = load(tmp_path, text, **settings)
    assert [" ".join(sentence.words) for sentence in corpus.train] == sentences


@pytest.mark.parametrize(
    "line",
    [
        "# O",  # the word # that lacks a column
        "#lund B-LOC",  # a hashtag
        "#",
    ],
)
def test_a_row_that_may_be_a_word_is_no_comment(line, tmp_path, faults_of):
    text = f"a NN B-X\nb NN O\n\n{line}\nc NN O\n"
    (fault,) = faults_of(lambda: load(tmp_path, text))
    assert fault.setting == f"{tmp_path / 'a'}:4" and "data.comment" in fault.remedy


def test_a_hash_with_a_mistyped_tag_is_an_error_and_no_comment(tmp_path, faults_of):
    rows = "a NN B-X\nb NN O\n\n"
    (fault,) = faults_of(lambda: load(tmp_path, f"{rows * 5}# NN X\n"))
    assert fault.setting == f"{tmp_path / 'a'}:16: tag" and fault.value == "X"


def test_comments_are_counted(tmp_path):
    corpus = load(tmp_path, "# id 1 x=y\na _ _ B-X\n\n# id 2 x=y\nb _ _ O\n")
    assert corpus.notes[:1] == ("a: comment lines skipped: 2",)


INDEXED = "1 Tessa B-PER\n2 sang O\n\n1 Lund B-LOC\n"


@pytest.mark.parametrize(
    "text",
    [
        INDEXED,
        "0 Tessa B-PER\n1 sang O\n\n0 Lund B-LOC\n",
        "1 Tessa B-PER\n2 sang O\n\n3 Lund B-LOC\n",
        "1-2 Tessasang _\n1 Tessa B-PER\n2 sang O\n2.1 x _\n\n1 Lund B-LOC\n",
    ],
)
def test_a_column_that_counts_the_words_is_left_out(text, tmp_path):
    corpus = load(tmp_path, text)
    assert pairs(corpus) == [[("Tessa", "B-PER"), ("sang", "O")], [("Lund", "B-LOC")]]
    assert not corpus.train[0].columns and "numbers the words" in corpus.notes[0]


def test_words_that_are_numbers_stay_words(tmp_path):
    assert load(tmp_path, "1 O\n2 B-X\n\n1 O\n").train[0].words == ("1", "2")
    assert load(tmp_path, "1 NN B-X\n").train[0].words == ("1",)
    assert load(tmp_path, "1 NN O\n3 NN B-X\n").train[0].words == ("1", "3")
    assert load(tmp_path, INDEXED, word=1).train[0].words == ("1", "2")
    columns = ["word", "form", "tag"]
    assert load(tmp_path, INDEXED, columns=columns).train[0].words == ("1", "2")


@pytest.mark.parametrize("text", ["word\tTag\na\tperson\nb\tO\n", "# NER\na B-X\nform NER\n"])
def test_a_row_that_names_the_columns_is_refused(text, tmp_path, faults_of):
    (fault,) = faults_of(lambda: load(tmp_path, text))
    assert fault.setting.startswith(str(tmp_path / "a"))
    assert "name the columns" in fault.must or fault.value == "NER"


def test_a_column_that_looks_like_tags_is_named_where_the_last_one_does_not(tmp_path, faults_of):
    text = "1 Tessa B-PER - ann\n2 sang O - ann\n"
    (fault,) = faults_of(lambda: load(tmp_path, text))
    assert fault.setting == f"{tmp_path / 'a'}:1: tag" and "data.tag=3" in fault.remedy
    assert pairs(load(tmp_path, text, tag=3)) == [[("Tessa", "B-PER"), ("sang", "O")]]


FOUR = "x Tessa B-PER O\ny sang O B-X\n"


@pytest.mark.parametrize(
    "settings",
    [
        {"word": 2, "tag": 3},
        {"word": -3, "tag": -2},
        {"columns": ["_", "word", "tag", "_"]},
        {"columns": ["id", "form", "outer", "inner"], "word": "form", "tag": "outer"},
        {"columns": ["id", "form", "tag", "inner"], "word": 2},
    ],
)
def test_columns_by_position_or_name(settings, tmp_path):
    corpus = load(tmp_path, FOUR, **settings)
    assert pairs(corpus) == [[("Tessa", "B-PER"), ("sang", "O")]]


def test_another_column_of_tags_is_named(tmp_path):
    notes = load(tmp_path, "a B-X O\nb O B-Y\n").notes
    assert "column 2 has tags too" in notes[0] and "data.tag=2" in notes[0]
    assert not load(tmp_path, "a B-X O\nb O B-Y\n", tag=-1).notes


@pytest.mark.parametrize(
    ("settings", "subject"),
    [
        ({"word": 0}, "word=0"),
        ({"tag": "ner"}, "tag=ner"),
        ({"columns": ["a", "b"], "word": "c", "tag": "b"}, "word=c"),
        ({"columns": ["word", "word", "tag"]}, "columns="),
        ({"columns": ["word", "x"]}, "columns="),
        ({"columns": ["x", "word", "tag"], "word": 1}, "columns="),
        ({"separator": "tabs"}, "separator=tabs"),
    ],
)
def test_arguments_that_no_file_can_have_are_refused(settings, subject, assert_refused_as):
    make = lambda: ColumnFiles(train=__file__, dev=__file__, test=__file__, **settings)  # noqa: E731
    assert_refused_as(make, subject)


@pytest.mark.parametrize(
    ("settings", "subject"),
    [
        ({"tag": 5}, "data.tag=5"),
        ({"word": -5}, "data.word=-5"),
        ({"word": 2, "tag": -3}, "data.tag=-3"),
        ({"key": "Entity"}, "data.key=Entity"),
        ({"columns": ["word", "tag"]}, "{file}:1"),
    ],
)
def test_what_a_file_does_not_have_is_named(settings, subject, tmp_path, assert_refused_as):
    file = tmp_path / "a"
    assert_refused_as(lambda: load(tmp_path, FOUR, **settings), subject.format(file=file))


def test_a_language_code_of_each_word_is_removed(tmp_path):
    corpus = load(tmp_path, "en:Tessa\tB-PER\nen:http:x\tO\n\nen:1:2\tO\n")
    assert [s.words for s in corpus.train] == [("Tessa", "http:x"), ("1:2",)]
    assert corpus.notes == ("a: en: is removed from each word",)
    assert load(tmp_path, "en:Tessa\tB-PER\nx\tO\n").train[0].words == ("en:Tessa", "x")
    assert load(tmp_path, "en:a\tB-PER\n", prefix="").train[0].words == ("en:a",)
    assert load(tmp_path, "w/a O\nw/b B-X\n", prefix="w/").train[0].words == ("a", "b")


def test_a_word_without_the_prefix_that_is_set_is_refused(tmp_path, faults_of):
    (fault,) = faults_of(lambda: load(tmp_path, "en:a O\nb B-X\n", prefix="en:"))
    assert fault.setting == f"{tmp_path / 'a'}:2" and "prefix" in fault.must


EMPTY = "Tessa\tB-PER\n\tI-PER\nMarr\tI-PER\n\tB-LOC\nsang\tO\n\n\tO\n"


def test_a_row_without_a_word_is_named_so(tmp_path, faults_of):
    for text, line in ((EMPTY, 2), ("a O\n\n O\nb O\n", 3), ("en:a\tO\nen:\tO\n", 2)):
        (fault,) = faults_of(lambda text=text: load(tmp_path, text))
        assert fault.setting == f"{tmp_path / 'a'}:{line}"
        assert fault.must == "the word is empty" and "data.empty" in fault.remedy


def test_rows_without_a_word_may_be_dropped_or_kept(tmp_path):
    kept = load(tmp_path, EMPTY, empty="keep")
    assert kept.train[0].words == ("Tessa", "␣", "Marr", "␣", "sang") and len(kept.train) == 2
    dropped = load(tmp_path, EMPTY, empty="drop")
    expected = [[("Tessa", "B-PER"), ("Marr", "I-PER"), ("sang", "O")]]
    assert pairs(dropped) == expected
    assert "rows without a word, left out: 3" in dropped.notes[0]
    begun = load(tmp_path, "a\tB-X\n\tB-X\nb\tI-X\n", empty="drop")
    assert pairs(begun) == [[("a", "B-X"), ("b", "B-X")]]


ODD = ["\u00a0", "\u200b", "\u3000", "\ufe0f", "a\u00a0b", "\u2028", "\x1f", "O", "B-PER", '"']


@pytest.mark.parametrize("separator", ["\t", " "])
def test_odd_words_keep_their_place(separator, tmp_path):
    text = "".join(f"{word}{separator}B-X\n" for word in ODD)
    assert load(tmp_path, text).train[0].words == tuple(ODD)


def test_tags_within_a_column_of_keys(tmp_path):
    text = "1\tTessa\tSpaceAfter=No|name=B-PER\n2\tsang\tname=O\n3\tx\t_\n"
    corpus = load(tmp_path, text)
    assert pairs(corpus) == [[("Tessa", "B-PER"), ("sang", "O"), ("x", "O")]]


def test_a_column_of_keys_without_a_usual_one_is_refused(tmp_path, faults_of):
    text = "1\ta\tSpaceAfter=No\n2\tb\tGloss=x\n"
    (fault,) = faults_of(lambda: load(tmp_path, text))
    assert fault.setting == "data.key" and "Gloss, SpaceAfter" in fault.must
    corpus = load(tmp_path, "1\ta\tNer2=B-X\n2\tb\tGloss=x\n", key="Ner2")
    assert pairs(corpus) == [[("a", "B-X"), ("b", "O")]]


NESTED = "1\ta\tEntity=(1-org(2-person)\n2\tb\tEntity=1)\n3\tc\t_\n"


def test_the_outermost_entity_is_the_tag_and_all_are_kept(tmp_path):
    corpus = load(tmp_path, NESTED)
    assert pairs(corpus) == [[("a", "B-org"), ("b", "I-org"), ("c", "O")]]
    assert corpus.train[0].entities == ((0, 1, "person"), (0, 2, "org"))
    assert "entities within others, left out of the tags: 1" in corpus.notes[0]


def test_entities_within_others_outlive_dropped_words(tmp_path):
    text = "1\ta\tEntity=(1-org(2-person)\n2\t\tEntity=(3-place)\n3\tb\tEntity=1)\n"
    corpus = load(tmp_path, text, empty="drop")
    assert pairs(corpus) == [[("a", "B-org"), ("b", "I-org")]]
    assert corpus.train[0].entities == ((0, 1, "person"), (0, 2, "org"))


def test_brackets_that_do_not_match_are_refused_with_the_place(tmp_path, faults_of):
    (fault,) = faults_of(lambda: load(tmp_path, NESTED.replace("=1)", "=3)")))
    assert fault.setting.startswith(str(tmp_path / "a")) and "3)" in fault.must


def test_columns_are_named_in_the_order_of_the_file(tmp_path):
    (tmp_path / "a").write_text(FOUR)
    (sentence,) = read_file(tmp_path / "a", Columns(word=2, tag=3))
    assert sentence.columns == {"column1": ("x", "y"), "column4": ("O", "B-X")}
