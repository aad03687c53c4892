"""The report's tables and figures, from the files in results/ alone. What hasn't been measured yet
leaves an empty table, or a figure that says so."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter
from scipy import stats

from mnist_helpers.plots import BLUE, GREY, ORANGE, WIDTH, label_decades, tidy

from . import robustness, search, study
from .tables import MACHINE, RESULTS
from .variants import COLUMNS

TABLES = {
    "study": COLUMNS,
    "robustness": robustness.COLUMNS,
    "own_digits": ["data set", "preparation", "images", "right", "accuracy", "low", "high"],
    "digit_detector": ["kind", "pictures", "refused"],
    "speed": ["contender", "round", "images_per_second", "threads"],
    "time_to_accuracy": ["contender", "seed", "seconds", "accuracy", "threads"],
    "scaling": ["varied", "value", "round", "seconds", "images_per_second", "peak_megabytes"],
    "search": search.COLUMNS,
}
NUMBERS = {
    *("test_accuracy", "test_loss", "calibration_error", "strength", "accuracy", "low", "refused"),
    *("high", "images_per_second", "seconds", "peak_megabytes", "validation_loss"),
    "validation_accuracy",
}
EPOCHS = {1: "1 epoch", 3: "3 epochs", 10: "final"}
IMAGES = {1_000: "1,000 images", 6_000: "6,000 images", 20_000: "20,000 images", 60_000: "final"}
LAST_COMMIT = "d269081"  # could still run the options of the search that are gone
# What the search's options change, in words: those that teach most.
SEARCHED = {
    "none": "the recipe",
    "deep True": "five convolutions of 3 x 3",
    "epochs 30": "30 epochs",
    "channels1 48, channels2 96, hidden 256": "wider layers",
    "padding1 2": "first convolution padded",
    "uphill 0.05": "sharpness-aware steps",
    "elastic 0.6, elastic_grid 6": "elastic distortion",
    "degraded 0.8": "80 % of images degraded",
    "rotation 8, shift 1.3, scale 0.08, shear 0.1": "moved two thirds as far",
    "peers 2": "two networks teach each other",
}
WAYS = {
    "ours": "this project",
    "idiom_bf16": "usual loop, bfloat16",
    "tensor_dataset": "usual loop, TensorDataset",
    "idiom_2_workers": "usual loop, 2 workers",
    "idiom": "usual loop",
}


def read_table(name: str) -> pd.DataFrame:
    """Return results/<name>.csv, or a table without rows if it hasn't been measured."""
    path = RESULTS / f"{name}.csv"
    table = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=TABLES[name] + MACHINE)
    # A table without rows doesn't know yet that these will be numbers.
    table = table.astype({column: float for column in table if column in NUMBERS})
    if name == "own_digits":
        table[["accuracy", "low", "high"]] *= 100  # all others are in percent
    return table


def describe_tables() -> pd.DataFrame:
    """Return for each table its number of rows, what it was measured on, and what is missing."""
    lines = {}
    for name in TABLES:
        table = read_table(name)
        known = table.reindex(columns=MACHINE).dropna().drop_duplicates()
        machines = [", ".join(map(str, row)) for row in known.itertuples(index=False)]
        lines[name] = {"rows": len(table), "measured on": "; ".join(machines) or "-"}
        lines[name]["missing"] = "" if len(table) else "everything"
    scripts = {"study": study, "robustness": robustness, "search": search}
    for name, script in scripts.items():
        missing = script.missing_trials(read_table(name).to_dict("records"))
        lines[name]["missing"] = f"{len(missing)} trainings" if missing else ""
    return pd.DataFrame(lines).T


def summarise(table: pd.DataFrame, by: str = "variant", of: str = "test_accuracy") -> pd.DataFrame:
    """Return for each group the mean, the half width of its 95 % interval over the seeds (Student's
    t; NaN for one seed), the standard deviation and the number of seeds."""
    values = table.groupby(by)[of]
    seeds = values.size()
    half_width = values.sem() * stats.t.ppf(0.975, (seeds - 1).clip(lower=1))
    summary = {"mean": values.mean(), "half width": half_width, "deviation": values.std()}
    return pd.DataFrame(summary | {"seeds": seeds})


def differences(table: pd.DataFrame, *, to: str = "final", by="variant", of="test_accuracy"):
    """Return how far each group's mean is from that of `to`, with a 95 % interval (Welch's t), and
    whether the interval leaves out zero. Groups without a spread, as of one seed, have none."""
    groups = {name: group[of] for name, group in table.groupby(by)}
    lines = {}
    for name in groups.keys() - {to} if to in groups else ():
        line = {"difference": groups[name].mean() - groups[to].mean(), "shown": "-"}
        if groups[name].nunique() > 1 and groups[to].nunique() > 1:
            test = stats.ttest_ind(groups[name], groups[to], equal_var=False)
            line["low"], line["high"] = test.confidence_interval(0.95)
            line["shown"] = "yes" if line["low"] > 0 or line["high"] < 0 else "no"
        lines[name] = line | {"seeds": len(groups[name])}
    columns = ["difference", "low", "high", "shown", "seeds"]
    table = pd.DataFrame.from_dict(lines, orient="index").reindex(columns=columns)
    return table.sort_values("difference")


def _figure(height: float, rows: int = 1, columns: int = 1, **options) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def _nothing(script: str) -> Figure:
    figure, axes = _figure(0.8)
    text = f"Not measured yet: python -m research.{script}"
    axes[0, 0].text(0.5, 0.5, text, ha="center", va="center", color=GREY)
    axes[0, 0].axis("off")
    return figure


def _rows(values: dict[str, pd.Series], centre: dict, half: dict, *, highlight: str) -> Figure:
    """Draw a row for each name, the first on top: its values as small dots, and a larger one with
    its interval; a line where the highlighted row has its own."""
    figure, axes = _figure(1.1 + 0.36 * len(values))
    axis = axes[0, 0]
    if highlight in centre:
        axis.axvline(centre[highlight], color=BLUE, linewidth=1, linestyle="--")
    for row, (name, dots) in enumerate(values.items()):
        axis.plot(dots, [row] * len(dots), "o", color=GREY, markersize=3, alpha=0.6)
        colour = BLUE if name == highlight else ORANGE
        axis.errorbar(centre[name], row, xerr=half[name], color=colour, marker="o", capsize=3)
    axis.set_yticks(range(len(values)), list(values))
    axis.set_ylim(len(values) - 0.4, -0.6)
    tidy(axis)
    return figure


def variants(table: pd.DataFrame, names: list[str]) -> Figure:
    """Show the test error of each of these variants that has been measured, the lowest on top."""
    summary = summarise(table).reindex(names).dropna(subset="mean")
    if summary.empty:
        return _nothing("study")
    summary = summary.sort_values("mean", ascending=False)
    errors = {name: 100 - table.loc[table["variant"] == name, "test_accuracy"] for name in
              summary.index}  # fmt: skip
    figure = _rows(errors, 100 - summary["mean"], summary["half width"], highlight="final")
    (axis,) = figure.axes
    axis.set_yticklabels([f"{name} ({seeds:.0f})" for name, seeds in summary["seeds"].items()])
    axis.set_xlabel("test error (%)")
    figure.suptitle("Each seed (their number), and the mean with its 95 % interval", fontsize=11)
    _make_logarithmic(axis)
    return figure


def _make_logarithmic(axis) -> None:
    """Make the x axis logarithmic, unless it is so short that it would have hardly a label."""
    low, high = axis.get_xlim()
    if low <= 0 or high / low > 5:
        axis.set_xscale("log")
        label_decades(axis.xaxis)


def learning_curves(table: pd.DataFrame) -> Figure:
    """Show test error against the number of training images, and against that of epochs."""
    summary = summarise(table)
    if summary.reindex([*IMAGES.values(), *EPOCHS.values()])["mean"].isna().all():
        return _nothing("study")
    figure, axes = _figure(6.4, rows=2)
    panels = [(IMAGES, "training images, 10 epochs"), (EPOCHS, "epochs, 60,000 images")]
    for axis, (points, label) in zip(axes[:, 0], panels, strict=True):
        lines = summary.reindex(points.values()).set_axis(points).dropna(subset="mean")
        if lines.empty:
            continue
        errors = 100 - lines["mean"]
        style = {"color": BLUE, "marker": "o", "capsize": 3}
        axis.errorbar(lines.index, errors, yerr=lines["half width"], **style)
        for place, error in errors.items():
            offset = {"xytext": (6, 5), "textcoords": "offset points"}
            axis.annotate(f"{error:.2f} %", (place, error), **offset)
        axis.set(xscale="log", yscale="log", xlabel=label, ylabel="test error (%)")
        axis.xaxis.set_major_locator(FixedLocator(list(points)))
        axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.margins(x=0.16, y=0.2)
        tidy(axis)
        label_decades(axis.yaxis)
    return figure


def errors_by_image(table: pd.DataFrame, variant: str = "final") -> pd.DataFrame:
    """Return for each test image that was misclassified with at least one seed, with how many, and
    the most frequent wrong answer."""
    errors = table.loc[table["variant"] == variant, "test_errors"].str.split().explode().dropna()
    answers = errors.astype(str).str.extract("(?P<image>[0-9]+):(?P<answer>[0-9])").astype(int)
    counts = answers.value_counts().reset_index()  # the most frequent answers come first
    grouped = counts.groupby("image")
    return pd.DataFrame({"seeds": grouped["count"].sum(), "answer": grouped["answer"].first()})


def typical_damages(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean accuracy at each damage's typical strength, a column for each network."""
    typical = table["damage"].map({name: d.typical for name, d in robustness.DAMAGES.items()})
    rows = table[table["strength"] == typical]
    accuracy = rows.groupby(["damage", "strength", "unit", "variant"])["accuracy"].mean().unstack()
    return accuracy.sort_values("final", ascending=False) if len(accuracy) else accuracy


def damages(table: pd.DataFrame) -> Figure:
    """Show the error at each damage's typical strength, for the networks that were measured."""
    accuracy = typical_damages(table)
    if accuracy.empty:
        return _nothing("robustness")
    figure, axes = _figure(1.2 + 0.36 * len(accuracy))
    axis, rows = axes[0, 0], range(len(accuracy))
    for name, colour in {"final": BLUE, "tutorials": ORANGE}.items():
        if name in accuracy:
            axis.plot(100 - accuracy[name], rows, "o", color=colour)
            axis.text(100 - accuracy[name].iloc[0], -0.9, name, color=colour, ha="center")
            for row, error in enumerate(100 - accuracy[name]):
                offset = {"xytext": (0, 6), "textcoords": "offset points", "fontsize": 9}
                axis.annotate(f"{error:.2g}", (error, row), color=colour, ha="center", **offset)
    names = [f"{damage} ({unit}: {strength:g})" for damage, strength, unit in accuracy.index]
    axis.set_yticks(rows, names)
    axis.margins(x=0.08)
    axis.set(xscale="log", xlabel="test error (%)", ylim=(len(accuracy) - 0.4, -1.4))
    label_decades(axis.xaxis)
    tidy(axis)
    return figure


def damage_curves(table: pd.DataFrame) -> Figure:
    """Show the error against the strength of each damage, a line for each network."""
    names = [name for name in robustness.DAMAGES if name in set(table["damage"])]
    if not names:
        return _nothing("robustness")
    rows = -(-len(names) // 2)
    figure, axes = _figure(2.0 * rows, rows=rows, columns=2, sharey=True)
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    for axis, name in zip(axes.flat, names, strict=False):
        lines = table[table["damage"] == name]
        for variant, colour in {"final": BLUE, "tutorials": ORANGE}.items():
            accuracy = lines[lines["variant"] == variant].groupby("strength")["accuracy"].mean()
            if accuracy.empty:
                continue
            axis.plot(100 - accuracy, color=colour, marker="o", markersize=3, label=variant)
        axis.set(title=name, xlabel=lines["unit"].iloc[0], yscale="log", ylim=(0.2, 100))
        tidy(axis)
        label_decades(axis.yaxis)
    for axis in axes[:, 0]:
        axis.set_ylabel("test error (%)")
    axes[0, 0].legend(frameon=False, labelcolor="linecolor", handlelength=1)
    return figure


def own_digits(table: pd.DataFrame) -> Figure:
    """Show the error on each set of digits from elsewhere, a mark for each preparation."""
    if table.empty:
        return _nothing("own_digits")
    sets, colours = list(table["data set"].unique()), (BLUE, ORANGE, GREY)
    figure, axes = _figure(1.4 + 0.5 * len(sets))
    axis = axes[0, 0]
    for place, (name, lines) in enumerate(table.groupby("preparation", sort=False)):
        rows = [sets.index(each) + 0.2 * (place - 0.5) for each in lines["data set"]]
        errors = 100 - lines["accuracy"]
        spread = [errors - (100 - lines["high"]), 100 - lines["low"] - errors]
        style = {"color": colours[place % 3], "marker": "o", "capsize": 3, "linestyle": ""}
        axis.errorbar(errors.clip(lower=0.1), rows, xerr=np.clip(spread, 0, None), **style,
                      label=name)  # fmt: skip
    images = table.groupby("data set")["images"].first()
    axis.set_yticks(range(len(sets)), [f"{name} ({images[name]:,})" for name in sets])
    axis.set(xscale="log", xlabel="error (%)")
    axis.set(xlim=(0.08, None), ylim=(len(sets) - 0.4, -0.6))
    figure.legend(frameon=False, labelcolor="linecolor", handlelength=1, loc="outside upper left")
    label_decades(axis.xaxis)
    tidy(axis)
    return figure


def published(table: pd.DataFrame) -> str:
    """Return a table in Markdown of published single networks and this recipe, the best on top."""
    rows = pd.read_csv(RESULTS / "published.csv", dtype={"as published": str})
    rows["network"] = "[" + rows["network"] + "](" + rows["link"] + ")"
    summary = summarise(table)
    for variant, name in {"final": "**this recipe**", "tutorials": "as in tutorials"}.items():
        if variant in summary.index:
            line = summary.loc[variant]
            text = f"{line['mean']:.2f} ± {line['half width']:.2f}, 10 epochs"
            how = f"mean of {line['seeds']:.0f}"
            rows.loc[len(rows)] = [name, "", 2, line["mean"], text, how]
    rows = rows.sort_values("accuracy", ascending=False, kind="stable")
    columns = ["network", "convolutions", "as published", "networks"]
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in rows[columns].to_numpy()]
    head = "| network | convolutions | test accuracy (%) | networks |\n|---|---|---|---|"
    return "\n".join([head, *lines])


def speed_ratios(table: pd.DataFrame, to: str) -> pd.DataFrame:
    """Return each contender's images per second as a multiple of those of `to`, round by round."""
    speeds = table.pivot(index="round", columns="contender", values="images_per_second")
    return speeds.div(speeds[to], axis=0) if to in speeds else speeds


def speed(table: pd.DataFrame) -> Figure:
    """Show how many times as fast as the usual loop each way to train is, with the limit."""
    return _ratios(table, "idiom", WAYS, "speed relative to the usual loop")


def choices(table: pd.DataFrame) -> Figure:
    """Show how fast our training is when one choice in its step is taken back."""
    others = [name for name in table["contender"].unique() if name not in {*WAYS, "limit"}]
    names = {"ours": "as it is"} | {name: name for name in others}
    return _ratios(table, "ours", names, "speed relative to the step as it is")


def _ratios(table: pd.DataFrame, to: str, names: dict[str, str], label: str) -> Figure:
    if to not in set(table["contender"]):
        return _nothing("speed")
    ratios = speed_ratios(table, to)
    values = {title: ratios[name].dropna() for name, title in names.items() if name in ratios}
    values = dict(sorted(values.items(), key=lambda item: -item[1].median()))
    middle = {name: each.median() for name, each in values.items()}
    half = {name: [[middle[name] - each.min()], [each.max() - middle[name]]]
            for name, each in values.items()}  # fmt: skip
    figure = _rows(values, middle, half, highlight=names["ours"])
    (axis,) = figure.axes
    if to == "idiom" and "limit" in ratios:
        limit = ratios["limit"].median()
        axis.axvline(limit, color=GREY)
        place = {"ha": "right", "va": "bottom", "rotation": 90}
        axis.text(limit, len(values) - 0.5, "float32 limit ", color=GREY, **place)
    for row, value in enumerate(middle.values()):
        offset = {"xytext": (0, 7), "textcoords": "offset points", "ha": "center", "fontsize": 10}
        axis.annotate(f"{value:.2f}", (value, row), **offset)
    axis.set(xlabel=label)
    figure.suptitle("Each round, and the median", fontsize=11)
    axis.margins(x=0.1)
    return figure


def summarise_search(table: pd.DataFrame) -> pd.DataFrame:
    """Return for each change the mean validation loss, the half width of its 95 % interval, the
    mean validation accuracy, the networks, and whether its loss differs beyond chance from "none".

    The intervals (Student's t) rest on the spread between seeds that all changes have in common:
    two or three networks alone would say little of it.
    """
    changes = table.groupby("change")
    loss, networks = changes["validation_loss"], changes.size()
    freedom = max(1, (networks - 1).sum())
    spread = np.sqrt((loss.var() * (networks - 1)).sum() / freedom)
    bound = spread * stats.t.ppf(0.975, freedom)
    none = loss.mean().get("none", np.nan), networks.get("none", 1)
    beyond = (loss.mean() - none[0]).abs() > bound * np.sqrt(1 / networks + 1 / none[1])
    columns = {"mean": loss.mean(), "half width": bound / np.sqrt(networks)}
    columns |= {"accuracy": changes["validation_accuracy"].mean(), "networks": networks}
    return pd.DataFrame(columns | {"beyond chance": beyond})


def searched(table: pd.DataFrame) -> Figure:
    """Show the validation loss with the changes in SEARCHED, or those of the present script."""
    names = {name: SEARCHED.get(name, name) for name in table["change"].unique()}
    if LAST_COMMIT in set(table["recipe"]):
        names = {name: SEARCHED[name] for name in names if name in SEARCHED}
    if not names:
        return _nothing("search")
    summary = summarise_search(table).loc[list(names)].sort_values("mean")
    losses = {names[name]: table.loc[table["change"] == name, "validation_loss"]
              for name in summary.index}  # fmt: skip
    summary = summary.rename(names)
    figure = _rows(losses, summary["mean"], summary["half width"], highlight="the recipe")
    (axis,) = figure.axes
    axis.set_xlabel("validation loss (nats)")
    axis.xaxis.set_major_locator(MaxNLocator(5))
    figure.suptitle("Each network, and the mean with its 95 % interval", fontsize=11)
    return figure
