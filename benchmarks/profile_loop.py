"""Where the time of a training step goes: a picture.  python benchmarks/profile_loop.py [--width 16] [--out FILE.svg]

A bare loop over generated pictures, one part of a step after the other with a stopwatch between them. What Lightning,
the callbacks and the record add is a difference smaller than its spread: `training_loop.py` has it as a ratio.
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
from training_loop import Size, make_classifier, make_data

from ablate.model.ghost_batch_norm import GhostBatchNorm2d
from ablate.model.schedule import one_cycle
from ablate.processes.heap import keep_freed_memory

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


def draw(parts: Times, share: float, title: str) -> Figure:
    """Bars: the median milliseconds of each part of a step, and its quartiles."""
    bars = {name: statistics.median(values) for name, values in parts.items()}
    total = sum(bars.values())
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    places = list(range(len(bars)))[::-1]
    quartiles = [statistics.quantiles(values, n=4) for values in parts.values()]
    spread = [[middle - low for low, middle, _ in quartiles], [high - middle for _, middle, high in quartiles]]
    axes.barh(places, list(bars.values()), xerr=spread, color="#3b6fb6", ecolor="#444444")
    for place, value in zip(places, bars.values(), strict=True):
        axes.text(
            value + spread[1][len(bars) - 1 - place],
            place,
            f"  {value:.1f} ms, {100 * value / total:.1f} %",
            va="center",
            fontsize=9,
        )
    axes.set_yticks(places, list(bars))
    axes.set_xlabel(f"milliseconds a step (ghost batch norm: {100 * share:.0f} % of forward and backward)")
    axes.set_xlim(right=max(bars.values()) * 1.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=8, x=0.01, ha="left")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("docs/performance.svg"))
    given = parser.parse_args()
    keep_freed_memory()  # as commands do
    size = Size(given.width, given.batch, given.batches)
    head = conditions(f"python benchmarks/profile_loop.py --width {size.width} --batch {size.batch}")
    parts, share = step_times(size), norm_share(size)
    title = f"medians and quartiles of {size.batches * 2 - 5} steps\n{head}"
    draw(parts, share, title).savefig(given.out)
    print(head)
    for name, values in parts.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"{name:30s} {middle:.2f} ms ({low:.2f} - {high:.2f}), n={len(values)}")
    print(f"ghost batch norm: {100 * share:.0f} % of forward and backward")


if __name__ == "__main__":
    main()
