"""Kills a real sweep, resumes it, kills it again ..., and compares what it leaves with a sweep that nobody disturbed.

    python tests/chaos/harness.py --kills 200        (make chaos)

Everything is real: the commands, their runs in processes of their own, the signals. Victim, signal and moment come
from a seed.
"""

import argparse
import hashlib
import io
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from typed import begin, finish

WORDS = [
    *("-m", "optimizer.nesterov=true,false", "seeds=2", "n_jobs=2", "hydra.launcher.threads=1"),
    *("data=shapes", "data.source.num_train=320", "data.source.num_test=32", "data.batch_size=16"),
    *("model.width=4", "model.ghost_size=8", "trainer.max_epochs=4", "trainer.accelerator=cpu"),
    *("callbacks.gradcam.num_images=2", "callbacks.gradcam.every_n_epochs=1", "~callbacks.progress"),
    *("~callbacks.misclassified", "~callbacks.confusion", "~callbacks.calibration", "~callbacks.trust_card"),
]
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
PATIENCE = 600  # seconds in which a command that was told to stop, or left alone, has to end, however busy the machine


@dataclass
class Tally:
    """What came of the kills. `different`: files or tensors that are not as in the undisturbed sweep."""

    kills: Counter[str] = field(default_factory=Counter)  # by victim and signal
    commands: int = 0
    runs_lost: int = 0
    checkpoints_lost: int = 0  # resumes from scratch although something had been saved, and saved steps that vanished
    processes_left: int = 0
    different: list[str] = field(default_factory=list)


class Chaos:
    """One sweep under attack, in a folder of its own."""

    def __init__(self, place: Path, seed: int, extra: list[str]) -> None:
        self.place, self.sweep = place, place / "sweep"
        self.random = random.Random(seed)
        self.extra = extra

    def undisturbed(self) -> None:
        assert self._finish(self._start()) == 0, (self.place / "commands.log").read_text()

    def attack(self, tally: Tally, most: int) -> None:
        """Kill and resume until the sweep is done, `most` times at the utmost."""
        for _ in range(most):
            had, resumed = self._saved(), self._resumed()
            process = self._start()
            tally.commands += 1
            self._wait_a_while(process)
            if process.exitcode is not None:
                tally.checkpoints_lost += self._from_scratch(had, resumed)
                break
            saved = self._saved()
            victim, number = self._victim(process), self.random.choice(SIGNALS)
            with suppress(ProcessLookupError):
                os.kill(victim, number)
                who = "command" if victim == process.pid else "run"
                tally.kills[f"{who} {signal.Signals(number).name}"] += 1
            if victim != process.pid and self.random.random() < 0.5:
                with suppress(ProcessLookupError):
                    os.kill(process.pid or 0, signal.SIGTERM)
            self._finish(process)
            tally.processes_left += self._left()
            tally.checkpoints_lost += self._from_scratch(had, resumed)
            tally.checkpoints_lost += sum(now < before for now, before in zip(self._saved(), saved, strict=True))
        code = -1
        while code != 0:
            had, resumed = self._saved(), self._resumed()
            code = self._finish(self._start())
            tally.commands += 1
            tally.checkpoints_lost += self._from_scratch(had, resumed)
            assert tally.commands < 10 * most + 10, (self.place / "commands.log").read_text()[-4000:]

    def _start(self) -> Any:
        began = (self.sweep / "sweep.json").exists()
        new = [*WORDS, *self.extra, f"hydra.sweep.dir='{self.sweep}'"]
        return begin(self.place, *(["resume", str(self.sweep), "--retry-failed"] if began else new))

    def _wait_a_while(self, process: Any) -> None:
        """Until a random moment: mostly while runs train, now and then while the command only gets ready."""
        if self.random.random() < 0.9:
            deadline = time.monotonic() + PATIENCE
            while process.exitcode is None and not self._runs() and time.monotonic() < deadline:
                process.join(0.05)
        process.join(self.random.uniform(0, 4))

    def _runs(self) -> list[int]:
        """Processes of the runs that go on."""
        found = []
        for path in self.sweep.glob("*/lease.json"):
            with suppress(OSError, ValueError):
                found.append(int(json.loads(path.read_text())["pid"]))
        return [pid for pid in found if Path(f"/proc/{pid}").exists()]

    def _victim(self, process: Any) -> int:
        runs = self._runs()
        return self.random.choice(runs) if runs and self.random.random() < 0.6 else process.pid

    def _finish(self, process: Any) -> int:
        code = finish(process, PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while self._runs() and time.monotonic() < deadline:  # runs whose command was killed end by themselves
            time.sleep(0.05)
        return code

    def _left(self) -> int:
        return len(self._runs())

    def _from_scratch(self, had: list[int], resumed: list[list[Any]]) -> int:
        """Runs that have begun again from nothing since then, when they had a checkpoint."""
        new = [now[len(before) :] for now, before in zip(self._resumed(), resumed, strict=True)]
        lost = [any(each["from_checkpoint"] is None for each in entries) for entries in new]
        return sum(step > 0 and each for step, each in zip(had, lost, strict=True))

    def _resumed(self) -> list[list[Any]]:
        """What each planned run has gone on from so far, in the words of its record."""
        found = []
        for folder in self._folders():
            path = folder / "run.json"
            found.append(json.loads(path.read_text()).get("resumed", []) if path.exists() else [])
        return found

    def _folders(self) -> list[Path]:
        names = [f"nesterov={'false' if number % 2 else 'true'},seed={number // 2}" for number in range(4)]
        return [self.sweep / name for name in names]

    def _saved(self) -> list[int]:
        """Optimizer steps that each planned run could go on after, by its checkpoints on the disk; -1 without any."""
        import torch

        found = []
        for folder in self._folders():
            step = -1
            for path in (folder / "checkpoints" / "last.ckpt", folder / "checkpoints" / "best.ckpt"):
                with suppress(Exception):
                    step = max(step, torch.load(path, weights_only=True)["global_step"])
            found.append(step)
        return found


def differences(one: Path, other: Path) -> list[str]:
    """Files and tensors in which two sweeps are not the same to the last bit."""
    names = sorted(path.parent.name for path in one.glob("*/run.json"))
    found = [] if len(names) == 4 else [f"{len(names)} runs"]
    for name in names:
        files = ("metrics.csv", "predictions.npz")
        found += [
            f"{name}/{file}" for file in files if (one / name / file).read_bytes() != (other / name / file).read_bytes()
        ]
        metrics = [json.loads((folder / name / "run.json").read_text())["metrics"] for folder in (one, other)]
        if metrics[0] != metrics[1]:
            found.append(f"{name}/run.json metrics")
        for file in ("last.ckpt", "best.ckpt"):
            digests = [digest_of(folder / name / "checkpoints" / file) for folder in (one, other)]
            found += [f"{name}/{file}: {key}" for key in digests[0] if digests[0][key] != digests[1].get(key)]
        pictures = [
            {path.name: path.read_bytes() for path in (folder / name / "gradcam").glob("*")} for folder in (one, other)
        ]
        found += [f"{name}/gradcam/{key}" for key in pictures[0] if pictures[0][key] != pictures[1].get(key)]
    return found


def digest_of(path: Path) -> dict[str, str]:
    """Part of a checkpoint -> a digest of it: weights, optimizer, schedule, progress."""
    import torch

    content = torch.load(path, weights_only=True)
    parts = {}
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step", "loops"):
        buffer = io.StringIO()
        _write(content[key], buffer)
        parts[key] = hashlib.sha256(buffer.getvalue().encode()).hexdigest()
    return parts


def _write(value: Any, out: io.StringIO) -> None:
    import torch

    if isinstance(value, torch.Tensor):
        out.write(
            f"{value.dtype}{tuple(value.shape)}{hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest()}"
        )
    elif isinstance(value, dict):
        for key, inner in value.items():
            out.write(f"{key}:")
            _write(inner, out)
    elif isinstance(value, list | tuple):
        for inner in value:
            _write(inner, out)
    else:
        out.write(repr(value))


def campaign(place: Path, kills: int, seed: int, extra: list[str] | None = None, most: int = 12) -> Tally:
    """Attack sweep after sweep until so many kills are done; one undisturbed sweep to compare with."""
    tally = Tally()
    reference = Chaos(_made(place / "undisturbed"), 0, extra or [])
    reference.undisturbed()
    number = 0
    while tally.kills.total() < kills:
        number += 1
        attacked = Chaos(_made(place / f"attacked-{number}"), seed + number, extra or [])
        attacked.attack(tally, min(most, kills - tally.kills.total()))
        done = [path for path in attacked.sweep.glob("*/run.json") if json.loads(path.read_text())["status"] == "done"]
        tally.runs_lost += 4 - len(done)
        tally.different += [f"{attacked.place.name}: {each}" for each in differences(reference.sweep, attacked.sweep)]
        print(f"{tally.kills.total()} kills, {tally.commands} commands, {len(tally.different)} differences", flush=True)
    return tally


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0, help="of the loader")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        found = campaign(Path(folder), given.kills, given.seed, [f"data.num_workers={given.workers}"])
        print(f"\n{time.monotonic() - began:.0f} s, seed {given.seed}, {given.workers} loader workers")
        for who, number in sorted(found.kills.items()):
            print(f"  {who:<20}{number}")
        print(f"kills {found.kills.total()}, commands {found.commands}, runs lost {found.runs_lost}, ", end="")
        print(f"checkpoints lost {found.checkpoints_lost}, processes left {found.processes_left}, ", end="")
        print(f"parts that differ {len(found.different)}")
        print("\n".join(found.different))
        sys.exit(bool(found.runs_lost or found.checkpoints_lost or found.processes_left or found.different))
