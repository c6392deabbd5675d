"""TensorBoard: the logger of a run.

TensorBoard's HParams page is written here in its own protocol: torch's `add_hparams` turns booleans into numbers and
reports success before the run has begun, and Lightning's logger shows a placeholder metric.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import yaml
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from torch.utils.tensorboard import SummaryWriter


def writer(trainer: pl.Trainer) -> SummaryWriter | None:
    """The event file of this run, for a callback that wants to show something; None when the run keeps none."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            events: SummaryWriter = logger.experiment
            return events
    return None


class Board(TensorBoardLogger):
    """Event files directly in the run directory: TensorBoard then shows a run under its folder's name."""

    def __init__(self, save_dir: Path) -> None:
        # purge_step=0 marks a fresh start: events that an earlier try left at or above it are not shown.
        super().__init__(save_dir=save_dir, name="", version="", default_hp_metric=False, purge_step=0)

    @rank_zero_only
    def save(self) -> None:
        """Flushes. Lightning's own would write an empty hparams.yaml; the config is in config.yaml."""
        self.experiment.flush()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Flushes. Lightning calls it after the fit and after the test; the run ends with `end_session`."""
        self.experiment.flush()

    @rank_zero_only
    def start_session(self, hparams: Mapping[str, Any], group: str, config: Mapping[str, Any]) -> None:
        """Tell the HParams page that a run has started.

        hparams: config key -> bool, number or string, one column each.
        group: equal for runs that differ in their seed alone; their metrics are averaged.
        config: shown as text.
        """
        started = plugin_data_pb2.SessionStartInfo(group_name=group, start_time_secs=time.time())
        for name, value in hparams.items():
            if isinstance(value, bool):
                started.hparams[name].bool_value = value
            elif isinstance(value, int | float):
                started.hparams[name].number_value = value
            else:
                started.hparams[name].string_value = str(value)
        self._write_hparams(metadata.SESSION_START_INFO_TAG, session_start_info=started)
        text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
        self.experiment.add_text("config", "\n".join("    " + line for line in text.splitlines()))  # Markdown code
        self.experiment.flush()

    @rank_zero_only
    def end_session(self, status: Literal["done", "failed", "interrupted"]) -> None:
        """Tell the HParams page how the run ended, and close the event file."""
        state = api_pb2.STATUS_SUCCESS if status == "done" else api_pb2.STATUS_FAILURE
        ended = plugin_data_pb2.SessionEndInfo(status=state, end_time_secs=time.time())
        self._write_hparams(metadata.SESSION_END_INFO_TAG, session_end_info=ended)
        self.experiment.close()

    def _write_hparams(self, tag: str, **content: Any) -> None:
        data = plugin_data_pb2.HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION, **content)
        plugin = SummaryMetadata.PluginData(plugin_name=metadata.PLUGIN_NAME, content=data.SerializeToString())
        summary = Summary(value=[Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin))])
        self.experiment.file_writer.add_summary(summary, 0)
