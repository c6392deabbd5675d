"""One command in a folder at a time, and none that died there in the way."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ablate.errors import UserError
from ablate.processes import lease as module
from ablate.processes.holder import FILE_NAME, holder
from ablate.processes.lease import Lease

HOLD = "import sys; from pathlib import Path; from ablate.processes.lease import Lease; Lease.take(Path(sys.argv[1])); "


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(module, "RENEW_SECONDS", 0.02)


def until(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def content(folder: Path) -> dict:
    return json.loads((folder / FILE_NAME).read_text())


def forge(folder: Path, **changes) -> None:
    """The lease of `folder` as another process or another machine would have written it."""
    (folder / FILE_NAME).write_text(json.dumps({**content(folder), **changes}))


def test_it_is_there_while_the_folder_is_held_and_gone_afterwards(tmp_path):
    assert holder(tmp_path) is None
    with Lease.take(tmp_path):
        found = holder(tmp_path)
        assert found is not None
        assert found.pid == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_second_command_is_refused_with_pid_and_host(tmp_path):
    with Lease.take(tmp_path), pytest.raises(UserError, match=f"in use by process {os.getpid()} on {os.uname()[1]}"):
        Lease.take(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_process_is_refused_until_it_is_killed(tmp_path):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD + "print('held', flush=True); input()", tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None
    other.stdout.readline()
    with pytest.raises(UserError, match=f"process {other.pid} on"):
        Lease.take(tmp_path)
    other.send_signal(signal.SIGKILL)
    until(lambda: holder(tmp_path) is None)  # not waited for yet: a zombie counts as dead
    Lease.take(tmp_path).release()
    other.communicate()


def test_progress_is_told_with_the_next_renewal(tmp_path, quick):
    with Lease.take(tmp_path) as lease:
        lease.tell(epoch=3, epochs=8)
        lease.tell(val_accuracy=0.5)
        until(lambda: holder(tmp_path).progress == {"epoch": 3, "epochs": 8, "val_accuracy": 0.5})


def test_a_pid_that_was_given_out_again_is_not_the_owner(tmp_path):
    first = Lease.take(tmp_path)
    forge(tmp_path, process="12345", token="another")
    assert holder(tmp_path) is None
    with Lease.take(tmp_path):
        assert holder(tmp_path).token != "another"
    first.release()


@pytest.mark.parametrize(("age", "alive"), [(60, True), (119, True), (130, False)])
def test_on_another_machine_the_age_of_the_file_tells(tmp_path, age, alive):
    Lease.take(tmp_path)
    forge(tmp_path, machine="elsewhere", host="elsewhere", token="another")
    then = time.time() - age
    os.utime(tmp_path / FILE_NAME, (then, then))
    assert (holder(tmp_path) is not None) == alive
    if alive:
        with pytest.raises(UserError, match="on elsewhere"):
            Lease.take(tmp_path)
    else:
        Lease.take(tmp_path).release()


def test_the_age_is_told_by_the_clock_of_the_file_server(tmp_path, monkeypatch):
    Lease.take(tmp_path)
    forge(tmp_path, machine="elsewhere", token="another")
    monkeypatch.setattr(time, "time", lambda: 0.0)  # this machine's clock has jumped
    assert holder(tmp_path) is not None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', "\xff\xfe"])
def test_a_lease_that_is_none_holds_for_two_minutes(tmp_path, text):
    path = tmp_path / FILE_NAME
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match="cannot be named"):
        Lease.take(tmp_path)
    os.utime(path, (0, 0))
    Lease.take(tmp_path).release()
    assert list(tmp_path.iterdir()) == []


def test_of_many_that_find_a_stale_lease_one_gets_the_folder(tmp_path):
    Lease.take(tmp_path)
    forge(tmp_path, process="12345", token="another")
    taken, refused = [], []

    def take() -> None:
        try:
            taken.append(Lease.take(tmp_path))
        except UserError:
            refused.append(1)

    threads = [threading.Thread(target=take) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(taken), len(refused)) == (1, 15)
    assert holder(tmp_path).token == taken[0]._holder.token


def test_whoever_was_taken_for_dead_learns_it_and_leaves_the_new_lease_alone(tmp_path, quick):
    first = Lease.take(tmp_path)
    forge(tmp_path, token="another")
    until(lambda: not first.is_held())
    first.release()
    assert content(tmp_path)["token"] == "another"


def test_a_folder_that_cannot_be_written_to_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="cannot be written to"):
        Lease.take(tmp_path / "absent")


def test_it_needs_no_torch():
    code = (
        "import sys, ablate.processes.lease, ablate.processes.holder, ablate.changes; sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
