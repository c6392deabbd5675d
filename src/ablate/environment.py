"""What a run ran on and with: versions, device, code."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

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
    found["torch"] = torch.__version__  # names the build too: 2.15.0+cu132
    return found


def describe_device(device: torch.device, count: int) -> dict[str, Any]:
    """kind ("cpu", "cuda", "mps"), the maker's name, how many the run uses, and the machine's cores."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {"kind": device.type, "name": name, "count": count, "cores": os.cpu_count()}


def git_state(folder: Path) -> dict[str, Any]:
    """commit and dirty flag of the repository around `folder`; {} outside one, or without git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain"))}


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
