"""`python -m ablate explain`, without the command line: what it writes, and every mistake it names."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ablate.data.source import Pictures
from ablate.errors import UserError
from ablate.explain.command import compare, explain
from ablate.explain.given import Opened
from ablate.model.classifier import Classifier
from ablate.model.resnet import gbn_resnet
from ablate.model.schedule import constant
from ablate.record import RunRecord

CLASSES = ["red fox", "green frog", "blue jay"]
TEST = Pictures(np.random.default_rng(0).integers(0, 256, (30, 32, 32, 3), dtype=np.uint8), np.arange(30) % 3)


def open_run(folder: Path, file: str | None) -> Opened:
    """A network of weights that follow from the run's seed and variant."""
    if file == "checkpoints/broken.ckpt":
        raise EOFError("Ran out of input")
    record = RunRecord.read(folder)
    torch.manual_seed(record.seed)
    net = gbn_resnet(18, num_classes=3, width=4)
    with torch.no_grad():
        net.fc.weight.mul_(record.variant.get("optimizer.lr", 1.0))
    sgd = partial(torch.optim.SGD, lr=0.1)
    classifier = Classifier(net, mean=[0.5] * 3, std=[0.3] * 3, optimizer=sgd, scheduler=partial(constant)).eval()
    return Opened(classifier, lambda pixels: pixels, lambda: TEST)


def write_run(folder: Path, seed: int = 0, **changes) -> Path:
    folder.mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    record = RunRecord("a", seed, {}, {"data": {"image_size": 32}}, "hash", status="done", classes=CLASSES)
    for name, value in changes.items():
        setattr(record, name, value)
    record.write(folder)
    return folder


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


@pytest.fixture
def sweep(tmp_path):
    for seed in (0, 1):
        for lr in (0.5, 2.0):
            write_run(tmp_path / "sweep" / f"lr={lr},seed={seed}", seed, variant={"optimizer.lr": lr})
    write_run(tmp_path / "sweep" / "failed", status="failed")
    return tmp_path / "sweep"


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "my photo.jpg"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 60, 3), dtype=np.uint8)).save(path)
    return str(path)


def test_files_and_test_pictures_become_panels(run, photo):
    written = explain(run, [photo, "7"], open_run=open_run)
    names = ["my photo_gradcam.png", "test_07_gradcam.png", "all_gradcam.png"]
    assert written == [run / "explain" / name for name in names]
    widths = []
    for path in written:
        with Image.open(path) as image:
            widths.append(image.width)
    assert widths[:2] == [5 * 160 + 4 * 8 + 2 * 8] * 2  # the picture and four layers


def test_without_pictures_ten_of_the_test_set_are_shown(run):
    assert len(explain(run, open_run=open_run, layers=["layer4"])) == 11


def test_a_folder_stands_for_its_pictures_and_equal_names_are_told_apart(run, photo, tmp_path):
    folder = tmp_path / "album"
    folder.mkdir()
    for name in ("my photo.png", "other.png"):
        with Image.open(photo) as image:
            image.save(folder / name)
    written = explain(run, [photo, str(folder)], open_run=open_run, layers=["layer4"], output=tmp_path / "out")
    names = [path.name for path in written]
    assert names == ["my photo_gradcam.png", "my photo_2_gradcam.png", "other_gradcam.png", "all_gradcam.png"]
    assert all(path.parent == tmp_path / "out" and path.exists() for path in written)


def test_a_checkpoint_in_a_run_directory_will_do(run):
    (run / "checkpoints" / "last.ckpt").touch()
    asked = []

    def watched(folder, file):
        asked.append((folder, file))
        return open_run(folder, file)

    explain(run / "checkpoints" / "last.ckpt", ["0"], open_run=watched, layers=["layer4"], class_="blue jay")
    explain(run, ["0"], open_run=watched, layers=["layer4"], class_="2", method="hirescam")
    assert asked == [(run, "checkpoints/last.ckpt"), (run, None)]


def test_the_slow_methods_work_here(run):
    (path,) = explain(run, ["0"], open_run=open_run, layers=["layer4"], method="ablationcam")
    assert path.name == "test_00_ablationcam.png"


MISTAKES = {  # what was given below the temporary folder, pictures, options, message
    "no such run": ("nowhere", [], {}, r"nowhere does not exist\n.*a run directory"),
    "a folder of runs": (".", [], {}, r"holds 1 runs\n.*--compare"),
    "an empty folder": ("empty", [], {}, r"empty has no run\.json"),
    "a checkpoint elsewhere": ("stray.ckpt", [], {}, r"stray\.ckpt lies in no run directory"),
    "no checkpoint": ("run/checkpoints/broken.ckpt", [], {}, r"broken\.ckpt cannot be loaded \(EOFError: Ran out of"),
    "no such picture": ("run", ["cat.png"], {}, r"cat\.png does not exist\n.*a picture file, a folder"),
    "not a picture": ("run", ["stray.ckpt"], {}, r"stray\.ckpt cannot be read \(not a picture\)\n.*PNG, JPEG"),
    "no pictures in a folder": ("run", ["empty"], {}, r"empty is an empty folder"),
    "beyond the test set": ("run", ["30"], {}, r"picture 30\n.*0 to 29"),
    "unknown layer": ("run", ["0"], {"layers": ["layr4"]}, r"--layers has 'layr4'[\s\S]*--layers layer4"),
    "unknown method": ("run", ["0"], {"method": "scoercam"}, r"--method=scoercam[\s\S]*--method=scorecam"),
    "unknown class": ("run", ["0"], {"class_": "blue ray"}, r"--class blue ray\n.*red fox[\s\S]*--class blue jay"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_a_way_out(tmp_path, run, monkeypatch, mistake):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    for path in (tmp_path / "stray.ckpt", run / "checkpoints" / "broken.ckpt"):
        path.write_bytes(b"no checkpoint")
    given, pictures, options, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=message):
        explain(Path(given), pictures, open_run=open_run, **options)
    assert not (run / "explain").exists()


def test_all_wrong_pictures_are_named_together(run):
    with pytest.raises(UserError) as caught:
        explain(run, ["cat.png", "99", "dog.png"], open_run=open_run)
    assert [problem.given for problem in caught.value.problems] == [
        "cat.png does not exist",
        "dog.png does not exist",
        "picture 99",
    ]


def test_a_wrong_method_and_a_wrong_layer_are_named_together(run):
    with pytest.raises(UserError, match="2 errors") as caught:
        explain(run, open_run=open_run, method="camcam", layers=["layer4", "layer5"])
    assert [problem.given for problem in caught.value.problems] == ["--method=camcam", "--layers has 'layer5'"]


def test_the_same_pictures_across_a_sweep(sweep, photo):
    (path,) = compare(sweep, ["3", photo], open_run=open_run)
    assert path == sweep / "explain" / "compare_layer4_gradcam.png"
    with Image.open(path) as image:
        assert image.width > 600
    written = compare(sweep, ["3"], open_run=open_run, layers=["layer3", "layer4"], class_="red fox", method="hirescam")
    assert [each.name for each in written] == ["compare_layer3_hirescam.png", "compare_layer4_hirescam.png"]


def test_a_sweep_that_cannot_be_compared_is_named(tmp_path, run, sweep):
    with pytest.raises(UserError, match=r"run holds 1 finished run\n.*two finished runs or more"):
        compare(run, open_run=open_run)
    write_run(sweep / "other", classes=["cat", "dog"])
    with pytest.raises(UserError, match=r"other knows other classes"):
        compare(sweep, open_run=open_run)
