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
PARTS = ["without dropout", "without batch normalisation", "without augmentation"]
PARTS += ["without the fade", "constant learning rate", BEFORE]
AS_WELL = "damaged images too"
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


def compare(changes: dict[str, tuple[pd.DataFrame, str, str]]) -> pd.DataFrame:
    """Return, for each change (rows, a recipe, another), by how many points the recipe's mean test
    accuracy is above the other's, with Welch's 95 % interval for this change alone, and the
    p-value by Holm's method (1979) over all: so that none is named for chance alone."""
    lines = {}
    for change, (rows, *names) in changes.items():
        values = [rows.loc[rows["recipe"] == name, "test_accuracy"] for name in names]
        test = stats.ttest_ind(*values, equal_var=False)
        low, high = test.confidence_interval(0.95)
        lines[change] = values[0].mean() - values[1].mean(), low, high, test.pvalue
    table = pd.DataFrame(lines, index=["points", "low", "high", "p"]).T
    ordered = table["p"].sort_values()
    table["p"] = (ordered * np.arange(len(ordered), 0, -1)).cummax().clip(upper=1)
    return table


def beyond_chance(table: pd.DataFrame, sign: int) -> pd.Index:
    """Return the changes that `compare` finds to raise (1) or lower (-1) accuracy beyond chance."""
    return table.index[(table["p"] < 0.05) & (sign * table["points"] > 0)]


def compared(table: pd.DataFrame) -> str:
    p_values = table["p"].map(lambda p: f"{p:.3f}" if p >= 0.001 else "< 0.001")
    lines = table.map("{:+.2f}".format).assign(p=p_values)
    return in_markdown(lines.reset_index(names="change"))


def with_interval(groups) -> pd.Series:
    """Return the means of groups, and half of Student's 95 % interval, as text."""
    half_width = groups.sem() * stats.t.ppf(0.975, groups.size() - 1)
    return groups.mean().map("{:.1f}".format) + half_width.map(" ± {:.1f}".format)


def dot_chart(
    table: pd.DataFrame, title: str, label: str, *, logarithmic=False, values=None
) -> plots.Figure:
    """Draw a row for each row of the table, the first on top. The columns low and high are the ends
    of a line, at most four others dots, with their numbers if they are one or two. `values` has
    those of small dots for each row."""
    figure = plots.Figure(1.4 + 0.4 * len(table))
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
                text = f"{value:.2f}"
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
    numbers = table[columns].round(2).stack().dropna()
    listed = "; ".join(f"{row}, {column} {value:g}" for (row, column), value in numbers.items())
    return plots.with_alt(figure, f"{' '.join(title.split())}. {label}: {listed}.")


def error_chart(rows: pd.DataFrame, recipes: list[str], title: str) -> plots.Figure:
    """Draw the test errors of recipes: each seed, and the mean with its 95 % interval."""
    values = [100 - rows.loc[rows["recipe"] == name, "test_accuracy"] for name in recipes]
    table = 100 - study.summarise(rows).loc[recipes, ["test_accuracy", "test_high", "test_low"]]
    table.columns = ["mean", "low", "high"]
    return dot_chart(table, title, "test error (%)", logarithmic=True, values=values)


def ladder(results: Path) -> Finding:
    rungs = list(LADDER)
    rows = study.read(results / "study.csv")
    table = compare({new: (rows, new, old) for old, new in pairwise(rungs[1:])})
    sure = beyond_chance(table, 1)
    error = 100 - study.summarise(rows).loc[rungs, "test_accuracy"]
    title = f"The test error falls from {error.iloc[0]:.1f} to {error[LAST]:.2f} %"
    answer = (
        f"{title}; it is lowest with {error.idxmin()}, {error.min():.2f} %. Of the {len(table)} "
        f"steps after the linear model, {len(sure)} lower it beyond chance: {', '.join(sure)}."
    )
    note = f"{measured_on(rows)}\n\n{compared(table)}"
    return Finding(answer, error_chart(rows, rungs, title), note)


def parts(results: Path) -> Finding:
    names = [BEFORE, *VARIANTS, FEWER, MORE]
    rows = study.read(results / "study.csv")
    table = compare({name: (rows, name, LAST) for name in names})
    sure, part = table[table["p"] < 0.05], table.loc[PARTS, "points"]
    worse = len(beyond_chance(table.loc[PARTS], -1))
    title = f"Of {len(part)} parts, {worse or 'none'} matters beyond chance"
    answer = (
        f"{title}; {part.idxmin()} costs most ({-part.min():.2f} points). Of all "
        f"{len(table)} changes, {len(sure)} are beyond chance: "
        f"{', '.join(sure.index + sure['points'].map(' ({:+.2f})'.format))}."
    )
    note = f"{measured_on(rows)}\n\n{compared(table)}"
    names = table.loc[names].query("points > -1").sort_values("points").index
    return Finding(answer, error_chart(rows, [LAST, *names], title), note)


def means_of_kinds(accuracies: pd.DataFrame) -> pd.DataFrame:
    """Return the means of columns by the kinds of damage in the rows: all; those of light; those
    that no recipe was trained on."""
    damaged = accuracies.drop("clean 0")
    light = damaged.index.str.startswith(("fog", "grey", "contrast", "shadow"))
    seen = damaged.index.str.startswith(("grey", "contrast", "gaussian"))
    groups = {"all": damaged, "light": damaged[light], "unseen": damaged[~seen]}
    return pd.DataFrame({name: rows.mean() for name, rows in groups.items()})


def robustness(results: Path) -> Finding:
    table = study.read(results / "robustness.csv", RECIPES)
    mean = table.groupby("recipe", sort=False)[list(MEASURED)].mean().T[list(RECIPES)]
    damaged, kinds = mean.drop("clean 0"), means_of_kinds(mean)
    title = f"Local normalisation: {kinds.loc[LAST, 'all']:.1f} % of damaged images are right,\n"
    title += f"{kinds.loc[BEFORE, 'all']:.1f} % without it"
    answer = (
        f"{' '.join(title.split())}. Under fog, grey paper, low contrast and shadows it is "
        f"{kinds.loc[LAST, 'light']:.1f} in place of {kinds.loc[BEFORE, 'light']:.1f} %. Training "
        f"on damaged images as well gives {kinds.loc[AS_WELL, 'all']:.1f} %; on damages of other "
        f"kinds than those, {kinds.loc[AS_WELL, 'unseen']:.1f} in place of "
        f"{kinds.loc[LAST, 'unseen']:.1f} %."
    )
    figure = dot_chart(100 - mean.loc[SHOWN], title, "error (%)", logarithmic=True)
    lines = mean.map("{:.1f}".format)
    seeds = table[damaged.index].mean(axis=1).groupby(table["recipe"])
    lines.loc[f"mean of these {len(damaged)}"] = with_interval(seeds)
    lines = in_markdown(lines.reset_index(names="damage, strength"))
    return Finding(answer, figure, f"{measured_on(table)}\n\n{lines}")


def elsewhere(results: Path) -> Finding:
    table = pd.read_csv(results / "own_digits.csv", dtype=TEXT)
    table["error"] = 100 - 100 * table["right"] / table["images"]
    table["images"] = table["data set"] + table["images"].map(" ({:,})".format)
    right = 100 - table.groupby(["data set", "preparation"])["error"].mean()
    scanned, pen = right["scikit-learn's digits"], right["pen strokes"]
    title = f"Of scikit-learn's digits, {scanned['to_mnist']:.0f} % are right\nafter to_mnist, "
    title += f"{scanned['boxed and centred']:.0f} % when boxed and centred"
    answer = (
        f"{' '.join(title.split())}, {scanned['resized']:.0f} % when merely resized; but to_mnist "
        f"was developed on them. Of pen strokes, {pen['to_mnist']:.0f} % are right after to_mnist, "
        f"and {pen['inverted where light, resized']:.0f} % when inverted and resized."
    )
    seeds = table.groupby(["images", "preparation"], sort=False)["error"]
    figure = dot_chart(seeds.mean().unstack(sort=False), title, "error (%)", logarithmic=True)
    note = in_markdown(with_interval(seeds).unstack(sort=False).reset_index())
    return Finding(answer, figure, f"{measured_on(table)}\n\nErrors in percent:\n\n{note}")


def clearly_better(published: pd.DataFrame, high: float) -> pd.DataFrame:
    """Return the networks with an accuracy above the end of an interval, in percent, but for those
    whose epoch was chosen by test accuracy."""
    return published[(published["accuracy"] > high) & ~chosen_by_test(published)]


def chosen_by_test(published: pd.DataFrame) -> pd.Series:
    return published["epoch chosen"] == "by test accuracy"


def published(results: Path) -> Finding:
    rows = study.read(results / "study.csv")
    table = pd.read_csv(results / "published.csv")
    mean, high, low = study.summarise(rows).loc[MORE, ["test_accuracy", "test_high", "test_low"]]
    error = (100 - table.set_index("network")["accuracy"]).rename("published").to_frame()
    own, by_test = 100 - mean, chosen_by_test(table)
    better = len(clearly_better(table, high))
    title = f"{better} of {(~by_test).sum()} published networks have a clearly lower error"
    answer = (
        f"{title}: below the 95 % interval of the last rung with 60,000 images, {100 - high:.2f} "
        f"to {100 - low:.2f} % (mean {own:.2f} %)."
    )
    error.index += ", " + table["convolutions"].astype(str).to_numpy() + " convolutions"
    error.index += np.where(by_test, " *", "")
    error.loc["this recipe, 2 convolutions", "this recipe"] = own
    error = error.loc[error.max(axis=1).sort_values().index]
    figure = dot_chart(error, title, "test error (%)", logarithmic=True)
    lines = table[["parameters", "epochs"]].map("{:,.0f}".format, na_action="ignore").fillna("")
    lines.insert(0, "network", "[" + table["network"] + "](" + table["link"] + ")")
    lines.insert(1, "accuracy", table["as published"])
    lines.insert(2, "networks", table["networks"])
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
    answer = (
        f"{title} in float32, and {times(ours, 'TensorDataset, float32'):.1f} times as fast as the "
        f"same over tensors. It reaches {100 * times(ours, limit):.0f} % of the arithmetic limit."
    )
    if (fast := "lesson, bfloat16") in speeds:
        answer += f" In bfloat16, it is {times(fast, 'usual loop, bfloat16'):.1f} times as fast as "
        answer += f"the usual loop in bfloat16, and {times(fast, ours):.1f} times as in float32."
    ratios = speeds.div(speeds[usual], axis=0)
    ratios = ratios.agg(["median", "min", "max"]).T.set_axis(["median", "low", "high"], axis=1)
    ratios = ratios.loc[table["contender"].unique()]
    figure = dot_chart(ratios, title, f"images per second; {usual} = 1")
    return Finding(answer, figure, measured_on(table))
