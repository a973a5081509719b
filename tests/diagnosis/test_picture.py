"""The picture of a diagnosis shows the counts that it is given, and is the same each time."""

import re
import warnings
from collections import Counter

from nersweep.diagnosis.picture import draw

COUNTS = {
    "train": Counter({"O": 800, "B-RARE": 11, "I-RARE": 7, "B-$often$": 1182}),
    "dev": Counter({"O": 75, "B-RARE": 3, "B-$often$": 22}),
    "test": Counter({"O": 10, "B-<new>": 30}),
}


def test_the_picture_has_every_number_and_orders_types_by_count(tmp_path):
    png, svg = draw(tmp_path, "small & <odd>", COUNTS)
    assert png.read_bytes().startswith(b"\x89PNG")
    texts = re.findall(r">([^<>]+)</text>", svg.read_text("utf-8"))
    assert {"40.0%", "75.0%", "25.0%", "1,182", "22", "11", "3", "7", "30"} <= set(texts)
    assert [x for x in texts if x in ("$often$", "RARE", "&lt;new&gt;")] == [
        "$often$",
        "RARE",
        "&lt;new&gt;",
    ]


def test_the_same_counts_give_the_same_bytes(tmp_path):
    one, other = (draw(tmp_path / name, "small", COUNTS) for name in ("one", "other"))
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in other]


def test_a_data_set_without_words_of_a_kind_draws_without_a_warning(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, svg = draw(
            tmp_path, "one word each", {split: Counter({"O": 5, "B-PER": 3}) for split in COUNTS}
        )
    texts = re.findall(r">([^<>]+)</text>", svg.read_text("utf-8"))
    assert (texts.count("3"), texts.count("0")) == (3, 3)  # of B- and of I-, in each split
