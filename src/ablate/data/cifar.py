"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html), by way of torchvision."""

import http.client
import os
import socket
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ablate.data.source import Pictures
from ablate.errors import UserError

TIMEOUT = 60.0  # seconds without an answer before a download is given up; urllib alone would wait for ever


class _Cifar:
    """60,000 pictures of 32 x 32, 50,000 of them for training, read from `root`.

    `root` holds the extracted folder or the archive under their published names; where it holds neither, the archive
    is downloaded once, over https alone. torchvision compares every file with its published MD5 before it is read: the
    files are pickles. A download or extraction that breaks off leaves nothing behind, and several processes may ask at
    the same time.
    """

    name: str  # of the class in torchvision.datasets
    classes: tuple[str, ...]
    image_size = 32

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser()

    def train(self) -> Pictures:
        return self._read(train=True)

    def test(self) -> Pictures:
        return self._read(train=False)

    def _read(self, *, train: bool) -> Pictures:
        from torchvision import datasets  # takes 2 s

        dataset = getattr(datasets, self.name)
        folder = self.root / dataset.base_folder
        if not folder.exists():
            self._fetch(dataset, folder)
        try:
            content = dataset(self.root, train=train)
        except (RuntimeError, OSError) as cause:
            raise UserError.of(
                f"data.root={self.root}: the folder {dataset.base_folder} in it is damaged ({cause})",
                "the files as published, with their MD5",
                f"rm -r {folder}, and run again",
            ) from cause
        assert tuple(content.classes) == self.classes, "labels follow the order of the published names"
        return Pictures(np.ascontiguousarray(content.data), np.asarray(content.targets, dtype=np.int64))

    def _fetch(self, dataset: Any, folder: Path) -> None:
        """Extract in a temporary folder beside the target, then rename: whoever looks sees all of it or nothing."""
        made = [each for each in (self.root, *self.root.parents) if not each.exists()]
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            temporary = tempfile.TemporaryDirectory(dir=self.root, prefix=".download-")
        except OSError as cause:
            raise UserError.of(
                f"data.root={self.root}: {self.name} is not in it, and nothing can be written to it ({cause})",
                f"a folder that holds {dataset.base_folder}, or one that can be written to",
                "data.root=DIR, or data=digits, which needs no files",
            ) from cause
        with _without_leftovers(made), temporary as place:
            self._link_archive(dataset, Path(place))
            try:
                with _timeout(TIMEOUT), _https_alone():
                    dataset(place, download=True)
            except (OSError, RuntimeError, http.client.HTTPException, tarfile.TarError, EOFError) as cause:
                reason = cause.__context__ if "unknown url type" in str(cause) else cause  # why https failed
                raise UserError.of(
                    f"data.root={self.root}: {self.name} is not in it, and the download failed ({reason})",
                    f"a network, or the archive {dataset.filename} or its folder {dataset.base_folder} in data.root",
                    f"mv {dataset.filename} {self.root}/ after fetching {dataset.url} elsewhere, "
                    "or data=digits, or data=image_folder data.root=DIR for own pictures",
                ) from cause
            try:
                os.rename(Path(place) / dataset.base_folder, folder)
            except OSError:
                if not folder.exists():  # else another process was first
                    raise

    def _link_archive(self, dataset: Any, place: Path) -> None:
        """Offer torchvision the archive in `root`, if there is one: it then downloads nothing."""
        from torchvision.datasets.utils import check_integrity

        archive = self.root / dataset.filename
        if not archive.exists():
            return
        if not check_integrity(archive, dataset.tgz_md5):
            raise UserError.of(
                f"data.root={self.root}: {dataset.filename} in it is damaged or cut short",
                f"the archive as published, MD5 {dataset.tgz_md5}",
                f"rm {archive}, and run again to download it",
            )
        (place / dataset.filename).symlink_to(archive.resolve())


@contextmanager
def _without_leftovers(folders: Sequence[Path]) -> Iterator[None]:
    """After an error, removes those of the folders, innermost first, that are empty."""
    try:
        yield
    except UserError:
        with suppress(OSError):
            for folder in folders:
                folder.rmdir()
        raise


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextmanager
def _https_alone() -> Iterator[None]:
    """Where https fails, torchvision would ask again over http, which anybody on the way can answer."""
    secure = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        secure.add_handler(handler)
    before = getattr(urllib.request, "_opener", None)
    urllib.request.install_opener(secure)
    try:
        yield
    finally:
        urllib.request.install_opener(before)


class Cifar10(_Cifar):
    name = "CIFAR10"
    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Cifar100(_Cifar):
    """With the 100 fine labels."""

    name = "CIFAR100"
    classes = tuple(
        """
        apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
        castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
        elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
        man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
        pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
        skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
        tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
        """.split()  # noqa: SIM905  # a hundred quoted names are no clearer
    )
