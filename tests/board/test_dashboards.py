"""What the real TensorBoard serves of a real sweep."""

import io
from itertools import product

import numpy as np
import pytest
from PIL import Image

from ablate.record import RunRecord

RUNS = [f"nesterov={arm},seed={seed}" for arm, seed in product(("false", "true"), (0, 1))]


def test_runs_go_by_their_variant_and_seed(dashboards):
    assert sorted(dashboards.ask("runs")) == RUNS


def test_every_run_has_its_curves_and_no_chart_that_says_nothing(dashboards):
    found = dashboards.ask("plugin/scalars/tags")
    assert sorted(found) == RUNS
    split_by_value = {f"{split}/{value}" for split in ("train", "val", "test") for value in ("loss", "accuracy")}
    speed = {"throughput/images_per_second", "throughput/peak_memory_mb"}
    for tags in found.values():
        assert split_by_value | speed | {"optimizer/lr", "optimizer/momentum"} <= set(tags)
        assert not {"epoch", "hp_metric"} & set(tags)


def test_a_curve_holds_the_numbers_of_the_record(dashboards, sweep):
    for run in RUNS:
        for tag in ("test/accuracy", "val/loss"):
            ((_, _, value),) = dashboards.ask("plugin/scalars/scalars", run=run, tag=tag)
            assert value == pytest.approx(RunRecord.read(sweep / run).metrics[tag], rel=1e-6)


def test_the_table_has_a_row_an_arm_with_the_mean_over_its_seeds(dashboards, sweep):
    groups = dashboards.session_groups()
    assert sorted(group["name"].split()[0] for group in groups) == ["nesterov=false", "nesterov=true"]
    for group in groups:
        arm = group["hparams"]["optimizer.nesterov"]
        assert isinstance(arm, bool)
        runs = [f"nesterov={str(arm).lower()},seed={seed}" for seed in (0, 1)]
        assert sorted(session["name"] for session in group["sessions"]) == runs
        means = {metric["name"]["tag"]: metric["value"] for metric in group["metricValues"]}
        for name in ("test/accuracy", "test/loss", "val/accuracy"):
            values = [RunRecord.read(sweep / run).metrics[name] for run in runs]
            assert means[name] == pytest.approx(np.mean(values), rel=1e-6)
    assert dashboards.statuses() == dict.fromkeys(RUNS, "STATUS_SUCCESS")


def test_the_columns_are_the_settings_that_matter(dashboards):
    infos = {info["name"]: info for info in dashboards.ask_hparams("experiment")["hparamInfos"]}
    assert infos["optimizer.nesterov"]["type"] == "DATA_TYPE_BOOL"
    assert infos["optimizer.lr"]["type"] == "DATA_TYPE_FLOAT64"
    assert "seed" not in infos  # a row has several
    assert 5 < len(infos) < 20
    hparams = dashboards.session_groups()[0]["hparams"]
    assert (hparams["model"], hparams["model.width"], hparams["optimizer"]) == ("gbn_resnet", 4, "SGD")


def test_training_and_validation_share_a_chart(dashboards):
    layout = dashboards.ask("plugin/custom_scalars/layout")
    charts = {chart["title"]: chart["multiline"]["tag"] for part in layout["category"] for chart in part["chart"]}
    assert list(charts) == ["accuracy", "loss", "learning rate", "momentum", "pictures a second"]
    for title, patterns in charts.items():
        for pattern in patterns:  # regular expressions: the page finds one line for each
            found = dashboards.ask("plugin/custom_scalars/scalars", run=RUNS[0], tag=pattern)
            assert found["regex_valid"], title
            assert list(found["tag_to_events"]) == [pattern.strip("^$")], title
    assert charts["loss"] == ["^train/loss$", "^val/loss$"]


def test_pictures_are_pictures_under_the_names_of_their_classes(dashboards):
    found = dashboards.ask("plugin/images/tags")
    assert sorted(found) == RUNS
    for tags in found.values():
        panels = sorted(tag for tag in tags if tag.startswith("gradcam/"))
        assert panels == [f"gradcam/{number:02d}_{number}" for number in range(10)]  # of a digit each
    sizes = {}
    for tag in found[RUNS[0]]:
        (sample, *_) = dashboards.ask("plugin/images/images", run=RUNS[0], tag=tag, sample="0")
        picture = Image.open(io.BytesIO(dashboards.get(f"plugin/images/individualImage?{sample['query']}&x=")))
        assert np.asarray(picture.convert("L")).std() > 5, f"{tag} is empty"
        sizes[tag] = picture.size
    assert sizes["gradcam/03_3"] == sizes["gradcam/07_7"]


def test_the_config_is_text(dashboards):
    assert all("config/text_summary" in tags for tags in dashboards.ask("plugin/text/tags").values())
    (text,) = dashboards.ask("plugin/text/text", run=RUNS[2], tag="config/text_summary")
    assert "nesterov: true" in text["text"]


def test_the_network_is_a_graph_of_its_layers(dashboards):
    about = dashboards.ask("plugin/graphs/info")
    assert all(about[run]["tags"] or about[run]["run_graph"] for run in RUNS)
    graph = dashboards.get("plugin/graphs/graph", run=RUNS[0], limit_attr_size="1024", large_attrs_key="_too_large")
    for name in ("input", "layer1/0/conv1", "layer4/1/bn2", "fc", "output"):
        assert f'name: "{name}"'.encode() in graph


def test_histograms_are_drawn_of_every_weight_when_asked_for(dashboards):
    tags = dashboards.ask("plugin/histograms/tags")
    assert sorted(tags) == RUNS
    assert len(tags[RUNS[0]]) == 62  # parameters of a ResNet18
    assert "weights/layer1.0.conv1.weight" in tags[RUNS[0]]
