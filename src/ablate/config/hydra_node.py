"""What the `hydra` node of a config may hold.

It comes out of the same files as the rest, and Hydra acts on it by itself, before and around a run: it builds plugins
and callbacks, configures logging, sets environment variables and names files. So it is checked as it stands, before
anything is resolved: what an interpolation could make of it later is limited to plain text.
"""

import inspect
import pkgutil
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from ablate.config.signature import argument_problems
from ablate.config.targets import impostor, listed, nodes, not_listed
from ablate.errors import Problem

ALLOWED = ("hydra._internal.core_plugins.*", "hydra.experimental.callbacks.*", "hydra_plugins.*")
SWEEPER = ("hydra._internal.core_plugins.basic_sweeper.BasicSweeper",)  # the plan enumerates runs as it does

# Handlers that write to the console or to the run's own log: none that sends what it gets, or opens a port.
LOGGING = (
    "logging.FileHandler",
    "logging.Filter",
    "logging.Formatter",
    "logging.NullHandler",
    "logging.StreamHandler",
    "rich.logging.RichHandler",
)
LOG_FILE = re.compile(r"\$\{hydra\.runtime\.output_dir\}/(\$\{hydra\.job\.name\}|[A-Za-z0-9_-]+)\.log")
STREAMS = ("ext://sys.stdout", "ext://sys.stderr")

# Variables that tune; others could make the next process load a library or a program of somebody's choice.
ENVIRONMENT = re.compile(
    r"(OMP|MKL|OPENBLAS|NUMEXPR)_NUM_THREADS|CUDA_(VISIBLE_DEVICES|LAUNCH_BLOCKING|DEVICE_ORDER)|HIP_VISIBLE_DEVICES"
    r"|CUBLAS_WORKSPACE_CONFIG|PYTORCH_(CUDA_)?ALLOC_CONF|(NCCL|GLOO)_[A-Z0-9_]+|TORCH_NCCL_[A-Z0-9_]+|TZ"
)
INTERPOLATION = re.compile(r"\$\{(?!(?:now|hydra|oc\.env|ablate\.[a-z_]+):|[A-Za-z0-9_.]+\})")
FILE_NAME = re.compile(r"(?!\.+$)[A-Za-z0-9_.-]{1,80}")
OF_SUBMITIT = re.compile(r"\$\{hydra\.sweep\.dir\}(/(?!\.+(/|$))[A-Za-z0-9_.-]+)+")  # it loads pickles from there
SHELL = ("additional_parameters", "python", "setup", "srun_args")  # of launchers: what ends up in a shell script


def hydra_problems(node: Mapping[str, Any], typed: Collection[str] = ()) -> Iterator[Problem]:
    """What is wrong with the `hydra` node. `typed`: the keys from the command line, as against those from files."""
    for path, value in _texts(node, "hydra"):
        if INTERPOLATION.search(value):
            yield Problem(f"{path}={value}", "text, or ${key}, ${now:...}, ${oc.env:...}", f"leave {path} out")
    for path, inner in nodes(node, "hydra"):
        yield from _plugin_problems(path, inner)
    yield from _logging_problems(node)
    yield from _environment_problems(node)
    yield from _launcher_problems(node, typed)
    yield from _name_problems(node)


def _plugin_problems(path: str, node: Mapping[str, Any]) -> Iterator[Problem]:
    target, allowed = str(node["_target_"]), SWEEPER if path == "hydra.sweeper" else ALLOWED
    if not listed(target, allowed):
        yield not_listed(target, allowed, path)
    elif problem := impostor(target, allowed, path):
        yield problem
    elif not inspect.isclass(pkgutil.resolve_name(target)):
        yield Problem(f"{path}._target_={target} is a function", "a class", f"leave {path} out")
    else:
        yield from argument_problems(path, node, None)


def _logging_problems(node: Mapping[str, Any]) -> Iterator[Problem]:
    for section in ("job_logging", "hydra_logging"):
        top = node.get(section)
        if top is not None and not isinstance(top, Mapping):
            fix = f"hydra/{section}=ablate"
            yield Problem(f"hydra.{section}={top}", "a mapping, as logging.config.dictConfig takes it", fix)
        for path, value in _texts(top, f"hydra.{section}"):
            name = path.rpartition(".")[2]
            if name in ("class", "()") and value not in LOGGING:
                yield Problem(f"{path}={value}", f"one of {', '.join(LOGGING)}", f"{path}=logging.StreamHandler")
            elif name == "filename" and not LOG_FILE.fullmatch(value):
                allowed = "a log in the run directory: ${hydra.runtime.output_dir}/NAME.log"
                yield Problem(f"{path}={value}", allowed, f"leave {path} out")
            elif re.match(r"\w+://", value) and value not in STREAMS:
                yield Problem(f"{path}={value}", f"{' or '.join(STREAMS)}", f"{path}={STREAMS[0]}")


def _environment_problems(node: Mapping[str, Any]) -> Iterator[Problem]:
    job = node.get("job")
    variables = job.get("env_set") if isinstance(job, Mapping) else None
    for name in variables if isinstance(variables, Mapping) else ():
        if not ENVIRONMENT.fullmatch(str(name)):
            allowed = "variables that tune, such as OMP_NUM_THREADS, CUDA_VISIBLE_DEVICES or NCCL_DEBUG"
            fix = f"export {name}=VALUE in the shell, and leave hydra.job.env_set.{name} out"
            yield Problem(f"hydra.job.env_set.{name}", allowed, fix)


def _launcher_problems(node: Mapping[str, Any], typed: Collection[str]) -> Iterator[Problem]:
    launcher = node.get("launcher")
    for name, value in launcher.items() if isinstance(launcher, Mapping) else ():
        path = f"hydra.launcher.{name}"
        if name in SHELL and value and not any(key == path or key.startswith(f"{path}.") for key in typed):
            allowed = "typed on the command line: it ends up in a shell, and a file may come from somebody else"
            yield Problem(f"{path} in a file", allowed, f"{path}=VALUE, or {path}=null")
    place = launcher.get("submitit_folder") if isinstance(launcher, Mapping) else None
    if place is not None and not OF_SUBMITIT.fullmatch(str(place)):
        given, fix = f"hydra.launcher.submitit_folder={place}", "hydra.launcher.submitit_folder"
        allowed = "a folder in the sweep's own: what lies there is run on the nodes"
        yield Problem(given, allowed, f"{fix}='${{hydra.sweep.dir}}/.submitit', or leave it out")
    for path, text in _texts(launcher, "hydra.launcher"):
        if any(ord(character) < 32 for character in text):
            yield Problem(f"{path}={text!r}", "one line of text", f"leave {path} out")


def _name_problems(node: Mapping[str, Any]) -> Iterator[Problem]:
    """Names of files that Hydra writes, and folders that it reads."""
    job, subdir = node.get("job"), node.get("output_subdir")
    name = job.get("name") if isinstance(job, Mapping) else None
    if name is not None and not FILE_NAME.fullmatch(str(name)):
        yield Problem(f"hydra.job.name={name}", "a file name: letters, digits and . _ -", "hydra.job.name=train")
    if subdir is not None and not FILE_NAME.fullmatch(str(subdir)):
        yield Problem(f"hydra.output_subdir={subdir}", "a file name, or null", "hydra.output_subdir=.hydra")
    for place in node.get("searchpath") or ():
        if not Path(str(place).removeprefix("file://")).is_dir():
            given = f"hydra.searchpath=[{place}]: there is no such folder"
            yield Problem(given, "folders of YAML files", "--config-dir DIR")


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """(path, text) of every text in `value`, at any depth."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(inner, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _texts(inner, f"{path}[{index}]")
