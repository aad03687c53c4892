"""MNIST as three splits of uint8 tensors, read from files that were checked."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torchvision import datasets

from .download import download_mnist


@dataclass(frozen=True, eq=False)
class Split:
    """Images and their labels: `images` uint8 [N, 28, 28] (255 = ink) and `labels` int64 [N].

    Raises TypeError or ValueError for anything else.
    """

    images: torch.Tensor
    labels: torch.Tensor

    def __post_init__(self):
        check_images(self.images)
        _check_type("labels", self.labels, torch.int64, "[N]")
        if self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"There must be one label for each image, but the labels' shape is "
                f"{list(self.labels.shape)} and the images' {list(self.images.shape)}"
            )
        if len(self) == 0:
            raise ValueError("A split must hold at least one image, but this one is empty")
        if self.labels.device.type != "meta":  # which holds no values to look at
            wrong = self.labels[(self.labels < 0) | (self.labels > 9)]
            if len(wrong):
                raise ValueError(f"labels must be 0 to 9, but there is a {wrong[0].item()}")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, selection: slice) -> "Split":
        """Return a part of the split: `split[:1000]` is its first thousand images."""
        return Split(self.images[selection], self.labels[selection])

    def to(self, device: torch.device) -> "Split":
        return Split(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True, eq=False)
class MNIST:
    """The three splits: train to learn from, validation to choose by, test to look at once."""

    train: Split
    validation: Split
    test: Split


def check_images(images: torch.Tensor) -> None:
    """Raise TypeError or ValueError unless `images` is uint8 [N, 28, 28]."""
    _check_type("images", images, torch.uint8, "[N, 28, 28]")
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        raise ValueError(
            f"images must have the shape [N, 28, 28], but it is {list(images.shape)}. "
            "to_mnist turns a picture of any size into such an image."
        )


def _check_type(name: str, values: object, dtype: torch.dtype, shape: str) -> None:
    if not isinstance(values, torch.Tensor):
        raise TypeError(f"{name} must be a torch tensor, but it is of type {type(values).__name__}")
    if values.dtype != dtype:
        raise TypeError(f"{name} must be {dtype} {shape}, but the dtype is {values.dtype}")


def load_mnist(root: str | Path, *, training_images: int = 55_000) -> MNIST:
    """Return MNIST: the last 5,000 of its 60,000 training images for validation, the first
    `training_images` of the others to learn from, and its 10,000 test images.

    Files that are missing or damaged are fetched first. Raises DataError when that is not possible,
    and ValueError for an impossible number of training images.
    """
    if not 2 <= training_images <= 55_000:
        raise ValueError(f"training_images must be 2 to 55,000, but it is {training_images}")
    raw = download_mnist(root)
    # Not torchvision.datasets.MNIST itself, which prefers old `processed/` files if there are any.
    read_images, read_labels = datasets.mnist.read_image_file, datasets.mnist.read_label_file
    images = read_images(str(raw / "train-images-idx3-ubyte"))
    labels = read_labels(str(raw / "train-labels-idx1-ubyte"))
    return MNIST(
        train=Split(images[:training_images], labels[:training_images]),
        validation=Split(images[55_000:], labels[55_000:]),
        test=Split(
            read_images(str(raw / "t10k-images-idx3-ubyte")),
            read_labels(str(raw / "t10k-labels-idx1-ubyte")),
        ),
    )


def to_float(images: torch.Tensor) -> torch.Tensor:
    """Turn uint8 images [N, 28, 28] into a model's input: float [N, 1, 28, 28] in [0, 1]."""
    return images.unsqueeze(1).float().div_(255)
