"""`python -m ablate ...`: what one does with runs that exist. Training is `python train.py`."""

import os
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ablate.errors import UserError
from ablate.processes.lifetime import leave, prepare

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Look at runs and sweeps."
)


def main() -> None:
    """Run the command line; a user's mistake is shown without a traceback and ends with exit code 2."""
    prepare()
    try:
        app()
    except UserError as error:
        print(error, file=sys.stderr)
        leave(2)
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else bool(end.code))


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


@app.command()
def resume(
    target: Annotated[
        list[str] | None,
        typer.Argument(help="A run or a sweep, by default the newest unfinished one; KEY=VALUE extends."),
    ] = None,
    retry_failed: Annotated[bool, typer.Option(help="Try again what has failed or diverged.")] = False,
    force: Annotated[bool, typer.Option(help="Also if code, config, data or versions have changed.")] = False,
) -> None:
    """Go on with what was interrupted; 'seed=range(0,10)' adds the runs that a sweep lacks."""
    from ablate.commands.resume import resume as go_on

    words = target or []
    folder = Path(words[0]) if words and (Path(words[0]).exists() or "=" not in words[0]) else None
    raise typer.Exit(go_on(folder, words[1:] if folder else words, retry_failed=retry_failed, force=force))


@app.command()
def status(
    folder: Annotated[Path, typer.Argument(help="A sweep, a run, or a folder of them.")] = Path("outputs"),
    all_: Annotated[bool, typer.Option("--all", help="A row for each run, however many there are.")] = False,
) -> None:
    """How far a sweep has come, from its files alone: also while it runs, and from another machine."""
    from ablate.sweep.status import show_status

    raise typer.Exit(show_status(folder, all_runs=all_))


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(help="Sweeps, or folders of single runs.")],
    metric: Annotated[str | None, typer.Option(help="Such as val/loss; by default report.metric of the runs.")] = None,
    factor: Annotated[str | None, typer.Option(help="The key whose effect is asked for; by default all.")] = None,
    margin: Annotated[float | None, typer.Option(help="A smaller difference would not matter, in points.")] = None,
    level: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    baseline: Annotated[str | None, typer.Option(help="What to compare with, such as nesterov=false.")] = None,
    allow: Annotated[list[str] | None, typer.Option(help="A key in which the runs may differ all the same.")] = None,
) -> None:
    """Make the verdict of a sweep again: report.html, report.md, results.csv and report.json. Trains nothing."""
    from ablate.report.command import report as make

    print(
        make(
            folders,
            metric=metric,
            factor=factor,
            margin=margin,
            level=level,
            baseline=baseline,
            allow=allow or (),
        )
    )


@app.command()
def explain(
    run: Annotated[Path, typer.Argument(help="A run, or a checkpoint in one; with --compare a sweep.")],
    pictures: Annotated[list[str] | None, typer.Argument(help="Files, folders, or numbers in the test set.")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="The same pictures across all runs of a sweep.")] = False,
    method: Annotated[str, typer.Option(help="gradcam, hirescam, eigencam, ...")] = "gradcam",
    layers: Annotated[str, typer.Option(help="Separated by commas; by default the last ones.")] = "",
    class_: Annotated[str | None, typer.Option("--class", help="Evidence for this class.")] = None,
    output: Annotated[Path | None, typer.Option(help="A folder; by default one in the run.")] = None,
    trust: Annotated[list[str] | None, typer.Option(help="An installed package that the run may name.")] = None,
) -> None:
    """Draw where a trained network looks, on any picture."""
    from ablate.explain import command
    from ablate.reopen import open_run

    draw = command.compare if compare else command.explain
    named = [name.strip() for name in layers.split(",") if name.strip()]
    opened = partial(open_run, trusted=trust or ())
    written = draw(run, pictures or (), open_run=opened, method=method, layers=named, class_=class_, output=output)
    print("\n".join(str(path) for path in written))


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
