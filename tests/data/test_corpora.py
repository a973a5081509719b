"""Column files in the formats of public corpora, with invented words.

Each format is written from the same sentences by a few lines of its own, with what is odd in the
published files. The entities are counted from these sentences, never by the reader.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from nersweep.data.columns import ColumnFiles
from nersweep.data.corpus import document_numbers, has_documents
from nersweep.labels import spans

# Words of a sentence, and its entities as first word, last word, type.
Entities = list[tuple[int, int, str]]
TEXTS: list[tuple[str, Entities]] = [
    ("Tessa sang in New Lund .", [(0, 0, "PER"), (3, 4, "LOC")]),
    ("The # sign and #lund trend .", [(4, 4, "LOC")]),
    ("# 010 1234 - _", []),
    ("Old Ford hired Ivo Marr and Ida Marr", [(0, 1, "ORG"), (3, 4, "PER"), (6, 7, "PER")]),
    ("@ Tessa_L :", [(1, 1, "PER")]),
    ("1 2 3", []),
    ("Marr Lund Bank of Lund", [(0, 0, "PER"), (1, 1, "LOC"), (2, 4, "ORG")]),
]
SENTENCES = TEXTS * 3  # some twenty


def iob2(entities: Entities, length: int) -> list[str]:
    tags = ["O"] * length
    for first, last, type_ in entities:
        tags[first] = f"B-{type_}"
        for i in range(first + 1, last + 1):
            tags[i] = f"I-{type_}"
    return tags


def in_letters(begin: str, inside: str, end: str, single: str) -> Callable[..., list[str]]:
    """Return a writer of tags with these letters."""

    def tags_of(entities: Entities, length: int) -> list[str]:
        tags = ["O"] * length
        for first, last, type_ in entities:
            for i in range(first, last + 1):
                tags[i] = f"{inside}-{type_}"
            tags[first], tags[last] = f"{begin}-{type_}", f"{end}-{type_}"
            if first == last:
                tags[first] = f"{single}-{type_}"
        return tags

    return tags_of


def iob1(entities: Entities, length: int) -> list[str]:
    """Write B only between two entities of one type."""
    tags = ["O"] * length
    before = (-2, "")
    for first, last, type_ in entities:
        for i in range(first, last + 1):
            tags[i] = f"I-{type_}"
        if before == (first - 1, type_):
            tags[first] = f"B-{type_}"
        before = (last, type_)
    return tags


def rows(tags_of: Callable[..., list[str]] = iob2) -> Iterator[list[tuple[str, str]]]:
    for text, entities in SENTENCES:
        words = text.split()
        yield list(zip(words, tags_of(entities, len(words)), strict=True))


def lines(row: Callable[[int, str, str], str], header: str = "", **settings: Any) -> str:
    """Return a file with a line for each word, from its number, the word and its tag.

    header: before each sentence, with its number for {}.
    """
    blocks = []
    for number, sentence in enumerate(rows(**settings)):
        block = header.format(number)
        for i, (word, tag) in enumerate(sentence, start=1):
            block += row(i, word, tag) + "\n"
        blocks.append(block)
    return "\n".join(blocks)


def bare(entities: Entities, length: int) -> list[str]:
    return [tag.partition("-")[2] or "O" for tag in iob2(entities, length)]


def german(entities: Entities, length: int) -> list[str]:
    """Write types as GermEval does, some with a suffix."""
    return [tag.replace("ORG", "LOCderiv") for tag in iob2(entities, length)]


def conllu() -> str:
    """Write CoNLL-U with a document for each seven sentences, a range, and brackets in MISC."""
    text = "# newdoc id = a\n# global.Entity = GRP-etype-infstat\n"
    for number, (sentence, entities) in enumerate(SENTENCES):
        if number and number % len(TEXTS) == 0:
            text += f"# newdoc id = {number}\n"
        text += f"# sent_id = {number}\n# text = {sentence}\n"
        for i, word in enumerate(sentence.split()):
            misc = ""
            for group, (first, last, type_) in enumerate(entities, start=1):
                misc += f"({group}-{type_}-new" if first == i else ""
                misc += ")" if first == last == i else f"{group})" if last == i else ""
            cells = [str(i + 1), word, word, "X", "_", "_", "0", "root", "_"]
            if i == 0:
                text += "\t".join(["1-2", "Tessasang", *"_" * 8]) + "\n"
            text += "\t".join([*cells, f"SpaceAfter=No|Entity={misc}" if misc else "_"]) + "\n"
        text += "\n"
    return text


@dataclass(frozen=True)
class Shape:
    """A format. settings: those that it needs, at most one. types: as published, ours to theirs."""

    text: str
    settings: dict[str, Any] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    documents: int = 0


DOCSTART = "-DOCSTART- -X- {}O\n\n"

SHAPES = {
    "WikiANN": Shape(lines(lambda i, word, tag: f"en:{word}\t{tag}")),
    "GermEval": Shape(
        lines(
            lambda i, word, tag: f"{i}\t{word}\t{tag}\tO",
            "#\thttp://example.org/{}\t[2010-07-04]\t\n",
            tags_of=german,
        ),
        {"tag": 3},
        {"ORG": "LOCderiv"},
    ),
    "MultiCoNER": Shape(
        lines(lambda i, word, tag: f"{word} _ _ {tag}", "\n# id 5d2e{}\tdomain=en\n")
    ),
    "GUM": Shape(lines(lambda i, word, tag: f"{word}\t{tag}", tags_of=bare)),
    "AnEM": Shape(
        lines(
            lambda i, word, tag: f"{word}\t{i * 9}\t{i * 9 + len(word)}\t{tag}",
            tags_of=lambda *args: [t.replace("ORG", "Multi-tissue_structure") for t in iob2(*args)],
        ),
        types={"ORG": "Multi-tissue_structure"},
    ),
    "SEC filings": Shape(
        DOCSTART.format("O ") + lines(lambda i, word, tag: f"{word} NNP - {tag}"), documents=1
    ),
    "wikigold": Shape(
        DOCSTART.format("O ") + lines(lambda i, word, tag: f"{word} {tag}", tags_of=iob1),
        documents=1,
    ),
    "re3d": Shape("\n" + lines(lambda i, word, tag: f"{word}\t{tag}")),
    "BTC": Shape(lines(lambda i, word, tag: f"{word}\t{tag.replace('I-', 'B-')}")),
    "Label Studio": Shape(
        DOCSTART.format("")
        + lines(
            lambda i, word, tag: f"{word} -X- _ {tag}",
            tags_of=lambda *args: [tag.replace("LOC", "Titre 2") for tag in iob2(*args)],
        ),
        types={"LOC": "Titre_2"},
        documents=1,
    ),
    "Weibo": Shape(
        lines(lambda i, word, tag: f"{word}\t{tag}", tags_of=in_letters("B", "M", "E", "S"))
        + "\n\u3000\tO\n王\tO\n\u3000\tO\n",
    ),
    "spaCy": Shape(
        lines(lambda i, word, tag: f"{word}\t{tag}", tags_of=in_letters("B", "I", "L", "U"))
    ),
    "Irish": Shape(lines(lambda i, word, tag: f"{word} {word}\t{tag}")),
    "CoNLL-U": Shape(conllu(), documents=3),
    "CoNLL-2012 style marks": Shape(
        "-DOCSTART-\t-X-\t-1-\tO\n\n" + lines(lambda i, word, tag: f"{word}\tNN\t_\t{tag}"),
        documents=1,
    ),
    "lower case and underscores": Shape(
        lines(lambda i, word, tag: f"{word} {tag.lower().replace('-', '_').replace('o', '0')}"),
        types={"PER": "per", "LOC": "l0c", "ORG": "0rg"},
    ),
}


def expected(name: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for _, entities in SENTENCES:
        for first, last, type_ in entities:
            words = last - first + 1 if name == "BTC" else 1  # there each word begins an entity
            counts[SHAPES[name].types.get(type_, type_)] += words
    return counts


def load(folder, text, **settings):
    file = folder / "a"
    file.write_text(text, encoding="utf-8")
    path = str(file)
    return ColumnFiles(train=path, dev=path, test=path, **settings).load()


@pytest.mark.parametrize("name", SHAPES)
def test_entities_are_those_of_an_independent_count(name, tmp_path):
    shape = SHAPES[name]
    assert len(shape.settings) <= 1
    corpus = load(tmp_path, shape.text, **shape.settings)
    counts: Counter[str] = Counter()
    for sentence in corpus.train:
        counts.update(type_ for _, _, type_ in spans(sentence.tags))
    assert counts == expected(name)
    sentences = [text.split() for text, _ in SENTENCES]
    if name == "Irish":
        sentences = [[f"{word} {word}" for word in words] for words in sentences]
    assert [list(sentence.words) for sentence in corpus.train[: len(sentences)]] == sentences
    assert has_documents(corpus.train) == bool(shape.documents)
    if shape.documents:
        assert document_numbers(corpus.train).max() + 1 == shape.documents


def test_white_space_words_keep_their_place(tmp_path):
    corpus = load(tmp_path, SHAPES["Weibo"].text)
    assert corpus.train[-1].words == ("\u3000", "王", "\u3000")
