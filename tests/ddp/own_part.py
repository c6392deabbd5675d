"""A callback that fails, or sleeps, in one rank at one batch of the second epoch, as a package of the user's own."""

from pathlib import Path

SOURCE = """
import time
import pytorch_lightning as pl

class Part(pl.Callback):
    def __init__(self, rank: int, does: str) -> None:
        self.rank, self.does = rank, does

    def on_train_batch_start(self, trainer, module, batch, number):
        if (trainer.global_rank, trainer.current_epoch, number) == (self.rank, 1, 1):
            if self.does == "sleep":
                time.sleep(1000)
            raise {"memory": MemoryError, "error": ArithmeticError}[self.does]("of the test")
"""


def words(place: Path, rank: int, does: str) -> list[str]:
    """Put the package there; the words that bring it into a run."""
    (place / "own_part.py").write_text(SOURCE)
    return ["allow_targets=[own_part]", f"+callbacks.part={{_target_:own_part.Part,rank:{rank},does:{does}}}"]
