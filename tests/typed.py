"""Commands as a user types them, in processes of their own, without the seconds that importing torch takes.

They are forked from a server that has imported the package, and so are the runs of the sweeps that they start.
"""

import multiprocessing
import os
import signal
import sys
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

CONF = Path(__file__).parents[1] / "conf"
LOG = "commands.log"  # in the folder where the commands are typed: all that they print
# A sweep that is over in seconds: 5 batches an epoch, of pictures that are drawn.
TINY = [
    *("data=shapes", "data.source.num_train=80", "data.source.num_test=24", "data.batch_size=16"),
    *("model.width=4", "model.ghost_size=8", "trainer.max_epochs=2", "trainer.accelerator=cpu", "callbacks=none"),
]
PRELOADED = ["ablate.commands.resume", "ablate.run", "ablate.report.command", "ablate.cli"]
_ours: int | None = None  # process id of the server


@dataclass
class Done:
    code: int
    output: str


def begin(place: Path, *arguments: str, **variables: str) -> Any:
    """`python train.py ARGUMENTS` in the folder `place`, or `python -m ablate ARGUMENTS` for a word of its own.

    variables: of the environment; NAME="" removes one.
    """
    global _ours
    context, server = multiprocessing.get_context("forkserver"), forkserver._forkserver
    if server._forkserver_pid not in (None, _ours):
        server._stop()  # that of a command in this process: every process from it would import the rest again
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=_type, args=(str(place), arguments, variables))
    process.start()
    _ours = server._forkserver_pid
    return process


def finish(process: Any, seconds: float = 180) -> int:
    """Its exit code, minus the number of the signal if that has ended it."""
    process.join(seconds)
    assert process.exitcode is not None, "the command does not end"
    return int(process.exitcode)


def typed(place: Path, *arguments: str, **variables: str) -> Done:
    """Type a command, and wait for its end."""
    log = place / LOG
    before = log.stat().st_size if log.exists() else 0
    code = finish(begin(place, *arguments, **variables))
    return Done(code, log.read_bytes()[before:].decode())


def _type(place: str, arguments: tuple[str, ...], variables: dict[str, str]) -> None:
    os.setsid()
    os.environ.update(variables)
    for name in (name for name, value in variables.items() if not value):
        del os.environ[name]
    os.chdir(place)
    sys.path.insert(0, place)  # a user's own packages
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    log = open(LOG, "a", buffering=1, encoding="utf-8")  # noqa: SIM115 (until the end)
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    forkserver._forkserver.ensure_running = forkserver.ensure_running = lambda: None  # the one that this comes from
    if arguments[0] in ("resume", "status", "report"):
        from ablate.cli import main

        sys.argv = ["ablate", *arguments]
        main()
    from ablate.commands.train import run_command
    from ablate.training import pretend

    pretend(str(CONF.parent / "train.py"))
    sys.argv = [sys.argv[0], *arguments]
    sys.exit(run_command(CONF, arguments))
