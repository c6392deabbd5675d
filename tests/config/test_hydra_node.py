"""What Hydra itself would act on is limited too: it is in the same files as the rest of a config."""

import pytest

from ablate.config.hydra_node import hydra_problems
from ablate.config.plan import plan
from ablate.config.resolvers import hydra_node
from ablate.errors import UserError

FILE = "filename:'${hydra.runtime.output_dir}"
ATTACKS = [
    ("+hydra.callbacks.spy._target_=os.system", "hydra.callbacks.spy._target_=os.system"),
    ("+hydra.callbacks.spy='${oc.create:{_target_:os.system}}'", "${oc.create:"),
    ("+hydra.callbacks.spy='${oc.decode:\"{_target_: os.system}\"}'", "${oc.decode:"),
    ("+hydra.callbacks.spy='${oc.select:spare}'", "${oc.select:"),
    ("+hydra.callbacks.spy='${oc.${hydra.job.name}:x}'", "${oc.${"),
    ("+hydra.callbacks.spy='${${hydra.job.name}:x}'", "${${"),
    ("+hydra.callbacks.spy._target_='${oc.env:TARGET}'", "_target_=${oc.env:TARGET}"),
    ("+hydra.callbacks.spy._target_=hydra.experimental.callbacks.logging.Logger", "_target_=hydra.experimental"),
    ("+hydra.callbacks.spy._target_=hydra._internal.core_plugins.basic_sweeper.log", "no class and no function"),
    ("hydra.sweeper._target_=torch.hub.load", "hydra.sweeper._target_=torch.hub.load"),
    ("hydra.launcher._target_=hydra.experimental.callbacks.logging.os.system", "posix.system"),
    ("+hydra.sweeper.nonsense=1", "hydra.sweeper.nonsense is no argument"),
    ("hydra.job_logging='${oc.create:{version:1,handlers:{a:{class:os.system}}}}'", "hydra.job_logging=${oc.create:"),
    ("hydra.job_logging.handlers.file.class=os.system", "hydra.job_logging.handlers.file.class=os.system"),
    ("+hydra.job_logging.handlers.x={class:logging.os.system,command:true}", "class=logging.os.system"),
    ("+hydra.job_logging.handlers.x={class:logging.handlers.SocketHandler,host:a,port:1}", "SocketHandler"),
    ("+hydra.job_logging.handlers.x={class:logging.config.listen}", "class=logging.config.listen"),
    ("+hydra.job_logging.handlers.x={class:logging.FileHandler,filename:.bashrc}", "filename=.bashrc"),
    ("+hydra.job_logging.handlers.x={class:logging.FileHandler," + FILE + "/../../x.log'}", "/../../x.log"),
    ("+hydra.job_logging.handlers.x={class:logging.FileHandler," + FILE + "/.bashrc'}", "/.bashrc"),
    ("+hydra.hydra_logging.handlers.x.stream='ext://os.system'", "stream=ext://os.system"),
    ("+hydra.job.env_set.LD_PRELOAD=evil.so", "hydra.job.env_set.LD_PRELOAD"),
    ("+hydra.job.env_set.PYTHONPATH=evil", "hydra.job.env_set.PYTHONPATH"),
    ("+hydra.launcher.submitit_folder=/tmp/theirs", "hydra.launcher.submitit_folder=/tmp/theirs"),
    ("+hydra.launcher.submitit_folder='${hydra.sweep.dir}/../theirs'", "/../theirs"),
    ("hydra.searchpath=[nowhere]", "there is no such folder"),
    ("hydra.searchpath=[pkg://nowhere]", "there is no such folder"),
    ("hydra.job.name=../../x", "hydra.job.name=../../x"),
    ("hydra.output_subdir=../../x", "hydra.output_subdir=../../x"),
]


@pytest.mark.filterwarnings("ignore:provider=hydra.searchpath:UserWarning")
@pytest.mark.parametrize(("word", "given"), ATTACKS, ids=[word for word, _ in ATTACKS])
def test_what_hydra_would_act_on_is_refused_by_the_plan(composer, word, given):
    with pytest.raises(UserError) as error:
        plan(composer, [word], multirun=True)
    assert any(given in problem.given for problem in error.value.problems)


def test_what_people_set_there_passes(composer, tmp_path):
    words = [
        "+hydra.job.env_set.OMP_NUM_THREADS=2",
        "+hydra.job.env_set.NCCL_DEBUG=INFO",
        "hydra.output_subdir=null",
        "hydra.job.name=night",
        "+hydra.job_logging.handlers.mine={class:logging.FileHandler," + FILE + "/mine.log'}",
        "hydra.job_logging.handlers.console.stream='ext://sys.stderr'",
        "+hydra.callbacks.log._target_=hydra.experimental.callbacks.LogJobReturnCallback",
        f"hydra.searchpath=['file://{tmp_path}']",
    ]
    assert list(hydra_problems(hydra_node(composer.compose(words)))) == []


@pytest.mark.parametrize("choice", ["none", "disabled", "stdout", "default"])
def test_the_logging_that_hydra_brings_passes(composer, choice):
    config = composer.compose(
        [f"hydra/job_logging={choice}", f"hydra/hydra_logging={choice.replace('stdout', 'none')}"]
    )
    assert list(hydra_problems(hydra_node(config))) == []


def test_a_logging_factory_is_checked_too():
    spy = {"job_logging": {"filters": {"spy": {"()": "torch.hub.load"}}}, "hydra_logging": {"version": 1}}
    assert [each.given for each in hydra_problems(spy)] == ["hydra.job_logging.filters.spy.()=torch.hub.load"]


def test_what_a_launcher_hands_to_a_shell_must_be_typed():
    node = {"launcher": {"setup": ["module load cuda"], "partition": "gpu"}}
    (problem,) = hydra_problems(node)
    assert problem.given == "hydra.launcher.setup in a file"
    assert list(hydra_problems(node, ["hydra.launcher.setup"])) == []
    (problem,) = hydra_problems({"launcher": {"comment": "x\ntouch evil"}})
    assert "one line of text" in problem.allowed
