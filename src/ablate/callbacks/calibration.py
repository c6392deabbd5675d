"""Whether the network is as sure as it is right.  N pictures, K classes."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure
from pytorch_lightning.utilities import rank_zero_only
from torchmetrics.functional.classification import multiclass_calibration_error

from ablate.board import writer
from ablate.callbacks.answers import KeepsAnswers
from ablate.callbacks.publish import slug, to_board, to_folder
from ablate.explain.canvas import rendered

NUM_BINS = 15
Probabilities = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


class Calibration(KeepsAnswers):
    """After the test: the reliability diagram as `calibration.png` and in TensorBoard, `test/ece` among the metrics,
    and a precision-recall curve for each class in TensorBoard (`precision_recall/ship`)."""

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        probabilities, labels = self.take_answers()
        pl_module.log("test/ece", expected_calibration_error(probabilities, labels), sync_dist=True)
        self._draw(trainer, probabilities, labels)

    @rank_zero_only
    def _draw(self, trainer: pl.Trainer, probabilities: Probabilities, labels: Labels) -> None:
        classes: Sequence[str] = trainer.datamodule.classes  # type: ignore[attr-defined]
        image = rendered(reliability(probabilities, labels))
        to_board(trainer, "calibration/reliability", image)
        to_folder(trainer, "calibration.png", image)
        board = writer(trainer)
        if board is not None:
            for k, name in enumerate(classes):
                truth, score = torch.from_numpy(labels == k), torch.from_numpy(probabilities[:, k])
                board.add_pr_curve(f"precision_recall/{slug(name)}", truth, score, trainer.global_step)


def expected_calibration_error(probabilities: Probabilities, labels: Labels) -> float:
    """Mean distance between confidence and accuracy over 15 equal bins, weighted by pictures: in [0, 1].

    Naeini et al. 2015, https://ojs.aaai.org/index.php/AAAI/article/view/9602; Guo et al. 2017,
    https://arxiv.org/abs/1706.04599, equation 3.
    """
    given, truth = torch.from_numpy(probabilities), torch.from_numpy(labels)
    return float(multiclass_calibration_error(given, truth, num_classes=given.shape[1], n_bins=NUM_BINS, norm="l1"))


def reliability(probabilities: Probabilities, labels: Labels) -> Figure:
    """Accuracy against confidence; beneath, how many pictures have which confidence."""
    from sklearn.calibration import calibration_curve  # late: it costs a second

    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    accuracy, mean_confidence = calibration_curve(right, confidence.clip(0, 1), n_bins=NUM_BINS)
    edges = np.linspace(0, 1, NUM_BINS + 1)
    in_bin = np.bincount(np.searchsorted(edges[1:-1], confidence), minlength=NUM_BINS)
    error = expected_calibration_error(probabilities, labels)
    figure = Figure(figsize=(5, 5.4), dpi=120, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color="#656d76", linewidth=1, linestyle="--", label="as sure as right")
    upper.vlines(mean_confidence, mean_confidence, accuracy, color="#D55E00", linewidth=5, alpha=0.35, label="gap")
    upper.plot(mean_confidence, accuracy, color="#0072B2", linewidth=1, label="this network (dot: pictures)")
    upper.scatter(
        mean_confidence, accuracy, 120 * np.sqrt(in_bin[in_bin > 0] / in_bin.max()), color="#0072B2", zorder=3
    )
    upper.set(ylabel="accuracy", ylim=(0, 1.02), xlim=(0, 1))
    upper.set_title(
        f"Calibration: off by {100 * error:.1f} points on average (ECE, {NUM_BINS} bins)", fontsize=10, loc="left"
    )
    upper.legend(frameon=False, loc="upper left", fontsize=9)
    lower.hist(confidence, bins=edges, color="#9ecae1", edgecolor="white", linewidth=0.5)
    lower.axvline(float(confidence.mean()), color="#0072B2", linewidth=1.2)
    lower.axvline(float(right.mean()), color="#1f2328", linewidth=1.2, linestyle="--")
    lower.set(xlabel="confidence: probability of the predicted class", ylabel="pictures")
    words = f"mean confidence {confidence.mean():.3f} (line), accuracy {right.mean():.3f} (dashed)"
    lower.set_title(words, fontsize=9, loc="left")
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    return figure
