"""spaCy's DocBin."""

import zlib

import pytest

from nersweep.data.docbin import SpacyFiles

spacy = pytest.importorskip("spacy", reason="no spaCy: pip install 'nersweep[spacy]'")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three documents; the second marks sentences, the third has a span group."""
    from spacy.tokens import Doc, DocBin, Span

    vocab = spacy.blank("en").vocab
    one = Doc(vocab, ["Tessa", "Holm", "sang", "."], [True, True, False, False])
    one.set_ents([Span(one, 0, 2, "PER")])
    two = Doc(vocab, ["In", "Lund", ".", "\n", "Mira", "sang"], sent_starts=[1, 0, 0, 1, 0, -1])
    two.set_ents([Span(two, 1, 2, "LOC"), Span(two, 4, 5, "PER")])
    three = Doc(vocab, ["Lund", "University"])
    three.set_ents([Span(three, 0, 2, "ORG")])
    three.spans["sc"] = [Span(three, 0, 2, "ORG"), Span(three, 0, 1, "LOC")]
    folder = tmp_path_factory.mktemp("docs")
    DocBin(docs=[one, two, three]).to_disk(folder / "a.spacy")
    three.user_data["x"] = {"y": 1}
    DocBin(["ENT_TYPE", "ENT_IOB"], docs=[three], store_user_data=True).to_disk(folder / "b.spacy")
    DocBin(["TAG"], docs=[one]).to_disk(folder / "untagged.spacy")
    return folder


def read(file, **settings):
    reader = SpacyFiles(train=str(file), **settings)
    return reader.read(file)


def test_documents_have_spacys_words_sentences_and_entities(files):
    sentences = read(files / "a.spacy")
    assert [s.words for s in sentences] == [
        ("Tessa", "Holm", "sang", "."),
        ("In", "Lund", "."),
        ("Mira", "sang"),
        ("Lund", "University"),
    ]
    assert [" ".join(s.tags) for s in sentences] == [
        "B-PER I-PER O O",
        "O B-LOC O",
        "B-PER O",
        "B-ORG I-ORG",
    ]
    assert [s.document for s in sentences] == [0, 1, 1, 2]


def test_attributes_and_user_data_of_any_kind_are_no_matter(files):
    (sentence,) = read(files / "b.spacy")
    assert sentence.tags == ("B-ORG", "I-ORG")


def test_a_span_group_may_be_nested(files):
    sentences = read(files / "a.spacy", key="sc")
    assert sentences[-1].tags == ("B-ORG", "I-ORG")
    assert sentences[-1].entities == ((0, 1, "LOC"), (0, 2, "ORG"))
    assert {tag for s in sentences[:-1] for tag in s.tags} == {"O"}


def test_files_that_are_none(files, faults_of):
    for name, content in {"x": b"x", "empty": b"", "zip": zlib.compress(b"\x93")}.items():
        (files / name).write_bytes(content)
        (fault,) = faults_of(lambda name=name: read(files / name))
        assert fault.setting == str(files / name) and fault.must.startswith("not a DocBin")
    (fault,) = faults_of(lambda: read(files / "untagged.spacy"))
    assert "no entities" in fault.must


def test_a_file_that_unpacks_to_too_much_is_refused(files, monkeypatch, faults_of):
    monkeypatch.setattr("nersweep.data.docbin.MOST", 100)
    (fault,) = faults_of(lambda: read(files / "a.spacy"))
    assert "unpacks to more than 100 bytes" in fault.must
