"""`python -m ablate explain`: panels for any picture from a finished run, or from all runs of a sweep."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ablate.errors import UserError
from ablate.explain.canvas import save
from ablate.explain.choice import balanced_choice
from ablate.explain.compare import Arm, noise_floor
from ablate.explain.given import (
    Named,
    Open,
    Opened,
    chosen_layers,
    class_number,
    image_size,
    named_pictures,
    normalised,
    open_checked,
    run_and_checkpoint,
)
from ablate.explain.maps import explain as maps_of
from ablate.explain.methods import SLOW
from ablate.explain.panel import panel, sheet
from ablate.explain.shown import Shown, show
from ablate.explain.side_by_side import page, side_by_side
from ablate.record import RunRecord, find_runs

NUM_LAYERS = 4  # the last ones, when none are named
NUM_PICTURES = 10  # test pictures, when none are named
NUM_CORRELATED = 64  # test pictures whose maps are correlated between runs
FEW_CORRELATED = 8  # likewise, for a slow method


def explain(
    run_or_checkpoint: Path,
    pictures: Sequence[str] = (),
    *,
    open_run: Open,
    method: str = "gradcam",
    layers: Sequence[str] = (),
    class_: str | None = None,
    output: Path | None = None,
) -> list[Path]:
    """A panel for each picture, as PNG files in `output` (by default `explain` in the run directory); their paths.

    `pictures`: files, folders, numbers in the test set; none: ten test pictures. `class_` None: the label, where it is
    known, and the predicted class where it is another. Raises `UserError` for whatever the user got wrong.
    """
    folder, file = run_and_checkpoint(run_or_checkpoint)
    record = RunRecord.read(folder)
    wanted = class_number(class_, record.classes)
    opened = open_checked(open_run, folder, file)
    layers = chosen_layers(opened, layers, NUM_LAYERS, method)
    named = named_pictures(pictures, opened, image_size(record), record.seed, NUM_PICTURES)
    panels = []
    for each in named:  # one at a time: some have a label and some have none
        pixels, labels = each.pixels[None], None if each.label is None else [each.label]
        classes = None if wanted is None else [[wanted]]
        net, images = opened.classifier.net, normalised(opened, pixels)
        (shown,), _ = show(net, pixels, images, classes, labels, layers, method)
        panels.append(panel(shown, record.classes, f"{each.name} · {method}"))
    output = output or folder / "explain"
    written = [save(image, output / f"{each.name}_{method}.png") for each, image in zip(named, panels, strict=True)]
    return [*written, save(sheet(panels), output / f"all_{method}.png")] if len(panels) > 1 else written


def compare(
    sweep: Path,
    pictures: Sequence[str] = (),
    *,
    open_run: Open,
    method: str = "gradcam",
    layers: Sequence[str] = (),
    class_: str | None = None,
    output: Path | None = None,
) -> list[Path]:
    """The same pictures across the variants and seeds of a sweep, one PNG file for each layer; their paths.

    Above them: whether the maps of different variants differ more than those of different seeds do. Only the last
    layer is compared unless `layers` names others. Runs that are not done are left out.
    """
    records = _finished(sweep)
    first = next(iter(records.values()))
    wanted = class_number(class_, first.classes)
    runs = {_arm(folder, record): open_checked(open_run, folder) for folder, record in records.items()}
    one = next(iter(runs.values()))
    layers = chosen_layers(one, layers, 1, method)
    for run in runs.values():
        chosen_layers(run, layers, 1, method)
    named = named_pictures(pictures, one, image_size(first), 0, NUM_PICTURES)
    test = one.test()
    some = balanced_choice(test.labels, NUM_CORRELATED if method not in SLOW else FEW_CORRELATED, 0)
    asked = test.labels[some].tolist() if wanted is None else [wanted] * len(some)
    correlated = np.stack([one.prepare(pixels) for pixels in test.pixels[some]])
    maps = [
        maps_of(run.classifier.net, normalised(run, correlated), asked, layers, method).maps for run in runs.values()
    ]
    shown = [(each.name, _in_all(runs, each, wanted, layers, method)) for each in named]
    written = []
    for layer in layers:
        floor = noise_floor([each[layer] for each in maps], list(runs))
        panels = [side_by_side(name, cells, first.classes, layer) for name, cells in shown]
        path = (output or sweep / "explain") / f"compare_{layer}_{method}.png"
        written.append(save(page(panels, floor, layer, method, len({arm.seed for arm in runs})), path))
    return written


def _in_all(
    runs: Mapping[Arm, Opened], picture: Named, wanted: int | None, layers: Sequence[str], method: str
) -> dict[Arm, Shown]:
    """The picture in every run, for the same class: the one wanted, its label, or else what the first run predicts."""
    cells = {}
    asked = picture.label if wanted is None else wanted
    for arm, run in runs.items():
        pixels, labels = picture.pixels[None], None if picture.label is None else [picture.label]
        classes = None if asked is None else [[asked]]
        (cells[arm],), _ = show(run.classifier.net, pixels, normalised(run, pixels), classes, labels, layers, method)
        (asked,) = cells[arm].evidence
    return cells


def _arm(folder: Path, record: RunRecord) -> Arm:
    """A variant by its values: `nesterov=true, lr=0.1`; a run outside a sweep by its folder."""
    values = [f"{key.rpartition('.')[2]}={json.dumps(value)}" for key, value in record.variant.items()]
    return Arm(", ".join(values).replace('"', "") or folder.name, record.seed)


def _finished(sweep: Path) -> dict[Path, RunRecord]:
    """The finished runs, which must be of one task."""
    folders = list(find_runs(sweep)) if sweep.is_dir() else []
    records = {folder: RunRecord.read(folder) for folder in folders}
    done = {folder: record for folder, record in records.items() if record.status == "done"}
    if len(done) < 2:
        given = f"{sweep} holds {len(done)} finished run{'s' * (len(done) != 1)}"
        raise UserError.of(given, "a sweep with two finished runs or more", "ls outputs/sweeps")
    first, *others = done.items()
    for folder, record in others:
        if (record.classes, image_size(record)) != (first[1].classes, image_size(first[1])):
            given = f"{folder} knows other classes, or pictures of another size, than {first[0]}"
            raise UserError.of(given, "runs on the same data", f"python -m ablate explain {folder}")
    return done
