"""Words of the command line that are about the command, not about the config of a run."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from ablate.errors import Problem

OF_THE_LAUNCHER = ("n_jobs", "on_failure", "retries")
ON_SLURM = "hydra/launcher=submitit_slurm"


class Words(NamedTuple):
    """`overrides`: what Hydra understands. `dry_run`: show what would be trained, and train nothing."""

    overrides: list[str]
    dry_run: bool
    problems: list[Problem]


def expand(words: Sequence[str], before: Sequence[str] = ()) -> Words:
    """`seeds=5` is `seed=range(0,5)`, which a shell wants quoted; `n_jobs=4` is `hydra.launcher.n_jobs=4`, and so are
    the other keys of the local launcher, or array_parallelism on SLURM; `dry_run=true` is taken out.

    before: the words of the sweep that these are added to.
    """
    named = [word for word in (*before, *words) if word.startswith("hydra/launcher=")]
    on_slurm = named[-1:] == [ON_SLURM]
    overrides: list[str] = []
    problems: list[Problem] = []
    dry_run = False
    for word in words:
        key, _, value = word.partition("=")
        if key == "seeds" and re.fullmatch(r"0*[1-9]\d{0,4}", value):
            overrides.append(f"seed=range(0,{int(value)})")
        elif key == "seeds":
            problems.append(Problem(word, "how many seeds: a whole number from 1 to 10000", "seeds=5"))
        elif key == "dry_run" and value.lower() in ("true", "false"):
            dry_run = value.lower() == "true"
        elif key == "dry_run":
            problems.append(Problem(word, "true or false", "dry_run=true"))
        elif key == "n_jobs" and on_slurm:
            overrides.append(f"hydra.launcher.array_parallelism={value}")
        elif key in OF_THE_LAUNCHER and on_slurm:
            allowed = "with hydra/launcher=local; SLURM carries on with the others, and nothing is tried again unasked"
            problems.append(Problem(word, allowed, "python -m ablate resume SWEEP --retry-failed, afterwards"))
        elif key in OF_THE_LAUNCHER:
            overrides.append(f"hydra.launcher.{word}")
        else:
            overrides.append(word)
    return Words(overrides, dry_run, problems)
