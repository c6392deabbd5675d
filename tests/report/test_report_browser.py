"""The page as a browser shows it."""

import base64
import json

import pytest
from browser import PATH, Browser
from synthetic_sweep import write_sweep

from ablate.report.command import report

pytestmark = pytest.mark.skipif(PATH is None, reason="no Chromium is installed: apt-get install chromium")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    factors = {"optimizer.nesterov": [True, False], "optimizer.lr": [0.05, 0.1]}
    write_sweep(folder, factors, range(3), num_pictures=500, num_epochs=8, gradcam=True)
    return report([folder])


@pytest.fixture(scope="module")
def browser(page, tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        opened.resize(1100)
        opened.open(page.page.resolve().as_uri())
        yield opened


def test_the_console_is_silent_and_nothing_outside_is_asked_for(browser, page):
    assert browser.named("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded") == []
    asked = [request["request"]["url"] for request in browser.named("Network.requestWillBeSent")]
    assert asked[0] == page.page.resolve().as_uri()
    assert all(address.startswith("data:") for address in asked[1:])


def test_the_sentences_are_on_the_page(browser, page):
    text = " ".join(browser.ask("document.body.innerText").split())
    for sentence in page.analysis.sentences[: len(page.analysis.effects)]:
        assert sentence in text
    assert len(page.analysis.effects) == 2


def test_every_picture_is_drawn(browser):
    sizes = browser.ask("[...document.querySelectorAll('svg')].map(svg => svg.getBoundingClientRect().height)")
    assert len(sizes) == 6
    assert min(sizes) > 80
    widths = browser.ask("[...document.images].map(image => image.naturalWidth)")
    assert len(widths) == 2
    assert min(widths) > 300


@pytest.mark.parametrize("width", [320, 390, 768, 1100, 1920])
def test_nothing_sticks_out_at_the_side_and_no_label_leaves_its_picture(browser, width):
    browser.resize(width)
    assert browser.ask("document.documentElement.scrollWidth") <= width
    outside = browser.ask(
        """[...document.querySelectorAll('svg text')].filter(text => {
            const label = text.getBoundingClientRect(), svg = text.closest('svg').getBoundingClientRect();
            return label.left < svg.left - 1 || label.right > svg.right + 1;
        }).map(text => text.textContent)"""
    )
    assert outside == []
    smallest = browser.ask(
        "Math.min(...[...document.querySelectorAll('svg text')].map(text => text.getBoundingClientRect().height))"
    )
    assert smallest > 7  # px, on a phone
    browser.resize(1100)


CONTRAST = """(() => {
    const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const light = colour => {
        const [r, g, b] = colour.match(/[\\d.]+/g).map(v => linear(v / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const paper = light(getComputedStyle(document.body).backgroundColor);
    const ratio = colour => {
        const [a, b] = [light(colour), paper].sort((x, y) => y - x);
        return (a + 0.05) / (b + 0.05);
    };
    const all = selector => [...document.querySelectorAll(selector)].map(e => getComputedStyle(e));
    return {paper: paper,
            words: Math.min(...all('h1, p, td, th, dd, figcaption, a').map(style => ratio(style.color))),
            labels: Math.min(...all('svg text').map(style => ratio(style.fill)))};
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_and_labels_stand_out_in_light_and_in_dark(browser, scheme):
    browser.prefer(scheme)
    found = browser.ask(CONTRAST)
    assert (found["paper"] > 0.5) == (scheme == "light")
    assert found["words"] >= 4.5  # WCAG AA
    assert found["labels"] >= 4.5
    browser.prefer("light")


def test_it_prints(browser):
    pages = base64.b64decode(browser.call("Page.printToPDF", printBackground=True)["data"])
    assert pages.startswith(b"%PDF")
    assert 2 <= pages.count(b"/Type /Page\n") <= 10


def test_a_page_that_misbehaves_would_be_noticed(tmp_path, browser, page):
    bad = tmp_path / "bad.html"
    bad.write_text("<script>console.error('no')</script><img src='http://127.0.0.1:9/x.png'>")
    browser.open(bad.as_uri())
    assert browser.named("Runtime.consoleAPICalled")
    assert any("127.0.0.1" in json.dumps(request) for request in browser.named("Network.requestWillBeSent"))
