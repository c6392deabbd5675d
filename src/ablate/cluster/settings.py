"""The keys of `hydra/launcher=submitit_slurm`: what is wrong with them, and what `auto` comes to."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

from ablate.cluster.slurm import Partition
from ablate.config.wording import nearest, show
from ablate.errors import Problem

NAME = "submitit_slurm"
INTERACTIVE = ("bash", "interactive")  # names of jobs in which Lightning takes no notice of SLURM
INSTALL = "pip install -e '.[slurm]'"


class Kind(NamedTuple):
    allowed: str
    fits: Callable[[Any], bool]
    example: str


def _whole(least: int, *words: str | None) -> Kind:
    def fits(value: Any) -> bool:
        return value in words or (isinstance(value, int) and not isinstance(value, bool) and value >= least)

    allowed = ", ".join(["null" if word is None else word for word in words] + [f"a whole number from {least}"])
    return Kind(allowed.replace(", a whole", " or a whole"), fits, str(max(least, 1)))


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


TEXT = Kind("text, or null", lambda value: value is None or (isinstance(value, str | int) and value != ""), "null")
KINDS = {
    "timeout_min": _whole(1),
    "signal_delay_s": _whole(1),
    "max_num_timeout": _whole(0),
    "array_parallelism": _whole(1),
    "nodes": _whole(1, "auto"),
    "tasks_per_node": _whole(1, "auto"),
    "gpus_per_node": _whole(0, "auto", None),
    "cpus_per_task": _whole(1, None),
    "cpus_per_gpu": _whole(1, None),
    "gpus_per_task": _whole(1, None),
    "mem_gb": Kind(
        "a number of gigabytes above 0, or null",
        lambda value: value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value > 0),
        "8",
    ),
    **dict.fromkeys(
        ("partition", "account", "qos", "gres", "constraint", "exclude", "comment", "mem_per_gpu", "mem_per_cpu"), TEXT
    ),
    "name": Kind(
        f"text other than {' and '.join(INTERACTIVE)}",
        lambda value: isinstance(value, str) and value != "" and "," not in value and value not in INTERACTIVE,
        "ablate",
    ),
    "stderr_to_stdout": Kind("true or false", lambda value: isinstance(value, bool), "true"),
    "setup": Kind(
        "a list of shell commands, or null",
        lambda value: value is None or (isinstance(value, list) and all(isinstance(each, str) for each in value)),
        "['module load cuda']",
    ),
    "additional_parameters": Kind(
        "a mapping of sbatch's options",
        lambda value: isinstance(value, Mapping) and all(_is_plain(each) for each in value.values()),
        "{reservation: course}",
    ),
    "submitit_folder": Kind(
        "a folder in the sweep's", lambda value: isinstance(value, str), "${hydra.sweep.dir}/.jobs"
    ),
}


def not_there() -> Iterator[Problem]:
    """What is missing in this installation."""
    if not (find_spec("submitit") and find_spec("hydra_plugins.hydra_submitit_launcher")):
        given = f"hydra/launcher={NAME}: hydra-submitit-launcher is not installed"
        yield Problem(given, "basic, local, or this one with the extra of its name", INSTALL)


def key_problems(launcher: Mapping[str, Any]) -> Iterator[Problem]:
    """What can be said against the keys without a look at the cluster."""
    for key, kind in KINDS.items():
        if not kind.fits(launcher[key]):
            given = f"hydra.launcher.{key}={show(launcher[key])}"
            yield Problem(given, kind.allowed, f"hydra.launcher.{key}={kind.example}")
    for key in launcher.keys() - KINDS.keys() - {"_target_", "hydra/launcher"}:
        given = f"hydra.launcher.{key}={show(launcher[key])}"
        meant = nearest(key, KINDS) or "additional_parameters"
        fix = f"hydra.launcher.{meant}={show(launcher[key])}"
        yield Problem(given, f"one of {', '.join(KINDS)}", fix)
    minutes, delay = launcher["timeout_min"], launcher["signal_delay_s"]
    if KINDS["timeout_min"].fits(minutes) and isinstance(delay, int) and delay >= 60 * minutes:
        given = f"hydra.launcher.signal_delay_s={delay} with timeout_min={minutes}: there would be no time to train"
        yield Problem(given, f"fewer seconds than the {60 * minutes} of the limit", "hydra.launcher.signal_delay_s=30")


def partition_problems(launcher: Mapping[str, Any], known: Mapping[str, Partition]) -> Iterator[Problem]:
    """The partition, and the time in it."""
    name, minutes = launcher["partition"], launcher["timeout_min"]
    partition, listed = chosen(launcher, known), ", ".join(known) or "none that you may use"
    some = next(iter(known), "NAME")
    if partition is None and name is None:
        given = "hydra.launcher.partition=null, and this cluster has no default partition"
        yield Problem(given, f"one of {listed}", f"hydra.launcher.partition={some}")
    elif partition is None:
        given = f"hydra.launcher.partition={name}: this cluster has none of that name"
        yield Problem(given, f"one of {listed}", f"hydra.launcher.partition={some}")
    elif partition.minutes is not None and minutes > partition.minutes:
        given = f"hydra.launcher.timeout_min={minutes}: partition {partition.name} ends jobs after {partition.minutes}"
        allowed = f"at most {partition.minutes} minutes; a run that takes longer is requeued and goes on"
        yield Problem(given, allowed, f"hydra.launcher.timeout_min={partition.minutes}")


def chosen(launcher: Mapping[str, Any], known: Mapping[str, Partition]) -> Partition | None:
    """The partition that is named, else the cluster's default."""
    if launcher["partition"] is not None:
        return known.get(str(launcher["partition"]))
    return next((partition for partition in known.values() if partition.is_default), None)


def with_shape(
    launcher: Mapping[str, Any], trainers: Iterable[Any], partition: Partition | None
) -> tuple[dict[str, Any], list[Problem]]:
    """The settings with numbers for `auto`, from the trainer sections of the runs; and where they contradict them."""
    given_gpus, elsewhere = launcher["gpus_per_node"], launcher["gres"] or launcher["gpus_per_task"]
    has_gpus = partition is not None and partition.has_gpus
    shapes = {
        (trainer.num_nodes, _num_devices(trainer, given_gpus), _wants_gpus(trainer, has_gpus)) for trainer in trainers
    }
    if len(shapes) > 1:
        given = f"trainer: runs on {' and on '.join(sorted(_in_words(shape) for shape in shapes))} in one sweep"
        allowed = "the same for all runs: they are tasks of one job array"
        return dict(launcher), [Problem(given, allowed, "a sweep for each")]
    ((nodes, devices, wants_gpus),) = shapes
    problems = []
    for key, wanted, word in (("nodes", nodes, "num_nodes"), ("tasks_per_node", devices, "devices")):
        if launcher[key] not in ("auto", wanted):
            given = f"hydra.launcher.{key}={launcher[key]} with trainer.{word}={wanted}"
            fix = f"hydra.launcher.{key}=auto, or trainer.{word}={launcher[key]}"
            problems.append(Problem(given, f"auto, or {wanted}: one process for each device", fix))
    gpus = (devices if wants_gpus and not elsewhere else None) if given_gpus == "auto" else given_gpus or None
    if wants_gpus and not elsewhere and (gpus or 0) < devices and any(_insists(trainer) for trainer in trainers):
        given = (
            f"hydra.launcher.gpus_per_node={show(given_gpus)} with trainer.devices={devices}, trainer.accelerator=gpu"
        )
        problems.append(Problem(given, f"auto, or from {devices}", "hydra.launcher.gpus_per_node=auto"))
    return {**launcher, "nodes": nodes, "tasks_per_node": devices, "gpus_per_node": gpus}, problems


def _num_devices(trainer: Any, gpus_per_node: Any) -> int:
    """On one machine."""
    if isinstance(trainer.devices, list):
        return len(trainer.devices)
    if trainer.devices == "auto":
        return gpus_per_node if isinstance(gpus_per_node, int) and gpus_per_node and trainer.accelerator != "cpu" else 1
    return int(trainer.devices)


def _insists(trainer: Any) -> bool:
    return trainer.accelerator in ("gpu", "cuda")


def _wants_gpus(trainer: Any, has_gpus: bool) -> bool:
    return _insists(trainer) or (trainer.accelerator == "auto" and has_gpus)


def _in_words(shape: tuple[int, int, bool]) -> str:
    nodes, devices, gpus = shape
    return f"{nodes} x {devices} {'GPUs' if gpus else 'CPU processes'}"
