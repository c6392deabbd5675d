"""What installed plugins of Hydra bring along that stands in the way of this project's own files."""

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins


def without_schemas() -> None:
    """Forget the keys that hydra-submitit-launcher has stored under the name of our own file.

    Hydra 1.3 would hold conf/hydra/launcher/submitit_slurm.yaml against them, in which `auto` has no place, and warn
    of doing so.
    """
    Plugins.instance()  # loads all plugins, the first time
    launchers = ConfigStore.instance().repo["hydra"]["launcher"]
    launchers.pop("submitit_slurm.yaml", None)
