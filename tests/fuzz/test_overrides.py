"""Any words at all: a command plans what they say, or says what is wrong with them; it never breaks.

`ABLATE_FUZZ=20000 pytest tests/fuzz --timeout=0` tries that many, different ones every time.
"""

import os
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ablate.commands.train import _parse as parse_options
from ablate.config.compose import Composer
from ablate.config.plan import Plan, plan
from ablate.config.shorthand import expand
from ablate.errors import UserError

CONF = Path(__file__).parents[2] / "conf"
LONG = int(os.environ.get("ABLATE_FUZZ", "0"))
SETTINGS = settings(
    max_examples=LONG or 40,
    derandomize=not LONG,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

KEYS = [
    *("seed", "name", "optimizer.lr", "optimizer.momentum", "optimizer.nesterov", "optimizer.weight_decay"),
    *("data.batch_size", "data.val_fraction", "data.num_workers", "data.root", "model.width", "model.ghost_size"),
    *("loss.l1", "loss.label_smoothing", "trainer.max_epochs", "trainer.precision", "trainer.devices"),
    *("callbacks.gradcam.layers", "callbacks.gradcam.num_images", "report.margin", "report.target", "scheduler.max_lr"),
    *("scheduler.pct_start", "augmentation.train.rotate.limit", "allow_targets", "factors", "hydra.job.name"),
    *("model", "data", "optimizer", "trainer", "experiment", "callbacks", "logger", "hydra/job_logging"),
    *("model._target_", "optimizer._target_", "callbacks.spy._target_", "hydra.callbacks.spy._target_"),
]
VALUES = [
    *("0", "1", "2", "-1", "0.1", "1e-3", "1_000", "0x10", "1e999", "nan", "inf", ".5", "5.", "007", "+3", "1e3"),
    *("true", "false", "True", "yes", "on", "null", "NULL", "~", "", "''", '""', "[]", "{}", "[1,2]", "{a:1}"),
    *("auto", "cpu", "sgd", "adamw", "resnet18", "smoke", "digits", "none", "default", "[layer4]", "[layer1,layer4]"),
    *("'0.1'", '"true"', "a b", "'a b'", "a,b", "1,2", "range(0,3)", "choice(1,2)", "glob(*)", "interval(0,1)"),
    *("${seed}", "${optimizer.lr}", "${oc.env:HOME}", "${oc.create:{_target_:os.system}}", "${now:%Y}", "${"),
    *("os.system", "torch.nn.Identity", "torch.optim.SGD", "torch.hub.load", "int(3.7)", "str(1)", "json_str(1)"),
    *("\\", "\\'", "a=b", "#", "x # y", "@", "💥", "é", "\t", "\n", "[[[", "}}}", "'", '"', "!!python/none", "*a"),
]
value = st.one_of(
    st.sampled_from(VALUES),
    st.integers().map(str),
    st.floats().map(repr),
    st.text(max_size=12),
    st.lists(st.sampled_from(VALUES), max_size=3).map(lambda parts: f"[{','.join(parts)}]"),
    st.tuples(st.sampled_from(VALUES), st.sampled_from(VALUES)).map("".join),
)
key = st.one_of(
    st.sampled_from(KEYS),
    st.sampled_from(KEYS).map(lambda known: known[:-1]),
    st.tuples(st.sampled_from(KEYS), st.sampled_from(KEYS)).map(".".join),
    st.text(alphabet="abc._/@:-+~[]0 ", max_size=8),
)
word = st.one_of(
    st.tuples(st.sampled_from(["", "", "", "", "+", "++", "~"]), key, st.just("="), value).map("".join),
    key.map(lambda known: f"~{known}"),
    st.sampled_from(["-m", "--multirun", "--", "--cfg", "--x", "-", "--config-dir=x", "seeds=2", "n_jobs=2"]),
    st.text(max_size=16),
)


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer(CONF)


@pytest.fixture(scope="module")
def defaults(composer: Composer) -> dict[str, object]:
    (config,) = plan(composer, []).runs.values()
    return config.plain


def planned(composer: Composer, words: list[str]) -> Plan | None:
    """What `train.py` would do; None if it says what is wrong."""
    try:
        options, problems = parse_options(words)
        options.overrides, _, more = expand(options.overrides)
        return plan(composer, options.overrides, multirun=options.multirun, already=[*problems, *more])
    except UserError as error:
        refusal = error
    said = str(refusal)
    assert all(each.given and each.allowed and each.fix for each in refusal.problems)
    assert said.count("allowed: ") >= len(refusal.problems) <= said.count("type: ")
    assert all(character.isprintable() or character == "\n" for character in said)
    return None


@SETTINGS
@given(words=st.lists(word, min_size=1, max_size=4))
@example(words=["optimizer.lr=" + "[" * 3000])
@example(words=["-m", "seed=range(0,3,0)"])
@example(words=["model._target_=torch.nn.Identity"])
@example(words=["callbacks.gradcam.layers.seed=0"])
@example(words=["callbacks.gradcam.layers.optimizer.momentum=0"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_words_break_a_command(composer, words):
    """Whatever is raised but a `UserError` of three parts fails this."""
    planned(composer, words)


LEAVES = [each for each in KEYS if "." in each or each in ("seed", "name")]
# What may be typed without quotes and means the same to YAML and to Hydra.
PLAIN = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?|true|false|null|[a-z][a-z0-9_-]*|\[([a-z0-9]+(,[a-z0-9]+)*)?\]")
plain = st.one_of(
    st.sampled_from([each for each in VALUES if PLAIN.fullmatch(each)]),
    st.integers(-3, 400).map(str),
    st.decimals(0, 2, places=3).map(lambda number: f"{number:f}"),
)


def at(config: dict[str, object], path: str) -> object:
    for part in path.split("."):
        config = config[part]
    return config


@SETTINGS
@given(pairs=st.dictionaries(st.sampled_from(LEAVES), plain, min_size=1, max_size=3))
def test_what_is_accepted_is_what_yaml_says(composer, defaults, pairs):
    words = [f"{name}={text}" for name, text in pairs.items()]
    done = planned(composer, words)
    if done is None:
        return
    (config,) = done.runs.values()
    for name, text in pairs.items():
        if not name.startswith("hydra"):
            wanted = yaml.safe_load(text)
            got = at(config.plain, name)
            assert (got, type(got)) == (wanted, type(wanted))
    for name in LEAVES:
        if not name.startswith(("hydra", *pairs)) and not linked(name, pairs):
            assert found(config.plain, name) == found(defaults, name)


def found(config: dict[str, object], name: str) -> object:
    try:
        return at(config, name)
    except KeyError:
        return None


def linked(name: str, pairs: dict[str, str]) -> bool:
    """`scheduler.max_lr` repeats `optimizer.lr`, unless it is set."""
    return name == "scheduler.max_lr" and "optimizer.lr" in pairs


def test_the_second_property_is_not_empty(composer):
    accepted = ["optimizer.lr=0.2", "seed=3", "callbacks.gradcam.layers=[layer1,layer4]", "optimizer.nesterov=false"]
    for each in accepted:
        assert planned(composer, [each]) is not None
