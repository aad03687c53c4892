"""Studies of a few seconds, for worker processes: what they import must be quick to import.

python -m tests.small_study TABLE FOLDER

runs one with two processes whose third trial and those after it wait for ever; each process leaves
its number in the folder, and each trial that waits a file "waiting-NUMBER".
"""

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from mnist_helpers import MNIST, Split
from research.baselines import TutorialClassifier
from research.study import run_study
from research.variants import Variant

SMALL = {
    "final": Variant(config={"epochs": 1}, seeds=3),
    "tutorials": Variant(images=90, config={"epochs": 1}, network=TutorialClassifier, seeds=2),
}
TRIALS = [("final", 0), ("final", 1), ("final", 2), ("tutorials", 0), ("tutorials", 1)]


def load_random() -> MNIST:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (200, 28, 28), dtype=torch.uint8, generator=generator)
    split = Split(images, torch.arange(200) % 10)
    return MNIST(split[:100], split[100:140], split[140:])


@dataclass
class KillFirst:
    """Loads the data, but the first process to do so is killed in the middle of its trial."""

    marker: Path

    def __call__(self) -> MNIST:
        try:
            self.marker.touch(exist_ok=False)
        except FileExistsError:
            return load_random()
        os._exit(1)


@dataclass
class WaitAfterTwo:
    """Loads the data; but the third trial, and those after it, never come to an end."""

    folder: Path

    def __call__(self) -> MNIST:
        (self.folder / str(os.getpid())).touch()
        for trial in ("first", "second"):
            try:
                (self.folder / trial).touch(exist_ok=False)
                return load_random()
            except FileExistsError:
                continue
        (self.folder / f"waiting-{os.getpid()}").touch()
        time.sleep(3_600)


if __name__ == "__main__":
    # A shell that starts the tests in its background has them ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    output, folder = map(Path, sys.argv[1:])
    variants = {"final": Variant(config={"epochs": 1}, seeds=20)}
    run_study(output, WaitAfterTwo(folder), processes=2, variants=variants)
