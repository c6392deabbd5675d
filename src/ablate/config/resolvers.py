"""What `conf/config.yaml` can ask for: `${ablate.config_hash:}` and `${ablate.run_folder:FACTORS,SEED,OVERRIDES}`."""

from contextvars import ContextVar
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ablate.config.folders import run_folder
from ablate.record import config_hash

_hashing: ContextVar[bool] = ContextVar("_hashing", default=False)


def register_resolvers() -> None:
    """Once in every process that resolves a config."""
    OmegaConf.register_new_resolver("ablate.config_hash", _config_hash, replace=True)
    OmegaConf.register_new_resolver("ablate.run_folder", run_folder, replace=True)


def without_hydra(config: DictConfig) -> DictConfig:
    """A copy of a composed config without its `hydra` node."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def hydra_node(config: DictConfig) -> dict[str, Any]:
    """The `hydra` node of a composed config, unresolved: some of it is known only while a job runs."""
    node = OmegaConf.to_container(config.hydra, resolve=False)
    assert isinstance(node, dict)
    return {str(key): value for key, value in node.items()}


def _config_hash(*, _root_: DictConfig) -> str:
    """The first six digits of the config's hash."""
    if _hashing.get():
        raise ValueError("the hash of a config cannot be in it")
    token = _hashing.set(True)
    try:
        plain = OmegaConf.to_container(without_hydra(_root_), resolve=True)
    finally:
        _hashing.reset(token)
    assert isinstance(plain, dict)
    return config_hash({str(key): value for key, value in plain.items()})[:6]
