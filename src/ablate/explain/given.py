"""What the user names on the command line: a run or a checkpoint, pictures, a class."""

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ablate.data.decode import decode_all
from ablate.data.source import Pictures, Pixels
from ablate.errors import Problem, UserError
from ablate.explain.choice import balanced_choice
from ablate.explain.methods import layer_names, layer_problems, method_problems
from ablate.model.classifier import Classifier
from ablate.record import FILE_NAME, RunRecord, find_runs


class Opened(NamedTuple):
    """A finished run, ready to be asked.

    `prepare`: what the run does to a test picture before it is normalised, (H, W, 3) uint8 -> (H, W, 3) uint8.
    `test`: reads the test pictures; called only when they are asked for.
    """

    classifier: Classifier
    prepare: Callable[[Pixels], Pixels]
    test: Callable[[], Pictures]


Open = Callable[[Path, str | None], Opened]  # (run directory, checkpoint within it or None for the chosen one)


class Named(NamedTuple):
    """A picture that was asked for."""

    name: str  # for a file: "test_0012", "my_cat"
    pixels: Pixels  # (H, W, 3), as the network gets it but for the normalisation
    label: int | None


def run_and_checkpoint(given: Path) -> tuple[Path, str | None]:
    """The run directory of a run or of a checkpoint in one, and the checkpoint's path within it."""
    if not given.exists():
        raise UserError.of(f"{given} does not exist", "a run directory, or a checkpoint in one", "ls outputs/runs")
    if given.is_file():
        folder = next((above for above in given.absolute().parents if (above / FILE_NAME).is_file()), None)
        if folder is None:
            allowed = "a checkpoint in the run directory that it was saved in: the record there says what network it is"
            raise UserError.of(f"{given} lies in no run directory", allowed, "ls outputs/runs/*/checkpoints")
        return folder, given.absolute().relative_to(folder).as_posix()
    if (given / FILE_NAME).is_file():
        return given, None
    runs = list(find_runs(given))
    if runs:
        fix = f"python -m ablate explain {runs[0]}, or python -m ablate explain --compare {given}"
        raise UserError.of(f"{given} holds {len(runs)} runs", "one of them, or --compare for all of them", fix)
    raise UserError.of(f"{given} has no {FILE_NAME}", "a run directory, or a checkpoint in one", "ls outputs/runs")


def named_pictures(given: Sequence[str], opened: Opened, size: int, seed: int, count: int) -> list[Named]:
    """Files, folders of files and numbers in the test set, in the order given; without any, `count` test pictures.

    All that is wrong with them is raised together.
    """
    test = opened.test() if not given or any(map(_is_number, given)) else None
    if test is not None and not given:
        given = [str(i) for i in balanced_choice(test.labels, count, seed)]
    found: list[Problem] = []
    listed = list(dict.fromkeys(each for one in given for each in _files_of(one, found)))
    files = [each for each in listed if not _is_number(each)]
    pixels, unreadable = decode_all(files, size)
    for path, reason in unreadable:
        found.append(Problem(f"{path} cannot be read ({reason})", "a picture: PNG, JPEG, WebP, ...", f"file {path}"))
    named = {path: Named(Path(path).stem, each, None) for path, each in zip(files, pixels, strict=True)}
    for each in listed:
        if test is not None and _is_number(each):
            last = len(test.labels) - 1
            if int(each) > last:
                found.append(
                    Problem(f"picture {each}", f"a number from 0 to {last} in the test set, or a file", f"{last}")
                )
                continue
            name = f"test_{int(each):0{len(str(last))}d}"
            named[each] = Named(name, test.pixels[int(each)].copy(), int(test.labels[int(each)]))
    UserError.raise_all(found)
    prepared = [named[each]._replace(pixels=opened.prepare(named[each].pixels)) for each in listed]
    return _told_apart(prepared)


def _files_of(given: str, found: list[Problem]) -> list[str]:
    """A number or a file is itself, a folder its files; what is neither goes to `found`."""
    path = Path(given)
    if _is_number(given) or path.is_file():
        return [given]
    files = sorted(str(each) for each in path.iterdir() if each.is_file()) if path.is_dir() else []
    if not files:
        what = "is an empty folder" if path.is_dir() else "does not exist"
        allowed = "a picture file, a folder of them, or a number in the test set"
        found.append(Problem(f"{given} {what}", allowed, f"ls {path if path.is_dir() else path.parent}"))
    return files


def open_checked(open_run: Open, folder: Path, file: str | None = None) -> Opened:
    """`open_run`, with whatever torch makes of a file that is none of its own turned into a `UserError`."""
    try:
        return open_run(folder, file)
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        given = f"{folder / (file or 'checkpoints')} cannot be loaded ({type(error).__name__}: {reason})"
        raise UserError.of(given, "a checkpoint that a run saved", f"ls {folder}/checkpoints") from error


def chosen_layers(opened: Opened, given: Sequence[str], default: int, method: str) -> list[str]:
    """The layers named, or the last `default` ones. What is wrong with them and with the method is raised together."""
    layers = list(given) or layer_names(opened.classifier.net)[-default:]
    wrong_layers = layer_problems(opened.classifier.net, layers, "--layers")
    UserError.raise_all([*method_problems(method, "--method"), *wrong_layers])
    return layers


def normalised(opened: Opened, pixels: Pixels) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) float, as the network takes it."""
    with torch.no_grad():
        return opened.classifier.normalize(torch.from_numpy(pixels).to(opened.classifier.device))


def image_size(record: RunRecord) -> int:
    """Pixels, both ways."""
    return int(record.config["data"]["image_size"])


def class_number(given: str | None, classes: Sequence[str], key: str = "--class") -> int | None:
    """A class by its name or its number; None stays None."""
    if given is None:
        return None
    if given in classes:
        return list(classes).index(given)
    if _is_number(given) and int(given) < len(classes):
        return int(given)
    near = difflib.get_close_matches(given, classes, n=1, cutoff=0.4) or classes[:1]
    shown = ", ".join(classes[:20]) + (f" and {len(classes) - 20} more" if len(classes) > 20 else "")
    raise UserError.of(f"{key} {given}", f"one of {shown}, or its number", f"{key} {near[0]}")


def _told_apart(named: Sequence[Named]) -> list[Named]:
    """`cat`, and `cat_2` for the second picture of that name."""
    seen: dict[str, int] = {}
    result = []
    for each in named:
        seen[each.name] = seen.get(each.name, 0) + 1
        result.append(each if seen[each.name] == 1 else each._replace(name=f"{each.name}_{seen[each.name]}"))
    return result


def _is_number(text: str) -> bool:
    return text.isdecimal() and not Path(text).exists()
