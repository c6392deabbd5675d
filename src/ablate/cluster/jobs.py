"""`jobs.json`: which runs of a sweep were handed to SLURM, in which jobs. Written before a job is submitted and after.

By it a later command finds the jobs again when the one that has submitted them is gone. Only the command that holds
the sweep's lease writes it.
"""

import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from ablate.cluster.slurm import Place, places
from ablate.errors import UserError
from ablate.record import write_atomically

FILE_NAME = "jobs.json"


@dataclass(frozen=True)
class Submission:
    """One job array, or one job. `name`: of the job, like no other's: it is found by that. `runs`: folders, in the
    order of the array's tasks. `attempts`: of each run, before. `job`: SLURM's number; None: nobody has noted it.
    """

    name: str
    runs: tuple[str, ...]
    attempts: tuple[int, ...]
    job: str | None = None
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @classmethod
    def new(cls, name: str, runs: Sequence[str], attempts: Sequence[int]) -> "Submission":
        return cls(f"{name}-{secrets.token_hex(4)}", tuple(runs), tuple(attempts))

    def job_of(self, run: str) -> str:
        """SLURM's number for this run's task."""
        return f"{self.job}_{self.runs.index(run)}" if len(self.runs) > 1 else str(self.job)


def read_jobs(folder: Path) -> tuple[Submission, ...]:
    """Of the sweep in `folder`, the oldest first. Raises `UserError` for a file that cannot be read."""
    path = folder / FILE_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return tuple(
            Submission(**{**each, "runs": tuple(each["runs"]), "attempts": tuple(each["attempts"])})
            for each in content["submissions"]
        )
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError.of(
            f"{path} cannot be read ({type(error).__name__}: {error})",
            "the list of the jobs of this sweep, as its command wrote it",
            f"squeue --me, to see that none of its jobs is left; then rm '{path}'",
        ) from None


def write_jobs(folder: Path, submissions: Iterable[Submission]) -> None:
    content = {"submissions": [asdict(each) for each in submissions]}
    write_atomically(folder / FILE_NAME, json.dumps(content, indent=1) + "\n")


def latest(submissions: Iterable[Submission]) -> dict[str, Submission]:
    """Run -> the job that it was handed to last."""
    return {run: each for each in submissions for run in each.runs}


def where(submissions: Iterable[Submission]) -> dict[str, Place]:
    """Run -> where its last job is. Raises `slurm.NoAnswerError`."""
    by_run = latest(submissions)
    found = places(sorted({each.name for each in by_run.values()}))
    gone = {run: Place(each.job_of(run) if each.job else "", "") for run, each in by_run.items()}
    return {run: found.get((each.name, each.runs.index(run)), gone[run]) for run, each in by_run.items()}


def numbered(submission: Submission, job: str) -> Submission:
    return replace(submission, job=job)
