"""Imported by the fork server of a sweep, and first: makes it a session of its own.

A signal to the process group of the command, as `timeout` and some schedulers send it, is then the command's to hear.
The fork server would die of it, and every run would seem to have ended while it still saves.
"""

import os
from contextlib import suppress

with suppress(PermissionError):  # it leads a session already
    os.setsid()
