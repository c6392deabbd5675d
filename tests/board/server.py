"""The real TensorBoard, as `python -m ablate board` starts it, and questions to it over HTTP."""

import json
import re
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ANY_STATUS = ["STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING", "STATUS_UNKNOWN"]


class Server:
    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str, **parameters: str) -> bytes:
        url = f"{self.address}/data/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.read()

    def ask(self, path: str, **parameters: str) -> Any:
        return json.loads(self.get(path, **parameters))

    def ask_hparams(self, path: str, **body: Any) -> Any:
        url, headers = f"{self.address}/data/plugin/hparams/{path}", {"Content-Type": "application/json"}
        request = urllib.request.Request(url, json.dumps({"experimentName": "", **body}).encode(), headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def session_groups(self) -> list[dict[str, Any]]:
        """The rows of the HParams table, with the mean over seeds of every metric."""
        return self.ask_hparams(
            "session_groups",
            allowedStatuses=ANY_STATUS,
            startIndex=0,
            sliceSize=100,
            aggregationType="AGGREGATION_AVG",
        ).get("sessionGroups", [])

    def statuses(self) -> dict[str, str]:
        """Run -> how TensorBoard thinks that it ended."""
        sessions = [session for group in self.session_groups() for session in group["sessions"]]
        return {session["name"]: session["status"] for session in sessions}


@contextmanager
def started(folder: Path) -> Iterator[tuple[Server, subprocess.Popen[str]]]:
    """It listens, but has read nothing yet."""
    command = [sys.executable, "-m", "ablate", "board", str(folder), "--port", str(_free_port())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            assert found, line
            yield Server(found[0]), process
        finally:
            process.terminate()


@contextmanager
def tensorboard(folder: Path, *, num_runs: int, num_ended: int) -> Iterator[Server]:
    """Returns once it has read all runs: the end of a run is the last thing in its files."""
    with started(folder) as (server, _):
        _wait(server, num_runs, num_ended)
        yield server


def _free_port() -> int:
    """Not a fixed one: tests that run at the same time would find it free together."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(server: Server, num_runs: int, num_ended: int) -> None:
    for _ in range(240):
        try:
            statuses = list(server.statuses().values())
            ended = [status for status in statuses if status in ("STATUS_SUCCESS", "STATUS_FAILURE")]
            if (len(statuses), len(ended)) == (num_runs, num_ended):
                return
        except OSError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"TensorBoard did not load {num_runs} runs, {num_ended} of them ended, within two minutes")
