"""Many runs in one sweep: the command stays as small as after a few, and leaves nothing behind."""

import os
import time
from pathlib import Path

from ablate.sweep.manifest import Manifest
from typed import TINY, begin, finish


def resident(pid: int) -> int:
    """Bytes of a process in memory, without what it shares with the server that it was forked from; 0 once it ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


def processes_in(place: Path) -> list[str]:
    """Command lines of the processes, dead ones too, that work in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if Path(os.readlink(process / "cwd")).is_relative_to(place):
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


def test_memory_is_flat_over_many_runs_and_nothing_is_left(tmp_path):
    semaphores = set(os.listdir("/dev/shm"))
    few = ["trainer.max_epochs=1", "trainer.limit_train_batches=1", "logger=none", "hydra.sweep.dir=sweep", "n_jobs=2"]
    process = begin(tmp_path, "-m", *TINY, *few, "seeds=24")
    sizes: dict[int, int] = {}
    while process.exitcode is None:
        process.join(0.05)
        num_done = len(list(tmp_path.glob("sweep/*/predictions.npz")))
        sizes[num_done] = resident(process.pid) or sizes.get(num_done, 0)
    assert finish(process) == 0
    assert {run.status for run in Manifest.read(tmp_path / "sweep").runs.values()} == {"done"}
    after_some = max(size for number, size in sizes.items() if number <= 8)
    at_the_end = max(size for number, size in sizes.items() if number >= 20)
    assert at_the_end < after_some + 10e6  # bytes; figures and records of 16 more runs in the report
    assert processes_in(tmp_path) == []
    new = set(os.listdir("/dev/shm")) - semaphores
    end = time.monotonic() + 60
    while new & set(os.listdir("/dev/shm")):  # those of tests that run at the same time go away
        assert time.monotonic() < end
        time.sleep(0.1)
