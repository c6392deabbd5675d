"""`python train.py ...` up to its first training batch.  python benchmarks/first_batch.py WORDS

Ends the process when the first batch reaches the network, with everything before it done as in any run. Used by
`cold_start.py`.
"""

import importlib.abc
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

CLASSIFIER = "ablate.model.classifier"


class EndAtTheFirstBatch(importlib.abc.MetaPathFinder):
    """Waits until the classifier is imported by whoever imports it: nothing comes earlier than usual."""

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> Any:
        if name != CLASSIFIER:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            module.Classifier.training_step = lambda *_: os._exit(0)

        spec.loader.exec_module = exec_module
        return spec


if __name__ == "__main__":
    sys.meta_path.insert(0, EndAtTheFirstBatch())
    from ablate.commands.train import main

    main(conf=Path(__file__).parents[1] / "conf")
