"""The devices that a run asks for: whether they are there, with the processes that are to use them, one for each; and
which one this process will use."""

import os
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ablate import environment
from ablate.config.schema import Trainer
from ablate.config.wording import show
from ablate.errors import Problem

if TYPE_CHECKING:
    import torch


def device_problems(trainer: Trainer) -> Iterator[Problem]:
    """What is wrong with `accelerator`, `devices` and `num_nodes` on this machine, in this process."""
    accelerator, devices = trainer.accelerator, trainer.devices
    count, kind = _present(accelerator)
    numbers = devices if isinstance(devices, list) else []
    number = len(numbers) if numbers else (devices if isinstance(devices, int) else max(count, 1))
    given = f"trainer.devices={show(devices)}"
    if kind == "CPU" and accelerator != "auto" and accelerator != "cpu":
        wanted = "Apple GPU" if accelerator == "mps" else "GPU"
        given = f"trainer.accelerator={accelerator}: this machine has no {wanted}"
        yield Problem(given, "auto or cpu", "trainer=cpu")
    elif kind == "CPU" and numbers:
        given = f"{given} on a CPU"
        yield Problem(given, "how many processes: a CPU has no numbers", f"trainer.devices={len(numbers)}")
    elif kind == "CPU" and trainer.sync_batchnorm and number * trainer.num_nodes > 1:
        yield Problem(
            "trainer.sync_batchnorm=true on a CPU", "false: torch does it on GPUs", "trainer.sync_batchnorm=false"
        )
    elif len(set(numbers)) < len(numbers):
        distinct = show(list(dict.fromkeys(numbers)))
        yield Problem(given, "each device once", f"trainer.devices={distinct}")
    elif kind != "CPU" and numbers and max(numbers) >= count:
        given = f"{given}: this machine has {count} {kind}"
        yield Problem(given, f"device numbers from 0 to {count - 1}", "trainer.devices=[0]")
    elif kind != "CPU" and number > count:
        yield Problem(f"{given}: this machine has {count} {kind}", f"up to {count}", f"trainer.devices={count}")
    elif trainer.compile and number * trainer.num_nodes > 1:
        given = f"trainer.compile=true on {number * trainer.num_nodes} devices, which share a batch"
        yield Problem(given, "one device, or trainer.compile=false", "trainer.compile=false")
    elif trainer.compile and (lacking := _lacking_compiler(kind)):
        given = f"trainer.compile=true, and this machine has no {lacking}"
        yield Problem(
            given, "a compiler and Python's headers (apt install g++ python3-dev), or false", "trainer.compile=false"
        )
    else:
        yield from _process_problems(number, trainer.num_nodes)


def _lacking_compiler(kind: str) -> str | None:
    """What torch.compile needs and this machine lacks."""
    cpp, c = (["clang++"], ["clang"]) if sys.platform == "darwin" else (["g++"], ["gcc", "clang"])
    variable, usual, language = ("CC", c, "C") if kind == "GPU" else ("CXX", cpp, "C++")
    wanted = shlex.split(os.environ.get(variable, ""))[:1] or usual
    if not any(map(shutil.which, wanted)):
        return f"{language} compiler ({' or '.join(wanted)}; {variable} names another)"
    if kind == "GPU" and not find_spec("triton"):
        return "package triton"
    headers = sysconfig.get_path("include")
    return None if os.path.isfile(os.path.join(headers, "Python.h")) else f"Python.h in {headers}"


def _process_problems(devices: int, num_nodes: int) -> Iterator[Problem]:
    """devices: on each machine."""
    launcher, started, wanted = environment.launcher(), environment.num_processes(), devices * num_nodes
    words = f"trainer.devices={devices} trainer.num_nodes={num_nodes}"
    if launcher is None and num_nodes > 1:
        yield Problem(
            f"trainer.num_nodes={num_nodes}, and nothing has started processes on so many machines",
            "torchrun on every machine, or SLURM's srun",
            f"torchrun --nnodes={num_nodes} --nproc_per_node={devices} --rdzv_backend=c10d "
            f"--rdzv_endpoint=HOST:29500 train.py {words}",
        )
    # SLURM tells the number of its tasks to a script that runs once, too: one device is right there.
    elif launcher is not None and started != devices * num_nodes and not (launcher == "SLURM" and wanted == 1):
        nodes = max(1, started // environment.processes_here())
        yield Problem(
            f"{launcher} has started {started} processes for {words}",
            "one process for each device",
            f"trainer.devices={started // nodes} trainer.num_nodes={nodes} trainer.strategy=ddp",
        )


def _present(accelerator: str) -> tuple[int, str]:
    """How many devices of what kind this accelerator finds; (0, "CPU") if there is none."""
    if accelerator == "cpu":
        return 0, "CPU"
    import torch

    if accelerator != "mps" and (count := torch.cuda.device_count()):
        return count, "GPU"
    if accelerator != "cuda" and torch.backends.mps.is_available():
        return 1, "Apple GPU"
    return 0, "CPU"


def uses_gpu(trainer: Trainer) -> bool:
    import torch

    return trainer.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()


def device_of(trainer: Trainer) -> "torch.device":
    """The one that Lightning will give to this process; the CPU where it is no CUDA device."""
    import torch

    if not uses_gpu(trainer):
        return torch.device("cpu")
    wanted, here = trainer.devices, environment.local_rank()
    return torch.device("cuda", wanted[here % len(wanted)] if isinstance(wanted, list) else here)
