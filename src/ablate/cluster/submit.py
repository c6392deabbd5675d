"""Runs handed to SLURM by submitit, as one job array. SLURM is asked beforehand whether it would take it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ablate.cluster import slurm
from ablate.cluster.settings import NAME, chosen, key_problems, not_there, partition_problems, with_shape
from ablate.cluster.task import Task
from ablate.errors import Problem, UserError

SHARED = (
    "timeout_min",
    "cpus_per_task",
    "gpus_per_node",
    "tasks_per_node",
    "mem_gb",
    "nodes",
    "name",
    "stderr_to_stdout",
)
OTHERS = {"hydra/launcher", "_target_", "submitit_folder", "max_num_timeout"}  # no options of the job
LOCAL = "hydra/launcher=local, or the same command where sinfo shows the cluster"


def checked_settings(launcher: Mapping[str, Any], trainers: Sequence[Any], num_runs: int) -> dict[str, Any]:
    """The launcher's keys with nothing left to `auto`, for this many runs to submit.

    Raises `UserError` where the launcher is not installed, the cluster does not answer, or would not take such jobs.
    """
    UserError.raise_all(not_there())
    UserError.raise_all(key_problems(launcher))
    reach()
    try:
        known, most = slurm.partitions(), slurm.max_array_size()
    except slurm.NoAnswerError as error:
        raise unreachable(error) from None
    problems = list(partition_problems(launcher, known))
    if num_runs > most:
        given = f"{num_runs} runs in one job array: this cluster takes arrays of {most} at most (MaxArraySize)"
        problems.append(
            Problem(given, f"sweeps of up to {most} runs", "fewer values, such as seeds=3; or two commands")
        )
    settings, more = with_shape(launcher, trainers, chosen(launcher, known))
    UserError.raise_all([*problems, *more])
    if num_runs:
        _try_out(settings, num_runs)
    return settings


def reach() -> None:
    """Raises `UserError` where there is no SLURM, or it does not answer."""
    if missing := slurm.not_installed():
        given = f"hydra/launcher={NAME}: no SLURM here ({', '.join(missing)} not found)"
        raise UserError.of(given, "a machine from which jobs can be submitted, such as a login node", LOCAL)
    try:
        slurm.ask("sinfo", "--version")
        slurm.ask("squeue", "--noheader", "--me")
    except slurm.NoAnswerError as error:
        raise unreachable(error) from None


def submit(settings: Mapping[str, Any], folder: Path, name: str, tasks: Sequence[Task]) -> str:
    """Submit them as one job array of this name; SLURM's number for it. `folder`: for submitit's files.

    Raises `UserError` if SLURM refuses.
    """
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    executor = _executor({**settings, "name": name}, folder)
    try:
        jobs = executor.submit_array(tasks)
    except (FailedJobError, FailedSubmissionError, OSError) as error:
        raise UserError.of(
            f"SLURM has refused the jobs: {' '.join(str(error).split())[:300]}",
            "what the cluster takes; nothing is running",
            "squeue --me, to see what counts against you; then python -m ablate resume SWEEP",
        ) from None
    return str(jobs[0].job_id).partition("_")[0]


def _try_out(settings: Mapping[str, Any], num_runs: int) -> None:
    """Have sbatch look at the script that submitit would submit. Raises `UserError` with its words."""
    executor = _executor(settings, Path("jobs"))._executor
    if num_runs > 1:
        executor.parameters["map_count"] = num_runs
    script = executor._make_submission_file_text("true", "try")
    try:
        slurm.ask("sbatch", "--test-only", text=script)
    except slurm.NoAnswerError as error:
        asked = ("partition", "account", "qos", "nodes", "tasks_per_node", "gpus_per_node", "cpus_per_task", "mem_gb")
        more = ("gres", "constraint", "exclude", "gpus_per_task", "mem_per_gpu", "mem_per_cpu", "timeout_min")
        words = [f"{key}={settings[key]}" for key in (*asked, *more) if settings[key] is not None]
        given = f"hydra.launcher: this cluster would not take a job with {', '.join(words)} ({error})"
        allowed = "what a node of the partition has: sinfo -o '%P %D nodes: %c cores, %m MB, %G'"
        raise UserError.of(given, allowed, "hydra.launcher.KEY=VALUE, or hydra.launcher.KEY=null") from None


def _executor(settings: Mapping[str, Any], folder: Path) -> Any:
    import submitit

    executor = submitit.AutoExecutor(folder, cluster="slurm", slurm_max_num_timeout=settings["max_num_timeout"])
    words = {key: value for key, value in settings.items() if key not in OTHERS and value is not None}
    for key in {"partition", "account", "qos"} & words.keys():
        words[key] = str(words[key])
    # Clusters differ in whether a job is requeued unless it says so. A process that dies takes those with it that would
    # wait for it. Since 22.05 srun does not take the number of cores from the job.
    words["additional_parameters"] = {"requeue": True, **settings["additional_parameters"]}
    words["srun_args"] = ["--kill-on-bad-exit=1"]
    if settings["cpus_per_task"]:
        words["srun_args"].append(f"--cpus-per-task={settings['cpus_per_task']}")
    executor.update_parameters(**{key if key in SHARED else f"slurm_{key}": value for key, value in words.items()})
    return executor


def unreachable(error: slurm.NoAnswerError) -> UserError:
    given = f"hydra/launcher={NAME}: the cluster does not answer ({error})"
    return UserError.of(given, "a SLURM that answers to sinfo", LOCAL)
