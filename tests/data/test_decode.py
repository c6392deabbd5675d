import cv2
import numpy as np
import pytest
from PIL import Image

from ablate.data.decode import decode, decode_all, open_all

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)
SMOOTH = cv2.resize(RNG.integers(0, 256, (4, 4, 3), dtype=np.uint8), (32, 32))  # survives JPEG


def saved(folder, name, image, **options):
    path = folder / name
    image.save(path, **options)
    return str(path)


@pytest.mark.parametrize("kind", ["png", "bmp", "tiff", "ppm", "webp", "gif", "jpg"])
def test_pictures_of_the_right_size_keep_their_pixels_in_every_format(tmp_path, kind):
    options = {"webp": {"lossless": True}, "jpg": {"quality": 95, "subsampling": 0}}.get(kind, {})
    found = decode(saved(tmp_path, f"x.{kind}", Image.fromarray(SMOOTH), **options), 32)
    assert found.shape == (32, 32, 3)
    assert found.dtype == np.uint8
    difference = np.abs(found.astype(int) - SMOOTH)
    assert difference.max() == 0 if kind not in ("jpg", "gif") else difference.mean() < {"jpg": 2, "gif": 8}[kind]


@pytest.mark.parametrize("name", ["x.jpg", "x.PNG", "x", "x.txt"])
def test_content_decides_and_not_the_name(tmp_path, name):
    assert np.array_equal(decode(saved(tmp_path, name, Image.fromarray(NOISE), format="PNG"), 32), NOISE)


def test_grey_pictures_of_8_and_1_bit(tmp_path):
    grey = NOISE[..., 0]
    found = decode(saved(tmp_path, "grey.png", Image.fromarray(grey)), 32)
    assert np.array_equal(found, np.repeat(grey[..., None], 3, -1))
    black = decode(saved(tmp_path, "bits.png", Image.fromarray(grey > 99)), 32)
    assert np.array_equal(black[..., 0], (grey > 99) * np.uint8(255))


def test_sixteen_bits_lose_their_lower_half(tmp_path):
    levels = np.arange(1024, dtype=np.uint16).reshape(32, 32) * 64
    expected = (levels >> 8).astype(np.uint8)
    for name in ("x.png", "x.tiff"):
        assert np.array_equal(decode(saved(tmp_path, name, Image.fromarray(levels)), 32)[..., 1], expected)
    cv2.imwrite(str(tmp_path / "colour.png"), np.stack([levels, levels, levels[::-1]], -1))  # blue, green, red
    found = decode(str(tmp_path / "colour.png"), 32)
    assert np.array_equal(found[..., 0], expected[::-1])
    assert np.array_equal(found[..., 2], expected)


def test_levels_without_a_known_range_are_refused(tmp_path):
    floats = saved(tmp_path, "f.tiff", Image.fromarray(NOISE[..., 0].astype(np.float32)))
    whole = saved(tmp_path, "i.tiff", Image.fromarray(NOISE[..., 0].astype(np.int32) * 1000))
    _, unreadable = decode_all([floats, whole], 32)
    assert [reason for _, reason in unreadable] == [
        "grey levels in floating point have no known range",
        "grey levels of more than 16 bits",
    ]


def test_palettes_become_colours(tmp_path):
    image = Image.fromarray(SMOOTH).quantize(16)
    assert np.array_equal(decode(saved(tmp_path, "p.png", image), 32), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_are_white_and_half_transparent_ones_half_white(tmp_path, mode):
    image = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 32, 8))
    image.paste((0, 0, 0, 128), (0, 8, 32, 16))
    if mode == "P":
        image = image.quantize(8)
        assert image.has_transparency_data
    found = decode(saved(tmp_path, "x.png", image if mode == "P" else image.convert(mode)), 32)
    np.testing.assert_allclose(found[[0, 8, 16]].mean((1, 2)), [0, 127, 255], atol=2)


def test_cmyk_and_ycbcr_become_rgb(tmp_path):
    for mode in ("CMYK", "YCbCr"):
        path = saved(tmp_path, f"{mode}.jpg", Image.fromarray(SMOOTH).convert(mode), quality=95, subsampling=0)
        assert np.abs(decode(path, 32).astype(int) - SMOOTH).mean() < 3


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, lambda x: x),
        (2, lambda x: x[:, ::-1]),
        (3, lambda x: x[::-1, ::-1]),
        (4, lambda x: x[::-1]),
        (5, lambda x: x.transpose(1, 0, 2)),
        (6, lambda x: np.rot90(x, -1)),
        (7, lambda x: x[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda x: np.rot90(x)),
    ],
)
def test_pictures_are_turned_upright(tmp_path, orientation, turned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(decode(saved(tmp_path, "x.png", Image.fromarray(NOISE), exif=exif), 32), turned(NOISE))
    jpeg = decode(saved(tmp_path, "x.jpg", Image.fromarray(SMOOTH), exif=exif, quality=95, subsampling=0), 32)
    assert np.abs(jpeg.astype(int) - turned(SMOOTH)).mean() < 2


@pytest.mark.parametrize(("width", "height", "kept"), [(44, 32, np.s_[:, 6:38]), (32, 51, np.s_[9:41, :])])
def test_both_ends_of_the_longer_side_are_cut_off(tmp_path, width, height, kept):
    pixels = RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert np.array_equal(decode(saved(tmp_path, "x.png", Image.fromarray(pixels)), 32), pixels[kept])


def test_shrinking_is_antialiased(tmp_path):
    board = np.indices((256, 320)).sum(0) % 2 * 255
    found = decode(saved(tmp_path, "x.png", Image.fromarray(board.astype(np.uint8))), 32)
    assert np.abs(found.astype(int) - 127).max() <= 2


def test_enlarging(tmp_path):
    found = decode(saved(tmp_path, "x.png", Image.new("RGB", (3, 5), (10, 200, 30))), 32)
    assert np.array_equal(found, np.broadcast_to(np.uint8([10, 200, 30]), (32, 32, 3)))


def test_a_large_jpeg_is_the_same_picture_as_a_large_png(tmp_path):
    large = Image.fromarray(SMOOTH).resize((1000, 800), Image.Resampling.BICUBIC)
    one = decode(saved(tmp_path, "x.jpg", large, quality=95), 32).astype(int)
    other = decode(saved(tmp_path, "x.png", large), 32).astype(int)
    assert np.abs(one - other).mean() < 2


def test_the_first_of_several_frames_counts(tmp_path):
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    path = saved(tmp_path, "x.gif", frames[0], save_all=True, append_images=frames[1:])
    assert decode(path, 32)[0, 0].tolist() == [255, 0, 0]


def test_many_files_come_in_order_and_what_cannot_be_read_is_told(tmp_path):
    paths = [saved(tmp_path, f"{i:03}.png", Image.new("RGB", (32, 32), (i, 0, 0))) for i in range(200)]
    (tmp_path / "007.png").write_bytes((tmp_path / "007.png").read_bytes()[:60])
    (tmp_path / "130.png").write_text("not a picture")
    (tmp_path / "131.png").write_bytes(b"")
    pixels, unreadable = decode_all(paths, 32)
    assert [path for path, _ in unreadable] == [paths[7], paths[130], paths[131]]
    assert "truncated" in unreadable[0].reason
    assert unreadable[1].reason == "not a picture"
    readable = [i for i in range(200) if i not in (7, 130, 131)]
    assert pixels[readable, 0, 0, 0].tolist() == readable
    assert [path for path, _ in open_all(paths)] == [paths[130], paths[131]]


@pytest.mark.parametrize(("limit", "refused"), [(2000, False), (900, True), (300, True)])
def test_decompression_bombs_are_refused(tmp_path, monkeypatch, limit, refused):
    # Pillow warns from the limit on and raises from twice the limit on; here both are refusals.
    path = saved(tmp_path, "x.png", Image.fromarray(NOISE))  # 1024 pixels
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    _, unreadable = decode_all([path], 32)
    assert bool(unreadable) == bool(open_all([path])) == refused
    if refused:
        assert "decompression bomb" in unreadable[0].reason
