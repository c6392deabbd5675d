"""What SLURM knows, asked of its own commands: its partitions, its limits, and how far jobs have come."""

import re
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from shutil import which

COMMANDS = ("sbatch", "srun", "squeue", "sinfo", "scontrol")
SECONDS = 60  # for an answer
# Of a job that is not coming back. Whatever else SLURM says, today or in a newer version, it is still to be waited for.
WITHOUT_FAULT = frozenset(("BOOT_FAIL", "CANCELLED", "DEADLINE", "NODE_FAIL", "PREEMPTED", "REVOKED", "TIMEOUT"))
OVER = WITHOUT_FAULT | {"COMPLETED", "FAILED", "OUT_OF_MEMORY"}


class NoAnswerError(Exception):
    """The cluster cannot be reached, or refuses; the message is its own, on one line."""


@dataclass(frozen=True)
class Partition:
    """`minutes`: the longest time for a job; None: any."""

    name: str
    is_default: bool
    minutes: int | None
    has_gpus: bool


@dataclass(frozen=True)
class Place:
    """Where a task of a job array is. `state`: as squeue names it; empty: SLURM has forgotten it. `job`: as in 12_3."""

    job: str
    state: str
    reason: str = ""

    @property
    def is_over(self) -> bool:
        return not self.state or self.state in OVER


def not_installed() -> list[str]:
    """SLURM's commands that are not on the path."""
    return [name for name in COMMANDS if which(name) is None]


def ask(*command: str, text: str = "") -> str:
    """What a command prints. Raises `NoAnswerError`."""
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoAnswerError(_one_line(str(error))) from None
    if done.returncode:
        raise NoAnswerError(_one_line(done.stderr) or f"{command[0]} ended with {done.returncode}")
    return done.stdout


def partitions() -> dict[str, Partition]:
    """By name. Raises `NoAnswerError`."""
    found: dict[str, Partition] = {}
    for line in ask("sinfo", "--noheader", "--format=%R|%P|%l|%G").splitlines():
        name, marked, limit, gres = (word.strip() for word in line.split("|", 3))
        gpus = bool(re.search(r"\bgpu\b", gres)) or (name in found and found[name].has_gpus)
        found[name] = Partition(name, marked.endswith("*"), minutes_of(limit), gpus)
    return found


def minutes_of(limit: str) -> int | None:
    """A time limit of SLURM's in whole minutes: 2:00, 1:00:00, 7-00:00:00; None: there is none."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)
    if not found:
        return None
    days, hours, minutes, _ = (int(part or 0) for part in found.groups())
    return (24 * days + hours) * 60 + minutes


def max_array_size() -> int:
    """Tasks in one job array, at most. Raises `NoAnswerError`."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", ask("scontrol", "show", "config"), re.MULTILINE)
    return int(found[1]) if found else 1001  # SLURM's default


def places(names: Collection[str]) -> dict[tuple[str, int], Place]:
    """By the name of the job and the number of its task, of all jobs with these names that SLURM has not forgotten.

    Raises `NoAnswerError`.
    """
    if not names:
        return {}
    words = ("--noheader", "--array", "--states=all", f"--name={','.join(names)}", "--format=%j|%i|%K|%T|%r")
    found = {}
    for line in ask("squeue", *words).splitlines():
        name, job, task, state, reason = line.split("|", 4)
        found[name, int(task) if task.isdecimal() else 0] = Place(job, state, reason)
    return found


def last_state(job: str) -> str:
    """Of a job that squeue has forgotten, from the accounting; empty where the cluster keeps none."""
    try:
        lines = ask("sacct", "--noheader", "--allocations", "--parsable2", f"--jobs={job}", "--format=State").split()
    except NoAnswerError:
        return ""
    return lines[0] if lines else ""


def _one_line(text: str) -> str:
    lines = [line.removeprefix("sbatch: ").removeprefix("error: ").strip() for line in text.splitlines()]
    return "; ".join(dict.fromkeys(line for line in lines if line))[:300]
