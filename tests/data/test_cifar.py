"""Against a CIFAR of four pictures, whose checksums take the place of the published ones."""

import errno
import gzip
import hashlib
import http.client
import io
import os
import pickle
import socket
import tarfile
import urllib.error
import urllib.request

import numpy as np
import pytest
from torchvision import datasets

from ablate.data.cifar import Cifar10, Cifar100
from ablate.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:Python 3.14 will:DeprecationWarning")  # torchvision's extractall

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
FOLDERS = {Cifar10: "cifar-10-batches-py", Cifar100: "cifar-100-python"}
ARCHIVES = {Cifar10: "cifar-10-python.tar.gz", Cifar100: "cifar-100-python.tar.gz"}


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def contents(kind):
    """name -> bytes of the files as the publisher packs them: three training pictures, one for the test."""
    labels = "fine_labels" if kind is Cifar100 else "labels"
    names = "fine_label_names" if kind is Cifar100 else "label_names"
    packed = {
        "one": {"data": PIXELS[:3].reshape(3, -1), labels: [3, 0, 9]},
        "two": {"data": PIXELS[3:].reshape(1, -1), labels: [5]},
        "meta": {names: list(kind.classes)},
    }
    return {name: pickle.dumps(content) for name, content in packed.items()}


@pytest.fixture(params=[Cifar10, Cifar100])
def kind(request, monkeypatch):
    """One of the sources, with the small files as what is published, and no network."""
    kind, files = request.param, contents(request.param)
    dataset = getattr(datasets, kind.name)
    monkeypatch.setattr(dataset, "train_list", [["one", md5(files["one"])]])
    monkeypatch.setattr(dataset, "test_list", [["two", md5(files["two"])]])
    monkeypatch.setattr(dataset, "meta", dataset.meta | {"filename": "meta", "md5": md5(files["meta"])})
    monkeypatch.setattr(dataset, "tgz_md5", md5(archive(kind)))
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    return kind


def refuse(*args, **kwargs):
    raise urllib.error.URLError("Temporary failure in name resolution")


def archive(kind):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in contents(kind).items():
            entry = tarfile.TarInfo(f"{FOLDERS[kind]}/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)


def served(content, monkeypatch, cut_off=False):
    """Let every address answer with `content`, and count the askings."""
    asked = []

    class Response(io.BytesIO):
        length = len(content)

        def read(self, size=-1):
            chunk = super().read(size)
            if cut_off and not chunk:
                raise http.client.IncompleteRead(b"")
            return chunk

    def urlopen(request, *args, **kwargs):
        asked.append(request.full_url)
        response = Response(content)
        response.url = request.full_url
        return response

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return asked


def assert_whole(source):
    train, test = source.train(), source.test()
    assert np.array_equal(train.pixels, PIXELS[:3].transpose(0, 2, 3, 1))
    assert np.array_equal(test.pixels, PIXELS[3:].transpose(0, 2, 3, 1))
    assert (train.labels.tolist(), test.labels.tolist()) == ([3, 0, 9], [5])
    assert train.labels.dtype == np.int64
    assert train.pixels.flags.c_contiguous


def test_the_extracted_folder_is_enough(kind, tmp_path):
    (tmp_path / FOLDERS[kind]).mkdir()
    for name, content in contents(kind).items():
        (tmp_path / FOLDERS[kind] / name).write_bytes(content)
    assert_whole(kind(tmp_path))


def test_the_archive_is_enough(kind, tmp_path):
    (tmp_path / ARCHIVES[kind]).write_bytes(archive(kind))
    assert_whole(kind(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([FOLDERS[kind], ARCHIVES[kind]])


def test_what_is_missing_is_downloaded_once_over_https(kind, tmp_path, monkeypatch):
    asked = served(archive(kind), monkeypatch)
    assert_whole(kind(tmp_path / "new" / "folder"))
    assert all(url.startswith("https://www.cs.toronto.edu/~kriz/cifar-10") for url in asked)
    before = len(asked)
    assert_whole(kind(tmp_path / "new" / "folder"))
    assert len(asked) == before
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == [FOLDERS[kind]]


def test_without_a_network_the_message_tells_every_way_out(kind, tmp_path):
    with pytest.raises(UserError) as caught:
        kind(tmp_path).train()
    message = str(caught.value)
    assert f"data.root={tmp_path}: {kind.name} is not in it, and the download failed (<urlopen error Temp" in message
    for way_out in (ARCHIVES[kind], FOLDERS[kind], "data=digits", "data=image_folder data.root=DIR", "https://"):
        assert way_out in message
    assert list(tmp_path.iterdir()) == []


def test_folders_that_were_made_for_a_failed_download_are_removed_again(kind, tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match="the download failed"):
        kind(tmp_path / "mine" / "new" / "data").train()
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]


@pytest.mark.parametrize("kind", [Cifar10], indirect=True)
@pytest.mark.parametrize("broken", ["wrong bytes", "cut off", "not an archive"])
def test_a_download_that_goes_wrong_leaves_nothing_behind(kind, tmp_path, monkeypatch, broken):
    content = archive(kind)[:-20] + bytes(20) if broken == "wrong bytes" else b"<html>Sign in</html>"
    served(content, monkeypatch, cut_off=broken == "cut off")
    with pytest.raises(UserError, match=r"the download failed \((File not found or corrupted|IncompleteRead)"):
        kind(tmp_path).train()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [Cifar10], indirect=True)
def test_a_damaged_archive_is_named_and_left_alone(kind, tmp_path):
    path = tmp_path / ARCHIVES[kind]
    path.write_bytes(archive(kind)[:100])
    with pytest.raises(UserError, match=rf"{ARCHIVES[kind]} in it is damaged or cut short\n.*MD5 .*\n.*rm {path}"):
        kind(tmp_path).train()
    assert path.read_bytes() == archive(kind)[:100]


@pytest.mark.parametrize("kind", [Cifar10], indirect=True)
@pytest.mark.parametrize("damage", ["a changed file", "a missing file", "a changed list of names"])
def test_a_damaged_folder_is_named_and_left_alone(kind, tmp_path, damage):
    folder = tmp_path / FOLDERS[kind]
    folder.mkdir()
    for name, content in contents(kind).items():
        (folder / name).write_bytes(content)
    if damage == "a missing file":
        (folder / "two").unlink()
    else:
        (folder / ("one" if damage == "a changed file" else "meta")).write_bytes(b"changed")
    with pytest.raises(UserError, match=rf"data\.root={tmp_path}: the folder .* is damaged(.|\n)*rm -r {folder}"):
        kind(tmp_path).train()
    assert len(list(folder.iterdir())) >= 2


@pytest.mark.parametrize("kind", [Cifar10], indirect=True)
def test_a_folder_that_cannot_be_written_to(kind, tmp_path, monkeypatch):
    def refuse_to_write(*args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("tempfile.mkdtemp", refuse_to_write)
    with pytest.raises(UserError, match=r"nothing can be written to it \(.*Read-only file system\)(.|\n)*data=digits"):
        kind(tmp_path).train()


@pytest.mark.parametrize("kind", [Cifar10], indirect=True)
def test_a_root_that_is_a_file(kind, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        UserError, match=rf"data\.root={tmp_path}/file: CIFAR10 is not in it, and nothing can be written"
    ):
        kind(tmp_path / "file").train()


@pytest.mark.parametrize("kind", [Cifar10], indirect=True)
def test_two_processes_may_fetch_at_once(kind, tmp_path, monkeypatch):
    served(archive(kind), monkeypatch)
    other, rename = kind(tmp_path), os.rename

    def late(source, target):
        monkeypatch.setattr("os.rename", rename)
        other.train()  # meanwhile somebody else is done
        rename(source, target)

    monkeypatch.setattr("os.rename", late)
    assert_whole(kind(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [FOLDERS[kind]]


def test_the_names_of_the_classes_are_the_published_ones():
    # They follow the alphabet, as the labels do; the names in the files are compared when they are read.
    assert len(Cifar10.classes) == 10
    assert len(set(Cifar100.classes)) == 100
    assert list(Cifar100.classes) == sorted(Cifar100.classes)
    assert Cifar10.image_size == Cifar100.image_size == 32


def test_asking_for_the_classes_reads_nothing(tmp_path):
    assert Cifar10(tmp_path / "nowhere").classes[3] == "cat"
    assert not (tmp_path / "nowhere").exists()


def test_a_download_that_never_answers_is_given_up(kind, tmp_path, monkeypatch):
    def urlopen(*args, **kwargs):
        assert socket.getdefaulttimeout() == 60
        raise TimeoutError("timed out")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    with pytest.raises(UserError, match=r"the download failed \(timed out\)"):
        kind(tmp_path).train()
    assert socket.getdefaulttimeout() is None


def test_a_download_that_fails_over_https_is_not_asked_for_over_http(tmp_path, monkeypatch):
    asked = []

    def connect(address, *args, **kwargs):
        asked.append(address)
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(socket, "create_connection", connect)
    # torchvision asks where the address leads before it downloads; let that be answered.
    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", lambda url, max_hops: url)
    opener = urllib.request._opener
    with pytest.raises(UserError, match="Connection refused"):
        Cifar10(tmp_path / "data").train()
    assert {port for _, port in asked} == {443}
    assert urllib.request._opener is opener
    assert not (tmp_path / "data").exists()
