"""The report's page as text: whole, alone, and harmless whatever the data hold."""

import base64
import hashlib
import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from nersweep.report import page, tables
from nersweep.report.conclusions import Decision
from nersweep.report.disagreements import (
    Disagreements,
    Dispute,
    Entity,
    Reading,
    find_disagreements,
)
from nersweep.report.figures.files import Picture
from nersweep.report.figures.scores import contrasted

HARM = "<img src=x onerror=alert(1)>{{7*7}}</title></script><!--"
VOID = {"meta", "link", "img", "input", "wbr"}


class Read(HTMLParser):
    """Elements with their attributes and their text, as a browser has them."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "text": "", **dict(attributes)}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, tag, **attributes):
        there = [element for element in self.elements if element["tag"] == tag]
        return [element for element in there if attributes.items() <= element.items()]


@pytest.fixture(scope="module")
def harmful(comparison):
    """Settings, notes and conclusions mean harm as well."""
    rows = tuple(replace(row, setting=f"{row.setting} {HARM}") for row in comparison.rows)
    return replace(
        comparison,
        rows=rows,
        baseline=rows[0].setting,
        notes=(HARM,),
        conclusions=(f"So it is: {HARM}",),
    )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """What is in their files does not matter here."""
    all_pictures = []
    for name in ("curves", "bars"):
        files = [tmp_path_factory.getbasetemp() / f"{name}.{kind}" for kind in ("png", "svg")]
        for file in files:
            file.write_bytes(file.name.encode())
        all_pictures.append(
            Picture(
                name, f"Title of {name}", f"What {name} show.", f"Look of {name}", False, *files
            )
        )
    return all_pictures


@pytest.fixture(scope="module")
def text(harmful, pictures):
    titled = [
        replace(picture, title=f"{picture.title} {HARM}", caption=f'{picture.caption} "{HARM}')
        for picture in pictures
    ]
    return page.page(
        [page.Part(harmful, find_disagreements(harmful), titled)],
        f"Losses {HARM}",
        f"python -m nersweep '{HARM}'",
    )


@pytest.fixture(scope="module")
def read(text):
    return Read(text)


def test_data_and_settings_appear_as_text(harmful, read, pictures):
    assert {element["tag"] for element in read.elements} <= set(
        re.findall(r"<(\w+)", page.resource("sentences.html") + page.resource("page.html"))
    )
    assert not [name for element in read.elements for name in element if name.startswith("on")]
    assert [len(read.all(tag)) for tag in ("script", "style", "img")] == [1, 1, len(pictures)]
    assert [element["text"] for element in read.all("h1")] == [f"Losses {HARM}"]
    assert f"So it is: {HARM}" in [element["text"] for element in read.all("li")]
    texts = [item["data-words"] for item in read.all("li") if "data-words" in item]
    assert texts == [" ".join(sentence.words) for sentence in find_disagreements(harmful).sentences]
    assert any("<script>alert(1)</script>" in words for words in texts)
    assert {"LOC", "ORG", "</style><b>PER"} <= {element["text"] for element in read.all("small")}


def test_the_policy_allows_only_what_is_in_the_page(read):
    (policy,) = [
        e["content"] for e in read.all("meta") if e.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    for kind in ("script", "style"):
        (element,) = read.all(kind)
        digest = base64.b64encode(hashlib.sha256(element["text"].encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"
    assert (rules["default-src"], rules["img-src"]) == ("'none'", "data:")
    assert not [
        element for element in read.elements if "style" in element
    ]  # the policy would pass it over
    addresses = [
        element[name] for element in read.elements for name in ("src", "href") if name in element
    ]
    assert addresses and all(address.startswith(("data:", "#")) for address in addresses)
    assert not re.search(r"@import|url\(", read.all("style")[0]["text"])


def test_sentences_show_gold_and_the_prediction_of_each_setting(harmful, read):
    lines = [element["text"] for element in read.all("div", **{"class": "line"})]
    for sentence in find_disagreements(harmful).sentences:
        for entities in [sentence.gold, *(reading.entities for reading in sentence.readings)]:
            words = list(sentence.words)
            for entity in entities:
                words[entity.end - 1] += f" {entity.type}" + (
                    f" ✗ {entity.error}" if entity.error else ""
                )
            assert lines.pop(0) == " ".join(words)
    assert not lines


def test_without_scripts_all_sentences_show_and_no_filter(read):
    assert "hidden" in read.all("form", id="filter")[0]
    assert not [item for item in read.all("li") if "hidden" in item]


def test_the_page_has_all_tables_with_their_headers(harmful, read):
    all_tables = tables.make_tables(harmful)
    assert [e["text"] for e in read.all("td")] == [
        x for table in all_tables for row in table.rows for x in row[1:]
    ]
    assert [e["text"] for e in read.all("th", scope="col")] == [
        name for table in all_tables for name in table.header
    ]
    assert [e["text"] for e in read.all("th", scope="row")] == [
        row[0] for table in all_tables for row in table.rows
    ]
    about = " ".join(element["text"] for element in read.all("p", **{"class": "about"}))
    assert all(what in about for table in all_tables for what in table.about)


def test_the_page_opens_with_the_decision(comparison):
    decision = Decision("x", f"Take {HARM}", "python -m nersweep", "How sure", "Its model", "Early")
    text = page.page(
        [page.Part(replace(comparison, decision=decision), Disagreements(), [])], "", ""
    )
    read = Read(text)
    (section,) = read.all("section", **{"class": "decision"})
    words = ["Early", f"Take {HARM}", "python -m nersweep", "How sure", "Its model"]
    places = [section["text"].index(part) for part in words]
    assert places == sorted(places)
    first = next(element for element in read.elements if element["tag"] in ("section", "table"))
    assert first is section


def test_each_difference_is_a_line_on_one_scale_with_its_words(comparison):
    read = Read(page.page([page.Part(comparison, Disagreements(), [])], "", ""))
    rows = contrasted(comparison)
    strips, ticks = page.draw_strips(comparison)
    assert [strip.setting for strip in strips] == [row.setting for row in rows]
    (zero,) = {strip.zero for strip in strips}
    scale = (strips[0].ends[1] - zero) / rows[0].contrast.high  # percent per point
    for strip, row in zip(strips, rows, strict=True):
        contrast = row.contrast
        for at, value in zip(
            (*strip.ends, strip.place),
            (contrast.low, contrast.high, contrast.difference),
            strict=True,
        ):
            assert 0 < at < 100 and at == pytest.approx(zero + scale * value, abs=0.02)
        assert strip.band[1] == pytest.approx(2 * scale * comparison.resolution, abs=0.02)
    for at, text in ticks:
        assert at == pytest.approx(zero + scale * float(text.replace("−", "-")), abs=0.02)
    spoken = [element["aria-label"] for element in read.all("svg", role="img")]
    for label, strip in zip(spoken, strips, strict=True):
        assert label == f"{strip.setting}: {strip.difference} {strip.interval}, {strip.verdict}"


def test_the_page_has_pictures_with_captions(comparison, pictures, tmp_path):
    large = tmp_path / "large.svg"
    large.write_bytes(b"<svg>" + b" " * page.SVG_BYTES)
    drawings = [*pictures, replace(pictures[0], svg=large, caption="The same, from points.")]
    images = Read(
        page.page([page.Part(comparison, find_disagreements(comparison), drawings)], "", "")
    ).all("img")
    assert [image["alt"] for image in images] == [picture.alternative for picture in drawings]
    kinds, contents = zip(*(image["src"].split(";base64,") for image in images), strict=True)
    assert (kinds[0], kinds[-1]) == ("data:image/svg+xml", "data:image/png")
    files = [
        *(
            p.svg if kind.endswith("svg+xml") else p.png
            for p, kind in zip(drawings, kinds, strict=True)
        )
    ]
    assert [base64.b64decode(content) for content in contents] == [
        file.read_bytes() for file in files
    ]


def test_the_same_runs_give_the_same_page_and_the_day_is_in_it(comparison, pictures):
    disagreements, day = find_disagreements(comparison), date(2026, 1, 2)
    pages = [
        page.page([page.Part(comparison, disagreements, pictures)], "Losses", "", day) for _ in "ab"
    ]
    assert pages[0] == pages[1] and "2026-01-02" in pages[0]


def test_the_page_gives_a_reason_if_there_are_no_sentences(comparison):
    for actual, line in (
        (Disagreements(reason="an archive holds no words"), "an archive holds no words"),
        (Disagreements(seed=3), "with seed 3 all settings predict the same"),
    ):
        read = Read(page.page([page.Part(comparison, actual, [])], "", ""))
        assert line in read.all("main")[0]["text"]
        assert not read.all("form") and not read.all("img")


def test_the_method_is_described(comparison, read):
    facts = dict(
        zip(
            *([element["text"] for element in read.all(tag)[-10:]] for tag in ("dt", "dd")),
            strict=True,
        )
    )
    result = comparison.first.result
    assert facts["Data"].startswith("conll, SHA-256") and facts["Seeds"] == "1, 2"
    assert result.hardware in facts["Hardware"] and facts["Number format"] == result.precision
    assert facts["Versions"].split("; ") == [
        f"{name} {version}" for name, version in result.versions.items()
    ]
    assert HARM in read.all("pre")[-1]["text"]


def test_entities_that_overlap_stand_in_lines_of_their_own():
    long, short, last = Entity(0, 2, "LOC"), Entity(1, 2, "PER"), Entity(2, 3, "LOC")
    assert list(page.lines("abcd", [last, short, long])) == [
        [("ab", long), ("c", last), ("d", None)],
        [("a", None), ("b", short), ("cd", None)],
    ]
    assert list(page.lines("ab", [])) == [[("ab", None)]]


def test_a_word_that_turns_the_direction_turns_no_other(comparison):
    turned, arabic = "\u202egpj.exe", "\u0628\u062a"
    one_reading = Reading(("cross_entropy",), (Entity(2, 4, "LOC"),))
    actual = Disagreements(
        1, 1, (Dispute(1, ("see", turned, "Ada", turned, arabic), (), (one_reading,)),)
    )
    read = Read(page.page([page.Part(comparison, actual, [])], "", ""))
    alone = [element["text"] for element in read.all("bdi")]
    assert alone == [
        turned,
        turned,
        turned,
        f"Ada {turned}",
        turned,
    ]  # gold; said: outside, the entity, in it
    assert read.all("div", **{"class": "line"})[0]["text"] == f"see {turned} Ada {turned} {arabic}"


def test_print_shows_the_first_sentences_and_says_so(comparison):
    sentence = find_disagreements(comparison).sentences[0]
    for count in (page.PRINTED, page.PRINTED + 1):
        read = Read(
            page.page(
                [page.Part(comparison, Disagreements(1, count, (sentence,) * count), [])], "", ""
            )
        )
        hints = [f"On paper at most {page.PRINTED} of them are printed; the screen shows all."]
        assert [e["text"] for e in read.all("p", **{"class": "paper"})] == hints * (
            count > page.PRINTED
        )


def test_characters_stand_close(comparison):
    one_reading = Reading(("cross_entropy",), (Entity(0, 2, "LOC"),))
    for words, line in (("北京好", "北京 LOC好"), (("北京", "很", "好"), "北京 很 LOC 好")):
        actual = Disagreements(1, 1, (Dispute(1, tuple(words), (), (one_reading,)),))
        lines = Read(page.page([page.Part(comparison, actual, [])], "", "")).all(
            "div", **{"class": "line"}
        )
        assert lines[1]["text"] == line


def luminance(colour):
    """Relative luminance of an sRGB colour, three shares of 255. WCAG 2.2."""
    linear = []
    for share in (value / 255 for value in colour):
        linear.append(share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4)
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first, second):
    light, dark = sorted([luminance(first), luminance(second)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_text_stands_out_in_light_in_dark_and_in_print():
    """WCAG 2.2, 1.4.3: 4.5 to 1 for all text."""
    css = page.resource("page.css")
    colours = [tuple(bytes.fromhex(code)) for code in re.findall(r"--colour: #(\w{6})", css)]
    assert len(colours) == page.COLOURS and "var(--colour) 24%, var(--paper)" in css
    schemes = [
        {name: tuple(bytes.fromhex(code)) for name, code in re.findall(r"--(\w+): #(\w{6})", root)}
        for root in re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    ]
    assert len(schemes) == 3
    for scheme in schemes:
        for name in ("ink", "faint", "wrong"):
            assert contrast(scheme[name], scheme["paper"]) >= 4.5
            assert contrast(scheme[name], scheme["shade"]) >= 4.5
        link = (schemes[0] | scheme)["link"]
        assert contrast(link, scheme["paper"]) >= 4.5
        for name in ("better", "worse", "practically", "undecided"):
            assert contrast(scheme[name], scheme["paper"]) >= 4.5
            assert contrast(scheme[name], scheme["band"]) >= 3  # the mark on the band
        for colour in colours:
            mixed = [
                0.24 * one + 0.76 * other
                for one, other in zip(colour, scheme["paper"], strict=True)
            ]
            assert contrast(scheme["ink"], mixed) >= 4.5


def test_names_may_break_after_their_signs_and_stay_whole(comparison):
    assert page.pieces("cross_entropy-ls0.1 x=2") == ["cross_", "entropy-", "ls0.1 x=", "2"]
    read = Read(page.page([page.Part(comparison, Disagreements(), [])], "", ""))
    heads = [element["text"] for element in read.all("th", scope="row")]
    assert heads[: len(comparison.rows)] == [row.setting for row in comparison.rows]


def test_headings_form_a_hierarchy_and_name_what_they_head(read):
    levels = [int(e["tag"][1]) for e in read.elements if re.fullmatch(r"h[1-6]", e["tag"])]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    names = {element["id"]: element["text"] for element in read.elements if "id" in element}
    for element in [*read.all("table"), *read.all("section"), *read.all("div", role="region")]:
        assert names[element["aria-labelledby"]].strip()
    assert read.all("html")[0]["lang"] == "en"


def test_the_page_says_what_it_reports(comparison):
    read = Read(page.page([page.Part(comparison, Disagreements(), [])], "", "", date(2026, 1, 2)))
    line = read.all("p", **{"class": "about"})[0]["text"]
    assert line == "4 settings, 8 runs of tiny on conll, scored on test; 2026-01-02"
