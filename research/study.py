"""Train the recipes of research/recipes.py, each from several seeds and on one thread, into
results/study.csv, and sum them up in mnist_helpers/study.csv, which the lesson reads.

A row is written as soon as it is known. Ctrl-C stops everything; the same command then goes on.
"""

from pathlib import Path

import pandas as pd
from scipy import stats

from research.recipes import COLUMNS, LADDER, RECIPES, run_trial
from research.runner import RESULTS, ROOT, parse_study, run_study

SUMMARY = ROOT / "mnist_helpers" / "study.csv"


def read(path: Path = RESULTS / "study.csv", recipes: dict | None = None) -> pd.DataFrame:
    """Return the rows of the recipes as they are now."""
    rows = pd.read_csv(path, dtype={"commit": str})
    versions = {name: recipe.version for name, recipe in (recipes or RECIPES).items()}
    return rows[rows["version"] == rows["recipe"].map(versions)]


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Return seeds, mean accuracies in percent with Student's 95 % interval over the seeds, mean
    loss and median seconds of each recipe."""
    recipes = rows.groupby("recipe")
    table = pd.DataFrame({"seeds": recipes.size()})
    for split in ("validation", "test"):
        accuracy = recipes[f"{split}_accuracy"]
        half_width = accuracy.sem() * stats.t.ppf(0.975, table["seeds"] - 1)
        table[f"{split}_accuracy"] = accuracy.mean().round(3)
        table[f"{split}_low"] = (accuracy.mean() - half_width).round(3)
        table[f"{split}_high"] = (accuracy.mean() + half_width).round(3)
        table[f"{split}_loss"] = recipes[f"{split}_loss"].mean().round(4)
    table["on_ladder"] = table.index.isin(LADDER)
    table["seconds"] = recipes["seconds"].median().round()
    return table.reindex([name for name in RECIPES if name in table.index])


def main(arguments: list[str] | None = None) -> None:
    options = parse_study("study", __doc__, RECIPES, arguments)
    try:
        run_study(options, RECIPES, run_trial, COLUMNS)
    finally:
        if options.output == RESULTS / "study.csv":
            summarise(read()).to_csv(SUMMARY, lineterminator="\n")


if __name__ == "__main__":
    main()
