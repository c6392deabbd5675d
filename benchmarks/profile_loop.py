"""Where the time of a training step goes: a picture.  python benchmarks/profile_loop.py [--width 16] [--out FILE.svg]

A bare loop over generated pictures, one part of a step after the other with a stopwatch between them; beneath, what
Lightning, the default callbacks and the record add to it, as their medians over whole epochs say (`training_loop.py`).
"""

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from conditions import conditions
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F
from training_loop import Size, make_classifier, make_data, speeds

from ablate.model.ghost_batch_norm import GhostBatchNorm2d
from ablate.model.schedule import one_cycle

Times = dict[str, list[float]]  # part -> milliseconds, one a step


class Stopwatch:
    """Milliseconds by part, of every step."""

    def __init__(self) -> None:
        self.times: Times = defaultdict(list)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.times[name].append((time.perf_counter() - start) * 1e3)


def step_times(size: Size) -> Times:
    """Of all steps of two epochs but the first five."""
    data, watch = make_data(size), Stopwatch()
    classifier = make_classifier(size.width, data).train()
    optimizer = torch.optim.SGD(classifier.net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    loader = data.train_dataloader()
    scheduler = one_cycle(optimizer, total_steps=2 * len(loader), num_epochs=2, max_lr=0.1)
    for _epoch in range(2):
        batches = iter(loader)
        for _ in range(len(loader)):
            with watch.part("loader: crops, mirror images"):
                images, labels = next(batches)
            with watch.part("normalise"):
                pictures = classifier.normalize(images)
            with watch.part("forward"):
                loss = F.cross_entropy(classifier.net(pictures), labels)
            with watch.part("backward"):
                optimizer.zero_grad()
                loss.backward()
            with watch.part("optimizer, schedule"):
                optimizer.step()
                scheduler.step()
    return {name: values[5:] for name, values in watch.times.items()}


def norm_share(size: Size) -> float:
    """Part of forward and backward that ghost batch norm takes: against the same network with the identity instead."""
    seconds = {}
    for name in ("ghost", "identity"):
        data = make_data(size)
        classifier = make_classifier(size.width, data).train()
        if name == "identity":
            for module in list(classifier.net.modules()):
                for child, layer in list(module.named_children()):
                    if isinstance(layer, GhostBatchNorm2d):
                        setattr(module, child, nn.Identity())
        pictures = classifier.normalize(next(iter(data.train_dataloader()))[0])
        rounds = []
        for _ in range(8):
            start = time.perf_counter()
            classifier.net(pictures).sum().backward()
            rounds.append(time.perf_counter() - start)
        seconds[name] = statistics.median(rounds[2:])
    return 1 - seconds["identity"] / seconds["ghost"]


def draw(parts: Times, share: float, added: dict[str, float], title: str) -> Figure:
    """Bars of milliseconds a step: the parts of a bare loop, then what is added to it."""
    bars = {name: statistics.median(values) for name, values in parts.items()}
    bars |= added
    total = sum(statistics.median(values) for values in parts.values())
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    places = list(range(len(bars)))[::-1]
    colours = ["#3b6fb6"] * len(parts) + ["#c8553d"] * len(added)
    axes.barh(places, list(bars.values()), color=colours)
    for place, value in zip(places, bars.values(), strict=True):
        axes.text(max(value, 0), place, f" {value:.1f} ms, {100 * value / total:.1f} %", va="center", fontsize=9)
    axes.set_yticks(places, list(bars))
    axes.set_xlabel(f"milliseconds a step (ghost batch norm: {100 * share:.0f} % of forward and backward)")
    axes.set_xlim(right=max(bars.values()) * 1.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, fontsize=9, loc="left")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("docs/performance.svg"))
    given = parser.parse_args()
    size = Size(given.width, given.batch, given.batches)
    head = conditions(f"python benchmarks/profile_loop.py --width {size.width} --batch {size.batch}")
    parts, share = step_times(size), norm_share(size)
    measured = speeds(size, given.rounds)
    step = {name: size.batch * 1e3 / statistics.median(values) for name, values in measured.items()}
    added = {"+ Lightning": step["loop"] - step["bare"], "+ callbacks, record": step["run"] - step["loop"]}
    draw(
        parts, share, added, f"medians of {size.batches * 2 - 5} steps; added: of {given.rounds} epochs\n{head}"
    ).savefig(given.out)
    print(head)
    for name, values in parts.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"{name:30s} {middle:.2f} ms ({low:.2f} - {high:.2f}), n={len(values)}")
    for name, value in added.items():
        print(f"{name:30s} {value:.2f} ms, n={given.rounds}")
    print(f"ghost batch norm: {100 * share:.0f} % of forward and backward")


if __name__ == "__main__":
    main()
