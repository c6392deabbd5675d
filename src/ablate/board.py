"""TensorBoard: the logger of a run.

TensorBoard's HParams page is written here in its own protocol: torch's `add_hparams` turns booleans into numbers and
reports success before the run has begun, and Lightning's logger shows a placeholder metric.
"""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import yaml
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from torch import nn
from torch.utils.tensorboard import FileWriter, SummaryWriter

from ablate.graph import graph_of

log = logging.getLogger(__name__)

# The page "Custom Scalars": heading -> chart -> its lines, as regular expressions over the tags.
LAYOUT = {
    "Training against validation": {
        "accuracy": ["Multiline", ["^train/accuracy$", "^val/accuracy$"]],
        "loss": ["Multiline", ["^train/loss$", "^val/loss$"]],
    },
    "Optimizer": {
        "learning rate": ["Multiline", ["^optimizer/lr$"]],
        "momentum": ["Multiline", ["^optimizer/momentum$"]],
    },
    "Speed": {"pictures a second": ["Multiline", ["^throughput/images_per_second$"]]},
}
ENDED_EARLY = ".ended_early"  # closes the name of the event file that says so


def writer(trainer: pl.Trainer) -> SummaryWriter | None:
    """The event file of this run, for a callback that wants to show something; None when the run keeps none."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            events: SummaryWriter = logger.experiment
            return events
    return None


def step(trainer: pl.Trainer) -> int:
    """Where in a chart something belongs that is shown now: at the last optimizer update (from 0) of a training, as
    Lightning does with the means of an epoch; after the training at their number."""
    return max(0, trainer.global_step - 1) if trainer.state.fn == "fit" else trainer.global_step


class Board(TensorBoardLogger):
    """Event files directly in the run directory: TensorBoard then shows a run under its folder's name.

    purge_step: 0 in a fresh run; in one that resumes, the number of optimizer updates that it has behind it. What an
    earlier try logged at this step or later is not shown, and what is written once a run is not written again.
    histograms: of all weights, after every epoch.
    """

    def __init__(self, save_dir: Path, *, purge_step: int = 0, histograms: bool = False) -> None:
        super().__init__(save_dir=save_dir, name="", version="", default_hp_metric=False, purge_step=purge_step)
        self.histograms = histograms
        self._fresh = purge_step == 0

    def go_on_from(self, num_steps: int) -> None:
        """As with `purge_step`, for a logger that has not written yet."""
        self._kwargs["purge_step"] = num_steps  # what Lightning hands to the writer, when it makes it
        self._fresh = num_steps == 0

    @rank_zero_only
    def start_session(self, hparams: Mapping[str, Any], group: str, config: Mapping[str, Any], net: nn.Module) -> None:
        """Say that a run has started, and what it is.

        hparams: config key -> bool, number or string, one column each of the HParams page.
        group: equal for runs that differ in their seed alone; their metrics are averaged.
        config: shown as text.
        net: shown as a graph.
        """
        for path in Path(self.log_dir).glob(f"*{ENDED_EARLY}"):
            path.unlink()  # it goes on
        if not self._fresh:
            return
        started = plugin_data_pb2.SessionStartInfo(group_name=group, start_time_secs=time.time())
        for name, value in hparams.items():
            if isinstance(value, bool):
                started.hparams[name].bool_value = value
            elif isinstance(value, int | float):
                started.hparams[name].number_value = value
            else:
                started.hparams[name].string_value = str(value)
        events = self.experiment
        _write_hparams(events.file_writer, metadata.SESSION_START_INFO_TAG, session_start_info=started)
        text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
        events.add_text("config", "\n".join("    " + line for line in text.splitlines()))  # Markdown code
        events.add_custom_scalars(LAYOUT)
        try:
            graph = graph_of(net)
        except Exception as error:  # any network may be trained; not every one can be drawn
            log.debug("no graph of the network: %s", error)
        else:
            events.file_writer.event_writer.add_event(Event(graph_def=graph.SerializeToString()))
        events.flush()

    @rank_zero_only
    def end_session(self, status: Literal["done", "failed", "interrupted", "diverged"]) -> None:
        """Say how the run ended, and close the event file."""
        state = api_pb2.STATUS_SUCCESS if status == "done" else api_pb2.STATUS_FAILURE
        ended = plugin_data_pb2.SessionEndInfo(status=state, end_time_secs=time.time())
        if status == "done":
            _write_hparams(self.experiment.file_writer, metadata.SESSION_END_INFO_TAG, session_end_info=ended)
        self.experiment.close()
        if status != "done":
            # TensorBoard keeps the first end that it reads: this one lies apart, to be removed by a run that resumes.
            apart = FileWriter(self.log_dir, filename_suffix=ENDED_EARLY)
            _write_hparams(apart, metadata.SESSION_END_INFO_TAG, session_end_info=ended)
            apart.close()

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Without `epoch`, which Lightning adds: a chart that says nothing, and a metric in every table."""
        super().log_metrics({name: value for name, value in metrics.items() if name != "epoch"}, step)

    @rank_zero_only
    def save(self) -> None:
        """Flushes. Lightning's own would write an empty hparams.yaml; the config is in config.yaml."""
        self.experiment.flush()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Flushes. Lightning calls it after the fit and after the test; the run ends with `end_session`."""
        self.experiment.flush()


def put_before_now(folder: Path) -> None:
    """Rename the event files of earlier attempts so that they are read before one that is made now.

    TensorBoard reads them in the order of their names, which begin with the second; a quick resume is in the same one,
    and a clock may have been set back.
    """
    files = sorted(folder.glob("events.out.tfevents.*"))
    now = int(time.time())
    for age, path in enumerate(reversed(files), start=1):
        *head, second, rest = path.name.split(".", 4)
        if second.isdigit() and int(second) >= now - age + 1:
            path.rename(path.with_name(".".join([*head, f"{now - age:010d}", rest])))


class Histograms(pl.Callback):
    """The distribution of every weight, as `weights/layer1.0.conv1.weight`, after every epoch."""

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        events = writer(trainer)
        net = pl_module.net
        assert events is not None
        assert isinstance(net, nn.Module)
        for name, weight in net.named_parameters():
            if weight.isfinite().all():  # torch refuses to draw others
                events.add_histogram(f"weights/{name}", weight.detach().float(), step(trainer))


def _write_hparams(events: FileWriter, tag: str, **content: Any) -> None:
    data = plugin_data_pb2.HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION, **content)
    plugin = SummaryMetadata.PluginData(plugin_name=metadata.PLUGIN_NAME, content=data.SerializeToString())
    summary = Summary(value=[Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin))])
    events.add_summary(summary, 0)
