"""The commonest transforms without Albumentations' bookkeeping: same draws, same bytes, a third of the time.

A step is a function (transform, picture) -> picture. It reads the transform's own settings and draws from the
transform's own generators in the order in which Albumentations 2.0.8 draws. Pictures are (H, W, 3) uint8, and a step
never writes into the one that it is given.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from ablate.data.source import Pixels

Step = Callable[[Any, Pixels], Pixels]


def shortcut(transform: Any) -> Step | None:
    """The step of a transform that has one with its settings, else None. Subclasses have none: they may override."""
    found = _SHORTCUTS.get(type(transform).__name__)
    if found is None or type(transform).__module__.partition(".")[0] != "albumentations":
        return None
    step, covers = found
    return step if covers(transform) else None


def plain(transform: Any, picture: Pixels) -> Pixels:
    """The step that every transform has: its own call."""
    result: Pixels = transform(image=picture)["image"]
    return result


def _pad(transform: Any, picture: Pixels) -> Pixels:
    return _bordered(transform, picture, *[transform.padding] * 4) if transform.should_apply() else picture


def _pad_if_needed(transform: Any, picture: Pixels) -> Pixels:
    if not transform.should_apply():
        return picture
    height, width = picture.shape[:2]
    return _bordered(transform, picture, *_margins(height, transform.min_height), *_margins(width, transform.min_width))


def _crop(transform: Any, picture: Pixels) -> Pixels:
    room_y, room_x = picture.shape[0] - transform.height + 1, picture.shape[1] - transform.width + 1
    if room_y < 1 or room_x < 1:
        return plain(transform, picture)  # for its error
    if not transform.should_apply():
        return picture
    top, left = int(room_y * transform.py_random.random()), int(room_x * transform.py_random.random())
    return picture[top : top + transform.height, left : left + transform.width]


def _flip(transform: Any, picture: Pixels) -> Pixels:
    return cv2.flip(picture, 1) if transform.should_apply() else picture  # type: ignore[return-value]


def _rotate(transform: Any, picture: Pixels) -> Pixels:
    if not transform.should_apply():
        return picture
    height, width = picture.shape[:2]
    radians = np.deg2rad(transform.py_random.uniform(*transform.limit) % 360)
    x, y = width / 2 - 0.5, height / 2 - 0.5
    cos, sin = np.cos(radians), np.sin(radians)
    # One real product of matrices, not its closed form: the last bit depends on the order of the sum.
    matrix = np.array(((cos, sin, x), (-sin, cos, y), (0, 0, 1))) @ np.array(((1, 0, -x), (0, 1, -y), (0, 0, 1)))
    return cv2.warpAffine(  # type: ignore[return-value]
        picture,
        matrix[:2],
        (width, height),
        flags=transform.interpolation,
        borderMode=transform.border_mode,
        borderValue=_colour(transform.fill),
    )


def _cut_out(transform: Any, picture: Pixels) -> Pixels:
    height, width = int(transform.hole_height_range[0]), int(transform.hole_width_range[0])
    room_y, room_x = picture.shape[0] - height + 1, picture.shape[1] - width + 1
    if room_y < 1 or room_x < 1:
        return plain(transform, picture)
    if not transform.should_apply():
        return picture
    num_holes, generator = transform.py_random.randint(*transform.num_holes_range), transform.random_generator
    tops = generator.integers(0, room_y, size=num_holes).tolist()
    lefts = generator.integers(0, room_x, size=num_holes).tolist()
    generator.integers(0, 2**32 - 1)  # a seed for random fills, drawn whether used or not
    picture = picture.copy()
    for top, left in zip(tops, lefts, strict=True):
        picture[top : top + height, left : left + width] = transform.fill
    return picture


def _bordered(transform: Any, picture: Pixels, top: int, bottom: int, left: int, right: int) -> Pixels:
    colour = _colour(transform.fill)
    return cv2.copyMakeBorder(  # type: ignore[return-value]  # uint8 in, uint8 out
        picture, top, bottom, left, right, borderType=transform.border_mode, value=colour
    )


def _margins(size: int, wanted: int) -> tuple[int, int]:
    before = max(0, wanted - size) // 2
    return before, max(0, wanted - size) - before


def _colour(fill: Any) -> Any:
    return [fill] * 3 if isinstance(fill, float) else fill


def _has_constant_holes(transform: Any) -> bool:
    (low_y, high_y), (low_x, high_x) = transform.hole_height_range, transform.hole_width_range
    return low_y == high_y >= 1 and low_x == high_x >= 1 and isinstance(transform.fill, int | float)


_SHORTCUTS: dict[str, tuple[Step, Callable[[Any], bool]]] = {  # by class name: this file need not import them
    "Pad": (_pad, lambda t: isinstance(t.padding, int)),
    "PadIfNeeded": (_pad_if_needed, lambda t: t.position == "center" and None not in (t.min_height, t.min_width)),
    "RandomCrop": (_crop, lambda t: not t.pad_if_needed),
    "HorizontalFlip": (_flip, lambda t: True),
    "Rotate": (_rotate, lambda t: not t.crop_border),
    "CoarseDropout": (_cut_out, _has_constant_holes),
}
