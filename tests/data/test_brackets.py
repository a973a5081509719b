"""Entities in brackets."""

import pytest

from nersweep.data.brackets import bracket_spans


@pytest.mark.parametrize(
    ("values", "spans"),
    [
        (["(1-person", "", "1)", "(2-place)"], [(0, 3, "person"), (3, 4, "place")]),
        (["(1-person(2-place)", "1)"], [(0, 1, "place"), (0, 2, "person")]),
        (["(1-a(2-b", "1)2)"], [(0, 2, "a"), (0, 2, "b")]),
        (["(1-a", "2)1)"], None),
        (["(7-a-new-1,2-coref", "(7-a)", "7)"], [(1, 2, "a"), (0, 3, "a")]),
        (["", ""], []),
        (["(1-a"], None),
        (["(1)"], None),
        (["a"], None),
    ],
)
def test_brackets(values, spans):
    if spans is None:
        with pytest.raises(ValueError, match=r"."):
            bracket_spans(values)
    else:
        assert bracket_spans(values) == spans


def test_the_type_may_stand_elsewhere():
    assert bracket_spans(["(e5-new-person)"], 2) == [(0, 1, "person")]
