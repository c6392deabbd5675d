"""What a run ran on and with: versions, device, code."""

import hashlib
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # importing it takes seconds; what only reads records asks for versions too
    import torch

OWN = __name__.partition(".")[0]
PACKAGES = (
    "ablate",
    "torch",
    "torchvision",
    "pytorch-lightning",
    "albumentations",
    "opencv-python-headless",
    "grad-cam",
    "hydra-core",
    "omegaconf",
    "numpy",
    "tensorboard",
)


def versions() -> dict[str, str]:
    """Version by distribution name, of Python too; packages that are not installed are left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    if "torch" in found:
        found["torch"] = _torch_build() or found["torch"]
    return found


def code_digest(packages: Iterable[str]) -> str:
    """Twelve hex digits over the sources, Python and C, of `packages`, given by their import names.

    Those of this package count as they were when this was first asked.
    """
    digest = hashlib.sha256()
    for package in sorted({name.partition(".")[0] for name in packages}):
        digest.update(_own_digest() if package == OWN else _digest(package))
    return digest.hexdigest()[:12]


@cache
def _own_digest() -> bytes:
    return _digest(OWN)


def _digest(package: str) -> bytes:
    digest = hashlib.sha256()
    for name, path in _sources(package):
        content = path.read_bytes()
        digest.update(f"{package} {name} {len(content)}\n".encode())
        digest.update(content)
    return digest.digest()


def describe_device(device: "torch.device", count: int) -> dict[str, Any]:
    """kind ("cpu", "cuda", "mps"), the maker's name, how many the run uses; the machine's cores, torch's threads."""
    import torch

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    threads = torch.get_num_threads()
    return {"kind": device.type, "name": name, "count": count, "cores": os.cpu_count(), "threads": threads}


# Variables of launchers that are whole numbers.
COUNTS = (
    *("LOCAL_RANK", "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RESTART_COUNT"),
    *("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_NTASKS", "SLURM_STEP_NUM_TASKS", "SLURM_RESTART_COUNT"),
)


def launcher() -> str | None:
    """What has started this process together with others of the same command: "torchrun", "SLURM", or None.

    None too for what Lightning starts by itself, and where SLURM has given one task, which may start others.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return "torchrun"
    shell = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")  # a person, who types in an allocation
    return "SLURM" if int(os.environ.get("SLURM_NTASKS", "1")) > 1 and not shell else None


def num_processes() -> int:
    """Those that the launcher has started; 1 without one."""
    variable = {"torchrun": "WORLD_SIZE", "SLURM": "SLURM_NTASKS"}.get(launcher() or "")
    return int(os.environ[variable]) if variable else 1


def processes_here() -> int:
    """Those of them on this machine, as far as the launcher says it."""
    variable = {"torchrun": "LOCAL_WORLD_SIZE", "SLURM": "SLURM_NTASKS_PER_NODE"}.get(launcher() or "", "")
    return int(os.environ.get(variable) or num_processes())


def rank() -> int:
    """Of this process among those that share its run, on all machines, from 0."""
    variable = {"torchrun": "RANK", "SLURM": "SLURM_PROCID"}.get(launcher() or "", "LOCAL_RANK")
    return int(os.environ.get(variable, "0"))


def local_rank() -> int:
    """The same among those on this machine."""
    return int(os.environ.get({"SLURM": "SLURM_LOCALID"}.get(launcher() or "", "LOCAL_RANK"), "0"))


def is_first_process() -> bool:
    """Of those that share a run; it alone writes the run's files."""
    return rank() == 0


def is_restarted() -> bool:
    """Whether the launcher has started this very command before: it goes on with what that has left."""
    return any(int(os.environ.get(name, "0")) > 0 for name in ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT"))


@contextmanager
def borrowed(num_threads: int | None) -> Iterator[None]:
    """torch with as many threads, if a number is given; all that happens to them and to the environment's variables,
    where Lightning tells the processes of a run about each other, is undone."""
    import torch

    threads, variables = torch.get_num_threads(), dict(os.environ)
    torch.set_num_threads(num_threads or threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        for name in set(os.environ) - set(variables):
            del os.environ[name]
        os.environ.update(variables)


def git_state(folder: Path) -> dict[str, Any]:
    """commit and dirty flag of the repository around `folder`; {} outside one, or without git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain"))}


def _torch_build() -> str | None:
    """Names the build too, 2.15.0+cu132, where the distribution does not; read, for importing it takes seconds."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    try:
        text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"""^__version__\b[^=]*=\s*['"]([^'"]+)""", text, re.MULTILINE)
    return found[1] if found else None


def _sources(package: str) -> list[tuple[str, Path]]:
    """Path within the package, and file, of all its sources, in order."""
    spec = find_spec(package)
    if spec is None:
        return []
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    paths = [(folder, path) for folder in folders for kind in ("*.py", "*.c", "*.h") for path in folder.rglob(kind)]
    files = [(path.relative_to(folder).as_posix(), path) for folder, path in paths]
    alone = [("", Path(spec.origin))] if spec.origin and spec.origin.endswith(".py") else []
    return sorted(files or alone)


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
