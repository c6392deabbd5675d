"""One run, end to end, on a network small enough to train in seconds."""

import csv
import json
import logging
import signal
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from ablate import checkpoint
from ablate.config.plan import compose
from ablate.errors import UserError
from ablate.record import RunRecord
from ablate.reopen import load_classifier
from ablate.run import run

CONF = Path(__file__).parents[1] / "conf"
SMALL = ["model.width=4", "trainer.max_epochs=2", "trainer.accelerator=cpu", "data.batch_size=128"]
QUIET = [*SMALL, "callbacks=none", "logger=none"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A finished run with everything on."""
    folder = tmp_path_factory.mktemp("run")
    record = run(compose(CONF, [*SMALL, "optimizer.nesterov=true"]), folder, {"optimizer.nesterov": True})
    assert record.status == "done", record.error
    return folder


def weights(folder: Path, file: str = "last.ckpt") -> dict[str, torch.Tensor]:
    return checkpoint.load(folder / "checkpoints" / file)["state_dict"]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_leaves_what_the_design_says(folder):
    for name in ("run.json", "config.yaml", "metrics.csv", "predictions.npz", "curves.png", "misclassified.png"):
        assert (folder / name).stat().st_size > 0, name
    names = ["best.ckpt", "best.ckpt.sha256", "last.ckpt", "last.ckpt.sha256"]
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == names
    assert len(list(folder.glob("events.out.tfevents.*"))) == 1
    assert list((folder / "gradcam").glob("epoch_*.png"))
    record = RunRecord.read(folder)
    assert (record.status, record.seed, record.variant) == ("done", 0, {"optimizer.nesterov": True})
    assert record.epochs == 2
    assert record.num_parameters == sum(p.numel() for p in load_classifier(folder).net.parameters())
    assert set(record.seconds) == {"setup", "fit", "test", "total"}
    assert record.seconds["total"] >= record.seconds["fit"] > 0
    assert record.images_per_second > 0
    assert record.peak_memory > 50e6
    assert record.device["kind"] == "cpu"
    assert record.versions["torch"] == torch.__version__
    assert record.classes == [str(digit) for digit in range(10)]
    for name in record.artifacts.values():
        assert (folder / name).exists(), name
    json.loads((folder / "run.json").read_text())  # no NaN, which JSON does not know


def test_the_test_metrics_are_those_of_the_chosen_checkpoint(folder):
    record = RunRecord.read(folder)
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    best = max(rows, key=lambda row: float(row["val/accuracy"]))
    assert record.checkpoint["epoch"] == int(best["epoch"])
    assert record.checkpoint["path"] == "checkpoints/best.ckpt"
    assert record.metrics["val/accuracy"] == record.checkpoint["value"] == float(best["val/accuracy"])

    from ablate.data.digits import Digits

    pictures = Digits(image_size=32).test()
    classifier = load_classifier(folder)
    with torch.no_grad():
        logits = torch.cat([classifier(part) for part in torch.from_numpy(pictures.pixels).split(100)])
    labels = torch.from_numpy(pictures.labels)
    assert record.metrics["test/accuracy"] == pytest.approx((logits.argmax(1) == labels).double().mean().item())
    loss = torch.nn.functional.cross_entropy(logits.double(), labels).item()
    assert record.metrics["test/loss"] == pytest.approx(loss, rel=1e-4)
    with np.load(folder / "predictions.npz") as found:
        assert np.array_equal(found["label"], pictures.labels)
        assert np.array_equal(found["predicted"], logits.argmax(1).numpy())
        assert found["probability"] == pytest.approx(logits.softmax(1).amax(1).numpy(), abs=1e-5)


def test_the_same_command_gives_the_same_bytes_whatever_watches_it(folder, tmp_path):
    torch.rand(3)  # the state that the process is in does not matter
    record = run(compose(CONF, [*QUIET, "optimizer.nesterov=true", "data.num_workers=1"]), tmp_path, {})
    assert same(weights(tmp_path), weights(folder))
    before = RunRecord.read(folder)
    assert record.metrics == {name: before.metrics[name] for name in record.metrics}  # a callback added test/ece
    assert set(record.metrics) == {
        f"{split}/{name}" for split in ("train", "val", "test") for name in ("loss", "accuracy")
    }
    assert np.array_equal(*(np.load(each / "predictions.npz")["probability"] for each in (tmp_path, folder)))


def test_arms_are_paired_by_seed_and_seeds_differ(folder, tmp_path):
    other_arm = run(compose(CONF, [*QUIET, "optimizer.nesterov=false"]), tmp_path / "arm", {})
    other_seed = run(compose(CONF, [*QUIET, "optimizer.nesterov=true", "seed=1"]), tmp_path / "seed", {})
    here = RunRecord.read(folder)
    assert other_arm.initial_weights_hash == here.initial_weights_hash != other_seed.initial_weights_hash
    assert other_arm.data_checksum == here.data_checksum == other_seed.data_checksum
    assert other_arm.config_hash != here.config_hash != other_seed.config_hash
    assert not same(weights(tmp_path / "arm"), weights(folder))  # the switch does something


def test_checkpoints_hold_tensors_and_plain_values_only(folder):
    for name in ("best.ckpt", "last.ckpt"):
        torch.load(folder / "checkpoints" / name, weights_only=True)


class Boom(pl.Callback):
    def __init__(self, error: BaseException) -> None:
        self._error = error

    def on_train_epoch_end(self, *_) -> None:
        raise self._error


def run_with(callback: pl.Callback, folder: Path, monkeypatch) -> RunRecord:
    import ablate.build as module

    real = module.instantiate
    monkeypatch.setattr(
        module, "instantiate", lambda node, *a, **k: callback if node["_target_"] == "boom" else real(node, *a, **k)
    )
    config = compose(CONF, QUIET)
    config.callbacks["boom"] = {"_target_": "boom"}
    return run(config, folder, {})


def test_a_run_that_fails_says_so_in_its_record_and_its_log(tmp_path, monkeypatch, caplog):
    with caplog.at_level(logging.ERROR):
        record = run_with(Boom(RuntimeError("the disk\nis on fire")), tmp_path, monkeypatch)
    assert (record.status, record.error) == ("failed", "RuntimeError: the disk is on fire")
    assert RunRecord.read(tmp_path) == record
    assert "Traceback" in caplog.text
    assert "on_train_epoch_end" in caplog.text


def test_ctrl_c_ends_in_a_record_that_says_so_and_can_be_typed_again(tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    record = run_with(Boom(KeyboardInterrupt()), tmp_path, monkeypatch)
    assert record.status == RunRecord.read(tmp_path).status == "interrupted"
    assert signal.getsignal(signal.SIGINT) is before


def test_a_checkpoint_of_another_network_is_a_sentence(folder, tmp_path):
    record = RunRecord.read(folder)
    record.config = {**record.config, "model": {**record.config["model"], "width": 8}}
    record.write(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/best.ckpt").write_bytes((folder / "checkpoints/best.ckpt").read_bytes())
    with pytest.raises(UserError, match="holds another network"):
        load_classifier(tmp_path)


def test_a_run_without_a_checkpoint_is_a_sentence(folder, tmp_path):
    RunRecord.read(folder).write(tmp_path)
    with pytest.raises(UserError, match=r"best\.ckpt does not exist"):
        load_classifier(tmp_path)
