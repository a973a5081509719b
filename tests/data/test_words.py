"""The words of raw text."""

import random
from itertools import pairwise

import pytest

from nersweep.data.words import words


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in words(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ada lives in Pau.", "Ada|lives|in|Pau|."),
        ("“Pau” (France), 5%!", "“|Pau|”|(|France|)|,|5|%|!"),
        ("1,000.50 at 10:30, 3/4", "1,000.50|at|10:30|,|3/4"),
        ("a,b c:d e/f 1, 2", "a|,|b|c|:|d|e|/|f|1|,|2"),
        ("l'eau d’or F-16 R&D a@b.org x_y", "l'eau|d’or|F-16|R&D|a@b.org|x_y"),
        ("-5 pre- -fix 'tis dogs'", "-|5|pre|-|-|fix|'|tis|dogs|'"),
        ("the U.S. and U.S.-based e.g., etc.", "the|U.S.|and|U.S.|-|based|e.g.|,|etc|."),
        ("Ada's it’s IT'S l'source U.S.'s", "Ada|'s|it|’s|IT|'S|l'source|U.S.|'s"),
        ("東京2020へ、行く", "東|京|2020へ|、|行|く"),
        ("e\u0301te\u0301 हिन्दी", "e\u0301te\u0301|हिन्दी"),
        ("a\u00a0b\u3000c\u200bd\ufeffe\tf\x00g\n", "a|b|c|d|e|f|g"),
        ("葛\U000e0100飾", "葛\U000e0100|飾"),
        ("\U0001f600\U0001f600 #tag @you", "\U0001f600|\U0001f600|#|tag|@|you"),
        ("", ""),
        (" \n", ""),
    ],
)
def test_words_of(text, expected):
    assert "|".join(split(text)) == expected


def test_words_are_in_order_and_leave_out_blanks_alone():
    rng = random.Random(1)
    for _ in range(300):
        text = "".join(rng.choices("abs'’-.&@_,:/ \t0東\u0301!\u00a0", k=12))
        spans = words(text)
        assert all(start < end for start, end in spans)
        assert all(a[1] <= b[0] for a, b in pairwise(spans))
        covered = "".join(text[start:end] for start, end in spans)
        assert covered == "".join(text.split())
