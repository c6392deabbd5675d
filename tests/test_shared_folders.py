"""Folders that many machines write to: no lock is relied upon, and no two clocks need agree.

Another machine is played by a process, or a lease, that goes by another name. What a network file system does that a
disk does not (an answer that is lost and asked for again, a file that is gone while it is open, locks that hang) is
done to the calls that it would happen to.
"""

import errno
import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ablate.errors import UserError
from ablate.processes import lease as module
from ablate.processes.holder import FILE_NAME, holder
from ablate.processes.lease import Lease
from ablate.record import RunRecord
from ablate.sweep.state import state_of
from typed import TINY, begin, finish, typed


def hand_to_another_machine(folder: Path, *, silent_for: float = 0.0) -> None:
    """The lease there, as if somebody elsewhere had renewed it last, so many seconds ago by the server's clock."""
    path = folder / FILE_NAME
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "machine": "elsewhere", "host": "elsewhere", "token": "another"}))
    then = path.stat().st_mtime - silent_for
    os.utime(path, (then, then))


def running(folder: Path) -> None:
    config = {"seed": 0}
    RunRecord("n", 0, {}, config, "hash").write(folder)


@pytest.mark.parametrize("clock", [0.0, 4e9])
@pytest.mark.parametrize(("silent_for", "status"), [(0, "running"), (110, "running"), (121, "interrupted")])
def test_a_run_elsewhere_runs_while_its_lease_is_renewed_whatever_the_clock_here_says(
    tmp_path, monkeypatch, clock, silent_for, status
):
    running(tmp_path)
    Lease.take(tmp_path)
    hand_to_another_machine(tmp_path, silent_for=silent_for)
    monkeypatch.setattr(time, "time", lambda: clock)
    assert state_of(tmp_path).status == status
    if status == "running":
        with pytest.raises(UserError, match=r"in use by process \d+ on elsewhere"):
            Lease.take(tmp_path)
    else:
        Lease.take(tmp_path).release()


def test_a_run_whose_node_has_vanished_is_found_and_resumed(tmp_path):
    process = begin(tmp_path, *TINY, "trainer.max_epochs=500", "hydra.run.dir=run")
    folder = tmp_path / "run"
    end = time.monotonic() + 120
    while not (folder / "checkpoints" / "last.ckpt").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    os.killpg(process.pid, 9)
    finish(process)
    hand_to_another_machine(folder)
    shown = typed(tmp_path, "status", "run")
    assert (shown.code, shown.output[:7]) == (0, "running")
    refused = typed(tmp_path, "resume", "run")
    assert refused.code == 2
    assert "is running" in refused.output
    hand_to_another_machine(folder, silent_for=121)
    shown = typed(tmp_path, "status", "run")
    assert (shown.code, shown.output[:11]) == (1, "interrupted")
    process = begin(tmp_path, "resume", "run")
    while RunRecord.read(folder).attempts < 2:
        assert process.exitcode is None
        time.sleep(0.02)
    assert RunRecord.read(folder).resumed[0]["from_checkpoint"] == "last.ckpt"
    os.kill(process.pid, 15)
    assert finish(process) == 143
    assert RunRecord.read(folder).status == "interrupted"


# argv: a name for this machine, a folder of folders. All wait for the file `go`, and then race for each folder.
HOST = """
import json, sys, time
from pathlib import Path
from ablate.processes import holder, lease
from ablate.errors import UserError

def no_locks(*_): raise OSError(37, "No locks available")

lease.fcntl.flock = no_locks
holder.machine = lease.machine = lambda: sys.argv[1]
lease.RENEW_SECONDS = 0.05
place = Path(sys.argv[2])
print("ready", flush=True)
while not (place / "go").exists(): pass
taken = []
for folder in sorted(path for path in place.iterdir() if path.is_dir()):
    try: taken.append((folder.name, lease.Lease.take(folder)))
    except UserError: pass
print("done", flush=True)
sys.stdin.readline()
time.sleep(0.3)  # six renewals: whoever has lost a folder knows it
print(json.dumps([name for name, each in taken if each.is_held()]), flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("num_hosts", [2, 3])
def test_of_hosts_that_race_for_a_folder_one_holds_it_in_the_end(tmp_path, num_hosts):
    """Each folder has the lease of a machine that has been silent for long."""
    names = [f"{number:02}" for number in range(40)]
    for name in names:
        (tmp_path / name).mkdir()
        Lease.take(tmp_path / name)
        hand_to_another_machine(tmp_path / name, silent_for=500)
    hosts = [
        subprocess.Popen(
            [sys.executable, "-c", HOST, f"host {number}", tmp_path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(num_hosts)
    ]
    try:
        for host in hosts:
            assert host.stdout.readline() == "ready\n"
        (tmp_path / "go").touch()
        for host in hosts:
            assert host.stdout.readline() == "done\n"
        for host in hosts:
            print(file=host.stdin, flush=True)
        held = [name for host in hosts for name in json.loads(host.stdout.readline())]
        assert sorted(held) == names
        machines = {json.loads((tmp_path / name / FILE_NAME).read_text())["machine"] for name in names}
        assert machines <= {f"host {number}" for number in range(num_hosts)}
    finally:
        for host in hosts:
            host.kill()
            host.communicate()
    assert all(path.name == FILE_NAME for name in names for path in (tmp_path / name).iterdir() if path.suffix)


def test_a_lock_that_somebody_holds_for_ever_holds_nobody_up(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.05)
    Lease.take(tmp_path)
    hand_to_another_machine(tmp_path, silent_for=500)
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        Lease.take(tmp_path).release()
    finally:
        os.close(handle)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", ["link", "rename"])
def test_an_answer_that_was_lost_and_asked_for_again_is_no_failure(tmp_path, monkeypatch, call):
    """The second try of the network finds what the first has done."""
    Lease.take(tmp_path)
    hand_to_another_machine(tmp_path, silent_for=500)
    real = getattr(os, call)

    def twice(source, target):
        real(source, target)
        raise FileExistsError if call == "link" else FileNotFoundError

    monkeypatch.setattr(os, call, twice)
    lease = Lease.take(tmp_path)
    assert holder(tmp_path).pid == os.getpid()
    lease.release()
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_is_replaced_while_it_is_read_is_read_again(tmp_path, monkeypatch):
    running(tmp_path)
    real, tries = Path.open, []

    def stale(path, *arguments, **named):
        tries.append(path)
        if len(tries) < 5 or len(tries) > 10:
            raise OSError(errno.ESTALE, "Stale file handle")
        return real(path, *arguments, **named)

    monkeypatch.setattr(Path, "open", stale)
    assert RunRecord.read(tmp_path).name == "n"
    assert len(tries) == 5
    del tries[1:]
    tries *= 11
    with pytest.raises(UserError, match="Stale file handle"):  # it does not ask for ever
        RunRecord.read(tmp_path)


WRITE = """
import sys
from pathlib import Path
from ablate.record import RunRecord
from ablate.sweep.manifest import Manifest, PlannedRun
folder = Path(sys.argv[1])
print("ready", flush=True)
for number in range(100_000):
    text = "short" if number % 2 else "long " * 20_000
    RunRecord(text, number, {}, {}, "hash").write(folder)
    Manifest((text,), {"hash": PlannedRun(text, number)}, "conf", "program", "directory").write(folder)
"""


def test_a_reader_never_sees_half_of_a_record_or_a_manifest(tmp_path):
    from ablate.sweep.manifest import Manifest

    with subprocess.Popen([sys.executable, "-c", WRITE, tmp_path], stdout=subprocess.PIPE) as writer:
        try:
            writer.stdout.readline()
            numbers = set()
            end = time.monotonic() + 60
            while len(numbers) < 50:
                assert time.monotonic() < end
                if (tmp_path / "sweep.json").exists():
                    record, manifest = RunRecord.read(tmp_path), Manifest.read(tmp_path)
                    assert record.name == ("short" if record.seed % 2 else "long " * 20_000)
                    (run,) = manifest.runs.values()
                    assert run.folder == ("short" if run.seed % 2 else "long " * 20_000)
                    numbers.add(record.seed)
        finally:
            writer.kill()


def test_a_command_that_was_away_looks_whether_the_folder_is_still_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "RENEW_SECONDS", 60.0)
    awake, late = module._awake, 0.0
    monkeypatch.setattr(module, "_awake", lambda: awake() + late)
    lease = Lease.take(tmp_path)
    late = 121.0
    assert lease.is_held()  # nobody came
    hand_to_another_machine(tmp_path)
    assert lease.is_held()  # that was too soon for anybody to come
    late = 242.0
    assert not lease.is_held()
    assert not lease.is_held()
    lease.release()
    assert holder(tmp_path).token == "another"


def test_to_look_at_a_run_on_this_machine_writes_nothing(tmp_path, monkeypatch):
    running(tmp_path)
    with Lease.take(tmp_path):
        monkeypatch.setattr(
            "ablate.processes.holder.tempfile.NamedTemporaryFile", None
        )  # by which the server's clock is asked
        assert state_of(tmp_path).status == "running"
