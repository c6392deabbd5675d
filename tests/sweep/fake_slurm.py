"""SLURM's commands as scripts that say what a test wants them to say."""

import os
import stat
from pathlib import Path

SINFO = "main|main*|1:00:00|(null)\ngpu|gpu|2-00:00:00|gpu:a100:4(S:0-1)\nshort|short|2:00|(null)\n"


class FakeSlurm:
    """Puts `sinfo` and the others on the path. `says`: command -> what it prints, or the words of its failure."""

    def __init__(self, folder: Path, monkeypatch) -> None:
        self._folder = folder
        folder.mkdir()
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
        self.says("sinfo", SINFO)
        self.says("squeue", "")
        self.says("scontrol", "MaxArraySize            = 11\n")
        self.says("sbatch", "")
        self.says("srun", "")

    def says(self, command: str, text: str) -> None:
        self._write(command, f"cat <<'END'\n{text}END\n")

    def fails(self, command: str, words: str) -> None:
        self._write(command, f"echo '{words}' >&2\nexit 1\n")

    def _write(self, command: str, lines: str) -> None:
        path = self._folder / command
        path.write_text(f"#!/bin/sh\n{lines}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
