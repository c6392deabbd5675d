"""What `python train.py --help` says. The groups and their options are read from `conf/`."""

import re
from pathlib import Path

import yaml

ORDER = ("data", "model", "optimizer", "scheduler", "augmentation", "trainer", "callbacks", "logger", "experiment")

KEYS = {
    "seed=0": "weights, split, batches and augmentation follow from it",
    "trainer.max_epochs=8": "length of the training",
    "optimizer.lr=0.05": "learning rate, at its peak",
    "optimizer.nesterov=true": "the look-ahead of Nesterov's momentum",
    "optimizer.momentum=0.9": "the part of the last step that is taken again",
    "optimizer.weight_decay=5e-4": "pull of the weights towards zero",
    "data.batch_size=128": "pictures to a step",
    "data.root=DIR": "where the pictures are",
    "model.width=64": "channels of the first layer",
    "model.ghost_size=32": "pictures that share their batch statistics",
}

EXAMPLES = {
    "python train.py": "one run, on digits that need no download",
    "python train.py -m optimizer.nesterov=true,false seed=0,1,2": "two variants, three seeds each",
    "python train.py experiment=assignment data=cifar10": "the course's recipe",
    "python train.py data=image_folder data.root=DIR": "DIR/train/<class>/*, DIR/test/<class>/*",
    "python train.py model=resnet18 augmentation=none": "plain batch norm, pictures as they are",
}

TEMPLATE = """\
Does this change to my training help?

    python train.py [-m] [GROUP=OPTION ...] [KEY=VALUE ...]

Without -m: one run. With -m: a run for every combination of the values given, as in seed=0,1,2; seeds=5 is short for
seeds 0 to 4. dry_run=true shows the planned runs and what they would cost, and trains nothing.
KEY=VALUE changes a key, +KEY=VALUE adds one, ~KEY removes one.

Groups (* without an argument)
{groups}

Keys most used
{keys}

Examples
{examples}

Everything, with comments: {conf}. As composed: --cfg job [--resolve]. Hydra's own options: --hydra-help.
Completion of keys and options in your shell: eval "$(python train.py --shell-completion install=bash)"
"""


def help_text(conf: Path, width: int = 100) -> str:
    """The help, with lines up to `width` where the options of a group allow it."""
    chosen = _defaults(conf)
    groups = [
        (group, [f"{option}*" if option == chosen.get(group) else option for option in _options(conf, group)])
        for group in _groups(conf)
    ]
    return TEMPLATE.format(
        groups="\n".join(_group(group, options, width) for group, options in groups),
        keys=_table(KEYS),
        examples=_table(EXAMPLES),
        conf=conf.name,
    )


def _groups(conf: Path) -> list[str]:
    """The known groups in the order of the text, then those that a user has added."""
    there = sorted(path.name for path in conf.iterdir() if path.is_dir() and path.name != "hydra")
    return [group for group in ORDER if group in there] + [group for group in there if group not in ORDER]


def _options(conf: Path, group: str) -> list[str]:
    """Sorted by name, numbers by size: resnet50 before resnet101."""
    names = (path.stem for path in (conf / group).glob("*.yaml"))
    return sorted(names, key=lambda name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)])


def _defaults(conf: Path) -> dict[str, str]:
    """Group -> the option that is taken without an argument."""
    content = yaml.safe_load((conf / "config.yaml").read_text(encoding="utf-8"))
    entries = [entry for entry in content["defaults"] if isinstance(entry, dict)]
    return {str(group): str(option) for entry in entries for group, option in entry.items()}


def _group(group: str, options: list[str], width: int) -> str:
    lines = [f"  {group:<14}"]
    for option in options:
        if len(lines[-1]) + len(option) + 2 > width:
            lines.append(" " * 16)
        lines[-1] += f"{option}  "
    return "\n".join(line.rstrip() for line in lines)


def _table(rows: dict[str, str]) -> str:
    pad = max(map(len, rows)) + 2
    return "\n".join(f"  {row:<{pad}}{text}".rstrip() for row, text in rows.items())
