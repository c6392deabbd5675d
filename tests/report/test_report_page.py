"""The page as text: what is on it, where its links lead, and that whatever was a name stays a name."""

import html
import json
import re
from html.parser import HTMLParser

import pytest
from synthetic_sweep import write_run, write_sweep, write_values

from ablate.report.command import report

FACTOR = "optimizer.nesterov"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    effects = {(FACTOR, True): 0.05}
    write_sweep(folder, {FACTOR: [True, False]}, range(5), effects=effects, num_pictures=1_000, gradcam=True)
    report([folder])
    return folder


def read(folder, name):
    return (folder / name).read_text(encoding="utf-8")


def test_an_interval_of_two_runs_shows_no_accuracy_above_100_and_no_time_below_0(tmp_path):
    for value, accuracies in ((True, (0.986, 0.983)), (False, (0.986, 0.967))):
        for seed, accuracy in enumerate(accuracies):
            folder = tmp_path / f"{value}{seed}"
            write_run(folder, {FACTOR: value}, seed, accuracy)
            record = json.loads((folder / "run.json").read_text())
            record["seconds"]["fit"] = 20.0 + 20 * seed  # 30 on average, -97 to 157
            (folder / "run.json").write_text(json.dumps(record))
    report([tmp_path])
    page = read(tmp_path, "report.html")
    (figure,) = [svg for svg in page.split("<svg")[1:] if "mean 98.45" in svg]
    ticks = [float(text) for text in re.findall(r"<text[^>]*>(\d+(?:\.\d+)?)</text>", figure)]
    assert len(ticks) > 2
    assert max(ticks) <= 100
    assert "30.0 (0.0 to 157" in read(tmp_path, "report.md")


EVIL = '<script>alert("x")</script>| **b** <img src=http://example.com/x onerror=y>'


def test_html_in_names_and_errors_stays_text(tmp_path):
    for seed in range(3):
        write_run(tmp_path / f"a{seed}", {"optimizer.kind": EVIL}, seed, 0.9 + seed / 100)
        write_run(tmp_path / f"b{seed}", {"optimizer.kind": "plain"}, seed, 0.9)
    write_run(tmp_path / "c <b>", {"optimizer.kind": "plain"}, 3, None, status="failed", error=EVIL)
    report([tmp_path])
    page, text = read(tmp_path, "report.html"), read(tmp_path, "report.md")
    assert html.escape(EVIL, quote=False).replace('"', "&#34;") in page
    for content in (page, text):
        assert "<script" not in content
        assert "<img" not in content.replace('<img src="data:', "")
        assert "<b>" not in content
    row = next(line for line in text.splitlines() if line.startswith("| ") and "failed" in line)
    assert len(re.findall(r"(?<!\\)\|", row)) == 8  # seven cells


def test_pictures_keep_labels_of_any_script_and_all_their_digits(tmp_path):
    for value, base in (("$x_1$ 旋转", 0.4), ("<平 & 移>", 0.5)):
        for seed in range(3):
            metrics = {"test/loss": base + base * seed**2 / 1000}
            write_run(tmp_path / f"{base}{seed}", {"augmentation": value}, seed, None, metrics=metrics)
    (sentence,) = report([tmp_path], metric="test/loss").analysis.sentences
    labels = re.findall(r"<text[^>]*>([^<]*)</text>", read(tmp_path, "report.html"))
    assert "augmentation=$x_1$ 旋转" in labels
    assert "augmentation=&lt;平 &amp; 移&gt;" in labels
    interval = re.search(r"\[(95 % CI [-+]0\.\d{4,}, [-+]0\.\d{4,})\]", sentence)
    assert interval[1] in labels


class Page(HTMLParser):
    """Tags in their order of opening; complains about tags that do not nest."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, content):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(content)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_nests_names_every_picture_and_asks_for_nothing_outside(sweep):
    content = read(sweep, "report.html")
    page = Page(content)
    pictures = [attributes for tag, attributes in page.tags if attributes.get("role") == "img"]
    assert len(pictures) == sum(tag == "svg" for tag, _ in page.tags) == 6
    assert all(len(attributes["aria-label"]) > 20 for attributes in pictures)
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 2
    assert all(attributes["alt"] and attributes["src"].startswith("data:image/webp;base64,") for attributes in images)
    addresses = [a[name] for _, a in page.tags for name in ("href", "src", "xlink:href") if name in a]
    assert all(address.startswith(("#", "data:", "nesterov=", "results.csv", "report.json")) for address in addresses)
    assert "@import" not in content
    assert "http" not in re.sub(r'<meta http-equiv|"Content-Security-Policy"', "", content)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_pictures_are_listed_with_the_names_of_their_classes_and_sheets_lead_to_the_whole(sweep):
    content = read(sweep, "report.html")
    assert re.search(r"<td>digit \d</td><td>\d of 5, digit \d</td><td>\d of 5, digit \d</td>", content)
    links = [attributes["href"] for tag, attributes in Page(content).tags if tag == "a"]
    assert "nesterov=false,seed=0/gradcam/epoch_020.png" in links


def test_a_long_error_is_cut_on_the_page_and_whole_in_the_table(tmp_path):
    write_values(tmp_path, {True: [0.91], False: [0.90]}, FACTOR)
    write_run(tmp_path / "c", {FACTOR: True}, 2, None, status="failed", error="no room. " * 40)
    report([tmp_path])
    assert 100 < len(re.search(r"failed: (no room\. ?)+", read(tmp_path, "report.html"))[0]) < 121
    assert "no room. " * 40 in read(tmp_path, "results.csv")


def test_the_sentence_is_the_first_thing_on_the_page(sweep):
    (sentence,) = json.loads(read(sweep, "report.json"))["sentences"]
    text = " ".join("".join(Page(read(sweep, "report.html")).text).split())
    assert sentence in text
    assert text.index(sentence) < text.index("In numbers")


def test_links_lead_to_the_run_folders_also_from_another_folder(tmp_path):
    write_values(tmp_path / "here", {True: [0.91, 0.92]}, FACTOR)
    write_values(tmp_path / "there #1", {False: [0.90, 0.91]}, FACTOR)
    page = Page((report([tmp_path / "here", tmp_path / "there #1"]).page).read_text(encoding="utf-8"))
    links = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert "nesterov=true,seed=0/" in links
    assert "../there%20%231/nesterov=false,seed=0/" in links


def test_the_page_says_how_it_was_made(tmp_path):
    write_values(tmp_path, {True: [0.91, 0.92], False: [0.90, 0.91]}, FACTOR)
    report([tmp_path], metric="test/loss", level=0.9, baseline="nesterov=true", allow=["git"])
    assert f"{tmp_path} --metric test/loss --level 0.9 --baseline nesterov=true --allow git" in read(
        tmp_path, "report.html"
    )


def test_of_many_comparisons_the_page_opens_with_those_that_say_something(tmp_path):
    flat, up = [0.90, 0.91, 0.905], [0.95, 0.9601, 0.955]
    write_values(
        tmp_path,
        {**{lr: [v + lr * (i - 1) / 1000 for i, v in enumerate(flat)] for lr in range(10)}, 10: up},
        "optimizer.lr",
    )
    found = report([tmp_path])
    assert found.analysis.effects[-1].verdict == "better"
    page = read(tmp_path, "report.html")
    assert "All in all 1 better, 9 inconclusive" in page
    assert page.count('class="answer ') == 8
    assert page.index('class="answer better"') < page.index('class="answer inconclusive"')


def test_a_sweep_of_several_factors_has_effects_and_pairs(tmp_path):
    factors = {FACTOR: [True, False], "optimizer.lr": [0.05, 0.1, 0.2]}
    write_sweep(tmp_path, factors, range(3), num_pictures=200, num_epochs=3)
    report([tmp_path])
    found = json.loads(read(tmp_path, "report.json"))
    assert [effect["a"]["label"] for effect in found["effects"]] == ["lr=0.1", "lr=0.2", "nesterov=true"]
    assert [effect["family"] for effect in found["effects"]] == [3, 3, 3]
    assert [pair["family"] for pair in found["pairs"]] == [5] * 5
    assert all(pair["b"]["label"] == "lr=0.05, nesterov=false" for pair in found["pairs"])
    assert len(found["sentences"]) == 8
    Page(read(tmp_path, "report.html"))


def test_factors_that_were_never_crossed_have_pairs_and_no_main_effect(tmp_path):
    for nesterov, lr in ((False, 0.1), (True, 0.2)):
        for seed in range(3):
            variant = {FACTOR: nesterov, "optimizer.lr": lr}
            write_run(tmp_path / f"{nesterov}{seed}", variant, seed, 0.9 + seed / 100 + nesterov * seed**2 / 1000)
    found = report([tmp_path]).analysis
    assert found.effects == ()
    assert len(found.pairs) == 1
    page = read(tmp_path, "report.html")
    assert "The main effects of lr and nesterov cannot be computed" in page
    assert "lr=0.2, nesterov=true - lr=0.1, nesterov=false: +0.17 points" in page
