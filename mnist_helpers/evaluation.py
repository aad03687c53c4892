"""The answers of a network: probabilities, accuracy with its interval, confusion, calibration."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.stats import binomtest
from sklearn import metrics
from torch import nn

from .data import Split, check_images, to_float
from .model import check_logits, device_of, evaluating


def predict_logits(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the logits [N, 10] of uint8 images [N, 28, 28], on the CPU and without dropout.

    Raises TypeError or ValueError for images of another type or shape, and for a network that does
    not give ten logits.
    """
    check_images(images)
    device = device_of(model)
    logits = []
    with evaluating(model), torch.autocast(device.type, enabled=False):
        # Larger batches need more memory and are not faster; none at all still gives a shape.
        for batch in images.split(100):
            logits.append(model(to_float(batch.to(device))))
            check_logits(logits[-1], len(batch))
        return torch.cat(logits).float().cpu()


def predict_proba(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the probabilities [N, 10] of uint8 images [N, 28, 28]; see `predict_logits`."""
    return predict_logits(model, images).softmax(dim=1)


def evaluate(model: nn.Module, split: Split) -> "Evaluation":
    """Let the network answer the whole split, in evaluation mode."""
    # Softmax in float64: in float32, small probabilities would be rounded to steps of 6e-8.
    probabilities = predict_logits(model, split.images).double().softmax(dim=1)
    return Evaluation(split.labels.cpu().numpy(), probabilities.numpy())


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A network's answers to a split: `labels` [N] and `probabilities` float64 [N, 10]."""

    labels: np.ndarray
    probabilities: np.ndarray

    @property
    def predictions(self) -> np.ndarray:
        return self.probabilities.argmax(axis=1)

    @property
    def correct(self) -> np.ndarray:
        return self.predictions == self.labels

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

    def confusion_matrix(self) -> np.ndarray:
        """Return how often each label (row) was classified as each digit (column), [10, 10]."""
        return metrics.confusion_matrix(self.labels, self.predictions, labels=range(10))

    def confused_pairs(self, count: int) -> pd.DataFrame:
        """Return the `count` most frequent errors: label, prediction and number of images."""
        errors = pd.DataFrame({"label": self.labels, "prediction": self.predictions})
        pairs = errors[~self.correct].value_counts().rename("images").reset_index()
        order = ["images", "label", "prediction"]
        return pairs.sort_values(order, ascending=[False, True, True], ignore_index=True)[:count]

    def worst_errors(self, count: int) -> np.ndarray:
        """Return the indices of the `count` errors with the highest probability, highest first."""
        errors = np.flatnonzero(~self.correct)
        confidence = self.probabilities[errors].max(axis=1)
        return errors[(-confidence).argsort(kind="stable")][:count]

    def reliability(self, bins: int = 15) -> pd.DataFrame:
        """Return confidence, accuracy and share of the images in `bins` equal-width bins of the
        predicted digit's probability; empty bins are left out (Guo et al. 2017, section 2)."""
        confidence = self.probabilities.max(axis=1)
        # The bins are (low, high], so a certain answer falls into the last one.
        bin_of = np.ceil(confidence * bins).clip(1, bins).astype(int) - 1
        table = pd.DataFrame({"confidence": confidence, "accuracy": self.correct})
        grouped = table.groupby(pd.Series(bin_of, name="bin"))
        return grouped.mean().assign(share=grouped.size() / len(table))

    @property
    def calibration_error(self) -> float:
        """The expected calibration error: the mean gap between confidence and accuracy, in [0, 1]
        (15 bins; Guo et al. 2017, equation 3)."""
        table = self.reliability()
        return float(((table["confidence"] - table["accuracy"]).abs() * table["share"]).sum())
