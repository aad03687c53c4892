"""The figures of the lesson, as Figures that carry a text for readers who can't see them."""

import base64
import html
import io
from collections.abc import Sequence

import matplotlib.figure
import numpy as np
import pandas as pd
import torch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter
from torch import nn
from torch.utils.data import TensorDataset

from .evaluation import predict_logits

# Okabe and Ito's palette: told apart by colour-blind readers, too.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
WIDTH = 6.4  # inches: readable in a wide column, and on a phone


class Figure(matplotlib.figure.Figure):
    """A matplotlib Figure that notebooks display with an alternative text, `alt`."""

    alt = ""

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, object]:
        png = io.BytesIO()
        self.savefig(png, format="png")
        text, image = html.escape(self.alt), base64.b64encode(png.getvalue()).decode()
        # Notebooks show cells' metadata to no screen reader, so the text stands in the output.
        return {
            "text/html": f'<img alt="{text}" src="data:image/png;base64,{image}">',
            "image/png": image,
            "text/plain": self.alt,
        }


def with_alt(figure: Figure, alt: str) -> Figure:
    """Give the figure its alternative text, and return it."""
    figure.alt = alt
    return figure


def image_grid(images: Sequence, captions: Sequence[str], title: str) -> Figure:
    """Show images [N, H, W], ink dark, each below its caption, six in a row (ten: five)."""
    columns = 5 if len(images) == 10 else min(6, max(3, len(images)))
    rows = max(1, -(-len(images) // columns))
    lines = max([1, *(caption.count("\n") + 1 for caption in captions)])
    height = 0.5 + rows * (0.88 * WIDTH / columns + 0.19 * lines)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, caption in zip(axes.flat, images, captions, strict=False):
        axis.imshow(np.asarray(image), cmap="gray_r", vmin=0)
        axis.set_title(caption, fontsize=12)
    if len(images) == 0:
        _say(axes.flat[0], "There are none.")
    figure.suptitle(title)
    listed = "; ".join(caption.replace("\n", ", ") for caption in captions)
    return with_alt(figure, f"{title}. A grid of {len(images)} images: {listed}")


def sample_digits(dataset: TensorDataset) -> Figure:
    """Show the first three images of each label."""
    images, labels = dataset.tensors
    first = torch.cat([(labels == digit).nonzero()[:3, 0] for digit in range(10)])
    captions = [str(label) for label in labels[first].tolist()]
    return image_grid(images[first, 0], captions, "The first three images of each label")


def predictions(
    dataset: TensorDataset, probabilities: torch.Tensor, indices: Sequence[int], title: str
) -> Figure:
    """Show images with "label → prediction" and the prediction's probability, from [N, 10]."""
    images, labels = dataset.tensors
    indices = [int(index) for index in indices]
    captions = [
        f"{labels[i]} → {probabilities[i].argmax()}\n{100 * probabilities[i].max():.0f} %"
        for i in indices
    ]
    return image_grid(images[indices, 0], captions, title)


def convolutions(rows: Sequence[tuple], title: str) -> Figure:
    """Show rows of image, kernel and response, each [H, W]: red is positive, blue negative."""
    figure = Figure(figsize=(WIDTH, 0.5 + 2.1 * max(1, len(rows))), layout="constrained")
    axes = figure.subplots(max(1, len(rows)), 3, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for row, values in zip(axes, rows, strict=False):
        for axis, value, name in zip(row, values, ("image", "kernel", "response"), strict=True):
            value = np.asarray(value)
            bound = max(np.abs(value).max(), 1e-9)
            axis.imshow(value, cmap="RdBu_r", vmin=-bound, vmax=bound)
            axis.set_title(f"{name} {value.shape[0]} x {value.shape[1]}", fontsize=12)
    if not len(rows):
        _say(axes[0, 0], "This network has no convolution.")
    figure.suptitle(title)
    return with_alt(figure, f"{title}. {len(rows)} rows of an image, a kernel and its response.")


def first_convolution(model: nn.Module, image: torch.Tensor, kernels: Sequence[int]) -> Figure:
    """Show kernels of the network's first convolution with its input and their responses to a
    uint8 image [1, 28, 28]."""
    rows = []

    def note(layer, inputs, output):
        images, responses = inputs[0][0].float().cpu(), output[0].float().cpu()
        weights = layer.weight.detach().float().cpu()
        rows.extend((images[0], weights[i, 0], responses[i]) for i in kernels if i < len(weights))

    convolution = next((layer for layer in model.modules() if isinstance(layer, nn.Conv2d)), None)
    if convolution:
        with convolution.register_forward_hook(note):  # and without it afterwards
            predict_logits(model, image)
    return convolutions(rows, "Kernels of the first convolution, and their responses")


def training_curves(history: Sequence[dict], earlier: Sequence[dict] = ()) -> Figure:
    """Show the losses and the validation accuracy after each epoch; an earlier training is dashed.

    A row of the history has epoch, training_loss and, where there was a validation set,
    validation_loss and validation_accuracy."""
    figure = Figure(figsize=(WIDTH, 6), layout="constrained")
    loss_axis, error_axis = figure.subplots(2, 1, sharex=True)
    for rows, style in (
        (pd.DataFrame(earlier), {"linestyle": "--", "linewidth": 1}),
        (pd.DataFrame(history), {"marker": "o", "markersize": 4}),
    ):
        if rows.empty:
            continue
        curves = [(loss_axis, "training", BLUE, rows["training_loss"])]
        if "validation_loss" in rows:
            errors = (100 * (1 - rows["validation_accuracy"])).clip(lower=0.005)
            curves.append((loss_axis, "validation", ORANGE, rows["validation_loss"]))
            curves.append((error_axis, "validation", ORANGE, errors))
        for axis, name, colour, values in curves:
            axis.plot(rows["epoch"], values, color=colour, **style)
            _label_end(axis, rows["epoch"], values, name, colour)
    for axis in (loss_axis, error_axis):
        axis.set_yscale("log")
        _label_decades(axis.yaxis)
        tidy(axis)
    error_axis.invert_yaxis()
    error_axis.yaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{100 - error:g}"))
    loss_axis.set(title="Loss", ylabel="cross-entropy (nats)")
    error_axis.set(title="Accuracy, on a logarithmic scale of the error")
    error_axis.set(xlabel="epoch", ylabel="accuracy (%)")
    error_axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    accuracies = [row["validation_accuracy"] for row in history if "validation_accuracy" in row]
    end = f"It ends at {100 * accuracies[-1]:.2f} %." if accuracies else ""
    return with_alt(figure, f"Losses and validation accuracy by epoch. {end}")


def ladder(study: pd.DataFrame, this_run: dict[str, float]) -> Figure:
    """Show each rung's validation error on a logarithmic axis: the study's mean with its interval,
    and this run's. `study` has accuracies in percent, `this_run` in [0, 1], by rung."""
    figure = Figure(figsize=(WIDTH, 0.9 + 0.42 * len(study)), layout="constrained")
    axis = figure.subplots()
    places = {rung: -place for place, rung in enumerate(study.index)}
    errors = 100 - study["validation_accuracy"]
    spread = [study["validation_high"] - study["validation_accuracy"]]
    spread.append(study["validation_accuracy"] - study["validation_low"])
    style = {"color": BLUE, "marker": "o", "linestyle": "", "capsize": 3, "label": "study"}
    axis.errorbar(errors, list(places.values()), xerr=np.nan_to_num(spread), **style)
    for rung, error in errors.items():
        style = {"textcoords": "offset points", "xytext": (0, 5), "ha": "center", "color": BLUE}
        axis.annotate(f"{error:.2f}", (error, places[rung]), **style)
    runs = [rung for rung in this_run if rung in places]
    own = [max(0.01, 100 * (1 - this_run[rung])) for rung in runs]
    style = {"markerfacecolor": "none", "markersize": 11, "marker": "s", "linestyle": ""}
    style["label"] = "this run"
    axis.plot(own, [places[rung] for rung in runs], color=ORANGE, **style)
    axis.set_xscale("log")
    _label_decades(axis.xaxis)
    axis.set(xlabel="validation error (%)", yticks=list(places.values()))
    axis.set_yticklabels(list(places))
    axis.legend(frameon=False, labelcolor="linecolor", loc="lower right")
    axis.margins(x=0.08, y=0.08)
    tidy(axis)
    listed = "; ".join(f"{rung} {error:.2f} %" for rung, error in errors.items())
    return with_alt(figure, f"Validation error of each rung, on a logarithmic axis: {listed}")


def confusion_matrix(labels: Sequence[int], predictions: Sequence[int]) -> Figure:
    """Show how often each label was classified as which digit: only the errors are shaded."""
    counts = np.zeros((10, 10), dtype=int)
    np.add.at(counts, (np.asarray(labels), np.asarray(predictions)), 1)
    errors = np.where(np.eye(10, dtype=bool), 0, counts)
    figure = Figure(figsize=(WIDTH, WIDTH), layout="constrained")
    axis = figure.subplots()
    axis.imshow(errors, cmap="Oranges", vmin=0, vmax=max(1, 1.4 * errors.max()))
    for label, prediction in np.ndindex(10, 10):
        if count := counts[label, prediction]:
            colour = GREY if label == prediction else "black"
            axis.text(prediction, label, count, color=colour, ha="center", va="center")
    axis.set(xticks=range(10), yticks=range(10), xlabel="prediction", ylabel="label")
    worst = sorted((-errors[pair], *pair) for pair in np.ndindex(10, 10) if errors[pair])[:3]
    named = ", ".join(f"{label} → {wrong} ({-count})" for count, label, wrong in worst) or "none"
    axis.set_title(f"Most frequent errors: {named}")
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    return with_alt(
        figure, f"Confusion matrix of labels and predictions. Most frequent errors: {named}"
    )


def coverage(labels: torch.Tensor, probabilities: torch.Tensor) -> Figure:
    """Show the error among the images that are left when the least certain are refused."""
    certainty, predicted = probabilities.max(dim=1)
    wrong = (predicted != labels)[certainty.argsort(descending=True, stable=True)].double()
    errors = 100 * wrong.cumsum(0) / torch.arange(1, len(wrong) + 1)  # of the first 1, 2, ...
    refused = 100 * (1 - torch.arange(1, len(wrong) + 1) / len(wrong))
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    axis = figure.subplots()
    shown = refused <= 10
    axis.plot(refused[shown], errors[shown], color=BLUE)
    kept = max(1, round(0.99 * len(wrong)))
    axis.plot([1], [errors[kept - 1]], color=ORANGE, marker="o")
    axis.set(xlabel="refused: the least certain (%)", ylabel="error among the rest (%)")
    axis.set_ylim(bottom=0)
    title = f"Refuse 1 %, and the error falls from {errors[-1]:.2f} to {errors[kept - 1]:.2f} %"
    axis.set_title(title)
    tidy(axis)
    return with_alt(figure, f"Error against the share of images that are refused. {title}.")


def weight_images(weights: torch.Tensor, title: str) -> Figure:
    """Show the weights [10, 784] of each digit as an image: red is positive, blue negative."""
    figure = Figure(figsize=(WIDTH, 3.3), layout="constrained")
    values = weights.detach().float().cpu().view(10, 28, 28).numpy()
    bound = np.abs(values).max()
    for digit, axis in enumerate(figure.subplots(2, 5).flat):
        axis.imshow(values[digit], cmap="RdBu_r", vmin=-bound, vmax=bound)
        axis.set_title(str(digit), fontsize=12)
        axis.axis("off")
    figure.suptitle(title)
    return with_alt(figure, f"{title}. The weights of each digit as an image of 28 x 28.")


def _say(axis, text: str) -> None:
    axis.text(0, 0.5, text, transform=axis.transAxes, fontsize=11, color=GREY)


def _label_end(axis, x: pd.Series, y: pd.Series, name: str, colour: str) -> None:
    place = {"textcoords": "offset points", "xytext": (8, 0), "va": "center"}
    axis.annotate(name, (x.iloc[-1], y.iloc[-1]), color=colour, **place)


def tidy(axis) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.25)


def _label_decades(axis) -> None:
    """Label a logarithmic axis at 1, 2 and 5 in each decade, or more densely where it is short, in
    plain numbers."""
    low, high = sorted(axis.get_view_interval())
    for steps in ((1, 2, 5), range(1, 10), np.linspace(1, 9.9, 90)):
        ticks = [step * 10.0**power for power in range(-5, 3) for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) > 1:
            break
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())
