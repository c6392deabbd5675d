"""Runs that were cut short, damaged or tampered with, and what `python -m ablate` says of them."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

from world import Row

Change = Callable[[Path], object]


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("evil"),))


def cut(path: str, part: float = 0.5) -> Change:
    def change(run: Path) -> None:
        content = (run / path).read_bytes()
        (run / path).write_bytes(content[: int(part * len(content))])

    return change


def flip(path: str) -> Change:
    def change(run: Path) -> None:
        content = bytearray((run / path).read_bytes())
        content[len(content) // 2] ^= 1
        (run / path).write_bytes(content)

    return change


def record(**changes: object) -> Change:
    def change(run: Path) -> None:
        content = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps({**content, **changes}))

    return change


def config(key: str, value: object) -> Change:
    def change(run: Path) -> None:
        content = json.loads((run / "run.json").read_text())
        section = content["config"]
        *sections, name = key.split(".")
        for part in sections:
            section = section[part]
        section[name] = value
        (run / "run.json").write_text(json.dumps(content))

    return change


def write(path: str, content: bytes) -> Change:
    return lambda run: (run / path).write_bytes(content)


def both(*changes: Change) -> Change:
    return lambda run: [change(run) for change in changes]


def manifest(content: str) -> Change:
    return lambda folder: (folder / "sweep.json").write_text(content)


def remove(path: str) -> Change:
    return lambda run: (run / path).unlink()


# A function of an installed package that runs a command.
COLLECT = {"_target_": "torch.utils.collect_env.run", "command": "touch evil"}
EXPLAIN = ("ablate", "explain", "run", "0")
BEST = "checkpoints/best.ckpt"
RUNS: list[tuple[str, tuple[str, ...], list[str], Change]] = [
    ("run.json cut short", EXPLAIN, ["run.json cannot be read"], cut("run.json")),
    ("run.json empty", EXPLAIN, ["run.json cannot be read"], cut("run.json", 0)),
    ("run.json not UTF-8", EXPLAIN, ["run.json cannot be read"], write("run.json", b"\xff\xfe")),
    ("run.json a list", EXPLAIN, ["is no run record"], write("run.json", b"[]")),
    ("run.json of a newer ablate", EXPLAIN, ["has schema 99"], record(schema=99)),
    ("run.json with a schema of text", EXPLAIN, ["schema"], record(schema="one")),
    ("run.json without its config", EXPLAIN, ["run"], record(config={})),
    ("run.json that is missing", EXPLAIN, ["has no run.json"], remove("run.json")),
    ("a config that calls", EXPLAIN, ["os.system"], config("model._target_", "os.system")),
    (
        "a config that allows itself all",
        EXPLAIN,
        ["torch is an installed package", "--trust torch"],
        both(config("allow_targets", ["torch"]), config("data.source", COLLECT)),
    ),
    ("a checkpoint cut short", EXPLAIN, ["best.ckpt"], cut(BEST)),
    ("an empty checkpoint", EXPLAIN, ["best.ckpt"], cut(BEST, 0)),
    ("a checkpoint with a flipped bit", EXPLAIN, ["best.ckpt"], flip(BEST)),
    ("a checkpoint that is missing", EXPLAIN, ["best.ckpt does not exist"], remove(BEST)),
    ("a checkpoint that is a program", EXPLAIN, ["best.ckpt"], write(BEST, pickle.dumps(Evil()))),
    ("a checkpoint outside", EXPLAIN, ["/etc/hostname"], record(checkpoint={"path": "/etc/hostname"})),
    ("a picture that is none", ("ablate", "explain", "run", "run/run.json"), ["not a picture"], lambda run: None),
    ("a picture that is not there", ("ablate", "explain", "run", "x.png"), ["x.png does not exist"], lambda run: None),
    ("a picture beyond the last", ("ablate", "explain", "run", "999999"), ["picture 999999"], lambda run: None),
    ("a layer that is not there", (*EXPLAIN, "--layers", "fc7"), ["fc7"], lambda run: None),
    ("a method that is not there", (*EXPLAIN, "--method", "gradcan"), ["--method", "gradcam"], lambda run: None),
    ("a class that is not there", (*EXPLAIN, "--class", "whale"), ["--class whale"], lambda run: None),
]
SIMPLE = [
    Row("explain nothing", ["ablate", "explain", "nowhere"], ["nowhere"]),
    Row("explain a file", ["ablate", "explain", "x"], ["x"], lambda f: (f / "x").touch()),
    Row("explain an empty folder", ["ablate", "explain", "x"], ["x has no run.json"], lambda f: (f / "x").mkdir()),
    Row("report nothing", ["ablate", "report", "nowhere"], ["nowhere is no folder"]),
    Row("report a file", ["ablate", "report", "x"], ["x is no folder"], lambda f: (f / "x").touch()),
    Row("report an empty folder", ["ablate", "report", "."], ["holds no run"]),
    Row("resume nothing", ["ablate", "resume", "nowhere"], ["nowhere holds neither run.json nor sweep.json"]),
    Row("resume what is not there", ["ablate", "resume"], ["nothing unfinished in outputs"]),
    Row("resume an empty folder", ["ablate", "resume", "x"], ["holds neither"], lambda f: (f / "x").mkdir()),
    Row("resume words alone", ["ablate", "resume", "seed=0,1"], ["nothing unfinished in outputs"]),
    Row("resume a manifest cut short", ["ablate", "resume", "."], ["sweep.json"], manifest('{"schema": 2, "ru')),
    Row("resume a manifest of another age", ["ablate", "resume", "."], ["has schema 1"], manifest('{"schema": 1}')),
    Row("resume a manifest of nothing", ["ablate", "resume", "."], ["sweep.json"], manifest("[]")),
    Row("status of nothing", ["ablate", "status", "nowhere"], ["nowhere is no folder"]),
    Row("status of an empty folder", ["ablate", "status", "."], ["holds no run and no sweep"]),
    Row("board on nothing", ["ablate", "board", "nowhere"], ["nowhere is not a folder"]),
    Row("board on a file", ["ablate", "board", "x"], ["x is not a folder"], lambda f: (f / "x").touch()),
]
# What a report passes over, naming it: exit code 0, no number from it. (name, what is said, change)
PASSED_OVER: list[tuple[str, str, Change]] = [
    ("run.json cut short", "cannot be read", cut("run.json")),
    ("predictions.npz cut short", "test accuracy", cut("predictions.npz")),
    ("predictions.npz a program", "test accuracy", write("predictions.npz", pickle.dumps(Evil()))),
    ("metrics.csv of nonsense", "test accuracy", write("metrics.csv", b"epoch,\x00\n,,,\xff")),
    ("sweep.json of nonsense", "test accuracy", write("../sweep.json", b"[{")),
]
