"""The figures of the lesson; each function returns a matplotlib Figure and saves nothing."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter
from scipy.stats import beta
from torch import nn

from .data import Split, to_float
from .evaluation import Evaluation
from .model import device_of, evaluating

# Okabe and Ito's palette: told apart by colour-blind readers, too.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
WIDTH = 5.6  # inches: readable in a wide column, and on a phone
COLUMNS = 6  # images in a row


def image_grid(images: Sequence, captions: Sequence[str], title: str) -> Figure:
    """Show images [N, H, W], each below its caption, ink dark, six in a row (fewer: larger)."""
    columns = min(COLUMNS, max(3, len(images)))
    rows = max(1, -(-len(images) // columns))
    lines = max([1, *(caption.count("\n") + 1 for caption in captions)])
    height = 0.5 + rows * (0.88 * WIDTH / columns + 0.19 * lines)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, caption in zip(axes.flat, images, captions, strict=False):
        axis.imshow(np.asarray(image), cmap="gray_r", vmin=0)
        axis.set_title(caption, fontsize=11)
    if len(images) == 0:
        _say(axes.flat[0], "There are none.")
    figure.suptitle(title)
    return figure


def sample_digits(split: Split) -> Figure:
    """Show the first three images of each digit in the split."""
    first = [(split.labels == digit).nonzero()[:3, 0] for digit in range(10)]
    indices = torch.cat(first)
    captions = [str(digit) for digit in split.labels[indices].tolist()]
    return image_grid(split.images[indices], captions, "The first three images of each digit")


def training_curves(history: Sequence[dict], earlier: Sequence[dict] = ()) -> Figure:
    """Show loss and accuracy over the epochs, for the training and the validation split; those of
    an earlier training are dashed."""
    figure = Figure(figsize=(WIDTH, 5.6), layout="constrained")
    loss_axis, accuracy_axis = figure.subplots(2, 1, sharex=True)
    if not history:
        _say(loss_axis, "No epoch has been finished yet.")
    drawn = [(history, "", {"marker": "o", "markersize": 4})]
    if earlier:
        drawn.append((earlier, "earlier ", {"linestyle": "--", "linewidth": 1}))
    for rows, which, style in drawn:
        epochs = [row["epoch"] for row in rows]
        for name, colour in {"training": BLUE, "validation": ORANGE}.items():
            losses = [row[f"{name}_loss"] for row in rows]
            accuracies = [100 * row[f"{name}_accuracy"] for row in rows]
            for axis, values in ((loss_axis, losses), (accuracy_axis, accuracies)):
                axis.plot(epochs, values, color=colour, label=which + name, **style)
    if history:
        loss_axis.set_yscale("log")
        label_decades(loss_axis.yaxis)
        loss_axis.legend(frameon=False, labelcolor="linecolor", handlelength=2)
    loss_axis.set(title="Loss", ylabel="cross-entropy (nats)")
    accuracy_axis.set(title="Accuracy", xlabel="epoch", ylabel="accuracy (%)")
    accuracy_axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    tidy(loss_axis)
    tidy(accuracy_axis)
    return figure


def confusion_matrix(evaluation: Evaluation) -> Figure:
    """Show how often each digit was classified as which: only the errors are shaded."""
    counts = evaluation.confusion_matrix()
    errors = np.where(np.eye(10, dtype=bool), 0, counts)
    figure = Figure(figsize=(WIDTH, WIDTH), layout="constrained")
    axis = figure.subplots()
    axis.imshow(errors, cmap="Oranges", vmin=0, vmax=max(1, 1.4 * errors.max()))
    for label, prediction in np.ndindex(10, 10):
        if count := counts[label, prediction]:
            colour = GREY if label == prediction else "black"
            style = {"color": colour, "ha": "center", "va": "center", "fontsize": 11}
            axis.text(prediction, label, count, **style)
    axis.set(xticks=range(10), yticks=range(10), xlabel="prediction", ylabel="true digit")
    pairs = evaluation.confused_pairs(3).itertuples()
    named = ", ".join(f"{row.label} → {row.prediction} ({row.images})" for row in pairs)
    axis.set_title(f"Most frequent errors: {named or 'none'}")
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    return figure


def predictions(split: Split, evaluation: Evaluation, indices: Sequence[int], title: str) -> Figure:
    """Show images with the label, the prediction and the prediction's probability."""
    captions = []
    for index in indices:
        label, prediction = evaluation.labels[index], evaluation.predictions[index]
        probability = 100 * evaluation.probabilities[index, prediction]
        captions.append(f"{label} → {prediction}\n{probability:.0f} %")
    return image_grid(split.images[list(indices)], captions, title)


def reliability_diagram(evaluation: Evaluation) -> Figure:
    """Show how often predictions of a given probability are right, with 95 % intervals (Clopper and
    Pearson 1934), above the number of predictions that have it."""
    table = evaluation.reliability()
    images = (table["share"] * len(evaluation.labels)).round()
    right = table["accuracy"] * images
    low = np.nan_to_num(beta.ppf(0.025, right, images - right + 1), nan=0.0)
    high = np.nan_to_num(beta.ppf(0.975, right + 1, images - right), nan=1.0)
    spread = np.abs([table["accuracy"] - low, high - table["accuracy"]])
    figure = Figure(figsize=(WIDTH, 5.6), layout="constrained")
    axis, counts_axis = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
    axis.text(1, 0.03, "dashed: as often right as stated", color=GREY, ha="right")
    style = {"color": BLUE, "marker": "o", "linestyle": "", "capsize": 3}
    axis.errorbar(table["confidence"], table["accuracy"], yerr=spread, **style)
    axis.set(xlim=(0, 1.03), ylim=(0, 1.03), ylabel="share of right predictions")
    axis.set_title(f"Expected calibration error: {100 * evaluation.calibration_error:.2f} %")
    counts_axis.bar(table["confidence"], images, width=0.04, color=BLUE)
    counts_axis.set(yscale="log", ylim=(0.5, None), ylabel="images")
    counts_axis.set_xlabel("probability of the prediction")
    tidy(axis)
    tidy(counts_axis)
    return figure


def filters(model: nn.Module, image: torch.Tensor) -> Figure:
    """Show the first twelve kernels of the network's first convolution, blue for negative and red
    for positive weights, and below each its response to an image, uint8 [28, 28]."""
    convolution = next((each for each in model.modules() if isinstance(each, nn.Conv2d)), None)
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    axes = figure.subplots(4, COLUMNS)
    for axis in axes.flat:
        axis.axis("off")
    figure.suptitle("Kernels of the first convolution, and their responses")
    if convolution is None:
        _say(axes.flat[0], "This network has no convolution.")
        return figure
    outputs = []
    hook = convolution.register_forward_hook(lambda layer, inputs, output: outputs.append(output))
    with evaluating(model):
        model(to_float(image[None].to(device_of(model))))
    hook.remove()
    kernels = convolution.weight.detach().float().cpu()[:, 0].numpy()
    maps = outputs[0][0].float().cpu().numpy()
    for number, (kernel, response) in enumerate(zip(kernels[:12], maps[:12], strict=True)):
        row, column = 2 * (number // COLUMNS), number % COLUMNS
        for axis, values in ((axes[row, column], kernel), (axes[row + 1, column], response)):
            bound = np.abs(values).max()
            axis.imshow(values, cmap="RdBu_r", vmin=-bound, vmax=bound)
    return figure


def _say(axis, text: str) -> None:
    axis.text(0, 0.5, text, transform=axis.transAxes, fontsize=11, color=GREY)


def tidy(axis) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.25)


def label_decades(axis) -> None:
    """Label a logarithmic axis at 1, 2 and 5 in each decade, without powers of ten."""
    low, high = axis.get_view_interval()
    ticks = [step * 10.0**power for power in range(-4, 3) for step in (1, 2, 5)]
    axis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())
