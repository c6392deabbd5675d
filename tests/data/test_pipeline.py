"""What a pipeline returns is what A.Compose(strict=True) with the same random state returns, to the byte."""

import pickle
from pathlib import Path

import hydra.utils
import numpy as np
import pytest
from omegaconf import OmegaConf

from ablate.data import shortcuts
from ablate.data.augment import A, Augmentation, Pipeline
from ablate.streams import MovingStream, Stream

CONF = Path(__file__).parents[2] / "conf" / "augmentation"
OPTIONS = sorted(path.stem for path in CONF.glob("*.yaml"))
HOLES = {"num_holes_range": (1, 3), "hole_height_range": (6, 6), "hole_width_range": (9, 9)}

# Settings that have a shortcut.
SHORT = {
    "pad": A.Pad(padding=3, fill=7),
    "pad reflected": A.Pad(padding=4, border_mode=4, p=0.5),
    "pad in three colours": A.Pad(padding=2, fill=(1, 2, 3)),
    "pad if needed": A.PadIfNeeded(37, 36, fill=9.0),
    "pad not needed": A.PadIfNeeded(20, 20, border_mode=4),
    "crop": A.RandomCrop(29, 31),
    "crop at times": A.RandomCrop(29, 31, p=0.5),
    "flip": A.HorizontalFlip(p=0.5),
    "flip never": A.HorizontalFlip(p=0),
    "rotate": A.Rotate(limit=15, p=0.7),
    "rotate far, reflected, nearest": A.Rotate(limit=(-180, 180), border_mode=4, interpolation=0, p=1),
    "rotate onto colours": A.Rotate(limit=(30, 90), fill=(10, 200, 30), p=1),
    "rotate by next to nothing": A.Rotate(limit=(-1e-6, 1e-6), p=1),
    "rotate by nothing": A.Rotate(limit=(0, 0), p=1),
    "cutout": A.CoarseDropout(**HOLES, fill=0, p=1),
    "cutout at times": A.CoarseDropout(**HOLES, fill=127.5, p=0.5),
}
# Settings and transforms that have none, so that they are called as they are.
PLAIN = {
    "pad anywhere": A.PadIfNeeded(40, 40, position="random"),
    "pad by divisor": A.PadIfNeeded(None, None, pad_height_divisor=24, pad_width_divisor=24),
    "pad each side": A.Pad(padding=(1, 2, 3, 4)),
    "crop with padding": A.RandomCrop(40, 40, pad_if_needed=True),
    "rotate and crop": A.Rotate(limit=20, crop_border=True, p=1),
    "noise in holes": A.CoarseDropout(**HOLES, fill="random", p=1),
    "colours in holes": A.CoarseDropout(**HOLES, fill=(1, 2, 3), p=1),
    "holes of any size": A.CoarseDropout((1, 4), (2, 9), (3, 5), p=1),
    "colour jitter": A.ColorJitter(p=0.8),
    "noise": A.GaussNoise(p=1),
    "one of": A.OneOf([A.Rotate(limit=90, p=0.3), A.GaussianBlur(p=0.5), A.HorizontalFlip(p=1)], p=0.9),
    "some of": A.SomeOf([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5), A.Posterize(p=1)], n=2),
    "in a row": A.Sequential([A.HorizontalFlip(p=0.5), A.CoarseDropout(**HOLES, p=1)], p=0.5),
    "composed": A.Compose([A.RandomCrop(30, 30), A.HorizontalFlip(p=0.5)], p=0.6),
    "one or other": A.OneOrOther(A.HorizontalFlip(p=1), A.Transpose(p=1)),
}


def assert_same_bytes(transforms, num_pictures=64, size=32, seed=0):
    """Pictures, and the state that the generators are left in."""
    stream = MovingStream(seed, Stream.AUGMENT)
    composed, pipeline = A.Compose(list(transforms.values()), strict=True), Pipeline("augmentation.train", transforms)
    pictures = np.random.default_rng(seed).integers(0, 256, (num_pictures, size, size, 3), dtype=np.uint8)
    changed = 0
    for index, picture in enumerate(pictures):
        results, left = [], []
        for apply in (lambda image: composed(image=image)["image"], pipeline):
            stream.move_to(1, index)
            composed.set_random_state(stream.numpy, stream.python)
            pipeline.draw_from(stream)
            results.append(apply(picture.copy()))
            left.append((stream.numpy.random(), stream.python.random()))
        assert np.array_equal(*results), f"picture {index}"
        assert results[0].dtype == results[1].dtype == np.uint8
        assert left[0] == left[1], f"picture {index}: another number of draws"
        changed += not np.array_equal(results[1], picture)
    return changed


@pytest.mark.parametrize("name", SHORT)
def test_a_shortcut_returns_the_bytes_of_its_transform(name):
    assert shortcuts.shortcut(SHORT[name]) is not None
    changed = assert_same_bytes({name: SHORT[name]}, num_pictures=200 if "rotate" in name else 64)
    assert changed or name in ("flip never", "rotate by nothing", "rotate by next to nothing", "pad not needed")


@pytest.mark.parametrize("name", PLAIN)
def test_what_has_no_shortcut_is_called_as_it_is(name):
    assert shortcuts.shortcut(PLAIN[name]) is None
    assert assert_same_bytes({name: PLAIN[name]})


def test_a_row_of_all_sorts_shares_one_stream_with_compose():
    row = {name: A.Compose([transform]) for name, transform in (SHORT | PLAIN).items() if "crop" not in name}
    assert assert_same_bytes(row, num_pictures=8) == 8
    assert (
        assert_same_bytes({name: SHORT[name] for name in ("pad if needed", "crop", "rotate", "flip", "cutout")}) == 64
    )


def test_no_option_of_the_group_is_left_out():
    assert OPTIONS == ["assignment", "crop_flip", "digits", "none"]


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("size", [32, 48])
def test_every_option_returns_the_bytes_of_compose(option, size):
    config = OmegaConf.create({"data": {"image_size": size}, "augmentation": OmegaConf.load(CONF / f"{option}.yaml")})
    sides = OmegaConf.to_container(config.augmentation, resolve=True)
    built = {
        side: {name: hydra.utils.instantiate(node, _convert_="all") for name, node in nodes.items()}
        for side, nodes in sides.items()
    }
    augmentation = Augmentation(built["train"], built["test"], image_size=size)
    last = (A.Normalize, A.ToTensorV2)
    geometry = {name: each for name, each in built["train"].items() if not isinstance(each, last)}
    assert list(geometry) == [name for name, _, _ in augmentation.train._steps]
    assert all(step is not shortcuts.plain for _, _, step in augmentation.train._steps), "the options are the fast path"
    assert assert_same_bytes(geometry, size=size) > 50 or option == "none"


@pytest.mark.parametrize("name", SHORT)
def test_a_shortcut_leaves_the_picture_that_it_is_given(name):
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    picture.flags.writeable = False
    stream, pipeline = MovingStream(0, Stream.AUGMENT), Pipeline("augmentation.train", {name: SHORT[name]})
    pipeline.draw_from(stream)
    for index in range(20):
        stream.move_to(0, index)
        pipeline(picture)


def test_a_subclass_and_a_namesake_have_no_shortcut():
    class HorizontalFlip(A.HorizontalFlip):
        def apply(self, img, **params):
            return img[::-1]

    class Flip(A.HorizontalFlip):
        pass

    assert shortcuts.shortcut(HorizontalFlip(p=1)) is None
    assert shortcuts.shortcut(Flip(p=1)) is None


def test_a_pipeline_can_be_sent_to_another_process():
    stream, pipeline = MovingStream(0, Stream.AUGMENT), Pipeline("augmentation.train", SHORT | PLAIN)
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    results = []
    for each in (pipeline, pickle.loads(pickle.dumps(pipeline))):
        each.draw_from(stream)
        stream.move_to(0, 0)
        results.append(each(picture))
    assert np.array_equal(*results)
