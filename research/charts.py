"""The report's findings: each an answer with computed numbers and a figure, of results/ alone."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import Markdown, display
from matplotlib.ticker import LogLocator, NullFormatter
from scipy import stats

from mnist_helpers import plots
from research import study
from research.recipes import LADDER, VARIANTS
from research.robustness import MEASURED, RECIPES
from research.runner import RESULTS

BEFORE, LAST = "+ augmentation", "+ local normalisation"
FEWER, MORE = "last rung, 50,000 images", "last rung, 60,000 images"
TEXT = {"commit": str}  # 01215e5 is no number
SHOWN = ["grey paper 0.5", "contrast 0.1", "gaussian noise 0.4", "translation 3"]


@dataclass
class Finding:
    """What a section of the report shows: its answer, a figure, and a note in Markdown."""

    answer: str
    figure: plots.Figure
    note: str

    def _ipython_display_(self) -> None:
        display(Markdown(f"**{self.answer}**"), self.figure, Markdown(self.note))


def findings(results: Path = RESULTS) -> dict[str, Finding]:
    """Return the findings, by the name of the function that makes them."""
    functions = (ladder, parts, robustness, elsewhere, published, speed)
    return {function.__name__: function(results) for function in functions}


def summary(found: dict[str, Finding]) -> Markdown:
    """Return the answers as a numbered list."""
    return Markdown("\n".join(f"1. {each.answer}" for each in found.values()))


def measured_on(table: pd.DataFrame) -> str:
    """Return a sentence that names the machines of a table's rows, and the commits of the code."""
    names = ["machine", "processor", "instructions", "threads", "torch"]
    machines = [
        "{}, {}, {}, threads: {}, PyTorch {}".format(*machine)
        + f" (commit {', '.join(rows['commit'].unique())})"
        for machine, rows in table.astype(str).groupby(names, sort=False)
    ]
    return f"Measured on {'; and on '.join(machines)}."


def in_markdown(table: pd.DataFrame) -> str:
    rows = [table.columns, ["---"] * len(table.columns), *table.astype(str).to_numpy()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def difference(rows: pd.DataFrame, name: str, other: str) -> tuple[float, float, float, float]:
    """Return how many points a recipe's mean test accuracy is above another's, with Welch's 95 %
    interval, and the p-value."""
    values = [rows.loc[rows["recipe"] == each, "test_accuracy"] for each in (name, other)]
    test = stats.ttest_ind(*values, equal_var=False)
    low, high = test.confidence_interval(0.95)
    return values[0].mean() - values[1].mean(), low, high, test.pvalue


def dot_chart(
    table: pd.DataFrame, title: str, label: str, *, logarithmic=False, digits=2, values=None
) -> plots.Figure:
    """Draw a row for each row of the table, the first on top. The columns low and high are the ends
    of a line, at most four others dots, with their numbers if they are one or two. `values` has
    those of small dots for each row."""
    figure = plots.Figure(figsize=(plots.WIDTH, 1.4 + 0.5 * len(table)), layout="constrained")
    axis = figure.subplots()
    rows, columns = range(len(table)), [name for name in table if name not in ("low", "high")]
    for row in rows if values else ():
        axis.plot(values[row], [row] * len(values[row]), "o", color=plots.GREY, markersize=4)
    if "low" in table:
        axis.hlines(rows, table["low"], table["high"], color=plots.BLUE)
    colours = (plots.BLUE, plots.ORANGE, plots.GREEN, plots.GREY)
    for column, colour, mark, side in zip(columns, colours, "osD^", (1, -1, 0, 0), strict=False):
        axis.plot(table[column], rows, mark, color=colour, label=column)
        for row, value in zip(rows, table[column], strict=True):
            if len(columns) <= 2 and not np.isnan(value):
                place = {"xytext": (0, 11 * side), "textcoords": "offset points", "va": "center"}
                text = f"{value:.{digits}f}"
                axis.annotate(text, (value, row), color=colour, ha="center", fontsize=11, **place)
    axis.set(xlabel=label, ylim=(len(table) - 0.4, -0.7), yticks=rows, yticklabels=table.index)
    axis.margins(x=0.1)
    if logarithmic:
        axis.set_xscale("log")
        subs = (2, 3, 4, 6) if np.divide(*axis.get_xlim()) > 0.1 else (1, 2, 5)
        axis.xaxis.set_major_locator(LogLocator(subs=subs))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
    if len(columns) > 1:
        figure.legend(loc="outside lower center", ncols=2, frameon=False, labelcolor="linecolor")
    figure.suptitle(title, fontsize=13)
    plots.tidy(axis)
    numbers = table[columns].round(digits).stack().dropna()
    listed = "; ".join(f"{row}, {column} {value:g}" for (row, column), value in numbers.items())
    return plots.show(figure, f"{' '.join(title.split())}. {label}: {listed}.")


def error_chart(rows: pd.DataFrame, recipes: list[str], title: str, **options) -> plots.Figure:
    """Draw the test errors of recipes: each seed, and the mean with its 95 % interval."""
    values = [100 - rows.loc[rows["recipe"] == name, "test_accuracy"] for name in recipes]
    table = 100 - study.summarise(rows).loc[recipes, ["test_accuracy", "test_high", "test_low"]]
    table.columns = ["mean", "low", "high"]
    return dot_chart(table, title, "test error (%)", values=values, **options)


def ladder(results: Path) -> Finding:
    rungs = list(LADDER)
    rows = study.read(results / "study.csv")
    steps = {new: difference(rows, new, old) for old, new in pairwise(rungs[1:])}
    # Bonferroni: that none of the steps is named for chance alone.
    sure = [
        name for name, (change, _, _, p) in steps.items() if change > 0 and p < 0.05 / len(steps)
    ]
    error = 100 - study.summarise(rows)["test_accuracy"]
    title = f"The test error falls from {error[rungs[0]]:.1f} to {error[LAST]:.2f} %"
    answer = (
        f"{title}. Of the {len(steps)} steps after the linear model, {len(sure)} lower it beyond "
        f"chance: {', '.join(sure) or 'none'}."
    )
    return Finding(answer, error_chart(rows, rungs, title, logarithmic=True), measured_on(rows))


def parts(results: Path) -> Finding:
    names = [BEFORE, *VARIANTS, FEWER, MORE]
    rows = study.read(results / "study.csv")
    changes = {name: difference(rows, name, LAST) for name in names}
    old = pd.read_csv(results / "study_220dcb3.csv")  # of a recipe that is gone
    for name in old["recipe"].unique()[1:]:
        changes[f"{name} (220dcb3)"] = difference(old, name, "as it was")
    table = pd.DataFrame(changes, index=["points", "low", "high", "p"]).T
    # Holm 1979: that none is named for chance alone.
    ordered = table["p"].sort_values()
    table["p"] = (ordered * np.arange(len(ordered), 0, -1)).cummax().clip(upper=1)
    sure = table[table["p"] < 0.05]
    removed = table.loc[table.index.str.startswith("without"), "points"]
    title = f"{len(sure)} of {len(table)} changes of the last rung are beyond chance"
    answer = (
        f"{title}: {', '.join(sure.index + sure['points'].map(' ({:+.2f})'.format))}. Among them "
        f"are {len(removed.index.intersection(sure.index)) or 'none'} of the {len(removed)} parts "
        f"taken out; the costliest is {removed.idxmin()} ({removed.min():+.2f} points)."
    )
    p_values = table["p"].map(lambda p: f"{p:.3f}" if p >= 0.001 else "< 0.001")
    lines = table.map("{:.2f}".format).assign(p=p_values)
    lines = lines.reset_index(names="change")
    note = f"{measured_on(rows)}\n\n{in_markdown(lines)}"
    shown = table.loc[names].query("points > -1").sort_values("points").index
    names = [LAST, *shown]
    return Finding(answer, error_chart(rows, names, title, logarithmic=True), note)


def robustness(results: Path) -> Finding:
    table = pd.read_csv(results / "robustness.csv", dtype=TEXT)
    mean = table.groupby("recipe", sort=False)[list(MEASURED)].mean().T[list(RECIPES)]
    damaged = mean.drop("clean 0").mean()
    title = f"Of damaged images, {damaged[LAST]:.0f} % are right;\nwithout local normalisation, "
    title += f"{damaged[BEFORE]:.0f} %"
    others = f"{damaged['+ dropout']:.1f} % for the tutorials' network (+ dropout), "
    others += f"{damaged['damaged images too']:.1f} % after training on damaged images, too"
    answer = f"{' '.join(title.split())}, on average over {len(mean) - 1} damages. It is {others}."
    figure = dot_chart(100 - mean.loc[SHOWN], title, "error (%)", logarithmic=True)
    lines = mean.round(1).reset_index(names="damage, strength")
    return Finding(answer, figure, f"{measured_on(table)}\n\n{in_markdown(lines)}")


def elsewhere(results: Path) -> Finding:
    real = "scikit-learn's digits"
    table = pd.read_csv(results / "own_digits.csv", dtype=TEXT)
    table["data set"] += table["images"].map(" ({:,})".format)
    table["error"] = 100 - 100 * table["right"] / table["images"]
    seeds = table.groupby(["data set", "preparation"], sort=False)["error"]
    half_width = seeds.sem() * stats.t.ppf(0.975, seeds.size() - 1)
    lines = seeds.mean().map("{:.1f}".format) + half_width.map(" ± {:.1f}".format)
    error = seeds.mean().unstack(sort=False)
    other = error.loc[error.index.str.startswith(real)].iloc[0]
    title = f"Of other writers' digits, {100 - other['to_mnist']:.0f} % are right\nafter to_mnist, "
    title += f"{100 - other['resized']:.0f} % when merely resized"
    answer = (
        " ".join(title.split())
        + f", {100 - other['boxed and centred']:.0f} % when boxed and centred."
    )
    figure = dot_chart(error, title, "error (%)", logarithmic=True, digits=1)
    note = in_markdown(lines.unstack(sort=False).reset_index())
    return Finding(answer, figure, f"{measured_on(table)}\n\nErrors in percent:\n\n{note}")


def published(results: Path) -> Finding:
    rows = study.read(results / "study.csv")
    table = pd.read_csv(results / "published.csv")
    own = 100 - study.summarise(rows)["test_accuracy"][MORE]
    error = (100 - table.set_index("network")["accuracy"]).rename("published").to_frame()
    by_test = table["epoch chosen"] == "by test accuracy"
    better = (error["published"] < own).to_numpy() & ~by_test
    title = f"{better.sum()} of {(~by_test).sum()} published networks have a lower error"
    answer = f"{title} than the last rung trained on 60,000 images: {own:.2f} %."
    error.index += ", " + table["convolutions"].astype(str).to_numpy() + " convolutions"
    error.index += np.where(by_test, " *", "")
    error.loc["this recipe, 2 convolutions", "this recipe"] = own
    error = error.loc[error.max(axis=1).sort_values().index]
    figure = dot_chart(error, title, "test error (%)", logarithmic=True)
    lines = table[["parameters", "epochs"]].map("{:,.0f}".format, na_action="ignore").fillna("")
    lines.insert(0, "network", "[" + table["network"] + "](" + table["link"] + ")")
    lines.insert(1, "accuracy", table["as published"])
    note = (
        "Single networks on the official split, accuracy in percent; empty where no source was "
        "found. \\* Not counted: its code keeps the epoch with the best test accuracy. Most others "
        f"don't say which they kept.\n\n{in_markdown(lines)}"
    )
    return Finding(answer, figure, note)


def speed(results: Path) -> Finding:
    ours, usual, limit = "lesson, float32", "usual loop, float32", "float32 limit"
    table = pd.read_csv(results / "speed.csv", dtype=TEXT)
    speeds = table.pivot(index="round", columns="contender", values="images_per_second").dropna()

    def times(name: str, other: str) -> float:
        return (speeds[name] / speeds[other]).median()

    title = f"The lesson's loop trains {times(ours, usual):.1f} times as fast as the usual loop"
    answer = f"{title} in float32, at {100 * times(ours, limit):.0f} % of the arithmetic limit."
    if (fast := "lesson, bfloat16") in speeds:
        answer += f" In bfloat16, it is {times(fast, 'usual loop, bfloat16'):.1f} times as fast as "
        answer += f"the usual loop in bfloat16, and {times(fast, ours):.1f} times as in float32."
    ratios = speeds.div(speeds[usual], axis=0)
    ratios = ratios.agg(["median", "min", "max"]).T.set_axis(["median", "low", "high"], axis=1)
    ratios = ratios.loc[table["contender"].unique()]
    figure = dot_chart(ratios, title, f"images per second; {usual} = 1")
    return Finding(answer, figure, measured_on(table))
