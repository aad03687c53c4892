"""The report's findings: each an answer with computed numbers and a figure, of results/ alone."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import Markdown, display
from pandas.io.formats.style import Styler
from scipy import stats

from mnist_helpers import plots
from research import study
from research.recipes import GREYS, LADDER, SMALL
from research.robustness import MEASURED
from research.robustness import RECIPES as DAMAGED
from research.runner import RESULTS

DROPOUT, BEFORE, LAST = "+ dropout", "+ augmentation", "+ local normalisation"
AS_WELL, MORE = "damaged images too", "last rung, 60,000 images"
TEXT = {"commit": str}  # 01215e5 is no number
FEW, ALL = ({name: name + end for name in LADDER} for end in (SMALL, ""))
# Each of these is a family: what one question compares, by its name in the report.
STEPS, FEW_STEPS = (
    {new: (names[new], names[old]) for old, new in pairwise(LADDER)} for names in (ALL, FEW)
)
PARTS = ["without dropout", "without batch normalisation", "without augmentation"]
PARTS += ["without the fade", "constant learning rate", BEFORE]
CHOICES = ["a second softmax", "float32", "half the channels", "double the channels"]
AMOUNTS = ["100 images", "1,000 images", "6,000 images", "20,000 images", "1 epoch", "3 epochs"]
AMOUNTS = {name: name for name in AMOUNTS} | {
    "5,000 images": FEW[LAST],
    "5,000 images, 110 epochs": f"110 epochs{SMALL}",
    "50,000 images": "last rung, 50,000 images",
    "60,000 images": MORE,
}


@dataclass
class Finding:
    """What a section of the report shows: its answer, a figure or table, a note in Markdown."""

    answer: str
    figure: plots.Figure | Styler | pd.DataFrame
    note: str

    def _ipython_display_(self) -> None:
        display(Markdown(f"**{self.answer}**"), self.figure, Markdown(self.note))


def findings(results: Path = RESULTS) -> dict[str, Finding]:
    """Return the findings, by the name of the function that makes them."""
    functions = (steps, more_images, amounts, sets, grey, parts, choices)
    functions += (robustness, elsewhere, published, speed)
    return {function.__name__: function(results) for function in functions}


def summary(found: dict[str, Finding]) -> Markdown:
    """Return the answers as a numbered list."""
    return Markdown("\n".join(f"1. {each.answer}" for each in found.values()))


def measured_on(table: pd.DataFrame) -> str:
    """Return a sentence that names the machines of a table's rows, and the commits of the code."""
    table = table.astype(str)
    machines = table["machine"] + ", " + table["processor"] + ", " + table["instructions"]
    machines += ", threads: " + table["threads"] + ", PyTorch " + table["torch"]
    commits = f"(commits {', '.join(table['commit'].unique())})"
    return f"Measured on {'; and on '.join(machines.unique())} {commits}."


def in_markdown(table: pd.DataFrame) -> str:
    table = table.reset_index()
    rows = [table.columns, ["---"] * len(table.columns), *table.astype(str).to_numpy()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def shaded(table: pd.DataFrame, name: str) -> Styler:
    """Return accuracies in percent as a table of shades, whose name is the only one on its page."""
    return table.style.background_gradient(vmin=0, vmax=140).format("{:.1f}").set_uuid(name)


def named(values: pd.Series, form: str = "{:+.2f}") -> str:
    """Return names with their values as text."""
    return ", ".join(values.index + values.map(f" ({form})".format)) or "none"


def compare(
    rows: pd.DataFrame, pairs: dict[str, tuple[str, str]], measure="test_accuracy", paired=False
) -> pd.DataFrame:
    """Return, for each pair of recipes that has two seeds, by how many points the first one's mean
    is above the second's, with a 95 % interval for it alone, and the p-value by Holm's method
    (1979) over all pairs: so that none is named for chance alone.

    `paired` compares the same seeds (Student), which must share the order of the images; otherwise
    the interval is Welch's. The nearest mean is the same from each seed."""
    lines, seeds = {}, rows.set_index("seed").groupby("recipe")[measure]
    for name, recipes in pairs.items():
        if not set(recipes) <= set(seeds.groups):
            continue
        new, old = (seeds.get_group(recipe).dropna() for recipe in recipes)
        if constant := recipes[1].startswith("nearest mean"):
            old = old.reindex(new.index, method="ffill")
        elif paired:
            new, old = new.align(old, join="inner")
        if min(len(new), len(old)) > 1:
            options = {} if paired or constant else {"equal_var": False}
            test = (stats.ttest_ind if options else stats.ttest_rel)(new, old, **options)
            lines[name] = new.mean() - old.mean(), *test.confidence_interval(0.95), test.pvalue
    table = pd.DataFrame(lines, index=["mean", "low", "high", "p"]).T
    ordered = table["p"].sort_values()
    table["p"] = (ordered * np.arange(len(ordered), 0, -1)).cummax().clip(upper=1)
    return table


def beyond_chance(table: pd.DataFrame, sign: int) -> pd.Series:
    """Return the points of what raises (1) or lowers (-1) accuracy beyond chance."""
    return table.loc[(table["p"] < 0.05) & (sign * table["mean"] > 0), "mean"]


def compared(tables: dict[str, pd.DataFrame]) -> str:
    """Return families of comparisons, a column for each, as a table in Markdown."""
    cells = {}
    for name, table in tables.items():
        interval = table["low"].map(" ({:+.2f} to ".format) + table["high"].map("{:+.2f})".format)
        p_values = table["p"].map(lambda p: f", p = {p:.3f}" if p >= 0.001 else ", p < 0.001")
        cells[name] = table["mean"].map("{:+.2f}".format) + interval + p_values
    names = dict.fromkeys(name for table in tables.values() for name in table.index)
    return in_markdown(pd.DataFrame(cells, list(names)).fillna("").rename_axis("change, points"))


def with_interval(groups) -> pd.Series:
    table = study.mean_interval(groups)
    half_width = (table["high"] - table["mean"]).map(" ± {:.1f}".format)
    return table["mean"].map("{:.1f}".format) + half_width


def errors(rows: pd.DataFrame, recipes: dict[str, str], split: str = "test") -> pd.DataFrame:
    """Return the mean errors of recipes by other names, in percent, with their intervals."""
    groups = (100 - rows[f"{split}_accuracy"]).groupby(rows["recipe"])
    table = study.mean_interval(groups).reindex(recipes.values()).set_axis(list(recipes))
    return table.dropna(subset=["mean"])


def chart(series: dict[str, pd.DataFrame], title: str, label: str = "test error (%)"):
    """Draw a row for each row of the tables, at most two, the first on top: the columns mean, with
    its number, and low and high, the ends of a line. The axis is logarithmic where it is long."""
    rows = list(dict.fromkeys(row for table in series.values() for row in table.index))
    figure = plots.Figure(1.1 + (0.13 + 0.17 * len(series)) * len(rows))
    axis = figure.subplots()
    marks = zip("os", (plots.BLUE, plots.ORANGE), (-0.22, 0.22), strict=True)
    for (name, table), (mark, colour, shift) in zip(series.items(), marks, strict=False):
        places = [rows.index(row) + shift * (len(series) > 1) for row in table.index]
        axis.plot(table["mean"], places, mark, color=colour, label=name)
        axis.hlines(places, table["low"], table["high"], color=colour)
        ends = table[["mean", "high"]].max(axis=1)
        for end, value, place in zip(ends, table["mean"], places, strict=True):
            style = {"xytext": (6, 0), "textcoords": "offset points", "va": "center"}
            axis.annotate(f"{value:.2f}", (end, place), color=colour, **style)
    axis.set(xlabel=label, ylim=(len(rows) - 0.4, -0.6), yticks=range(len(rows)))
    axis.set_yticklabels(rows)
    axis.margins(x=0.2)
    numbers = pd.concat({name: table["mean"] for name, table in series.items()})
    if 0 < 5 * numbers.min() < numbers.max():
        axis.set_xscale("log")
        plots.label_decades(axis.xaxis)
    elif numbers.min() < 0:
        axis.axvline(0, color=plots.GREY, linewidth=1)
    if len(series) > 1:
        figure.legend(loc="outside lower center", ncols=2, frameon=False, labelcolor="linecolor")
    plots.tidy(axis)
    listed = "; ".join(f"{row}, {name} {value:.2f}" for (name, row), value in numbers.items())
    return plots.describe(figure, title, f"{label}: {listed}.")


def steps(results: Path) -> Finding:
    rows = study.read(results / "study.csv")
    measures = {f"{split} images": f"{split}_accuracy" for split in ("validation", "test")}
    tables = {name: compare(rows, FEW_STEPS, each, paired=True) for name, each in measures.items()}
    chosen, shown = tables.values()
    sure = beyond_chance(shown, 1)
    title = f"On 5,000 images, {len(sure)} of {len(shown)} steps raise test accuracy beyond chance"
    answer = f"{title}: {named(sure)}. On validation images, which chose the steps, these raise "
    answer += f"it: {named(beyond_chance(chosen, 1))}; lower: {named(beyond_chance(chosen, -1))}."
    figure = chart({"test error": errors(rows, FEW)}, title)
    return Finding(answer, figure, f"{measured_on(rows)}\n\n{compared(tables)}")


def more_images(results: Path) -> Finding:
    rows = study.read(results / "study.csv")
    few, many = compare(rows, FEW_STEPS, paired=True), compare(rows, STEPS)
    better = beyond_chance(many, 1)
    title = f"On 55,000 images, {len(better)} of {len(many)} steps raise accuracy beyond chance"
    ends = ["two convolutions", LAST]
    gains = [np.subtract(*errors(rows, names)["mean"][ends]) for names in (FEW, ALL)]
    answer = f"{title}: {named(better)}. All steps after the two convolutions give {gains[0]:.2f} "
    answer += f"points on 5,000 images, and {gains[1]:.2f} on 55,000."
    tables = {"5,000 images": few, "55,000 images": many}
    shown = {name: table[table.index.isin(list(STEPS)[3:])] for name, table in tables.items()}
    figure = chart(shown, title, "change of test accuracy (points)")
    return Finding(answer, figure, compared(tables))


def amounts(results: Path) -> Finding:
    rows = study.read(results / "study.csv")
    error = errors(rows, AMOUNTS | {"55,000 images": LAST}).sort_values("mean", ascending=False)
    names = "5,000 images", "5,000 images, 110 epochs", "55,000 images"
    few, longer, many = error["mean"].reindex(names)
    title = f"5,000 images for 110 epochs: {longer:.2f} % errors; 55,000 for ten: {many:.2f} %"
    table = compare(rows, {name: (recipe, LAST) for name, recipe in AMOUNTS.items()})
    answer = f"{title}. These are as many steps. Ten epochs on 5,000 images give {few:.2f} %: more "
    answer += f"steps go {100 * (few - longer) / (few - many):.0f} % of the way, more images the "
    answer += f"rest. Beyond chance worse than all: {named(beyond_chance(table, -1))}."
    figure = chart({"test error": error}, title)
    return Finding(answer, figure, compared({"against 55,000 for ten": table}))


def sets(results: Path) -> Finding:
    rows = study.read(results / "study.csv")
    series = {split: errors(rows, FEW, split) for split in ("validation", "test")}
    gap = (series["test"]["mean"] - series["validation"]["mean"]).round(1) + 0.0  # -0.0 is 0.0
    title = f"Validation images are easier by {gap.iloc[0]} points on the first rung, "
    title += f"{gap.iloc[-1]} on the last"
    return Finding(f"{title}.", chart(series, title, "error (%)"), measured_on(rows))


def grey(results: Path) -> Finding:
    rows = study.read(results / "study.csv")
    papers = {"test_accuracy": "white"} | {f"test_grey_{each}": f"{each} %" for each in GREYS}
    means = rows.groupby("recipe")[list(papers)].mean().rename(columns=papers)
    means = means.reindex(FEW.values()).set_axis(list(FEW)).dropna()
    table = compare(rows, FEW_STEPS, "test_grey_50", paired=True)
    worst, best = table["mean"].idxmin(), table["mean"].idxmax()
    title = f"On half-grey paper, {worst} costs {-table['mean'][worst]:.0f} points, "
    title += f"and {best} brings {table['mean'][best]:.0f}"
    half = means.iloc[:, 2].reindex(["two convolutions", worst, best])
    answer = f"{title}. There, in percent, are right: {named(half, '{:.1f}')}."
    note = f"{measured_on(rows)}\n\n{compared({'paper that is 50 % grey': table})}"
    return Finding(answer, shaded(means, "grey"), note)


def parts(results: Path) -> Finding:
    return _changes(results, PARTS, "parts")


def choices(results: Path) -> Finding:
    return _changes(results, CHOICES, "other changes")


def _changes(results: Path, names: list[str], which: str) -> Finding:
    rows, pairs = study.read(results / "study.csv"), {name: (name, LAST) for name in names}
    tables = {
        f"{split} images": compare(rows, pairs, f"{split}_accuracy").sort_values("mean")
        for split in ("test", "validation")
    }
    table = tables["test images"]
    sure, chosen = (each.loc[each["p"] < 0.05, "mean"] for each in tables.values())
    title = f"Beyond chance on test images: {len(sure) or 'none'} of {len(table)} {which}"
    answer = f"{title}: {named(sure)}; on validation images: {named(chosen)}."
    shown = {name: name for name in [LAST, *table.index]}
    figure = chart({"test error": errors(rows, shown)}, title)
    return Finding(answer, figure, f"{measured_on(rows)}\n\n{compared(tables)}")


def means_of_kinds(table: pd.DataFrame) -> pd.DataFrame:
    """Return each row's mean over the damages of light, over the others, over those that no recipe
    was trained on, and over all."""
    damaged = table[list(MEASURED)].drop(columns="clean 0")
    light = damaged.columns.str.startswith(("fog", "grey", "contrast", "shadow"))
    seen = damaged.columns.str.startswith(("grey", "contrast", "gaussian"))
    kinds = {"light": light, "others": ~light, "unseen": ~seen, "all": light | ~light}
    return pd.DataFrame({name: damaged.loc[:, which].mean(axis=1) for name, which in kinds.items()})


def robustness(results: Path) -> Finding:
    table = study.read(results / "robustness.csv", DAMAGED)
    groups = means_of_kinds(table).groupby(table["recipe"])
    kinds = groups.mean()
    means = table.groupby("recipe")[list(MEASURED)].mean().reindex(DAMAGED).T
    light, others = kinds["light"], kinds["others"]
    title = f"Under other light, {light[LAST]:.0f} % are right with local normalisation, "
    title += f"{light[BEFORE]:.0f} % with a fixed mean"
    answer = (
        f"{title}, and {light[DROPOUT]:.0f} % with {DROPOUT}, which has a fixed mean, too. Of the "
        f"other damages, {others[LAST]:.1f}, {others[BEFORE]:.1f} and {others[DROPOUT]:.1f} %. "
        f"Training on damaged images as well gives {kinds.loc[AS_WELL, 'all']:.1f} % of all in "
        f"place of {kinds.loc[LAST, 'all']:.1f} %; of damages unlike those, "
        f"{kinds.loc[AS_WELL, 'unseen']:.1f} in place of {kinds.loc[LAST, 'unseen']:.1f} %."
    )
    by_kind = means.groupby(means.index.str.rsplit(" ", n=1).str[0], sort=False).mean()
    short = pd.DataFrame({kind: with_interval(groups[kind]) for kind in kinds}).reindex(DAMAGED)
    note = f"{measured_on(table)}\n\nAccuracies in percent:\n\n{in_markdown(short)}"
    return Finding(answer, shaded(by_kind.rename_axis(columns=None), "damages"), note)


def elsewhere(results: Path) -> Finding:
    table = pd.read_csv(results / "own_digits.csv", dtype=TEXT)
    table["right"] = 100 * table["right"] / table["images"]
    seeds = table.groupby(["data set", "preparation"], sort=False)["right"]
    right = seeds.mean().unstack(sort=False)
    scanned, pen = right.loc["scikit-learn's digits"], right.loc["pen strokes"]
    title = f"Of scikit-learn's digits, {scanned['to_mnist']:.0f} % are right after to_mnist, "
    title += f"{scanned['resized']:.0f} % when merely resized"
    answer = (
        f"{title}, and {scanned['boxed and centred']:.0f} % when boxed and centred; but to_mnist "
        f"was developed on them. Of pen strokes, {pen['to_mnist']:.0f} % are right after to_mnist, "
        f"and {pen['inverted where light, resized']:.0f} % when inverted and resized."
    )
    return Finding(answer, with_interval(seeds).unstack(sort=False), measured_on(table))


def published(results: Path) -> Finding:
    own = errors(study.read(results / "study.csv"), {"this recipe": MORE})
    table, (mean, low, high) = pd.read_csv(results / "published.csv"), own.loc["this recipe"]
    by_test = table["epoch chosen"] == "by test accuracy"
    better = (~by_test & (table["accuracy"] > 100 - low)).sum()
    title = f"{better} of {(~by_test).sum()} published networks have a clearly lower error"
    answer = f"{title}: below the 95 % interval of the last rung with 60,000 images, {low:.2f} to "
    answer += f"{high:.2f} % (mean {mean:.2f} %)."
    names = table["network"] + np.where(by_test, " *", "")
    error = pd.DataFrame({"mean": 100 - table["accuracy"]}).set_index(names)
    figure = chart({"test error": pd.concat([error, own]).sort_values("mean")}, title)
    table["network"] = "[" + table["network"] + "](" + table["link"] + ")"
    table = table.set_index("network")[["as published", "networks", "convolutions"]]
    note = "Single networks on the official split, accuracy in percent. \\* Not counted: its code "
    note += "keeps the epoch with the best test accuracy. Most others don't say which they kept."
    return Finding(answer, figure, f"{note}\n\n{in_markdown(table)}")


def speed(results: Path) -> Finding:
    table = pd.read_csv(results / "speed.csv", dtype=TEXT)
    speeds = table.pivot(index="round", columns="contender", values="images_per_second").dropna()
    ratios = speeds.div(speeds["usual loop, float32"], axis=0)[table["contender"].unique()]
    ratios = ratios.agg(["median", "min", "max"]).T.set_axis(["mean", "low", "high"], axis=1)
    times = ratios["mean"]["lesson, float32"]
    title = f"The lesson's loop trains {times:.1f} times as fast as the usual loop"
    answer = f"{title} in float32. All in multiples of that: {named(ratios['mean'], '{:.1f}')}."
    figure = chart({"median": ratios}, title, "speed (usual loop in float32 = 1)")
    return Finding(answer, figure, measured_on(table))
