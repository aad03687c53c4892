"""The figures of one training; each function returns a matplotlib Figure and saves nothing.

Those of the tables in results/ are in charts.py.
"""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter

from .data import Split
from .evaluation import Evaluation
from .training import EpochResult

# Okabe and Ito's palette: told apart by colour-blind readers, too.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
WIDTH = 9.0  # inches: 900 px wide at the notebook's 100 dpi


def sample_grid(split: Split, *, columns: int = 12) -> Figure:
    """Show the first `columns` images of each digit in the split, a row for each digit."""
    figure, axes = _image_grid(10, columns, height=7.2)
    for digit, row in enumerate(axes):
        for axis, image in zip(row, split.images[split.labels == digit], strict=False):
            _show_image(axis, image)
        row[0].set_ylabel(digit, rotation=0, fontsize=13, labelpad=14, va="center")
    figure.suptitle(f"The first {columns} training images of each digit")
    return figure


def mean_digits(split: Split) -> Figure:
    """Show the mean and the standard deviation of the images of each digit."""
    figure, axes = _image_grid(2, 10, height=2.4)
    for digit in range(10):
        images = split.images[split.labels == digit].float()
        axes[0, digit].set_title(digit)
        _show_image(axes[0, digit], images.mean(dim=0))
        _show_image(axes[1, digit], images.std(dim=0))
    axes[0, 0].set_ylabel("mean")
    axes[1, 0].set_ylabel("standard\ndeviation")
    figure.suptitle("What the images of a digit have in common, and where they differ")
    return figure


def distortion_grid(image: torch.Tensor, distorted: torch.Tensor) -> Figure:
    """Show an image [28, 28] beside distorted versions of it, [N, 28, 28], in rows of 12."""
    rows = -(-len(distorted) // 11)
    figure, axes = _image_grid(rows, 12, height=0.6 + 0.8 * rows)
    for axis in axes.flat:
        axis.axis("off")
    _show_image(axes[0, 0], image)
    axes[0, 0].set_title("original", fontsize=9)
    for axis, version in zip(axes[:, 1:].flat, distorted, strict=False):
        _show_image(axis, version)
    figure.suptitle("One training image, as the network meets it in different epochs")
    return figure


def training_curves(history: Sequence[EpochResult]) -> Figure:
    """Show loss and accuracy over the epochs, for the training and the validation split."""
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    loss_axis, accuracy_axis = figure.subplots(1, 2)
    epochs = [result.epoch for result in history]
    for name, colour in {"training": BLUE, "validation": ORANGE}.items():
        losses = [getattr(result, f"{name}_loss") for result in history]
        accuracies = [100 * getattr(result, f"{name}_accuracy") for result in history]
        for axis, values in ((loss_axis, losses), (accuracy_axis, accuracies)):
            axis.plot(epochs, values, color=colour, marker="o", markersize=4, label=name)
    _label_ends(loss_axis)
    _label_ends(accuracy_axis)
    loss_axis.set(title="Loss", xlabel="epoch", ylabel="cross-entropy per image (nats)")
    loss_axis.set_yscale("log")
    label_decades(loss_axis.yaxis)
    accuracy_axis.set(title="Accuracy", xlabel="epoch", ylabel="accuracy (%)")
    for axis in (loss_axis, accuracy_axis):
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        tidy(axis)
    return figure


def confusion_matrix(evaluation: Evaluation) -> Figure:
    """Show which digit was read as which: errors shaded, right answers only counted."""
    counts = evaluation.confusion_matrix()
    errors = np.where(np.eye(10, dtype=bool), 0, counts)
    figure = Figure(figsize=(6.2, 6.2), layout="constrained")
    axis = figure.subplots()
    axis.imshow(errors, cmap="Oranges", vmin=0, vmax=max(1, 1.4 * errors.max()))
    for label, answer in np.ndindex(10, 10):
        if counts[label, answer]:
            colour = GREY if label == answer else "black"
            axis.text(answer, label, counts[label, answer], ha="center", va="center", color=colour)
    axis.set(xticks=range(10), yticks=range(10), xlabel="the network's answer", ylabel="true digit")
    axis.set_title("Answers on the test images (errors shaded)")
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    return figure


def answers(split: Split, evaluation: Evaluation, indices: Sequence[int], title: str) -> Figure:
    """Show images with their label, the network's answer, and the answer's probability."""
    rows = -(-len(indices) // 8)
    figure, axes = _image_grid(rows, 8, height=0.3 + 1.45 * rows)
    for axis in axes.flat:
        axis.axis("off")
    for axis, index in zip(axes.flat, indices, strict=False):
        label, answer = evaluation.labels[index], evaluation.predictions[index]
        probability = evaluation.probabilities[index, answer]
        _show_image(axis, split.images[index])
        axis.set_title(f"{label} read as {answer}\nat {100 * probability:.1f} %", fontsize=9)
    figure.suptitle(title)
    return figure


def reliability_diagram(evaluation: Evaluation) -> Figure:
    """Show how often answers of a given probability are right, above how many answers have it."""
    table = evaluation.reliability()
    figure = Figure(figsize=(6.2, 5.4), layout="constrained")
    axis, counts_axis = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
    axis.annotate("perfect calibration", (0.28, 0.31), color=GREY, rotation=34, ha="center")
    axis.plot(table["confidence"], table["accuracy"], color=BLUE, marker="o")
    axis.set(xlim=(0, 1), ylim=(0, 1.03), ylabel="share of right answers")
    error = 100 * evaluation.calibration_error
    axis.set_title(f"Reliability on the test images: expected calibration error {error:.2f} %")
    counts = table["share"] * len(evaluation.labels)
    counts_axis.bar(table["confidence"], counts, width=0.03, color=BLUE)
    counts_axis.set(yscale="log", ylabel="images", xlabel="probability of the answer (15 bins)")
    tidy(axis)
    tidy(counts_axis)
    return figure


def _image_grid(rows: int, columns: int, *, height: float):
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    return figure, axes


def _show_image(axis, image: torch.Tensor) -> None:
    axis.imshow(image.cpu().numpy(), cmap="gray_r", vmin=0)


def _label_ends(axis) -> None:
    """Write each line's name at its end, the higher one's above: read at once, without a legend."""
    lines = sorted(axis.lines, key=lambda line: line.get_ydata()[-1])
    for line, place in zip(lines, ("top", "bottom"), strict=True):
        axis.annotate(
            line.get_label(),
            (line.get_xdata()[-1], line.get_ydata()[-1]),
            xytext=(8, 0),
            textcoords="offset points",
            color=line.get_color(),
            va=place,
            annotation_clip=False,
        )


def tidy(axis) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.25)


def label_decades(axis) -> None:
    """Label a logarithmic axis at 1, 2 and 5 in each decade, without powers of ten."""
    low, high = axis.get_view_interval()
    ticks = [step * 10.0**power for power in range(-3, 3) for step in (1, 2, 5)]
    axis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())
