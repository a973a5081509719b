"""The report's page in Chromium, without a window: drawn, quiet, filtered, narrow, printed."""

import base64
import json
import time

import pytest

from nersweep.evaluation.analysis import KINDS
from nersweep.report import page, review
from nersweep.report.disagreements import find_disagreements
from nersweep.report.figures.files import write_figures
from nersweep.report.suspects import find_suspects

pytestmark = pytest.mark.engine
PHONE = {"width": 375, "height": 800, "deviceScaleFactor": 1, "mobile": True}


@pytest.fixture(scope="module")
def browser(browser):
    """With a note of what a script of the data would do, if it ran."""
    spy = "window.alerts = 0; window.alert = () => { window.alerts += 1 }"
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": spy})
    return browser


@pytest.fixture(scope="module")
def pictures(comparison, tmp_path_factory):
    return write_figures(comparison, tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def file(comparison, pictures, tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "report.html"
    disagreements = find_disagreements(comparison)
    html = page.page(
        [page.Part(comparison, disagreements, pictures)], "Losses", "python -m nersweep"
    )
    file.write_text(html, encoding="utf-8")
    return file


@pytest.fixture
def window(browser, file):
    """The page, opened anew; what the browser noted before is gone."""
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(file.as_uri())
    return browser


def test_the_page_draws_everything_without_requests_or_errors(window, requests, pictures, file):
    widths = window.execute_script(
        "return [...document.images].map((image) => image.complete && image.naturalWidth)"
    )
    assert len(widths) == len(pictures) - 1 > 0 and all(
        widths
    )  # that of verdicts is drawn in place
    assert requests() == [file.as_uri()]
    assert window.get_log("browser") == []


def test_a_script_in_the_data_is_text(window):
    assert "<script>alert(1)</script>" in window.find_element("id", "disagreements").text
    assert window.execute_script("return [window.alerts, document.scripts.length]") == [0, 1]
    assert (
        window.execute_script(
            "return document.querySelectorAll('[onerror], main img:not(figure img)').length"
        )
        == 0
    )


def test_the_filter_leaves_the_sentences_with_such_errors(window, comparison):
    sentences = find_disagreements(comparison).sentences
    there = {
        "kind": list(KINDS),
        "type": comparison.types,
        "setting": [row.setting for row in comparison.finished],
    }
    for name, values in there.items():
        options = (
            "return [...document.getElementsByName(arguments[0])[0].options].map((one) => one.text)"
        )
        assert window.execute_script(options, name)[1:] == values
    nothing = dict.fromkeys(there, "")
    choices = [nothing | {name: value} for name, values in there.items() for value in values]
    choices += [
        dict(zip(there, values, strict=True)) for values in zip(*there.values(), strict=False)
    ]
    result = set()
    for choice in choices:
        expected = [
            sentence.number
            for sentence in sentences
            if any(
                choice["setting"] in ("", setting)
                and choice["kind"] in ("", kind)
                and choice["type"] in ("", type_)
                for setting, kind, type_ in sentence.errors()
            )
        ]
        places = {
            name: 1 + there[name].index(value) if value else 0 for name, value in choice.items()
        }
        assert visible(window, **places) == (expected, f"{len(expected)} of {len(sentences)} shown")
        result.add(len(expected))
    assert len(result) > 5  # of sentences: all, some, fewer


def test_the_search_leaves_the_sentences_with_these_words(window, comparison):
    sentences = find_disagreements(comparison).sentences
    for words in ("ADA met", "<script>", "no such words"):
        expected = [s.number for s in sentences if words.lower() in " ".join(s.words).lower()]
        assert visible(window, words=words)[0] == expected
        assert len(expected) < len(sentences)


def visible(browser, words="", **places):
    """Filter by words and options (by index); return the visible sentences and the count's text."""
    from selenium.webdriver.support.select import Select

    field = browser.find_element("name", "words")
    field.clear()
    field.send_keys(words)
    for name, place in places.items():
        Select(browser.find_element("name", name)).select_by_index(place)
    heads = browser.execute_script(
        "return [...document.querySelectorAll('#disagreements h3')].map((head) => head.innerText)"
    )
    visibility = browser.execute_script(
        "return [...document.querySelectorAll('#disagreements h3')].map((h) => h.checkVisibility())"
    )
    numbers = [
        int(head.removeprefix("Sentence "))
        for head, is_visible in zip(heads, visibility, strict=True)
        if is_visible
    ]
    return numbers, browser.find_element("name", "count").text


def test_on_a_phone_tables_scroll_in_their_box_and_the_page_does_not(window):
    window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    try:
        assert window.execute_script(
            "return [innerWidth, document.documentElement.scrollWidth]"
        ) == [375, 375]
        wide, held = window.execute_script("""
            const box = document.querySelector(".scroll");
            box.scrollLeft = 1000;
            const left = (element) => element.getBoundingClientRect().left;
            return [box.scrollLeft > 0, left(box.querySelector("tbody th")) === left(box)];
        """)
        assert wide and held  # the settings stay in sight
        assert window.execute_script("""
            const box = document.querySelector("figure .scroll");
            return box.scrollWidth >= 640 && box.clientWidth < 375;
        """)  # a picture is as wide as it can be read
    finally:
        window.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_marks_do_not_break_between_an_entity_and_its_type(window):
    lines = window.execute_script(
        "return [...document.querySelectorAll('mark')].map((mark) => mark.getClientRects().length)"
    )
    assert lines and set(lines) == {1}


def test_all_controls_are_reached_by_tab_and_show_the_focus(window):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    reached = []
    for _ in range(60):
        ActionChains(window).send_keys(Keys.TAB).perform()
        name, style = window.execute_script("""
            const element = document.activeElement;
            return [element.name || element.tagName, getComputedStyle(element).outlineStyle];
        """)
        reached.append(name)
        assert style == "solid" or name == "BODY"
        if name == "words":
            break
    assert reached[-4:] == ["kind", "type", "setting", "words"]
    assert {"A", "PRE", "DIV"} <= set(reached)  # links, the command, tables that scroll


def test_links_to_parts_work_in_a_frame_without_an_origin(browser, file, tmp_path):
    """As MLflow shows a page of a run."""
    page_of = json.dumps(file.read_text("utf-8")).replace("<", "\\u003c")
    whole = f"""<iframe sandbox="allow-scripts" width="800" height="600"></iframe><script>
        const page = new Blob([{page_of}], {{type: "text/html"}});
        document.querySelector("iframe").src = URL.createObjectURL(page);
    </script>"""
    (tmp_path / "frame.html").write_text(whole, encoding="utf-8")
    browser.get((tmp_path / "frame.html").as_uri())
    browser.switch_to.frame(0)
    try:
        for name in ("method", "tables"):
            browser.find_element("css selector", f"nav a[href='#{name}']").click()
            where = (
                f"return [scrollY, document.getElementById('{name}').getBoundingClientRect().top]"
            )
            scrolled, top = browser.execute_script(where)
            assert scrolled > 100 and -1 < top < 600
    finally:
        browser.switch_to.default_content()


def test_it_prints(window):
    printed = base64.b64decode(window.print_page())
    assert printed.startswith(b"%PDF") and printed.count(b"/Type /Page\n") > 1
    assert not window.execute_script("return matchMedia('print').matches")
    window.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert not window.find_element("id", "filter").is_displayed()
        assert window.find_element("id", "disagreements").is_displayed()
        count = """
            const sentences = [...document.querySelectorAll("#disagreements > li")];
            return sentences.filter((sentence) => sentence.checkVisibility()).length;
        """
        assert window.execute_script(count) == page.PRINTED
    finally:
        window.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_accepted_suspects_are_downloaded_as_corrections(browser, comparison, requests, tmp_path):
    suspects = find_suspects(comparison.records[:1], 5)
    file = tmp_path / "suspects.html"
    types = comparison.types
    file.write_text(review.review_page(suspects, types, "test", "Suspects"), encoding="utf-8")
    browser.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    requests()
    browser.get(file.as_uri())
    assert not browser.find_element("name", "download").is_enabled()
    choices = browser.find_elements("css selector", ".choice")
    for choice, value in zip(
        choices, ("accepted", "rejected", "accepted", "accepted"), strict=False
    ):
        choice.find_element("css selector", f"[value={value}]").click()
    choices[3].find_element("css selector", "[value=accepted]").click()  # takes it back
    count = browser.find_element("name", "count")
    assert count.text == "2 accepted, 1 rejected, 2 to review"
    browser.find_element("name", "download").click()
    corrections = tmp_path / "corrections.jsonl"
    until = time.monotonic() + 20
    while not corrections.exists() and time.monotonic() < until:
        time.sleep(0.1)
    lines = corrections.read_text(encoding="utf-8").splitlines()
    assert lines == [review.correction_line(suspects[i]) for i in (0, 2)]
    assert requests() == [file.as_uri()] and browser.get_log("browser") == []
