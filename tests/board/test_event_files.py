"""What the real TensorBoard makes of event files written by `Board`: runs that end in any way, and one that resumes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from server import Server, tensorboard
from torch import nn

from ablate.board import Board, Histograms
from ablate.graph import graph_of
from ablate.model.resnet import gbn_resnet

RUNS = {  # folder -> (nesterov, test accuracy, how it ended)
    "nesterov=true,seed=0": (True, 0.90, "done"),
    "nesterov=true,seed=1": (True, 0.94, "done"),
    "nesterov=true,seed=2": (True, 0.95, "resumed"),
    "nesterov=false,seed=0": (False, 0.91, "failed"),
    "nesterov=false,seed=1": (False, 0.80, None),  # still running
}


def start(folder: Path, nesterov: bool, **options) -> Board:
    board = Board(folder, **options)
    hparams = {"optimizer.nesterov": nesterov, "optimizer.lr": 0.1, "model": "resnet <b>"}
    board.start_session(
        hparams, f"nesterov={nesterov} 1a2b", {"name": "x"}, nn.Sequential(nn.Flatten(), nn.Linear(3, 2))
    )
    return board


def train(board: Board, steps: range, loss: float) -> None:
    for step in steps:
        board.log_metrics({"train/loss": loss, "epoch": 0.0}, step)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    sweep = tmp_path_factory.mktemp("sweep")
    for name, (nesterov, accuracy, end) in RUNS.items():
        board = start(sweep / name, nesterov)
        train(board, range(8), loss=2.0)
        if end == "resumed":  # after 5 updates, of a run that failed after 8
            board.end_session("failed")
            board = start(sweep / name, nesterov, purge_step=5)
            train(board, range(5, 10), loss=1.0)
        board.log_metrics({"test/accuracy": accuracy}, step=10)
        if end is None:
            board.save()
        else:
            board.end_session("done" if end == "resumed" else end)
    with tensorboard(sweep, num_runs=5, num_ended=4) as running:
        yield running


def test_runs_are_listed_under_their_folders(server):
    assert sorted(server.ask("runs")) == sorted(RUNS)


def test_every_run_is_in_the_table_and_says_how_it_ended(server):
    assert server.statuses() == {
        "nesterov=true,seed=0": "STATUS_SUCCESS",
        "nesterov=true,seed=1": "STATUS_SUCCESS",
        "nesterov=true,seed=2": "STATUS_SUCCESS",
        "nesterov=false,seed=0": "STATUS_FAILURE",
        "nesterov=false,seed=1": "STATUS_UNKNOWN",  # TensorBoard's word for a session that has not ended
    }


def test_the_hparams_page_has_real_booleans_means_over_seeds_and_no_placeholder(server):
    experiment = server.ask_hparams("experiment")
    types = {info["name"]: info["type"] for info in experiment["hparamInfos"]}
    assert types["optimizer.nesterov"] == "DATA_TYPE_BOOL"
    assert types["optimizer.lr"] == "DATA_TYPE_FLOAT64"
    assert {info["name"]["tag"] for info in experiment["metricInfos"]} == {"train/loss", "test/accuracy"}
    means = {}
    for group in server.session_groups():
        values = {metric["name"]["tag"]: metric["value"] for metric in group["metricValues"]}
        means[group["hparams"]["optimizer.nesterov"]] = values["test/accuracy"]
    assert means == {True: pytest.approx(0.93), False: pytest.approx(0.855)}


def test_nothing_is_shown_twice_after_a_resume(server):
    resumed = "nesterov=true,seed=2"
    points = server.ask("plugin/scalars/scalars", run=resumed, tag="train/loss")
    assert [(step, loss) for _, step, loss in points] == [(n, 2.0 if n < 5 else 1.0) for n in range(10)]
    assert len(server.ask("plugin/text/text", run=resumed, tag="config/text_summary")) == 1
    assert resumed in server.ask("plugin/graphs/info")


def test_a_folder_that_is_none_is_a_sentence(tmp_path):
    command = [sys.executable, "-m", "ablate", "board", str(tmp_path / "nowhere")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nowhere is not a folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_graph_has_a_box_a_layer_and_an_arrow_a_tensor():
    net = gbn_resnet(18, num_classes=10, width=4)
    before = torch.get_rng_state()
    boxes = {box.name: box for box in graph_of(net).node}
    assert torch.equal(torch.get_rng_state(), before)
    layers = {name.replace(".", "/") for name, module in net.named_modules() if next(module.children(), None) is None}
    assert layers <= set(boxes)
    assert len(layers) > 40
    assert list(boxes["layer2/0/shortcut/conv"].input) == ["layer2/0/shortcut/pick"]
    assert sorted(boxes["layer2/0/add"].input) == ["layer2/0/bn2", "layer2/0/shortcut/norm"]
    assert boxes["layer2/0/bn1"].op == "GhostBatchNorm2d"
    assert boxes["fc"].attr["parameters"].i == 32 * 10 + 10
    assert list(boxes["output"].input) == ["fc"]


class Undrawable(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_a_network_that_cannot_be_drawn_is_no_reason_to_fail(tmp_path):
    with pytest.raises(torch.fx.proxy.TraceError):
        graph_of(Undrawable())
    Board(tmp_path).start_session({}, "x", {}, Undrawable())


def test_histograms_of_weights_that_have_diverged_are_left_out(tmp_path):
    module = pl.LightningModule()
    module.net = nn.ModuleDict({"sound": nn.Linear(2, 2), "diverged": nn.Linear(2, 2)})
    module.net["diverged"].weight.data[0, 0] = torch.nan
    board = Board(tmp_path)
    Histograms().on_train_epoch_end(pl.Trainer(logger=board, default_root_dir=tmp_path), module)
    board.save()
    (events,) = tmp_path.glob("events.*")
    written = events.read_bytes()
    assert b"weights/sound.weight" in written
    assert b"weights/diverged.bias" in written
    assert b"weights/diverged.weight" not in written
