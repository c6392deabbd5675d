"""Which classes are taken for which, and how well each is known.  K classes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
from matplotlib import colormaps
from matplotlib.figure import Figure
from pytorch_lightning.utilities import rank_zero_only

from ablate.callbacks.answers import KeepsAnswers
from ablate.callbacks.publish import to_board, to_folder
from ablate.explain.canvas import PAPER, beside, framed, rendered

Counts = npt.NDArray[np.int64]

DPI = 120
MANY = 20  # classes; above it the matrices are drawn larger and with finer letters


class Confusion(KeepsAnswers):
    """After the test: `confusion.png` (counts, and as parts of each true class) and `per_class.png`.

    In TensorBoard as `confusion/counts`, `confusion/rates` and `confusion/per_class`.
    """

    @rank_zero_only
    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        from sklearn.metrics import confusion_matrix  # late: it costs a second

        classes: Sequence[str] = trainer.datamodule.classes  # type: ignore[attr-defined]
        probabilities, labels = self.take_answers()
        counts = confusion_matrix(labels, probabilities.argmax(1), labels=np.arange(len(classes)))
        images = {
            "counts": rendered(matrix(counts, classes)),
            "rates": rendered(matrix(counts, classes, rates=True)),
            "per_class": rendered(per_class(counts, classes)),
        }
        for name, image in images.items():
            to_board(trainer, f"confusion/{name}", image)
        to_folder(trainer, "confusion.png", framed(beside([images["counts"], images["rates"]])))
        to_folder(trainer, "per_class.png", images["per_class"])


def matrix(counts: Counts, classes: Sequence[str], rates: bool = False) -> Figure:
    """Rows are true classes, columns predicted ones; `rates`: in percent of each row.

    What is right is blue. What is wrong is orange, on a scale of its own: beside the diagonal of a good network its
    errors would be invisible.
    """
    num_classes = len(classes)
    in_row = counts.sum(axis=1, keepdims=True)
    values = np.divide(100 * counts, in_row, out=np.zeros(counts.shape), where=in_row > 0) if rates else counts
    many = num_classes > MANY
    side = max(4.0, 0.155 * num_classes + 1.2) if many else max(4.0, 0.46 * num_classes + 1.6)
    figure = Figure(figsize=(side, side), dpi=DPI, layout="constrained", facecolor=PAPER)
    axes = figure.subplots()
    axes.imshow(_colours(values))
    letters = 6 if many else 9
    axes.set_xticks(range(num_classes), classes, rotation=90 if many else 45, fontsize=letters, ha="center")
    if not many:
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(range(num_classes), classes, fontsize=letters)
    axes.tick_params(length=0, pad=2)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(num_classes - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(num_classes - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="#e6e8eb", linewidth=0.4 if many else 0.8)
    axes.tick_params(which="minor", length=0)
    for i, j in zip(*np.nonzero(np.round(values)), strict=True):
        dark = values[i, j] > 0.6 * _top(values, i == j)
        axes.text(j, i, f"{values[i, j]:.0f}", ha="center", va="center", fontsize=5 if many else 9,
                  color="white" if dark else "#1f2328")  # fmt: skip
    total, right = int(counts.sum()), int(np.trace(counts))
    what = "percent of each true class" if rates else f"{right:,} of {total:,} right"
    axes.set_title(f"Confusion: {what}", fontsize=10 + many * 4, loc="left")
    axes.set_xlabel("predicted", fontsize=9 + many * 3)
    axes.set_ylabel("true", fontsize=9 + many * 3)
    return figure


def per_class(counts: Counts, classes: Sequence[str]) -> Figure:
    """The accuracy of each class, the worst first, with Wilson's 95 % interval: how far it could be luck."""
    from statsmodels.stats.proportion import proportion_confint

    tested, right = counts.sum(axis=1), np.diag(counts)
    accuracy = np.divide(right, tested, out=np.zeros(len(classes)), where=tested > 0)
    order = [k for k in np.argsort(accuracy, kind="stable") if tested[k]]
    many = len(order) > MANY
    figure = Figure(figsize=(6.5, max(2.2, (0.17 if many else 0.3) * len(order) + 1)), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    rows = np.arange(len(order))
    low, high = proportion_confint(right[order], tested[order], method="wilson")
    whiskers = np.stack([accuracy[order] - low, high - accuracy[order]]).clip(0)
    axes.barh(rows, accuracy[order], height=0.7, color="#9ecae1")
    axes.errorbar(accuracy[order], rows, xerr=whiskers, fmt="none", ecolor="#1f2328", elinewidth=0.8, capsize=2)
    letters = 7 if many else 9
    names = [f"{classes[k]}  {100 * accuracy[k]:.1f} %" for k in order]
    axes.set_yticks(rows, names, fontsize=letters)
    axes.set(xlim=(0, 1), ylim=(len(order) - 0.4, -0.6))
    axes.set_xticks(np.linspace(0, 1, 6), [f"{tick} %" for tick in range(0, 101, 20)], fontsize=8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.25)
    sizes = sorted({int(tested[k]) for k in order})
    each = f"{sizes[0]:,}" if sizes[0] == sizes[-1] else f"{sizes[0]:,} to {sizes[-1]:,}"
    axes.set_title(f"Accuracy by class ({each} test pictures each, 95 % intervals)", fontsize=10, loc="left")
    return figure


def _colours(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    on_diagonal = np.eye(len(values), dtype=bool)
    share = np.sqrt(values / np.where(on_diagonal, _top(values, True), _top(values, False)))
    blue, orange = colormaps["Blues"](0.8 * share), colormaps["Oranges"](0.75 * share)
    colours = np.where(on_diagonal[..., None], blue, orange)[..., :3]
    colours[values == 0] = 1.0
    return np.asarray(colours, dtype=np.float64)


def _top(values: npt.NDArray[Any], on_diagonal: bool) -> float:
    mask = np.eye(len(values), dtype=bool) == on_diagonal
    return max(1e-9, float(values[mask].max(initial=0)))
