"""What a user sees while a run goes on, on a terminal and in a log file."""

import io
import re

import pytest
from rich.console import Console
from test_record_keeper import classifier, loader, trainer

from ablate.callbacks.progress import Progress


def train_with(progress: Progress, folder, console: Console) -> None:
    progress._console = console
    fit = trainer(folder, epochs=2)
    fit.callbacks.append(progress)
    fit.fit(classifier(), loader([255, 51, 153], [1, 1, 1], 2), loader([255, 153], [1, 0], 2))


@pytest.fixture
def text() -> io.StringIO:
    return io.StringIO()


def test_off_a_terminal_one_plain_line_an_epoch_is_printed(tmp_path, text):
    train_with(Progress(), tmp_path, Console(file=text, width=200))
    lines = text.getvalue().splitlines()
    assert len(lines) == 2
    assert re.fullmatch(
        r"epoch 1/2   train loss  0\.378  accuracy  66\.67%   val loss  0\.720  accuracy  50\.00%   [\d,]+ images/s",
        lines[0],
    )
    assert lines[1].startswith("epoch 2/2")


def test_on_a_terminal_a_bar_shows_loss_and_time_left_and_the_lines_stay(tmp_path, text):
    train_with(Progress(), tmp_path, Console(file=text, width=200, force_terminal=True, color_system=None))
    shown = text.getvalue()
    assert "epoch 1/2   train loss" in shown
    assert "━" in shown
    assert re.search(r"loss 0\.\d+  [\d,]+ images/s", shown)
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")  # the cursor is given back


def test_a_rank_that_is_not_the_first_says_nothing(tmp_path, text):
    progress = Progress()
    progress.disable()
    train_with(progress, tmp_path, Console(file=text, width=200))
    assert text.getvalue() == ""
