"""What the tests of the config share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.commands.train import run_command
from ablate.config.compose import Composer

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture(scope="session")
def composer() -> Composer:
    return Composer(CONF)


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a command line in an empty folder, in this process: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        code = run_command(CONF, words)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run
