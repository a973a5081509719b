"""What fits an argument of a class."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest

from nersweep.config.build import fits

FITS = [
    (3, Any),
    ({"a": [1]}, Any),
    (None, float | None),
    (3, float),
    ([1.5, 2], Sequence[float]),
    ({"a": 1}, Mapping[str, float]),
    ("a", Literal["a", "b"]),
]
FAILS = [
    (None, float),
    (True, float),
    (2.5, int),
    ("a", Sequence[str]),
    (["a"], Sequence[float]),
    ([1], Mapping[str, float]),
    ("c", Literal["a", "b"]),
    (3, str | None),
]


@pytest.mark.parametrize(("value", "hint"), FITS, ids=str)
def test_a_value_fits_a_type(value, hint):
    assert fits(value, hint)


@pytest.mark.parametrize(("value", "hint"), FAILS, ids=str)
def test_another_value_does_not(value, hint):
    assert not fits(value, hint)
