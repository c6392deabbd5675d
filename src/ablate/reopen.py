"""A finished run, opened again."""

from collections.abc import Sequence
from pathlib import Path

from ablate import checkpoint
from ablate.build import make_augmentation, make_classifier, make_network, make_source
from ablate.config.schema import Config
from ablate.config.trust import untrusted_packages
from ablate.errors import UserError
from ablate.explain.given import Opened
from ablate.model.classifier import Classifier
from ablate.record import RunRecord, one_line


def load_classifier(folder: Path, file: str | None = None, trusted: Sequence[str] = ()) -> Classifier:
    """The trained classifier of a run directory, in eval mode on the CPU; by default the chosen checkpoint.

    trusted: installed packages whose classes the record may name, as `allow_targets` did on the command line.
    Raises `UserError` when there is no record or no checkpoint, or when it belongs to another network.
    """
    record = RunRecord.read(folder)
    path = folder / (file or record.checkpoint.get("path", "checkpoints/last.ckpt"))
    if not path.is_file():
        raise UserError.of(f"{path} does not exist", "a run that saved a checkpoint", f"ls {folder}/checkpoints")
    config = _config(record, trusted)
    weights = checkpoint.load(path)["state_dict"]
    net = make_network(config, len(record.classes))
    mean, std = (weights[name].flatten().tolist() for name in ("mean", "std"))
    classifier = make_classifier(config, net, mean, std)
    try:
        classifier.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError.of(
            f"{path} holds another network than {folder}/run.json ({one_line(error)})",
            "the checkpoint that this run wrote",
            f"ls {folder}/checkpoints",
        ) from None
    return classifier.eval()


def open_run(folder: Path, file: str | None = None, trusted: Sequence[str] = ()) -> Opened:
    """A run that can be asked what it sees: its classifier, and how its test pictures are read and prepared."""
    config = _config(RunRecord.read(folder), trusted)
    return Opened(
        load_classifier(folder, file, trusted), make_augmentation(config).test, lambda: make_source(config).test()
    )


def _config(record: RunRecord, trusted: Sequence[str]) -> Config:
    """What a record says is built, if it may be: a record can come from somebody else."""
    config = Config.of(record.config)
    unknown = [package for package in config.allow_targets if package not in trusted]
    UserError.raise_all(untrusted_packages({"allow_targets": unknown}, fix="--trust {}"))
    return config
