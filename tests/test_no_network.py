"""Nothing is asked of the network but data sets."""

import subprocess
import sys

import pytest

from ablate.cli import board

ENTRIES = [
    "import ablate, albumentations",
    "from ablate.commands.train import run_command; from pathlib import Path; run_command(Path('conf'), ['seed=x'])",
    "from ablate.config.targets import instantiate; instantiate({'_target_': 'albumentations.HorizontalFlip'})",
]
WATCHED = """
import socket, sys
asked = []
def refuse(self, address):
    asked.append(address)
    raise OSError("no network")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = lambda *given, **more: asked.append(given) or refuse(None, given)
{entry}
sys.exit(str(asked) if asked else 0)
"""


@pytest.mark.parametrize("entry", ENTRIES)
def test_no_entry_asks_the_package_index_for_a_newer_version(entry, monkeypatch):
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "0")
    ended = subprocess.run([sys.executable, "-c", WATCHED.format(entry=entry)], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_the_board_listens_on_this_machine_alone(tmp_path, monkeypatch):
    started: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda program, words: started.append(words))
    board(tmp_path, 16006)
    (words,) = started
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert "--bind_all" not in words
