"""How far this network's maps can be believed, asked once at the end of a run."""

import json
import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_only

from ablate.board import writer
from ablate.callbacks.publish import to_board, to_folder
from ablate.errors import Problem, UserError
from ablate.explain.checks import FEWEST
from ablate.explain.choice import balanced_choice
from ablate.explain.methods import layer_names, layer_problems, method_problems
from ablate.explain.trust import assess
from ablate.explain.trust_picture import draw
from ablate.record import write_atomically

log = logging.getLogger(__name__)

KEY = "callbacks.trust_card."


class TrustCard(pl.Callback):
    """After the test: `trust_card.json` and `trust_card.png`, and in TensorBoard the text and picture `trust_card`.

    On `num_pictures` test pictures, balanced over the classes; `layer` None is the last. About twenty forward passes
    over them and a few seconds of small linear systems; `method` may not be a slow one.
    """

    def __init__(self, num_pictures: int = 256, layer: str | None = None, method: str = "gradcam") -> None:
        self.num_pictures, self.layer, self.method = num_pictures, layer, method

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        net: Any = pl_module.net
        found = method_problems(self.method, f"{KEY}method", training=True)
        found += layer_problems(net, self.layer or layer_names(net)[-1], f"{KEY}layer")
        if self.num_pictures < FEWEST:
            given = f"{KEY}num_pictures={self.num_pictures}"
            found.append(Problem(given, f"{FEWEST} or more; about 256 are enough", f"{KEY}num_pictures=256"))
        UserError.raise_all(found)

    @rank_zero_only
    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module: Any = pl_module
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        chosen = balanced_choice(data.test_pictures.labels, self.num_pictures, data.seed)
        pictures = data.test_pictures.take(chosen)
        boxes = data.source.boxes("test")[chosen] if hasattr(data.source, "boxes") else None
        with torch.no_grad():
            images = module.normalize(torch.from_numpy(pictures.pixels).to(pl_module.device))
        layer = self.layer or layer_names(module.net)[-1]
        card = assess(module.net, images, pictures.labels, layer, self.method, boxes, data.seed)
        log.info("%s", card.verdict)
        image = draw(card)
        to_board(trainer, "trust_card", image)
        to_folder(trainer, "trust_card.png", image)
        text = json.dumps(card.plain(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        write_atomically(Path(trainer.default_root_dir) / "trust_card.json", text)
        board = writer(trainer)
        if board is not None:
            board.add_text("trust_card", card.markdown(), trainer.global_step)
