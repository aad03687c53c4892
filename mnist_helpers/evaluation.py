"""What a classifier is worth: accuracy with its interval, confusion, calibration."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn import metrics

from .data import Split
from .model import DigitClassifier


@dataclass(frozen=True)
class Evaluation:
    """The answers of a classifier to a split: `labels` [N] and `probabilities` [N, 10]."""

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

    @property
    def loss(self) -> float:
        """The mean cross-entropy per image, in nats."""
        of_the_truth = self.probabilities[np.arange(len(self.labels)), self.labels]
        return float(-np.log(of_the_truth).mean())

    def confusion_matrix(self) -> np.ndarray:
        """Return how often each label (row) was read as each digit (column), [10, 10]."""
        return metrics.confusion_matrix(self.labels, self.predictions, labels=range(10))

    def report(self) -> pd.DataFrame:
        """Return precision, recall, F1 and number of images for each digit."""
        columns = ["precision", "recall", "F1", "images"]
        values = metrics.precision_recall_fscore_support(
            self.labels, self.predictions, labels=range(10), zero_division=0
        )
        return pd.DataFrame(dict(zip(columns, values, strict=True))).rename_axis("digit")

    def worst_errors(self, count: int) -> np.ndarray:
        """Return the indices of the `count` errors that gave the true digit least probability."""
        errors = np.flatnonzero(~self.correct)
        of_the_truth = self.probabilities[errors, self.labels[errors]]
        return errors[of_the_truth.argsort(kind="stable")][:count]

    def reliability(self, bins: int = 15) -> pd.DataFrame:
        """Return confidence, accuracy and share of the images in `bins` equal-width bins of the
        predicted digit's probability; empty bins are left out (Guo et al. 2017, section 2)."""
        confidence = self.probabilities.max(axis=1)
        # The intervals are (low, high], so a certain answer falls into the last one.
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


def evaluate(model: DigitClassifier, split: Split) -> Evaluation:
    """Let the model answer the whole split, in evaluation mode."""
    # Softmax in float64: in float32, small probabilities would be rounded to steps of 6e-8.
    probabilities = model.predict_logits(split.images).double().softmax(dim=1)
    return Evaluation(split.labels.cpu().numpy(), probabilities.cpu().numpy())
