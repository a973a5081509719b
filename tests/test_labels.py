"""Tags and spans, against seqeval and against the definitions of the schemes."""

import random

import pytest
from seqeval.metrics.sequence_labeling import get_entities

from nersweep.labels import LabelSet, spans, split_tag, tags_from_spans


def random_tags(rng: random.Random, prefixes: str, length: int = 12) -> list[str]:
    choices = ["O"] + [f"{p}-{t}" for p in prefixes for t in ("PER", "LOC")]
    return [rng.choice(choices) for _ in range(length)]


@pytest.mark.parametrize("prefixes", ["BI", "BIES"])
def test_spans_are_those_of_seqeval_on_any_tag_sequence(prefixes):
    rng = random.Random(1)
    for _ in range(2000):
        tags = random_tags(rng, prefixes)
        assert spans(tags) == [
            (start, end + 1, type_) for type_, start, end in get_entities(tags)
        ], tags


def test_spans_of_written_out_tags_are_the_spans():
    rng = random.Random(2)
    for _ in range(500):
        entities = spans(random_tags(rng, "BIES"))
        assert spans(tags_from_spans(entities, 12)) == entities


@pytest.mark.parametrize("tag", ["PER", "X-PER", "B-", "B", "", "o", "BI-PER"])
def test_malformed_tags_are_refused(tag, assert_refused_as):
    assert_refused_as(lambda: split_tag(tag), f"tag={tag}")


@pytest.mark.parametrize(
    ("entities", "fault"),
    [([(0, 2, "PER"), (1, 3, "LOC")], "overlaps"), ([(2, 5, "PER")], "outside")],
)
def test_spans_that_no_tags_can_hold_are_refused(entities, fault):
    with pytest.raises(ValueError, match=fault):
        tags_from_spans(entities, 4)


def test_labels_hold_both_tags_of_every_type():
    labels = LabelSet(["PER", "LOC", "PER"])
    assert labels.names == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    assert labels.decode(labels.encode(["I-PER", "O"])) == ["I-PER", "O"]


def test_legal_transitions_are_those_that_change_nothing_when_repaired():
    labels = LabelSet(["PER", "LOC"])
    start, step = labels.legal_transitions()
    for i, first in enumerate(labels.names):
        assert start[i] == (tags_from_spans(spans([first]), 1) == [first])
        for j, second in enumerate(labels.names):
            # Before it stands a B of the same type, so that only the second tag can be wrong.
            tags = ["B" + first[1:] if first != "O" else "O", first, second]
            assert step[i, j] == (tags_from_spans(spans(tags), 3)[2] == second), tags
