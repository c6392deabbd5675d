"""The processes of one run, where a launcher starts them all with the same command: torchrun, or SLURM's srun.

They meet before anything is written, at the store where they will meet again to train. There they make sure that they
see one config, and the first of them names the folder once it has found everything else to be right.
"""

import json
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch.distributed import DistNetworkError, DistStoreError
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from ablate import environment
from ablate.changes import code_of
from ablate.config.check import leaves
from ablate.config.wording import show
from ablate.errors import UserError

JOIN_SECONDS = 300.0  # for all to come: the first import of torch from a network file system can take minutes
LEAVE_SECONDS = 5.0  # for the others to hear that a run is over
SHOWN = 4  # differences in a message
LOST = (DistNetworkError, DistStoreError)


@dataclass(frozen=True)
class Member:
    """One of the processes. `machine`: equal for those that see each other's pids."""

    rank: int
    host: str
    machine: str
    pid: int

    @classmethod
    def here(cls) -> "Member":
        host, processes = socket.gethostname(), ""
        with suppress(OSError):
            processes = os.readlink("/proc/self/ns/pid")  # a container has pids of its own
        return cls(environment.rank(), host, host + processes, os.getpid())

    def is_near(self) -> bool:
        return self.machine == Member.here().machine


@dataclass(frozen=True)
class Company:
    """All processes of this run, by rank, and the store that they share."""

    members: list[Member]
    store: Store

    @property
    def is_first(self) -> bool:
        return environment.is_first_process()

    def open(self, folder: Path) -> None:
        """Let the others begin: the first one has made the folder, and everything is right."""
        self.store.set("folder", str(folder.resolve()))

    def close(self, code: int) -> None:
        """Say that the run is over, with this exit code, and let the others hear it: the store may end with this
        process."""
        others = [f"{each.rank} has left" for each in self.members if each.rank != environment.rank()]
        last = time.monotonic() + (LEAVE_SECONDS if code == 0 else 1.0)  # else some may be gone
        with suppress(*LOST):
            self.store.set("over", str(code))
            if not self.store.check(["folder"]):
                self.store.set("folder", "")
            while not self.store.check(others) and time.monotonic() < last:
                time.sleep(0.05)

    def folder(self) -> Path | None:
        """Where the others are to begin, once the first one has said it; None if there is nothing to do for them."""
        try:
            self._wait("folder")
            return Path(text) if (text := self.store.get("folder").decode()) else None
        except LOST:
            return None

    def code(self) -> int:
        """The exit code of the run, once it is over; 1 if the first process has gone without a word."""
        try:
            self._wait("over")
            code = int(self.store.get("over"))
            self.store.set(f"{environment.rank()} has left", "")
            return code
        except LOST:
            return 1

    def _wait(self, key: str) -> None:
        """Not in one call: signals are heard in between. Raises if the store has gone."""
        while not self.store.check([key]):
            time.sleep(0.2)


def meet(config: Mapping[str, Any], seconds: float = JOIN_SECONDS) -> Company | None:
    """The company of this process, None where it is alone. Raises `UserError`, in all of them, if they would not train
    the same, or if some do not come."""
    rank, size = environment.rank(), environment.num_processes()
    if size == 1:
        return None
    place, patience = cluster(), timedelta(seconds=seconds)
    ours = {"member": asdict(Member.here()), "facts": _facts(config)}
    try:
        url = f"tcp://{place.main_address}:{place.main_port}?rank={rank}&world_size={size}"
        store, _, _ = next(rendezvous(url, timeout=patience))
        store = PrefixStore(f"ablate {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
        store.set(str(rank), json.dumps(ours))
        store.wait([str(each) for each in range(size)], patience)
        found = [json.loads(store.get(str(each))) for each in range(size)]
        store.set(f"{rank} has seen all", "")
        if rank == 0:  # whose end may be the store's
            store.wait([f"{each} has seen all" for each in range(size)], patience)
    except LOST:
        raise UserError.of(
            f"{environment.launcher()} was to start {size} processes of this run, and not all have met at "
            f"{place.main_address}:{place.main_port} within {seconds:g} seconds",
            "the same command in all of them, and machines that reach each other",
            f"{start_command(size, 1)}, or python train.py trainer.devices={size}",
        ) from None
    members = [Member(**each["member"]) for each in found]
    for member, each in zip(members[1:], found[1:], strict=True):
        _compare(members[0], found[0]["facts"], member, each["facts"])
    return Company(members, store)


def cluster() -> ClusterEnvironment:
    """What Lightning is to believe about who has started the processes."""
    match environment.launcher():
        case "torchrun":
            return TorchElasticEnvironment()
        case "SLURM":
            return _Slurm(auto_requeue=False)  # a run that is started again finds its checkpoints by itself
    return LightningEnvironment()


def start_command(devices: int, num_nodes: int) -> str:
    """What starts so many processes on so many machines."""
    nodes = f"--nnodes={num_nodes} --rdzv_backend=c10d --rdzv_endpoint=HOST:29500 " if num_nodes > 1 else ""
    return f"torchrun {nodes}--nproc_per_node={devices} train.py trainer=ddp"


class _Slurm(SLURMEnvironment):
    """Without checks that refuse what works: how many processes there are is compared with the config before."""

    @staticmethod
    def _validate_srun_used() -> None:
        pass

    @staticmethod
    def _validate_srun_variables() -> None:
        pass

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        pass


def _facts(config: Mapping[str, Any]) -> dict[str, str]:
    """All that must be the same in every process."""
    return {
        **{key: show(value) for key, value in leaves(config)},
        "the code's digest": str(code_of(config)),
        **environment.versions(),
    }


def _compare(first: Member, theirs: Mapping[str, str], other: Member, ours: Mapping[str, str]) -> None:
    keys = [key for key in dict.fromkeys([*theirs, *ours]) if theirs.get(key) != ours.get(key)]
    if not keys:
        return
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    here, there = (
        ", ".join(f"{key}={facts.get(key, 'missing')}" for key in keys[:SHOWN]) + more for facts in (theirs, ours)
    )
    raise UserError.of(
        f"rank {first.rank} on {first.host} has {here}; rank {other.rank} on {other.host} has {there}",
        "one config, one code and one set of versions for all processes of a run",
        "the same words after train.py everywhere, beside the same conf/",
    )
