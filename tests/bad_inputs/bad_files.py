"""Files and folders that are not what a command needs: YAML, pictures, places for the outputs."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from world import Row

PICTURES = ("data=image_folder", "data.root=pictures", "callbacks=none", "logger=none")


def yaml(text: str | bytes) -> Callable[[Path], None]:
    """An experiment that came from elsewhere: `--config-dir=got experiment=got`."""

    def prepare(folder: Path) -> None:
        (folder / "got" / "experiment").mkdir(parents=True)
        content = text.encode() if isinstance(text, str) else text
        (folder / "got" / "experiment" / "got.yaml").write_bytes(b"# @package _global_\n" + content)

    return prepare


def pictures(change: Callable[[Path], object] = lambda root: None) -> Callable[[Path], None]:
    """Two classes of two pictures, in train and test; then `change` them."""

    def prepare(folder: Path) -> None:
        root = folder / "pictures"
        for split in ("train", "test"):
            for name in ("bird", "cat"):
                (root / split / name).mkdir(parents=True)
                for number in range(2):
                    Image.new("RGB", (32, 32)).save(root / split / name / f"{number}.png")
        change(root)

    return prepare


def bound_socket(root: Path) -> None:
    before = os.getcwd()
    os.chdir(root / "train" / "cat")  # the address of a socket must be short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket.png")
    os.chdir(before)


def link_out(root: Path) -> None:
    (root / "train" / "cat" / "2.png").symlink_to("/etc/hostname")


def laughs(lines: int) -> str:
    more = (f"a{number + 1}: &a{number + 1} [{','.join([f'*a{number}'] * 9)}]\n" for number in range(lines))
    return "a0: &a0 [l,l,l,l,l,l,l,l,l]\n" + "".join(more)


GOT = ("--config-dir=got", "experiment=got")
YAML = [
    ("python tag", "seed: !!python/object/apply:os.system [touch evil]\n", "could not determine a constructor"),
    ("python name", "seed: !!python/name:os.system\n", "could not determine a constructor"),
    ("cut short", "optimizer:\n  lr: [1, 2\n", "while parsing a flow sequence"),
    ("a key twice", "optimizer: {lr: 0.1, lr: 0.2}\n", "found duplicate key lr"),
    ("binary", "\x00\x01", "special characters are not allowed"),
    ("not UTF-8", b"a: \xff\xfe", "codec can't decode"),
    ("a list", "- a\n- b\n", "correct experiment/got.yaml"),
    ("text alone", "just text\n", "just text=null: no such key"),
    ("a bomb", laughs(9), "up to 100,000 values in a file"),
    ("a small bomb", laughs(3), "a0=[l,l,l"),
    ("a default that is not there", "defaults:\n  - /nothing/here\n", "Could not load"),
    ("a default outside", "defaults:\n  - ../../../etc/passwd\n", "Could not load"),
    ("itself by default", "defaults:\n  - got\n", "correct experiment/got.yaml"),
    ("defaults that are a number", "defaults: 3\n", "defaults must be a list"),
    ("a target off the list", "model: {_target_: os.system}\n", "model._target_=os.system"),
    ("a partial target", "optimizer: {_target_: os.system, _partial_: true}\n", "optimizer._target_=os.system"),
    ("a nested target", "callbacks: {x: {_target_: torch.nn.Identity, y: [{_target_: os.system}]}}\n", "os.system"),
    ("get_method", "model: {_target_: hydra.utils.get_method, path: os.system}\n", "hydra.utils.get_method"),
    ("any package", "allow_targets: [torch]\nmodel: {_target_: torch.hub.load}\n", "torch is an installed package"),
    ("env_set", "hydra: {job: {env_set: {PYTHONPATH: got}}}\n", "hydra.job.env_set.PYTHONPATH"),
    ("a log anywhere", "hydra: {job_logging: {handlers: {file: {filename: .bashrc}}}}\n", "filename=.bashrc"),
    (
        "a hundred thousand runs",
        "hydra: {mode: MULTIRUN, sweeper: {params: {seed: 'range(0,100000)'}}}\n",
        "100,000 runs",
    ),
    ("a launcher's shell", "hydra: {mode: MULTIRUN, launcher: {setup: [touch evil]}}\n", "hydra.launcher.setup"),
]

ROOT = [
    ("no folder", lambda root: os.rename(root, root.parent / "other"), "there is no folder pictures"),
    ("a pipe", lambda root: os.mkfifo(root / "train" / "cat" / "pipe.png"), "not a plain file"),
    ("a pipe for the test", lambda root: os.mkfifo(root / "test" / "cat" / "pipe.png"), "not a plain file"),
    ("a socket", bound_socket, "not a plain file"),
    ("a link out", link_out, "symbolic links lead out of it"),
    (
        "a device behind a link",
        lambda root: (root / "test" / "cat" / "x.png").symlink_to("/dev/zero"),
        "lead out of it",
    ),
    ("a link to itself", lambda root: (root / "train" / "loop").symlink_to("loop"), "lead out of it: train/loop"),
    ("an archive", lambda root: (root / "train" / "cat" / "x.png").write_bytes(b"PK\x03\x04 x"), "not a picture"),
    ("a page", lambda root: (root / "train" / "cat" / "x.jpg").write_text("<html><script>"), "not a picture"),
    (
        "a program",
        lambda root: (root / "train" / "cat" / "x.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n"),
        "not a pict",
    ),
    ("an empty file", lambda root: (root / "train" / "cat" / "x.png").write_text(""), "not a picture"),
    ("a class without test", lambda root: (root / "train" / "dog").mkdir(), "train has classes that test has not: dog"),
    ("folders in a class", lambda root: (root / "train" / "cat" / "more").mkdir(), "folders inside class folders"),
    (
        "a name with an escape",
        lambda root: [(root / s / "\x1b[0m").mkdir() for s in ("train", "test")],
        "cannot be shown",
    ),
    (
        "a name that is code",
        lambda root: (root / "train" / "cat" / "$(touch evil)").write_text(""),
        "rm 'pictures/train/cat/$(",
    ),
]

FILES = [
    *(Row(f"YAML: {name}", GOT, [says], yaml(text)) for name, text, says in YAML),
    *(Row(f"pictures: {name}", PICTURES, [says], pictures(change)) for name, change, says in ROOT),
    Row(
        "a root of nobody's",
        ["data=image_folder", "data.root='~nobody-of-that-name/x'"],
        ["data.root=~nobody-of-that-"],
    ),
    Row(
        "an archive for a folder",
        ["data=cifar10", "data.root=data"],
        ["data.root=data"],
        lambda f: (f / "data").touch(),
    ),
    Row(
        "the outputs are a file",
        ["seed=1"],
        ["outputs (Not a dir", "hydra.run.dir=DIR"],
        lambda f: (f / "outputs").touch(),
    ),
    Row(
        "the runs are a file",
        ["seed=1"],
        ["outputs/runs (N"],
        lambda f: ((f / "outputs").mkdir(), (f / "outputs/runs").touch()),
    ),
    Row(
        "the outputs lead nowhere",
        ["seed=1"],
        ["nothing can be written"],
        lambda f: (f / "outputs").symlink_to("nowhere"),
    ),
    Row(
        "a sweep into a file",
        ["-m", "seed=0,1", "hydra.sweep.dir=x/y"],
        ["hydra.sweep.dir=x/y"],
        lambda f: (f / "x").touch(),
    ),
    Row("a run into a device", ["hydra.run.dir=/dev/null"], ["hydra.run.dir=/dev/null", "Not a directory"]),
    Row("a run where nobody may write", ["hydra.run.dir=/proc/self/run"], ["nothing can be written to /proc/"]),
    Row("a name too long", ["hydra.run.dir=" + "x" * 300], ["the name is too long"]),
    Row("a folder that holds a run", ["hydra.run.dir=."], ["holds a run"], lambda f: (f / "run.json").write_text("{}")),
]
