"""Who may say what a config may call, and which program a record may name."""

from pathlib import Path

import pytest

from ablate.config.compose import Composer
from ablate.config.plan import plan
from ablate.config.trust import untrusted_program
from ablate.errors import UserError
from ablate.record import RunRecord

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture
def own_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_nets.py").write_text("class Net: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    return "own_nets"


def test_an_installed_package_is_allowed_on_the_command_line_alone(composer, tmp_path, own_package):
    files = tmp_path / "downloaded" / "experiment"
    files.mkdir(parents=True)
    (files / "numpy.yaml").write_text("# @package _global_\nallow_targets: [numpy]\n")
    (files / "own.yaml").write_text(f"# @package _global_\nallow_targets: [{own_package}]\n")
    extended = Composer(CONF, extra=files.parent)
    with pytest.raises(UserError, match=r"numpy is an installed package"):
        plan(extended, ["experiment=numpy"])
    assert plan(extended, ["experiment=numpy", "allow_targets=[numpy]"]).runs
    assert plan(extended, ["experiment=own"]).runs
    assert plan(composer, ["allow_targets=[numpy]"]).runs
    with pytest.raises(UserError, match=r"numpy is an installed package"):
        plan(composer, ["allow_targets=[numpy]"], trusted=["seed"])  # the words of a sweep that was downloaded


def test_what_a_launcher_hands_to_a_shell_is_typed_again_on_resume(composer):
    words = ["+hydra.launcher.setup=[true]"]
    with pytest.raises(UserError, match=r"hydra\.launcher\.setup in a file"):
        plan(composer, words, multirun=True, trusted=[])


def test_no_program_is_started_that_a_record_brings_along(tmp_path, monkeypatch):
    (tmp_path / "downloaded").mkdir()
    (problem,) = untrusted_program(tmp_path / "downloaded" / "train.py", tmp_path / "downloaded")
    assert problem.fix.startswith(f"cd {tmp_path}/downloaded && python -m ablate resume")
    monkeypatch.chdir(tmp_path / "downloaded")
    assert list(untrusted_program(tmp_path / "downloaded" / "train.py", tmp_path)) == []
    assert list(untrusted_program(CONF.parent / "train.py", tmp_path)) == []


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (["allow_targets=[numpy]"], "numpy is an installed package"),
        (["+hydra.job.env_set.LD_PRELOAD=evil.so"], "hydra.job.env_set.LD_PRELOAD"),
        (["+hydra.callbacks.spy='${oc.create:{_target_:os.system}}'"], "hydra.callbacks.spy=${oc.create"),
        (["model._target_=os.system"], "model._target_=os.system"),
    ],
)
def test_a_record_that_was_tampered_with_calls_nothing_on_resume(tmp_path, words, given):
    from ablate.commands.resume import resume

    record = RunRecord("x", 0, {}, {}, "0" * 12, status="interrupted", command=[str(CONF.parent / "train.py"), *words])
    record.write(tmp_path)
    with pytest.raises(UserError) as error:
        resume(tmp_path)
    assert given in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
