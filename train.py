"""Train image classifiers and compare them: `python train.py --help`."""

from pathlib import Path

from ablate.commands.train import main

if __name__ == "__main__":
    main(conf=Path(__file__).parent / "conf")
