"""What a browser shows of a real sweep."""

import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

from ablate.record import RunRecord

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
RUNS = [f"nesterov={arm},seed={seed}" for arm in ("false", "true") for seed in (0, 1)]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    """A browser's tab whose pages must run without an error."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        errors: list[Exception] = []
        page.on("pageerror", lambda error: errors.append(error))
        yield page
        browser.close()
        assert errors == []


def open_page(tab: Page, address: str, name: str) -> None:
    tab.goto(f"{address}/#{name}")
    tab.reload()  # a change behind the # alone leaves the page that is open


def texts(found: Locator) -> list[str]:
    return [text.strip() for text in found.all_inner_texts()]


def test_hparams_shows_an_arm_a_row_with_the_mean_accuracy_of_its_seeds(tab, dashboards, sweep):
    open_page(tab, dashboards.address, "hparams")
    cells = tab.locator("vaadin-grid-cell-content")
    for arm in ("false", "true"):
        expect(cells.get_by_text(f"nesterov={arm} ")).to_be_visible()
        runs = [RunRecord.read(sweep / run) for run in RUNS if arm in run]
        mean = sum(run.metrics["test/accuracy"] for run in runs) / len(runs)
        assert any(abs(float(text) - mean) < 1e-4 for text in texts(cells) if text.startswith("0.")), arm
    shown = texts(cells)
    assert {"optimizer.nesterov", "false", "true", "test/accuracy"} <= set(shown)
    assert shown.index("optimizer.nesterov") < shown.index("data.batch_size")  # what differs comes first
    for status in ("Success", "Failure", "Running", "Unknown"):
        expect(tab.get_by_text(status, exact=True)).to_be_attached()


def test_scalars_has_a_line_a_run_and_a_group_a_split(tab, dashboards):
    open_page(tab, dashboards.address, "scalars")
    for run in RUNS:
        expect(tab.get_by_text(run, exact=True).first).to_be_visible()
    for group in ("train", "val", "test", "optimizer", "throughput"):
        expect(tab.locator("tf-category-paginated-view").get_by_text(group, exact=True).first).to_be_visible()
    expect(tab.locator("tf-scalar-card").first).to_be_visible()


def test_custom_scalars_sets_training_against_validation(tab, dashboards):
    open_page(tab, dashboards.address, "custom_scalars")
    for title in ("accuracy", "loss", "learning rate", "momentum", "pictures a second"):
        expect(tab.locator("tf-custom-scalar-multi-line-chart-card").get_by_text(title, exact=True)).to_be_attached()
    expect(tab.get_by_text("Matches (8)").first).to_be_visible()  # two splits of four runs


def test_images_are_drawn_under_the_names_of_their_classes(tab, dashboards):
    open_page(tab, dashboards.address, "images&tagFilter=gradcam")
    expect(tab.get_by_text("gradcam/00_0", exact=True).first).to_be_visible()
    for run in RUNS:
        expect(tab.locator("tf-image-loader").get_by_text(run).first).to_be_attached()
    pictures = tab.locator("tf-image-loader img")
    expect(pictures.nth(11)).to_be_attached()  # they come one by one
    for picture in pictures.all():
        picture.evaluate("picture => picture.decode()")
    assert pictures.count() >= 12
    assert min(picture.evaluate("picture => picture.naturalWidth") for picture in pictures.all()) > 300


def test_the_graph_shows_the_layers(tab, dashboards):
    open_page(tab, dashboards.address, "graphs")
    for name in ("conv1", "layer1", "layer4", "fc"):
        box = tab.locator("svg g.node text").filter(has_text=re.compile(f"^\\s*{name}"))
        expect(box.first).to_be_visible()
