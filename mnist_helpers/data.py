"""MNIST as three data sets, read from files that were checked."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.data import TensorDataset
from torchvision import datasets


def fetch(root: str | Path) -> None: ...


@dataclass(frozen=True, eq=False)
class MNIST:
    """Three data sets of uint8 images [N, 1, 28, 28] (255 = ink) and int64 labels [N]: training to
    learn from, validation to choose by (or None), test to look at once."""

    training: TensorDataset
    validation: TensorDataset | None
    test: TensorDataset


def load(root: str | Path, training_images: int = 55_000) -> MNIST:
    """Return MNIST: the last 5,000 of the 60,000 official training images for validation, the first
    `training_images` of the others to learn from, and the 10,000 test images."""
    fetch(root)
    official, test = (datasets.MNIST(root, train=train) for train in (True, False))
    images, labels = official.data[:, None], official.targets
    return MNIST(
        training=TensorDataset(images[:-5000][:training_images], labels[:-5000][:training_images]),
        validation=TensorDataset(images[-5000:], labels[-5000:]),
        test=TensorDataset(test.data[:, None], test.targets),
    )
