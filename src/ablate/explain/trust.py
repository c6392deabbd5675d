"""The trust card: how far the maps of one network can be believed, in one line and in numbers."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from ablate.explain import checks
from ablate.explain.checks import Check, Subject
from ablate.explain.maps import predict

Index = npt.NDArray[np.int64]

MARKS = {True: "✓", False: "✗", None: "–"}  # noqa: RUF001 - the dash is a mark here


@dataclass(frozen=True)
class Card:
    """What the checks found for `method` at `layer`, whose maps are `cells` (h, w) large."""

    method: str
    layer: str
    cells: tuple[int, int]
    num_pictures: int
    seconds: float
    checks: Sequence[Check]

    @property
    def verdict(self) -> str:
        """One line: what passes, and what that means."""
        done = [check for check in self.checks if check.passed is not None]
        failed = [check for check in done if not check.passed]
        subject = f"{self.method} at {self.layer}"
        if not done:
            return f"{subject} could not be checked on {self.num_pictures} pictures"
        if failed:
            meaning = "; ".join(check.means for check in failed)
            return f"{subject} fails {len(failed)} of {len(done)} checks: {meaning}"
        h, w = self.cells
        all_of_them = f"all {len(done)} checks" if len(done) > 1 else "the only check that could be done"
        return (
            f"{subject} passes {all_of_them}: its maps show where the evidence lies, to {h} x {w} cells, not what it is"
        )

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        found = {check.name: {"passed": check.passed, "says": check.says, **check.numbers} for check in self.checks}
        return {
            "verdict": self.verdict,
            "method": self.method,
            "layer": self.layer,
            "cells": list(self.cells),
            "num_pictures": self.num_pictures,
            "seconds": round(self.seconds, 2),
            "checks": found,
        }

    def markdown(self) -> str:
        """A table; TensorBoard shows it as text."""
        rows = [f"| {MARKS[check.passed]} | {check.name} | {check.says} |" for check in self.checks]
        head = ["| | check | found (mean [95 % interval]) |", "|---|---|---|"]
        what = f"{self.num_pictures} test pictures, {self.seconds:.1f} s"
        return "\n".join([f"**{self.verdict}**", "", *head, *rows, "", what])


def assess(
    net: nn.Module,
    images: Tensor,
    labels: Index,
    layer: str,
    method: str = "gradcam",
    boxes: Index | None = None,
    seed: int = 0,
) -> Card:
    """Check the maps on normalised `images` (N, 3, H, W). `boxes` (N, 4), x0 y0 x1 y1: where all evidence is, if known.

    Costs about 20 forward passes over the pictures and 64 x 12 small linear systems.
    """
    start = time.monotonic()
    predicted = predict(net, images).argmax(axis=1).astype(np.int64)
    subject = Subject(net, images, labels, predicted, layer, method, seed)
    found = [
        checks.adds_up(subject),
        checks.follows_the_weights(subject),
        checks.marks_what_matters(subject),
        checks.finds_its_picture(subject),
    ]
    if boxes is not None:
        found.append(checks.points_at_the_evidence(subject, boxes))
    h, w = subject.maps(method, predicted, 1).shape[1:]
    return Card(method, layer, (h, w), len(images), time.monotonic() - start, found)
