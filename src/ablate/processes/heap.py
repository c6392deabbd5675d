"""What a process frees it keeps for its next allocation, where memory comes from glibc.

glibc gives freed memory back to the system as soon as 128 KiB lie free on top, and the next step of a training asks for
it again, page by page: 6,000 page faults a step of a slim network, 70,000 of the full one (benchmarks/NOTES.md).
"""

import ctypes
import os
import sys
from collections.abc import MutableMapping

USERS = ("MALLOC_", "GLIBC_TUNABLES")  # how the names begin by which a user sets up malloc
# name for the processes started from here on; its value; parameter of mallopt (malloc.h) for this process; its value
NEVER_TRIM = ("MALLOC_TRIM_THRESHOLD_", str(2**63 - 1), -1, -1)
LARGEST_ON_HEAP = ("MALLOC_MMAP_THRESHOLD_", str(2**25), -3, 2**25)  # bytes: the most that glibc takes


def keep_freed_memory(environment: MutableMapping[str, str] | None = None) -> None:
    """In this process, in those that it forks and those that it starts; nothing if the user has set up malloc."""
    environment = os.environ if environment is None else environment
    if sys.platform != "linux" or any(name.startswith(USERS) for name in environment):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return
    for name, value, parameter, number in (NEVER_TRIM, LARGEST_ON_HEAP):
        environment[name] = value
        mallopt(parameter, number)
