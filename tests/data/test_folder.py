import os
import shutil
import struct
import zlib
from collections import namedtuple

import numpy as np
import psutil
import pytest
from PIL import Image

from ablate.data.folder import ImageFolder
from ablate.errors import UserError

PNG = b"\x89PNG\r\n\x1a\n"


def picture(path, colour=(0, 0, 0), size=(32, 32)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, format="PNG")


@pytest.fixture
def root(tmp_path):
    for split, count in (("train", 3), ("test", 2)):
        for label, name in enumerate(("bird", "cat")):
            for number in range(count):
                picture(tmp_path / "pictures" / split / name / f"{number}.png", (100 * label + number, 0, 0))
    return tmp_path / "pictures"


def test_the_pictures_of_each_class_by_name(root):
    source = ImageFolder(root)
    assert source.classes == ("bird", "cat")
    train, test = source.train(), source.test()
    assert train.pixels.shape == (6, 32, 32, 3)
    assert train.pixels[:, 0, 0, 0].tolist() == [0, 1, 2, 100, 101, 102]
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert train.labels.dtype == np.int64
    assert test.pixels[:, 0, 0, 0].tolist() == [0, 1, 100, 101]
    assert ImageFolder(str(root), image_size=20).train().pixels.shape == (6, 20, 20, 3)


def test_names_that_begin_with_a_dot_are_passed_over(root):
    (root / "train" / "cat" / ".DS_Store").write_text("")
    (root / "train" / ".cache").mkdir()
    (root / "test" / ".hidden").write_text("")
    source = ImageFolder(root)
    assert source.classes == ("bird", "cat")
    assert len(source.train().labels) == 6


def test_a_home_directory_is_understood(root, monkeypatch):
    monkeypatch.setenv("HOME", str(root.parent))
    assert ImageFolder("~/pictures").classes == ("bird", "cat")


def test_files_beside_the_class_folders_are_no_classes(root):
    (root / "train" / "labels.csv").write_text("")
    assert ImageFolder(root).classes == ("bird", "cat")


@pytest.mark.parametrize("missing", ["", "train", "test"])
def test_a_folder_that_is_not_there(root, missing):
    shutil.rmtree(root / missing)
    with pytest.raises(UserError, match=rf"data\.root={root}: there is no folder {root / missing}\n.*train/<class>"):
        _ = ImageFolder(root).classes


def test_a_train_folder_without_class_folders(root):
    shutil.rmtree(root / "train")
    picture(root / "train" / "0.png")
    with pytest.raises(UserError, match=r"train has 0 class folders\n    allowed: two or more"):
        _ = ImageFolder(root).classes


def test_a_single_class(root):
    for split in ("train", "test"):
        shutil.rmtree(root / split / "cat")
    with pytest.raises(UserError, match=r"train has 1 class folders"):
        _ = ImageFolder(root).classes


def test_empty_class_folders_are_named(root):
    (root / "test" / "cat" / "0.png").unlink()
    (root / "test" / "cat" / "1.png").unlink()
    with pytest.raises(UserError, match=r"data\.root=.*: 1 class folders are empty: test/cat\n"):
        _ = ImageFolder(root).classes


def test_classes_that_differ_are_named_on_both_sides(root):
    picture(root / "train" / "dog" / "0.png")
    picture(root / "test" / "Cat" / "0.png")
    shutil.rmtree(root / "test" / "cat")
    with pytest.raises(UserError, match=r"2 errors") as caught:
        _ = ImageFolder(root).classes
    assert "train has classes that test has not: cat, dog" in str(caught.value)
    assert "test has classes that train has not: Cat" in str(caught.value)


def test_files_that_are_no_pictures_are_counted_and_five_are_named(root):
    for number in range(7):
        (root / "train" / "cat" / f"note{number}.jpg").write_text("not a picture")
    (root / "train" / "bird" / "1.png").write_bytes(PNG)
    with pytest.raises(UserError) as caught:
        ImageFolder(root).train()
    message = str(caught.value)
    assert f"data.root={root}: 8 files in train cannot be read as pictures: " in message
    assert "train/cat/note3.jpg (not a picture) and 3 more" in message
    assert "note4" not in message
    assert f"rm {root}/train/bird/1.png {root}/train/cat/note0.jpg" in message


def test_a_stray_file_among_the_test_pictures_is_found_before_the_training(root):
    (root / "test" / "cat" / "Thumbs.db").write_text("")
    with pytest.raises(UserError, match=r"1 files in test cannot be read as pictures: test/cat/Thumbs\.db"):
        ImageFolder(root).train()


def test_a_broken_test_picture_is_named_when_the_test_is_read(root):
    path = root / "test" / "cat" / "0.png"
    path.write_bytes(path.read_bytes()[:50])
    source = ImageFolder(root)
    assert len(source.train().labels) == 6
    with pytest.raises(UserError, match=r"1 files in test cannot be read as pictures: test/cat/0\.png"):
        source.test()


def test_folders_inside_class_folders_are_named(root):
    picture(root / "train" / "cat" / "more" / "9.png")
    with pytest.raises(UserError, match=r"1 folders inside class folders: train/cat/more\n(.|\n)*find .*/cat/more"):
        _ = ImageFolder(root).classes


def test_links_that_lead_out_of_the_root_are_refused(root, tmp_path):
    picture(tmp_path / "elsewhere" / "9.png")
    (root / "train" / "cat" / "9.png").symlink_to(tmp_path / "elsewhere" / "9.png")
    (root / "test" / "dog").symlink_to(tmp_path / "elsewhere")
    (root / "train" / "dog").symlink_to(tmp_path / "elsewhere")
    links = r"3 symbolic links lead out of it: train/dog, train/cat/9\.png, test/dog\n"
    with pytest.raises(UserError, match=links + r".*\n.*cp -rL"):
        _ = ImageFolder(root).classes


def test_links_that_nothing_is_read_through_are_nobodys_business(root, tmp_path):
    (root / "notes").symlink_to(tmp_path)
    (root / "train" / ".git").symlink_to(tmp_path)
    assert ImageFolder(root).classes == ("bird", "cat")


def test_links_within_the_root_and_a_root_that_is_a_link_are_fine(root, tmp_path):
    (root / "train" / "cat" / "9.png").symlink_to(root / "train" / "cat" / "1.png")
    (tmp_path / "link").symlink_to(root)
    assert ImageFolder(tmp_path / "link").train().pixels[:, 0, 0, 0].tolist() == [0, 1, 2, 100, 101, 102, 101]


def test_split_folders_that_are_links_out_of_the_root_are_refused(root, tmp_path):
    shutil.move(root / "test", tmp_path / "test")
    (root / "test").symlink_to(tmp_path / "test")
    with pytest.raises(UserError, match=r"1 symbolic links lead out of it: test\n"):
        _ = ImageFolder(root).classes


def test_a_link_to_nothing_cannot_be_read(root):
    (root / "train" / "cat" / "9.png").symlink_to(root / "nothing.png")
    with pytest.raises(UserError, match=r"train/cat/9\.png \(.*No such file or directory"):
        ImageFolder(root).train()


def test_more_pictures_than_memory(root, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: namedtuple("Memory", "available")(available=9 * 6 * 32 * 32))
    with pytest.raises(UserError, match=r"data\.image_size=64: 6 pictures need .* GB(.|\n)*data\.image_size=39"):
        ImageFolder(root, image_size=64).train()


def test_a_folder_that_may_not_be_read(root, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(UserError, match=r"data\.root=.*Permission denied.*\n.*\n.*chmod -R u\+rX"):
        _ = ImageFolder(root).classes


def test_a_pipe_is_not_waited_for(root):
    os.mkfifo(root / "test" / "cat" / "pipe.png")
    with pytest.raises(UserError, match=r"1 files in test cannot be .*: test/cat/pipe\.png \(not a plain file\)"):
        ImageFolder(root).train()


DISGUISED = {
    "archive.png": b"PK\x03\x04\x14\x00\x00\x00\x00\x00",
    "page.jpg": b"<!DOCTYPE html><html><script>alert(1)</script></html>",
    "script.png": b"#!/bin/sh\ntouch evil\n",
    "pickle.png": b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93",
    "program.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n",
    "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
}


def test_what_only_calls_itself_a_picture_is_not_opened_by_anything_else(root):
    for name, content in DISGUISED.items():
        (root / "train" / "cat" / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        ImageFolder(root).train()
    assert "6 files in train cannot be read as pictures: " in str(caught.value)
    assert str(caught.value).count("(not a picture)") == 5  # of which so many are named


def bomb(path, side=30_000):
    """A PNG of a few bytes that says it has side x side pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    path.write_bytes(PNG + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""))


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("side", [10_000, 30_000])  # Pillow warns of the one and refuses the other
def test_a_decompression_bomb_is_refused_by_its_header(root, split, side):
    bomb(root / split / "cat" / "bomb.png", side)
    with pytest.raises(UserError, match=rf"1 files in {split} cannot be .*bomb\.png \(Image size .*\n.*89 million"):
        ImageFolder(root).train()


def test_a_link_to_itself_is_refused(root):
    for split in ("train", "test"):
        (root / split / "loop").symlink_to(root / split / "loop")
    with pytest.raises(UserError, match=r"2 symbolic links lead out of it: train/loop, test/loop"):
        _ = ImageFolder(root).classes


@pytest.mark.parametrize("name", [b"\x1b[31mred", b"two\nlines", b"\xff\xfe"])
def test_classes_that_cannot_be_shown_are_refused(root, name):
    for split in ("train", "test"):
        picture(root / split / os.fsdecode(name) / "0.png")
    with pytest.raises(UserError, match=r"1 classes have names that cannot be shown: ") as caught:
        _ = ImageFolder(root).classes
    assert str(caught.value).replace("\n", "").isprintable()


def test_what_to_type_is_safe_to_type(root):
    (root / "train" / "cat" / "x; touch evil").write_text("")
    with pytest.raises(UserError, match=r"rm '.*/train/cat/x; touch evil', or"):
        ImageFolder(root).train()
