"""What the real TensorBoard shows of event files written by `Board`, asked over its HTTP interface."""

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest

from ablate.board import Board

RUNS = {  # folder -> (nesterov, seed, test accuracy, how it ended)
    "nesterov=true,seed=0": (True, 0, 0.90, "done"),
    "nesterov=true,seed=1": (True, 1, 0.94, "done"),
    "nesterov=false,seed=0": (False, 0, 0.91, "failed"),
    "nesterov=false,seed=1": (False, 1, 0.80, None),  # still running
}


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    sweep = tmp_path_factory.mktemp("sweep")
    for name, (nesterov, seed, accuracy, end) in RUNS.items():
        board = Board(sweep / name)
        hparams = {"optimizer.nesterov": nesterov, "seed": seed, "optimizer.lr": 0.1, "model": "resnet <b>"}
        board.start_session(hparams, group=f"nesterov={nesterov}", config={"seed": seed, "name": "x"})
        board.log_metrics({"test/accuracy": accuracy}, step=10)
        if end is None:
            board.experiment.flush()
        else:
            board.end_session(end)
    command = [sys.executable, "-m", "ablate", "board", str(sweep), "--port", "16100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found, line
        try:
            wait_for_runs(found[0])
            yield found[0]
        finally:
            process.terminate()


def ask(url: str, body: object = None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def wait_for_runs(address: str) -> None:
    for _ in range(120):
        try:
            if len(ask(f"{address}/data/runs")) == len(RUNS):
                return
        except OSError:
            pass
        time.sleep(0.5)
    raise AssertionError("TensorBoard did not load the runs within a minute")


def test_runs_are_listed_under_their_folders(address):
    assert sorted(ask(f"{address}/data/runs")) == sorted(RUNS)


def test_the_hparams_page_has_real_booleans_states_and_no_placeholder(address):
    experiment = ask(f"{address}/data/plugin/hparams/experiment", {"experimentName": ""})
    types = {info["name"]: info["type"] for info in experiment["hparamInfos"]}
    assert types["optimizer.nesterov"] == "DATA_TYPE_BOOL"
    assert types["optimizer.lr"] == "DATA_TYPE_FLOAT64"
    tags = {info["name"]["tag"] for info in experiment["metricInfos"]}
    assert "test/accuracy" in tags
    assert "hp_metric" not in tags
    request = {
        "experimentName": "",
        "allowedStatuses": ["STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING", "STATUS_UNKNOWN"],
        "colParams": [{"metric": {"tag": "test/accuracy", "group": ""}}],
        "startIndex": 0,
        "sliceSize": 100,
        "aggregationType": "AGGREGATION_AVG",
    }
    groups = ask(f"{address}/data/plugin/hparams/session_groups", request)["sessionGroups"]
    assert len(groups) == 2
    by_arm = {group["hparams"]["optimizer.nesterov"]: group for group in groups}
    averages = {arm: group["metricValues"][0]["value"] for arm, group in by_arm.items()}
    assert averages == {True: pytest.approx(0.92), False: pytest.approx(0.855)}  # over the seeds
    states = sorted(session["status"] for group in groups for session in group["sessions"])
    # "unknown" is how TensorBoard calls a session that has started and not ended.
    assert states == ["STATUS_FAILURE", "STATUS_SUCCESS", "STATUS_SUCCESS", "STATUS_UNKNOWN"]


def test_the_config_is_text(address):
    tags = ask(f"{address}/data/plugin/text/tags")
    assert all("config/text_summary" in tags[run] for run in RUNS)


def test_a_folder_that_is_none_is_a_sentence(tmp_path):
    command = [sys.executable, "-m", "ablate", "board", str(tmp_path / "nowhere")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nowhere is not a folder" in done.stderr
    assert "Traceback" not in done.stderr
