"""The figures of the lesson, as Figures that carry a text for readers who can't see them."""

import base64
import html
import io
import textwrap
from collections.abc import Sequence

import matplotlib.figure
import numpy as np
import pandas as pd
import torch
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from PIL import Image
from torch import nn

# Okabe and Ito's palette: told apart by colour-blind readers, too.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
INK = {"cmap": "gray_r", "vmin": 0}  # ink is black on white
WIDTH = 4.5  # inches: on a phone, 350 pixels, so that 10 points are 11 pixels high there


class Figure(matplotlib.figure.Figure):
    """A matplotlib Figure that notebooks display with an alternative text, `alt`."""

    alt = ""

    def __init__(self, height: float):
        super().__init__(figsize=(WIDTH, height), dpi=140, layout="constrained")

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, object]:
        drawn, png = io.BytesIO(), io.BytesIO()
        self.savefig(drawn, format="png")
        # 128 colours, which nobody sees, make a third of the bytes: notebooks keep each twice.
        Image.open(drawn).convert("RGB").quantize(128).save(png, "png", optimize=True)
        text, image = html.escape(self.alt), base64.b64encode(png.getvalue()).decode()
        # Notebooks show cells' metadata to no screen reader, so the text stands in the output.
        return {
            "text/html": f'<img alt="{text}" src="data:image/png;base64,{image}">',
            "image/png": image,
            "text/plain": self.alt,
        }


def signed(values: np.ndarray) -> dict[str, object]:
    """Return the colours of weights and responses: red above zero, blue below."""
    bound = max(float(np.abs(np.asarray(values)).max()), 1e-9)
    return {"cmap": "RdBu_r", "vmin": -bound, "vmax": bound}


def describe(figure: Figure, title: str, alt: str) -> Figure:
    """Give the figure its title, and its alternative text after it; return it."""
    figure.suptitle(textwrap.fill(title, 50), fontsize=11)
    figure.alt = f"{title}. {alt}"
    return figure


def _image(axis, image: np.ndarray, caption: str = "", **style) -> None:
    image = np.asarray(image)
    axis.axis("off")
    axis.imshow(image, **(style or (signed(image) if image.min() < 0 else INK)))
    axis.set_title(caption, fontsize=10)


def image_grid(images: Sequence, captions: Sequence[str], title: str) -> Figure:
    """Show images [N, H, W], each below its caption, five or six in a row: ink dark, or, where some
    values are negative, red above zero and blue below."""
    columns = 5 if len(images) % 5 == 0 else min(6, max(3, len(images)))
    rows = max(1, -(-len(images) // columns))
    lines = max([1, *(caption.count("\n") + 1 for caption in captions)])
    figure = Figure(0.6 + rows * (0.9 * WIDTH / columns + 0.19 * lines))
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, caption in zip(axes.flat, images, captions, strict=False):
        _image(axis, image, caption)
    if len(images) == 0:
        axes.flat[0].text(0, 0.5, "There are none.", transform=axes.flat[0].transAxes)
    listed = "; ".join(caption.replace("\n", ", ") for caption in captions)
    return describe(figure, title, f"A grid of {len(images)} images: {listed}")


def descent(curve: Sequence[tuple], steps: Sequence[tuple], title: str) -> Figure:
    """Show the loss along one weight, and steps of gradient descent on it: pairs (weight, loss)."""
    figure = Figure(3.2)
    axis = figure.subplots()
    axis.plot(*zip(*curve, strict=True), color=GREY)
    axis.plot(*zip(*steps, strict=True), color=ORANGE, marker="o", linewidth=1)
    axis.annotate("start", steps[0], (6, 6), textcoords="offset points", color=ORANGE)
    axis.set(xlabel="the weight", ylabel="loss (nats)")
    tidy(axis)
    listed = "; ".join(f"weight {weight:.2f}, loss {loss:.3f}" for weight, loss in steps)
    return describe(figure, title, f"A curve with steps on it: {listed}")


def convolution_step(image: torch.Tensor, kernel: torch.Tensor, row: int, column: int) -> Figure:
    """Show where a pixel of a feature map comes from: the patch of the image [H, W] that begins
    there, the kernel [K, K], their products, and the sum of these."""
    size = len(kernel)
    patch = image[row : row + size, column : column + size]
    products = patch * kernel + 0.0  # which makes 0 of -0
    figure = Figure(4.4)
    axes = figure.subplots(2, 2)
    _image(axes[0, 0], image, "image")
    axes[0, 0].add_patch(Rectangle((column - 0.5, row - 0.5), size, size, fill=False, ec=ORANGE))
    numbers = {"patch": patch, "kernel": kernel, "products": products}
    for axis, (name, values) in zip(axes.flat[1:], numbers.items(), strict=True):
        _image(axis, values, name)
        axis.images[0].set_alpha(0.5)  # so that the numbers can be read
        for (y, x), value in np.ndenumerate(np.asarray(values)):
            axis.text(x, y, f"{value:.2g}", ha="center", va="center")
    title = f"Products of patch and kernel: their sum {products.sum():.2f} is one pixel of the map"
    return describe(figure, title, "An image with a frame around a patch, and three tables.")


@torch.no_grad()
def network(layers: nn.Sequential, image: torch.Tensor) -> Figure:
    """Show what each layer makes of an image, float [1, 1, 28, 28], with its shape and weights."""
    shown = [("image", image.cpu(), 0)]
    for layer in layers:
        image = layer.eval()(image)
        count = sum(parameter.numel() for parameter in layer.parameters())
        shown.append((type(layer).__name__, image.float().cpu(), count))
    figure = Figure(0.5 + 0.55 * len(shown))
    grid = figure.add_gridspec(len(shown), 5, width_ratios=[1, 1, 1, 1, 4])
    for row, (name, values, count) in enumerate(shown):
        style = INK if name == "image" else signed(values)
        if values.ndim == 4:
            for column, each in enumerate(values[0, :4]):
                _image(figure.add_subplot(grid[row, column]), each, **style)
        else:  # a row of cells
            _image(figure.add_subplot(grid[row, :4]), values, aspect="auto", **style)
        shape = " x ".join(map(str, values.shape[1:]))
        text = f"{name}\n{shape}" + f", {count:,} weights" * (count > 0)
        axis = figure.add_subplot(grid[row, 4])
        axis.axis("off")
        axis.text(0, 0.5, text, va="center", transform=axis.transAxes)
    listed = "; ".join(f"{name} {list(values.shape[1:])}" for name, values, _ in shown)
    return describe(figure, "The layers, at most four maps of each, and the shapes", listed)


def training_curves(history: Sequence[dict], earlier: Sequence[dict] = ()) -> Figure:
    """Show the losses and the validation accuracy after each epoch; an earlier training is dashed.

    A row of the history has epoch and training_loss, and may have validation_loss and
    validation_accuracy."""
    figure = Figure(5)
    loss_axis, error_axis = figure.subplots(2, 1, sharex=True)
    for rows, style in (
        (pd.DataFrame(earlier), {"linestyle": "--", "linewidth": 1}),
        (pd.DataFrame(history), {"marker": "o", "markersize": 4}),
    ):
        for name, colour in {"training": BLUE, "validation": ORANGE}.items():
            if f"{name}_loss" in rows:
                _curve(loss_axis, rows["epoch"], rows[f"{name}_loss"], name, colour, **style)
        if "validation_accuracy" in rows:
            errors = (100 * (1 - rows["validation_accuracy"])).clip(lower=0.005)
            _curve(error_axis, rows["epoch"], errors, "validation", ORANGE, **style)
    loss_axis.set(ylabel="loss (nats)", yscale="log")
    error_axis.set(xlabel="epoch", ylabel="accuracy (%)", yscale="log")
    for axis in (loss_axis, error_axis):
        label_decades(axis.yaxis)
        tidy(axis)
    error_axis.invert_yaxis()
    error_axis.yaxis.set_major_formatter(lambda error, _: f"{100 - error:g}")
    error_axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    title = "Loss and accuracy, both on logarithmic scales"
    return describe(figure, title, "Two figures of curves by epoch.")


def ladder(study: pd.DataFrame, runs: dict[str, dict[str, float]], title: str) -> Figure:
    """Show each rung's validation error on a logarithmic axis: the study's mean with its interval,
    and the accuracies of other runs, by name and rung. All are in percent."""
    rungs = set(study.index).union(*runs.values())
    figure = Figure(1.3 + 0.4 * len(rungs))
    axis = figure.subplots()
    errors = 100 - study["validation_accuracy"]
    ends = study[["validation_high", "validation_low"]].sub(study["validation_accuracy"], axis=0)
    style = {"color": BLUE, "marker": "o", "linestyle": "", "capsize": 3, "label": "study"}
    style["xerr"] = ends.abs().fillna(0).T
    axis.errorbar(errors, errors.index, **style)
    marks = zip("sxd", (ORANGE, GREEN, GREY), strict=True)
    for (name, run), (mark, colour) in zip(runs.items(), marks, strict=False):
        style = {"linestyle": "", "markersize": 8, "fillstyle": "none", "label": name}
        style |= {"marker": mark, "color": colour}
        own = 100 - pd.Series(run, dtype=object).explode().dropna().astype(float)
        axis.plot(own.clip(lower=0.02), own.index, **style)
    axis.set(xlabel="validation error (%)", xscale="log")
    label_decades(axis.xaxis)
    axis.invert_yaxis()
    figure.legend(frameon=False, labelcolor="linecolor", loc="outside lower center", ncols=4)
    axis.margins(x=0.08, y=0.08)
    tidy(axis)
    listed = "; ".join(f"{rung} {error:.2f} %" for rung, error in errors.items())
    return describe(figure, title, f"Validation error of each rung on a logarithmic axis: {listed}")


def confusion_matrix(labels: torch.Tensor, predictions: torch.Tensor) -> Figure:
    """Show how often each label was classified as which digit: only the errors are shaded."""
    counts = torch.bincount(10 * labels + predictions, minlength=100).view(10, 10)
    errors = counts - counts.diag().diag()
    figure = Figure(4.9)
    axis = figure.subplots()
    axis.imshow(errors.numpy(), cmap="Oranges", vmin=0, vmax=max(1, 1.4 * errors.max()))
    for (label, prediction), count in np.ndenumerate(counts.numpy()):
        colour = GREY if label == prediction else "black"
        axis.text(prediction, label, count or "", color=colour, ha="center", va="center")
    axis.set(xticks=range(10), yticks=range(10), xlabel="prediction", ylabel="label")
    worst = errors.flatten().argsort(descending=True, stable=True)[:3].tolist()
    counted = [(i // 10, i % 10, count) for i in worst if (count := errors.flatten()[i].item())]
    named = ", ".join(f"{label} → {wrong} ({count})" for label, wrong, count in counted)
    title = f"Most frequent errors: {named or 'none'}"
    return describe(figure, title, "Confusion matrix of labels and predictions.")


def covered(image: torch.Tensor, changes: torch.Tensor, title: str) -> Figure:
    """Show an image [H, W], and how a probability changes where a part of it is covered [H, W]."""
    figure = Figure(2.8)
    left, right = figure.subplots(1, 2)
    _image(left, image, "image")
    _image(right, changes, "change when covered here", **signed(changes))
    right.contour(np.asarray(image), levels=[100], colors=GREY, linewidths=0.7)
    return describe(figure, title, "An image, and a map of red and blue places.")


def _curve(axis, x: pd.Series, y: pd.Series, name: str, colour: str, **style) -> None:
    axis.plot(x, y, color=colour, **style)
    end = x.iloc[-1], y.iloc[-1]
    axis.annotate(name, end, (8, 0), textcoords="offset points", va="center", color=colour)


def tidy(axis) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.25)


def label_decades(axis) -> None:
    """Label a logarithmic axis at 1, 2 and 5 in each decade, in plain numbers; more densely, as
    LogLocator does by itself, where it is short."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())
