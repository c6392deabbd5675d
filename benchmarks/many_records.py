"""What a sweep of very many runs costs to look at: status, report, manifest, TensorBoard.

    python benchmarks/many_records.py [--runs 100 1000 10000] [--rounds 3] [--keep FOLDER]
    python benchmarks/many_records.py --runs 100 1000 --events RUN       TensorBoard, on the event file of a real run

The runs are made up: records, curves, predictions and folders as real runs of the digits leave them, eight epochs each,
ten seeds of as many learning rates and weight decays as it takes. One in a hundred has failed, diverged, was
interrupted, or shows no sign of life.
"""

import argparse
import csv
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from conditions import print_conditions
from fresh_process import ROOT, Cost, cost

from ablate.config.compose import Composer, checked
from ablate.sweep.manifest import FILE_NAME, Manifest

sys.path += [str(ROOT / "tests" / "report"), str(ROOT / "tests" / "board")]
from synthetic_sweep import name_of, write_run

NUM_EPOCHS, NUM_PICTURES = 8, 360
BROKEN = ("failed", "diverged", "interrupted", "running")  # one run in a hundred, these in turn
SEEDS = 10
FACTORS = ("optimizer.lr", "optimizer.weight_decay")


def plan(num_runs: int) -> Iterator[tuple[dict[str, Any], int]]:
    """Variant and seed of each: ten seeds, and as many learning rates and weight decays as make up the number."""
    arms = max(1, num_runs // SEEDS)
    for number in range(num_runs):
        arm, seed = divmod(number, SEEDS)
        rate, decay = divmod(arm, min(10, arms))
        yield {FACTORS[0]: (rate + 1) / 100, FACTORS[1]: (decay + 1) * 1e-4}, seed


def make(folder: Path, num_runs: int) -> Manifest:
    """A sweep as its last run has left it."""
    config = checked(Composer(ROOT / "conf").compose([])).plain
    names: dict[str, Mapping[str, Any]] = {}
    for number, (variant, seed) in enumerate(plan(num_runs)):
        own = _with(config, variant, seed)
        names[name := name_of(variant, seed)] = own
        _write(folder / name, own, variant, seed, BROKEN[number // 100 % len(BROKEN)] if number % 100 == 50 else "done")
    manifest = Manifest(
        overrides=tuple(
            f"{key}={','.join({str(variant[key]): None for variant, _ in plan(num_runs)})}" for key in FACTORS
        ),
        runs={},
        conf=str(ROOT / "conf"),
        program=str(ROOT / "train.py"),
        directory=str(folder.parent),
    ).with_runs(names)
    manifest = manifest.refreshed(folder)
    manifest.write(folder)
    return manifest


def _with(config: Mapping[str, Any], variant: Mapping[str, Any], seed: int) -> dict[str, Any]:
    own = json.loads(json.dumps(config)) | {"seed": seed, "factors": [*FACTORS]}
    for key, value in variant.items():
        group, _, last = key.partition(".")
        own[group][last] = value
    return own  # type: ignore[no-any-return]


def _write(place: Path, config: dict[str, Any], variant: Mapping[str, Any], seed: int, status: str) -> None:
    rng = np.random.default_rng([seed, int(1e6 * variant[FACTORS[0]]), int(1e6 * variant[FACTORS[1]])])
    label = np.arange(NUM_PICTURES) % 10
    predicted = np.where(rng.random(NUM_PICTURES) < 0.97, label, rng.integers(0, 10, NUM_PICTURES))
    accuracy = float((label == predicted).mean())
    done = {f"{split}/{name}": accuracy for split in ("train", "val", "test") for name in ("accuracy", "loss")}
    error = "RuntimeError: made up" if status in ("failed", "diverged") else None
    changes = {"status": status, "metrics": done if status == "done" else {}, "error": error}
    write_run(place, variant, seed, accuracy, config=config, **changes)
    _write_curves(place, accuracy, rng)
    arrays = {"label": label, "predicted": predicted, "probability": rng.uniform(0.4, 1, NUM_PICTURES)}
    np.savez_compressed(place / "predictions.npz", **arrays)
    for below in (".hydra", "checkpoints", "gradcam"):
        (place / below).mkdir()
    text = json.dumps(config)
    for name in ("config.yaml", "train.log", ".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml"):
        (place / name).write_text(text)
    for name in ("checkpoints/best.ckpt", "checkpoints/last.ckpt", "gradcam/epoch_008.png", "curves.png"):
        (place / name).write_bytes(b"0" * 100)


def _write_curves(place: Path, end: float, rng: np.random.Generator) -> None:
    rise = 1 - np.exp(-0.6 * np.arange(1, NUM_EPOCHS + 1)) + 0.01 * rng.normal(size=NUM_EPOCHS)
    epoch, step = np.arange(NUM_EPOCHS), 11 * np.arange(1, NUM_EPOCHS + 1)
    measured = {
        "epoch": epoch, "step": step, "optimizer/lr": 0.1 * rise, "optimizer/momentum": np.full(NUM_EPOCHS, 0.9),
        "train/accuracy": end * rise, "train/loss": 2 * (1 - rise),
        "val/accuracy": end * rise, "val/loss": 2 * (1 - rise),
    }  # fmt: skip
    taken = {
        "epoch": epoch, "seconds": 2.1 * (epoch + 1), "throughput/images_per_second": 800 + 20 * rng.normal(size=8),
        "throughput/peak_memory_mb": np.full(NUM_EPOCHS, 900.0),
    }  # fmt: skip
    for name, columns in (("metrics.csv", measured), ("timings.csv", taken)):
        with (place / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([columns, *zip(*(values.tolist() for values in columns.values()), strict=True)])


def measure(folder: Path, num_runs: int, rounds: int) -> None:
    """Print a line a thing."""
    begun = time.perf_counter()
    manifest = make(folder, num_runs)
    print(f"\n{num_runs:,} runs, made in {time.perf_counter() - begun:.0f} s; sweep.json {_size(folder, FILE_NAME)}")

    def behind() -> Manifest:
        """As after a kill before the first run had ended, or in a copy: no record is known."""
        return replace(
            manifest, runs={key: replace(run, status="pending", seen=None) for key, run in manifest.runs.items()}
        )

    _say("status, nothing new", lambda: _command("status", folder), rounds)
    _say("status, every record new", lambda: _command("status", folder), rounds, before=lambda: behind().write(folder))
    _say("report", lambda: _command("report", folder), rounds)
    _say("a change: look at every run", lambda: _timed(lambda: manifest.refreshed(folder)), rounds)
    nobody = behind()
    _say("a change: look, no run begun", lambda: _timed(lambda: nobody.refreshed(folder / "absent")), rounds)
    _say("a change: write sweep.json", lambda: _timed(lambda: manifest.write(folder)), rounds)
    names = ("report.html", "report.md", "report.json", "results.csv")
    print(", ".join(f"{name} {_size(folder, name)}" for name in names))


def _command(word: str, folder: Path) -> Cost:
    code = "import sys; from ablate.cli import app; app(sys.argv[1:], standalone_mode=False)"  # whatever its exit code
    return cost(["-c", code, word, str(folder)], ROOT)


def _timed(work: Callable[[], object]) -> Cost:
    """Of something that is done in this process."""
    begun, used = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - begun, 0.0, time.process_time() - used)


def _say(what: str, work: Callable[[], Cost], rounds: int, before: Callable[[], object] = lambda: None) -> None:
    """Median and all rounds, on the wall and of processor time."""
    costs = []
    for _ in range(rounds):
        before()
        costs.append(work())
    walls, used = sorted(each.seconds for each in costs), sorted(each.processor for each in costs)
    on_wall, of_cpu = (", ".join(f"{value:.3g}" for value in values) for values in (walls, used))
    wall, cpu = statistics.median(walls), statistics.median(used)
    load = os.getloadavg()[0]
    print(f"{what:30s} {wall:.3g} s ({on_wall}), of processor time {cpu:.3g} s ({of_cpu}), load {load:.1f}", flush=True)


def _size(folder: Path, name: str) -> str:
    return f"{(folder / name).stat().st_size / 1e3:,.0f} kB"


def measure_board(folder: Path, num_runs: int, run: Path) -> None:
    """TensorBoard as `python -m ablate board` starts it, on so many runs with the event file of a real one."""
    from server import started

    (events,) = run.glob("events.out.tfevents.*")
    for variant, seed in plan(num_runs):
        place = folder / name_of(variant, seed)
        place.mkdir(parents=True)
        os.link(events, place / events.name)  # read from memory after the first: what is measured is the reading
    begun = time.perf_counter()
    with started(folder) as (server, process):
        while not (num_known := _num_with(server, "train/loss")):
            time.sleep(0.2)
        first = time.perf_counter() - begun
        while (num_known := _num_with(server, "test/accuracy")) < num_runs:
            time.sleep(1)
        seconds = time.perf_counter() - begun
        memory = _resident(process.pid)
    print(
        f"TensorBoard, {num_known:,} runs of {events.stat().st_size / 1e6:.2f} MB: a curve after {first:.1f} s, "
        f"all read after {seconds:.1f} s, {memory / 1e6:,.0f} MB of memory, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def _num_with(server: Any, tag: str) -> int:
    with suppress(OSError):
        return sum(tag in tags for tags in server.ask("plugin/scalars/tags").values())
    return 0


def _resident(pid: int) -> int:
    """Bytes of a process and of those that it has started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:")]
    return 1024 * int(line.split()[1]) + sum(_resident(int(child)) for child in children)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=Path, help="a run whose event file TensorBoard shall read, for each run")
    parser.add_argument("--keep", type=Path, help="a new folder, for who wants to look at the sweeps afterwards")
    given = parser.parse_args()
    print_conditions(f"python {' '.join(['benchmarks/many_records.py', *sys.argv[1:]])}")
    with tempfile.TemporaryDirectory(dir=given.events.parent if given.events else None) as place:
        for num_runs in given.runs:
            folder = (given.keep or Path(place)) / str(num_runs)
            if given.events:
                measure_board(folder, num_runs, given.events)
            else:
                measure(folder, num_runs, given.rounds)


if __name__ == "__main__":
    main()
