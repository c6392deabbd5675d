"""The command line from outside: help, config, completion, exit codes, what a run is given."""

import os
import re
import signal
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from ablate.config.help import EXAMPLES, KEYS
from ablate.config.plan import plan
from ablate.config.schema import Config
from ablate.errors import UserError
from ablate.record import RunRecord, config_hash

TRAIN = Path(__file__).parents[2] / "train.py"


def shell(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TRAIN), *words],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


HERE = "hydra/launcher=basic"  # one run after the other in this process, where a fake can take its place


class FakeRun:
    """Stands for `ablate.run`: writes a record in the place of a training."""

    def __init__(self) -> None:
        self.seen: list[tuple[Config, Path, dict[str, Any]]] = []
        self.ends: dict[int, str | Exception] = {}  # how the run of a seed ends, if not well

    def run(self, config: Config, folder: Path, variant: dict[str, Any], **_: Any) -> RunRecord:
        self.seen.append((config, folder, variant))
        end = self.ends.get(config.seed, "done")
        record = RunRecord("x", config.seed, variant, config.plain, config_hash(config.plain), metrics={})
        record.metrics = {"test/accuracy": 0.9 + config.seed / 100}
        record.status = "failed" if isinstance(end, Exception) else end
        record.error = "ValueError: it broke" if end == "failed" else None
        record.write(folder)
        if isinstance(end, Exception):
            raise end
        return record


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> FakeRun:
    fake = FakeRun()
    module = types.ModuleType("ablate.run")
    module.run = fake.run
    monkeypatch.setitem(sys.modules, "ablate.run", module)
    monkeypatch.setattr("ablate.commands.multirun.remake_report", lambda folder: "")  # there is nothing to compare
    monkeypatch.setattr("ablate.training.preload", lambda: None)  # and nothing to be trained
    return fake


# ---- help, config, completion


def test_help_names_every_group_and_option(command):
    code, out, _ = command("--help")
    assert code == 0
    conf = TRAIN.parent / "conf"
    for path in conf.glob("*/*.yaml"):
        assert re.search(rf"^  {path.parent.name} .*", out, re.MULTILINE), path
        assert re.search(rf"\b{path.stem}\b", out), path
    assert all(chosen in out for chosen in ("digits*", "gbn_resnet18_slim*", "sgd*", "onecycle*", "auto*"))
    assert out.index("gbn_resnet50") < out.index("gbn_resnet101")
    assert all(len(line) <= 120 for line in out.splitlines())


def test_help_is_about_keys_that_exist_and_commands_that_work(composer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ablate.config.plan.part_problems", lambda *_, **__: ())  # takes 0.2 s a command
    for split in ("train", "test"):
        (tmp_path / "DIR" / split).mkdir(parents=True)
    assert (len(KEYS), len(EXAMPLES)) == (10, 5)
    for word in KEYS:
        needs_pictures = ["data=image_folder"] if word.startswith("data.root") else []
        assert plan(composer, [*needs_pictures, word]).runs
    for example in EXAMPLES:
        words = example.removeprefix("python train.py").split()
        assert plan(composer, [word for word in words if word != "-m"], multirun="-m" in words).runs


def test_help_needs_no_torch(tmp_path):
    code = (
        "import sys, pathlib; from ablate.commands.train import run_command;"
        f"run_command(pathlib.Path({str(TRAIN.parent / 'conf')!r}), ['-h']);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'albumentations', 'rich')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=tmp_path).returncode == 0


def test_the_check_needs_no_torch(tmp_path):
    code = (
        "import sys, pathlib; from ablate.commands.train import run_command;"
        f"code = run_command(pathlib.Path({str(TRAIN.parent / 'conf')!r}), ['optimizer.lr=-1', 'seed=x']);"
        "sys.exit(code if not any(name in sys.modules for name in ('torch', 'albumentations')) else 99)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=tmp_path).returncode == 2


def test_cfg_shows_the_resolved_config_and_nothing_runs(tmp_path):
    done = shell("--cfg", "job", "--resolve", "optimizer.lr=0.25", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "max_lr: 0.25" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_cfg_knows_the_words_about_the_command(tmp_path):
    done = shell("--cfg", "job", "dry_run=true", "optimizer.lr=0.25", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "lr: 0.25" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_cfg_of_a_sweep_is_refused(command):
    code, out, err = command("--cfg", "job", "-m", "optimizer.lr=0.25,0.5")
    assert (code, out) == (2, "")
    assert "--cfg job without -m" in err


def test_cfg_of_a_wrong_word_is_the_same_error_as_in_a_run(command):
    code, out, err = command("--cfg", "job", "optimizer.lrr=0.25")
    assert (code, out) == (2, "")
    assert "type:    optimizer.lr=0.25" in err


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("optimizer.nes", ["optimizer.nesterov="]),
        ("data=cifar", ["data=cifar10", "data=cifar100"]),
        ("experiment=assignment_", ["experiment=assignment_as_run"]),
        ("trainer.max_ep", ["trainer.max_epochs="]),
    ],
)
def test_the_shell_completes_keys_and_options(command, monkeypatch, typed, offered):
    monkeypatch.setenv("COMP_LINE", f"python train.py {typed}")
    code, out, _ = command("--shell-completion", "query=bash")
    assert code == 0
    assert out.split() == offered


def test_completion_is_installed_as_hydra_has_it(command):
    code, out, _ = command("--shell-completion", "install=bash")
    assert code == 0
    assert "hydra_bash_completion()" in out


# ---- runs


def test_a_run_gets_its_config_its_folder_and_no_variant(command, training):
    code, out, err = command("optimizer.lr=0.25")
    ((config, folder, variant),) = training.seen
    assert (code, err) == (0, "")
    assert (config.optimizer["lr"], config.scheduler["max_lr"], variant) == (0.25, 0.25, {})
    assert folder.parent == Path.cwd() / "outputs" / "runs"
    assert (folder / ".hydra" / "overrides.yaml").read_text().startswith("- optimizer.lr=0.25")
    assert (folder / "train.log").exists()
    assert folder.name.endswith(config_hash(config.plain)[:6])
    assert "test accuracy 90.00 %" in out
    assert f"folder:     {folder.relative_to(Path.cwd())}" in out


def test_a_sweep_gives_each_run_its_variant_and_ends_in_a_table(command, training):
    code, out, _ = command("-m", HERE, "optimizer.nesterov=true,false", "model=resnet18,gbn_resnet18_slim", "seed=1")
    assert code == 0
    assert [variant for _, _, variant in training.seen][:2] == [
        {"optimizer.nesterov": True, "model": "resnet18"},
        {"optimizer.nesterov": True, "model": "gbn_resnet18_slim"},
    ]
    (sweep,) = Path("outputs/sweeps").iterdir()
    assert sorted(path.name for path in sweep.iterdir() if path.is_dir()) == [
        f"nesterov={arm},model={model},seed=1"
        for arm in ("false", "true")
        for model in ("gbn_resnet18_slim", "resnet18")
    ]
    assert len(re.findall(r"91\.00 %", out)) == 4
    assert "HYDRA" not in out


def test_options_may_stand_anywhere(command, training):
    code, _, _ = command("seed=0,1", "-m", "optimizer.lr=0.2", HERE)
    assert code == 0
    assert [config.seed for config, _, _ in training.seen] == [0, 1]


def test_a_key_that_only_the_swept_options_have_can_be_set(command, training, tmp_path):
    own = tmp_path / "own"
    (own / "optimizer").mkdir(parents=True)
    for name, lr in (("slow", 0.001), ("fast", 0.01)):
        (own / "optimizer" / f"{name}.yaml").write_text(f"defaults:\n  - adamw\n  - _self_\nlr: {lr}\n")
    words = ["optimizer=slow,fast", "optimizer.betas=[0.8,0.9]"]
    assert command("-m", "--config-dir", str(own), HERE, *words)[0] == 0
    seen = [(config.optimizer["lr"], config.optimizer["betas"]) for config, _, _ in training.seen]
    assert seen == [(0.001, [0.8, 0.9]), (0.01, [0.8, 0.9])]


def test_an_experiment_can_be_a_sweep_by_itself(command, training):
    assert command("experiment=nesterov_vs_momentum", "seed=0,1", HERE)[0] == 0
    assert [variant for _, _, variant in training.seen] == [
        {"optimizer.nesterov": arm} for arm in (True, True, False, False)
    ]


def test_a_run_that_fails_is_exit_code_1_and_the_others_still_run(command, training):
    training.ends[1] = "failed"
    code, out, _ = command("-m", HERE, "seed=0,1,2")
    assert code == 1
    assert [config.seed for config, _, _ in training.seen] == [0, 1, 2]
    assert "ValueError: it broke" in out


def test_an_interrupted_run_ends_the_sweep_with_130(command, training):
    training.ends[1] = "interrupted"
    code, out, _ = command("-m", HERE, "seed=0,1,2")
    assert code == 130
    assert [config.seed for config, _, _ in training.seen] == [0, 1]
    assert "interrupted" in out
    assert "not run" in out


def test_sigterm_is_143(command, training, monkeypatch):
    def stop(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(sys.modules["ablate.run"], "run", stop)
    before = signal.getsignal(signal.SIGTERM)
    assert command()[0] == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_mistake_that_the_data_shows_leaves_no_folder_and_no_traceback(command, training):
    training.ends[0] = UserError.of("data.root=x: picture.txt is no picture", "pictures", "rm x/picture.txt")
    code, _, err = command()
    assert code == 2
    assert err.startswith("error: data.root=x: picture.txt is no picture")
    assert list(Path.cwd().iterdir()) == []


def test_a_folder_that_was_there_before_is_not_removed(command, training):
    Path("mine").mkdir()
    Path("mine", "precious").touch()
    training.ends[0] = UserError.of("too few pictures", "more", "data.val_fraction=0.2")
    assert command("hydra.run.dir=mine")[0] == 2
    assert Path("mine", "precious").exists()


def test_in_a_sweep_such_a_mistake_stays_with_its_run(command, training):
    training.ends[1] = UserError.of("too few pictures", "more", "data.val_fraction=0.2")
    code, out, err = command("-m", HERE, "seed=0,1,2")
    assert code == 2
    assert len(training.seen) == 3
    assert "too few pictures" in err
    assert out.count(" %") == 2


# ---- from outside


def test_a_wrong_command_is_quick_and_clean(tmp_path):
    done = shell("optimizer.nestrov=true", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: optimizer.nestrov=true: no such key\n"
        "    allowed: the keys of optimizer: lr, momentum, nesterov, weight_decay\n"
        "    type:    optimizer.nesterov=true\n"
    )
    assert list(tmp_path.iterdir()) == []
