"""The predictions of a network: probabilities, loss, and accuracy with its interval."""

from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import binomtest
from torch import nn
from torch.utils.data import DataLoader, Dataset


def place_of(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Return device and dtype of the model's weights, or of its buffers; else CPU and float32."""
    tensors = chain(model.parameters(), model.buffers(), [torch.empty(0, dtype=torch.float32)])
    first = next(tensor for tensor in tensors if tensor.is_floating_point())
    return first.device, first.dtype


def to_pixels(images: torch.Tensor, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Return uint8 images as what networks are given: there, in this dtype, from 0 to 1.

    Raises ValueError for another dtype: floats in [0, 1] would be divided by 255 once more."""
    if images.dtype != torch.uint8:
        raise ValueError(
            f"images must be uint8, from 0 to 255, but they are {images.dtype}. Without ToTensor "
            "they stay so; to_mnist makes such an image of any picture."
        )
    return images.to(device, dtype) / 255


@torch.no_grad()
def predict_logits(model: nn.Module, images: torch.Tensor | np.ndarray) -> torch.Tensor:
    """Return the logits [N, 10], float32 on the CPU, of uint8 images [N, 28, 28] or [N, 1, 28, 28].

    The model maps float [N, 1, 28, 28] in [0, 1] to logits. It works in evaluation mode, and is
    left as it was. Raises ValueError for images of another shape or dtype, and for a model with
    other outputs, or with some that are no finite numbers.
    """
    images = torch.as_tensor(images)
    if images.shape[1:] not in ((28, 28), (1, 28, 28)):
        raise ValueError(
            f"images must be uint8 [N, 28, 28], but they are {images.dtype} {list(images.shape)}. "
            "to_mnist makes such an image of any picture."
        )
    device, dtype = place_of(model)
    modes = [(module, module.training) for module in model.modules()]
    batches = []
    try:
        model.eval()
        for batch in images.reshape(-1, 1, 28, 28).split(250):
            logits = model(to_pixels(batch, device, dtype)) if len(batch) else torch.empty(0, 10)
            batches.append(_checked(logits, len(batch)).float().cpu())
    finally:
        for module, training in modes:
            module.training = training
    return torch.cat(batches)


def _checked(logits: object, count: int) -> torch.Tensor:
    found = list(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if found != [count, 10]:
        raise ValueError(
            f"The network must return logits [{count}, 10] for {count} images, but it returned "
            f"{found}. Look at the last lines of its forward, and at its last layer."
        )
    if not logits.isfinite().all():
        raise ValueError(
            "The network answers with numbers that are not finite (nan or inf), so it has no "
            "prediction. Its training has failed: train it again, with a lower learning rate."
        )
    return logits


def predict_proba(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the probabilities [N, 10] of uint8 images [N, 28, 28]; see `predict_logits`."""
    return predict_logits(model, images).softmax(dim=1)


def evaluate(model: nn.Module, dataset: Dataset | DataLoader) -> "Evaluation":
    """Classify all images of a data set (or of a loader's batches) of pairs: uint8 images
    [1, 28, 28] and labels. Neither the model nor PyTorch's random numbers are changed."""
    with torch.random.fork_rng(devices=[]):  # a loader draws one even if it doesn't shuffle
        loader = dataset if isinstance(dataset, DataLoader) else DataLoader(dataset, batch_size=250)
        images, labels = map(torch.cat, zip(*loader, strict=True))
    # Softmax in float64: in float32, small probabilities would be rounded to steps of 6e-8.
    probabilities = predict_logits(model, images).double().softmax(dim=1)
    return Evaluation(labels.cpu().numpy(), probabilities.numpy())


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a network makes of a data set: `labels` [N] and `probabilities` float64 [N, 10]."""

    labels: np.ndarray
    probabilities: np.ndarray

    @property
    def correct(self) -> np.ndarray:
        return self.probabilities.argmax(axis=1) == self.labels

    @property
    def accuracy(self) -> float:
        return float(self.correct.mean())

    @property
    def loss(self) -> float:
        """The mean cross-entropy per image, in nats."""
        of_the_truth = self.probabilities[np.arange(len(self.labels)), self.labels]
        return float(-np.log(of_the_truth.clip(np.finfo(float).tiny)).mean())

    @property
    def interval(self) -> tuple[float, float]:
        """The accuracy's 95 % interval (Wilson 1927), for the sampling of the images alone."""
        test = binomtest(int(self.correct.sum()), len(self.labels))
        interval = test.proportion_ci(0.95, method="wilson")
        return float(interval.low), float(interval.high)

    def __str__(self) -> str:
        low, high = self.interval
        errors = int((~self.correct).sum())
        return (
            f"{100 * self.accuracy:.2f} % (95 % interval {100 * low:.2f} to {100 * high:.2f}, "
            f"{errors:,} errors in {len(self.labels):,})"
        )


def study() -> pd.DataFrame:
    """Return what research/study.py measured of each training, by the number of training images and
    its name: the number of seeds, the mean accuracies in percent with their 95 % intervals over the
    seeds, also on paper that is 20, 50 and 70 % grey, the mean losses in nats, the seeds' lowest
    and highest test accuracy, the median seconds on one core, and whether it is on the ladder."""
    path = Path(__file__).with_name("study.csv")
    return pd.read_csv(path, index_col=["images", "recipe"])
