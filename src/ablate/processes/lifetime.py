"""How the process of a command begins and ends."""

import atexit
import os
import sys
from contextlib import suppress
from typing import NoReturn

from ablate.processes.heap import keep_freed_memory


def prepare() -> None:
    """Set what libraries read when they are imported, and how memory is kept, unless the user has."""
    # A thread that waits for another sleeps. Spinning, the default, costs several times the work on a machine that has
    # anything else to do (benchmarks/NOTES.md).
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    keep_freed_memory()


def leave(code: int) -> NoReturn:
    """End this process with an exit code, once all that asked to be told of the end has been.

    A process that has imported torch and Lightning is not taken apart object by object, which takes Python two seconds
    after the last line was printed: the system takes it back in one piece.
    """
    watched = sys.gettrace() or sys.getprofile()  # a debugger or a profiler has something to say at the end
    if "torch" not in sys.modules or watched:
        sys.exit(code)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a pipe whose reader has gone, a stream that is closed
            stream.flush()
    os._exit(code)
