"""From picture files of any kind to square RGB pixels of one size."""

import os
import stat
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ablate.data.source import Pixels

CHUNK = 64  # files a thread takes at a time
# Decoders that Pillow has of its own. Not EPS, for which it starts Ghostscript: such a file is a program.
FORMATS = {"PNG", "JPEG", "MPO", "GIF", "WEBP", "BMP", "DIB", "TIFF", "PPM", "TGA", "AVIF", "JPEG2000", "ICO", "ICNS"}
FORMATS |= {"PCX", "DCX", "PSD", "QOI", "SGI", "SUN", "DDS", "XBM", "XPM", "MSP", "IM"}


class Unreadable(NamedTuple):
    path: str
    reason: str


def decode(path: str, image_size: int) -> Pixels:
    """The picture in a file, by its content and not its name: (image_size, image_size, 3) RGB.

    Turned upright by its EXIF orientation. Transparent parts show white, as in a viewer. 16-bit grey levels lose their
    lower eight bits. The largest centred square is resized, bicubic and antialiased: the shorter side is kept whole,
    of the longer one both ends are cut off alike. Of several frames the first counts.
    """
    with _opened(path) as image:
        image.draft(image.mode, (4 * image_size, 4 * image_size))  # large JPEGs: decode a fraction, still antialiased
        return np.asarray(_square(_rgb(ImageOps.exif_transpose(image)), image_size))


def decode_all(paths: Sequence[str], image_size: int) -> tuple[Pixels, list[Unreadable]]:
    """(N, image_size, image_size, 3) and what could not be read, whose pixels are undefined. In threads."""
    pixels = np.empty((len(paths), image_size, image_size, 3), dtype=np.uint8)

    def fill(number: int) -> None:
        pixels[number] = decode(paths[number], image_size)

    return pixels, _attempt(paths, fill)


def open_all(paths: Sequence[str]) -> list[Unreadable]:
    """What is no picture, as far as its first bytes tell."""

    def look(number: int) -> None:
        _opened(paths[number]).close()

    return _attempt(paths, look)


def _opened(path: str) -> Image.Image:
    if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe would wait for whoever writes to it
        raise ValueError("not a plain file")
    Image.init()
    return Image.open(path, formats=[name for name in Image.ID if name in FORMATS])


def _attempt(paths: Sequence[str], handle: Callable[[int], None]) -> list[Unreadable]:
    def attempt(start: int) -> list[Unreadable]:
        failures = []
        for number in range(start, min(start + CHUNK, len(paths))):
            try:
                handle(number)
            except Exception as error:  # decoders raise all sorts on damaged files
                failures.append(Unreadable(paths[number], _reason(error)))
        return failures

    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return [failure for found in pool.map(attempt, range(0, len(paths), CHUNK)) for failure in found]


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("grey levels in floating point have no known range")
    if image.mode.startswith("I"):  # 16 bits, at times held in 32
        levels = np.asarray(image)
        if levels.min() < 0 or levels.max() > 65535:
            raise ValueError("grey levels of more than 16 bits")
        return Image.fromarray((levels // 256).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        visible = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", visible.size, "white"), visible).convert("RGB")
    return image.convert("RGB")


def _square(image: Image.Image, size: int) -> Image.Image:
    if image.size == (size, size):
        return image
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
