"""The end of a command: everything said and written, nothing taken apart."""

import os
import platform
import subprocess
import sys

import pytest

from ablate.processes.lifetime import prepare

SCRIPT = """
import atexit, sys, types
from ablate.processes.lifetime import leave

class Last:
    def __del__(self):
        print("taken apart")

last = Last()
atexit.register(print, "told of the end")
sys.modules.setdefault("torch", types.ModuleType("torch"))
print("x" * 1000)
leave(3)
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return str(path)


def ended(words):
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=buffered)


def test_all_output_is_there_and_those_who_asked_are_told(script):
    done = ended([sys.executable, script])
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.splitlines() == ["x" * 1000, "told of the end"]


def test_a_profiler_still_shows_what_it_found(script):
    done = ended([sys.executable, "-m", "cProfile", script])
    assert "function calls" in done.stdout


def test_a_reader_that_has_gone_changes_nothing_about_the_exit_code(script):
    done = ended(["bash", "-c", f"{sys.executable} {script} | true; echo ${{PIPESTATUS[0]}}"])
    assert (done.stdout, done.stderr) == ("3\n", "")


@pytest.mark.parametrize(("given", "expected"), [({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")])
def test_threads_wait_without_spinning_unless_the_user_says_otherwise(monkeypatch, given, expected):
    environment = dict(given)
    monkeypatch.setattr("ablate.processes.lifetime.os.environ", environment)
    prepare()
    assert environment["OMP_WAIT_POLICY"] == expected


HEAP = """
import ctypes, os, resource, subprocess, sys
if "prepare" in sys.argv:
    from ablate.processes.lifetime import prepare
    prepare()

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    pieces = [libc.malloc(1 << 24) for _ in range(4)]
    for piece in pieces:
        ctypes.memset(piece, 1, 1 << 24)
        libc.free(piece)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults(), flush=True)
if "prepare" in sys.argv:
    if not os.fork():
        faults()  # a copy of each page that is shared with the parent
        print(faults(), flush=True)
        os._exit(0)
    os.wait()
    subprocess.run([sys.executable, *sys.argv[:1]], check=True)
"""


@pytest.fixture
def freed_memory(tmp_path):
    """Page faults of a second use of 64 MiB that were freed, by process."""
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("memory does not come from glibc")
    script = tmp_path / "heap.py"
    script.write_text(HEAP)

    def run(*words, **settings):
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
        words = [sys.executable, str(script), *words]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True, env=clean | settings)
        return [int(line) for line in done.stdout.splitlines()]

    return run


def test_freed_memory_is_used_again_here_and_in_processes_forked_and_started(freed_memory):
    assert freed_memory()[0] > 16_000  # what glibc does by itself: each page again
    here, forked, started = freed_memory("prepare")
    assert max(here, forked, started) < 100


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"])
def test_the_users_malloc_is_left_alone(freed_memory, name):
    assert freed_memory("prepare", **{name: "131072"})[0] > 16_000
