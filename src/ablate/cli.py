"""`python -m ablate ...`: what one does with runs that exist. Training is `python train.py`."""

import os
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from ablate.errors import UserError

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Look at runs and sweeps."
)


def main() -> None:
    """Run the command line; a user's mistake is shown without a traceback and ends with exit code 2."""
    try:
        app()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


@app.callback()
def commands() -> None:
    """Look at runs and sweeps."""


@app.command()
def board(
    folder: Annotated[Path, typer.Argument(help="A run, a sweep, or any folder above them.")] = Path("outputs"),
    port: Annotated[int, typer.Option(min=1, max=65535, help="Taken if it is free, else the next free one.")] = 6006,
) -> None:
    """Open TensorBoard on a folder, bound to this machine alone."""
    if not folder.is_dir():
        raise UserError.of(f"{folder} is not a folder", "a run, a sweep or a folder of them", "python train.py")
    port = _free_port(port)
    print(f"TensorBoard on {folder}: http://127.0.0.1:{port}/  (Ctrl-C ends it)", flush=True)
    if "SSH_CONNECTION" in os.environ:
        print(f"From your own machine: ssh -L {port}:127.0.0.1:{port} {socket.gethostname()}", flush=True)
    # TensorBoard keeps ten pictures of a series by default; a training shows one an epoch.
    options = ["--logdir", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    more = ["--samples_per_plugin", "images=1000,text=100", "--reload_multifile", "true"]
    os.execv(sys.executable, [sys.executable, "-m", "tensorboard.main", *options, *more])


def _free_port(first: int) -> int:
    """`first` or the next port above it that nothing listens on."""
    for port in range(first, min(first + 100, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise UserError.of(f"ports {first} to {first + 99} are taken", "a free port", "python -m ablate board --port 16006")
