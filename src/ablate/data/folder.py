"""Own pictures: `root/train/<class>/*` and `root/test/<class>/*`."""

import os
import shlex
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import psutil  # type: ignore[import-untyped]

from ablate.data.decode import Unreadable, decode_all, open_all
from ablate.data.source import Pictures
from ablate.errors import Problem, UserError

SPLITS = ("train", "test")
NUM_NAMED = 5  # files or folders named in a message; of the rest it gives the number


class ImageFolder:
    """Pictures of any format and size, decoded once to `image_size` x `image_size` (how: `ablate.data.decode.decode`).

    The classes are the sorted, printable names of the folders in `root/train`; `root/test` must have the same. Names
    that begin with a dot are passed over. Every other file must be a picture, and no symbolic link may lead out of
    `root`.
    """

    def __init__(self, root: str | Path, image_size: int = 32) -> None:
        self.root, self.image_size = Path(root).expanduser(), image_size

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self._files["train"])

    def train(self) -> Pictures:
        """Also opens every test file, without decoding it: a stray file is found before the training, not after."""
        pictures, unreadable = self._decode("train")
        in_test = open_all([path for paths in self._files["test"].values() for path in paths])
        UserError.raise_all([*self._no_pictures("train", unreadable), *self._no_pictures("test", in_test)])
        return pictures

    def test(self) -> Pictures:
        pictures, unreadable = self._decode("test")
        UserError.raise_all(self._no_pictures("test", unreadable))
        return pictures

    def _decode(self, split: str) -> tuple[Pictures, list[Unreadable]]:
        files = self._files[split]
        paths = [path for of_class in files.values() for path in of_class]
        self._check_memory(len(paths))
        pixels, unreadable = decode_all(paths, self.image_size)
        labels = np.repeat(np.arange(len(files)), [len(of_class) for of_class in files.values()])
        return Pictures(pixels, labels.astype(np.int64)), unreadable

    @cached_property
    def _files(self) -> dict[str, dict[str, list[str]]]:
        """split -> class -> paths, all sorted by name."""
        try:
            return self._list()
        except OSError as cause:
            given = f"data.root={self.root}: {cause}"
            raise UserError.of(given, "folders that can be read", f"chmod -R u+rX {_quoted(self.root)}") from cause

    def _list(self) -> dict[str, dict[str, list[str]]]:
        if missing := [name for name in ("", *SPLITS) if not (self.root / name).is_dir()]:
            raise UserError.of(
                f"data.root={self.root}: there is no folder {self.root / missing[0]}",
                "a folder with train/<class>/* and test/<class>/*",
                "data.root=DIR, or mkdir -p DIR/train/cat DIR/test/cat, and so on for each class",
            )
        links: list[str] = []  # out of the root
        folders: list[str] = []  # inside class folders
        files: dict[str, dict[str, list[str]]] = {split: {} for split in SPLITS}
        for split in SPLITS:
            if self._leads_out(self.root / split):
                links.append(split)
                continue
            for of_class in self._visible(self.root / split, links):
                if of_class.is_dir():
                    inside = self._visible(of_class, links)
                    folders += [self._within(entry.path) for entry in inside if entry.is_dir()]
                    files[split][of_class.name] = [entry.path for entry in inside if not entry.is_dir()]
        UserError.raise_all(self._layout_problems(files, links, folders))
        return files

    def _visible(self, folder: Path | os.DirEntry[str], links: list[str]) -> list[os.DirEntry[str]]:
        """What is in a folder, by name; links that lead out of the root go to `links` instead."""
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        entries = [entry for entry in entries if not entry.name.startswith(".")]
        links += [self._within(entry.path) for entry in entries if self._leads_out(entry)]
        return [entry for entry in entries if not self._leads_out(entry)]

    def _leads_out(self, entry: Path | os.DirEntry[str]) -> bool:
        try:
            return entry.is_symlink() and not Path(entry).resolve().is_relative_to(self._real_root)
        except RuntimeError:  # a link that leads to itself
            return True

    def _within(self, path: str) -> str:
        return os.path.relpath(path, self.root)

    @cached_property
    def _real_root(self) -> Path:
        return self.root.resolve()

    def _layout_problems(
        self, files: dict[str, dict[str, list[str]]], links: list[str], folders: list[str]
    ) -> Iterator[Problem]:
        if links:
            yield self._problem(
                f"{len(links)} symbolic links lead out of it: {_named(links)}",
                "links within data.root",
                f"cp -rL {_quoted(self.root)} COPY, then data.root=COPY",
            )
            return  # what they lead to would be missed below
        if folders:
            yield self._problem(
                f"{len(folders)} folders inside class folders: {_named(folders)}",
                "pictures directly in train/<class> and test/<class>",
                f"find {_quoted(self.root / folders[0])} -type f "
                f"-exec mv -t {_quoted((self.root / folders[0]).parent)} {{}} +",
            )
        odd = sorted({name for of_split in files.values() for name in of_split if not name.isprintable()})
        if odd:
            yield self._problem(
                f"{len(odd)} classes have names that cannot be shown: {_named([ascii(name) for name in odd])}",
                "names of printable characters, in UTF-8",
                f"mv {str(self.root / 'train' / odd[0])!a} NAME, and in test too",
            )
        if len(files["train"]) < 2:
            yield self._problem(
                f"train has {len(files['train'])} class folders",
                "two or more",
                f"mkdir {_quoted(self.root)}/train/CLASS",
            )
        for one, other in (SPLITS, SPLITS[::-1]):
            if only := sorted(files[one].keys() - files[other].keys()):
                yield self._problem(
                    f"{one} has classes that {other} has not: {_named(only)}",
                    "the same class folders in train and test",
                    f"mkdir {_quoted(self.root / other / only[0])}, with pictures for {other} in it",
                )
        empty = [f"{split}/{name}" for split in SPLITS for name, paths in files[split].items() if not paths]
        if empty and not folders:
            yield self._problem(
                f"{len(empty)} class folders are empty: {_named(empty)}",
                "one picture or more in each",
                f"rmdir {_quoted(self.root / empty[0])}, in train and test alike",
            )

    def _no_pictures(self, split: str, unreadable: list[Unreadable]) -> Iterator[Problem]:
        if unreadable:
            listed = _named([f"{self._within(path)} ({reason})" for path, reason in unreadable])
            yield self._problem(
                f"{len(unreadable)} files in {split} cannot be read as pictures: {listed}",
                "whole pictures, such as PNG, JPEG, WebP, GIF or TIFF, of at most 89 million pixels",
                f"rm {' '.join(_quoted(path) for path, _ in unreadable[:NUM_NAMED])}, or mv them out of data.root",
            )

    def _check_memory(self, num_pictures: int) -> None:
        needed = 2 * num_pictures * self.image_size**2 * 3  # twice: the split copies
        available = psutil.virtual_memory().available
        if needed > available:
            fitting = int((available / needed) ** 0.5 * self.image_size)
            raise UserError.of(
                f"data.image_size={self.image_size}: {num_pictures:,} pictures need {needed / 1e9:.1f} GB of memory",
                f"the {available / 1e9:.1f} GB that are free",
                f"data.image_size={fitting}",
            )

    def _problem(self, given: str, allowed: str, fix: str) -> Problem:
        return Problem(f"data.root={self.root}: {given}", allowed, fix)


def _quoted(path: str | Path) -> str:
    """For a shell: a file may be called `; rm -rf x`."""
    return shlex.quote(str(path))


def _named(names: list[str]) -> str:
    rest = len(names) - NUM_NAMED
    return ", ".join(names[:NUM_NAMED]) + (f" and {rest} more" if rest > 0 else "")
