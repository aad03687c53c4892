"""The figures of the tables in results/: many trainings, the search, damaged images, speed."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter
from scipy import stats

from .plots import BLUE, GREY, ORANGE, WIDTH, label_decades, tidy

# How many training images the study's variants were shown.
TRAINING_IMAGES = {
    1_000: "1,000 images",
    6_000: "6,000 images",
    20_000: "20,000 images",
    60_000: "final",
}


def summarise(study: pd.DataFrame) -> pd.DataFrame:
    """Return for each variant of the study the mean test accuracy in percent, the half width of its
    95 % interval over the seeds (Student's t; NaN for one seed), and the number of seeds."""
    accuracy = study.groupby("variant")["test_accuracy"]
    seeds = accuracy.size()
    half_width = accuracy.sem() * stats.t.ppf(0.975, (seeds - 1).clip(lower=1))
    return pd.DataFrame({"mean": accuracy.mean(), "half width": half_width, "seeds": seeds})


def variants(study: pd.DataFrame) -> Figure:
    """Show every variant's test error, a small dot for each seed, and mean with 95 % interval;
    sorted, with the final recipe as a line."""
    summary = summarise(study)
    labels = summary["mean"].map("{:.2f} %".format)
    summary = summary.assign(mean=100 - summary["mean"])
    figure = _compare(100 - study.set_index("variant")["test_accuracy"], summary, labels)
    (axis,) = figure.axes
    axis.set(xscale="log", xlabel="test error (%)")
    label_decades(axis.xaxis)
    axis.set_title(
        "Variants of the recipe (seeds): test error of each seed, mean and 95 % interval"
    )
    return figure


def summarise_search(trials: pd.DataFrame) -> pd.DataFrame:
    """Return for each change of the recipe ("final" for none) the mean validation loss, the half
    width of its 95 % interval, the mean validation accuracy in percent, and the number of networks.

    The intervals (Student's t) rest on the spread between seeds that all changes have in common:
    two or three networks alone would say little of it. `beyond chance` is whether the loss differs
    from the final recipe's by more than that spread explains.
    """
    changes = trials.groupby(_name_changes(trials))
    loss, networks = changes["validation_loss"], changes.size()
    freedom = (networks - 1).sum()
    spread = np.sqrt((loss.var() * (networks - 1)).sum() / freedom)
    bound = spread * stats.t.ppf(0.975, freedom)
    difference = (loss.mean() - loss.mean()["final"]).abs()
    table = {
        "mean": loss.mean(),
        "half width": bound / np.sqrt(networks),
        "accuracy": changes["validation_accuracy"].mean(),
        "networks": networks,
        "beyond chance": difference > bound * np.sqrt(1 / networks + 1 / networks["final"]),
    }
    return pd.DataFrame(table)


def search(trials: pd.DataFrame) -> Figure:
    """Show the validation loss with every change of which there are at least three networks: a
    dot for each network, mean with 95 % interval, and mean accuracy; sorted."""
    summary = summarise_search(trials)
    summary = summary[summary["networks"] >= 3]
    losses = trials.set_index(_name_changes(trials))["validation_loss"]
    figure = _compare(losses, summary, summary["accuracy"].map("{:.2f} %".format))
    (axis,) = figure.axes
    axis.set_xlabel("validation loss (nats)")
    axis.set_title("Changes of the recipe (networks): validation loss, 95 % interval, accuracy")
    return figure


def _name_changes(trials: pd.DataFrame) -> pd.Series:
    return trials["change"].replace("none", "final")


def _compare(values: pd.Series, summary: pd.DataFrame, labels: pd.Series) -> Figure:
    """Draw a row for each line of the summary, the lowest mean on top: its values as small dots,
    with their number, its mean with interval, its label at the right; and the final recipe's mean
    as a line."""
    summary = summary.sort_values("mean", ascending=False)
    figure = Figure(figsize=(WIDTH, 0.9 + 0.33 * len(summary)), layout="constrained")
    axis = figure.subplots()
    axis.axvline(summary.loc["final", "mean"], color=BLUE, linewidth=1, linestyle="--")
    names = []
    for row, (name, line) in enumerate(summary.iterrows()):
        dots = values[values.index == name]
        names.append(f"{name} ({len(dots)})")
        axis.plot(dots, [row] * len(dots), "o", color=GREY, markersize=3, alpha=0.5)
        colour = BLUE if name == "final" else ORANGE
        style = {"color": colour, "marker": "o", "capsize": 3}
        axis.errorbar(line["mean"], row, xerr=line["half width"], **style)
        place = {"xycoords": ("axes fraction", "data"), "va": "center"}
        axis.annotate(labels[name], (1.01, row), **place)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(-0.6, len(names) - 0.4)
    tidy(axis)
    return figure


def learning_curves(study: pd.DataFrame) -> Figure:
    """Show test error against the number of training images, and against that of epochs."""
    summary = summarise(study)
    epochs = {1: "1 epoch", 3: "3 epochs", 10: "final"}
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    panels = [(TRAINING_IMAGES, "training images"), (epochs, "epochs")]
    for axis, (points, label) in zip(axes, panels, strict=True):
        lines = summary.reindex(points.values())
        style = {"color": BLUE, "marker": "o", "capsize": 3}
        axis.errorbar(list(points), 100 - lines["mean"], yerr=lines["half width"], **style)
        for place, mean in zip(points, lines["mean"], strict=True):
            offset = {"xytext": (4, 5), "textcoords": "offset points", "fontsize": 9}
            axis.annotate(f"{mean:.2f} %", (place, 100 - mean), **offset)
        axis.set(xscale="log", yscale="log", xlabel=label)
        axis.xaxis.set_major_locator(FixedLocator(list(points)))
        axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.margins(x=0.15)
        tidy(axis)
    axes[0].set_ylabel("test error (%)")
    label_decades(axes[0].yaxis)
    figure.suptitle("More images, or more epochs: mean test error with 95 % interval, and accuracy")
    return figure


def speed(table: pd.DataFrame) -> Figure:
    """Show how many times as fast as the usual idiom each contender trains: median and range of the
    rounds' ratios, with the processor's limit as a line."""
    speeds = table.pivot(index="round", columns="contender", values="images_per_second")
    ratios = speeds.div(speeds["idiom"], axis=0)
    names = {
        "ours": "this project",
        "tensor_dataset": "TensorDataset",
        "idiom_2_workers": "usual idiom, 2 workers",
        "idiom": "usual idiom",
    }
    figure = Figure(figsize=(WIDTH, 2.4), layout="constrained")
    axis = figure.subplots()
    for row, name in enumerate(reversed(names)):
        ratio, colour = ratios[name], BLUE if name == "ours" else GREY
        spread = [[ratio.median() - ratio.min()], [ratio.max() - ratio.median()]]
        axis.barh(row, ratio.median(), color=colour, height=0.6, xerr=spread, capsize=3)
        axis.annotate(f" {ratio.median():.1f}x", (ratio.max(), row), va="center")
    limit = ratios["limit"].median()
    axis.axvline(limit, color=ORANGE, linewidth=1.5)
    text = f"the processor's limit, {limit:.1f}x "
    axis.annotate(text, (limit, 0), color=ORANGE, ha="right", va="center")
    axis.set_yticks(range(len(names)), list(reversed(names.values())))
    axis.set(xlabel="images per second in training, as a multiple of the usual idiom's")
    tidy(axis)
    return figure


def robustness(table: pd.DataFrame) -> Figure:
    """Show accuracy against the strength of each damage, a line for each classifier."""
    damages = table["damage"].unique()
    figure = Figure(figsize=(WIDTH, 6.6), layout="constrained")
    axes = figure.subplots(3, -(-len(damages) // 3), sharey=True, squeeze=False)
    for axis in axes.flat[len(damages) :]:
        axis.axis("off")
    for axis, damage in zip(axes.flat, damages, strict=False):
        rows = table[table["damage"] == damage]
        for (name, line), colour in zip(rows.groupby("variant"), (BLUE, ORANGE), strict=True):
            style = {"color": colour, "marker": "o", "markersize": 3, "label": name}
            axis.plot(line["strength"], line["accuracy"], **style)
        axis.set(title=damage, xlabel=rows["unit"].iloc[0], ylim=(0, 103))
        tidy(axis)
    for axis in axes[:, 0]:
        axis.set_ylabel("accuracy (%)")
    names = {"final": "this network", "tutorials": "the tutorials' network"}
    lines = axes.flat[0].lines
    labels = [names[line.get_label()] for line in lines]
    axes.flat[-1].legend(lines, labels, loc="center", frameon=False)
    figure.suptitle("Accuracy on test images that get worse")
    return figure
