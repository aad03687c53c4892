"""Train the recipes of research/recipes.py, each from several seeds and on one thread, into
results/study.csv, and sum them up in mnist_helpers/study.csv, which the lesson reads.

A row is written as soon as it is known. Ctrl-C stops everything; the same command then goes on.
"""

from pathlib import Path

import pandas as pd
from scipy import stats

from research.recipes import COLUMNS, GREYS, LADDER, ON_FEW, RECIPES, SMALL, run_trial
from research.runner import RESULTS, ROOT, parse_study, run_study

SUMMARY = ROOT / "mnist_helpers" / "study.csv"


def read(path: Path = RESULTS / "study.csv", recipes: dict | None = None) -> pd.DataFrame:
    """Return the rows of the recipes as they are now."""
    rows = pd.read_csv(path, dtype={"commit": str})
    versions = {name: recipe.version for name, recipe in (recipes or RECIPES).items()}
    return rows[rows["version"] == rows["recipe"].map(versions)]


def mean_interval(groups) -> pd.DataFrame:
    """Return the means of groups, and the ends of Student's 95 % intervals."""
    mean, half_width = groups.mean(), groups.sem() * stats.t.ppf(0.975, groups.size() - 1)
    return pd.DataFrame({"mean": mean, "low": mean - half_width, "high": mean + half_width})


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Return seeds, mean accuracies in percent with Student's 95 % interval over the seeds, on
    white and on grey paper, mean loss, the seeds' lowest and highest test accuracy and median
    seconds, by the number of training images and recipe."""
    recipes = rows.groupby("recipe")
    table = pd.DataFrame({"seeds": recipes.size()})
    for split in ("validation", "test"):
        names = [f"{split}_{end}" for end in ("accuracy", "low", "high")]
        table[names] = mean_interval(recipes[names[0]]).round(3)
        table[f"{split}_loss"] = recipes[f"{split}_loss"].mean().round(4)
        for grey in GREYS:
            table[f"{split}_grey_{grey}"] = recipes[f"{split}_grey_{grey}"].mean().round(2)
    table[["test_lowest", "test_highest"]] = recipes["test_accuracy"].agg(["min", "max"])
    table["seconds"] = recipes["seconds"].median().round()
    table = table.reindex([name for name in RECIPES if name in table.index])
    table.insert(0, "on_ladder", table.index.isin([*LADDER, *ON_FEW]))
    table.insert(0, "images", [RECIPES[name].images for name in table.index])
    table.index = table.index.str.removesuffix(SMALL)
    return table.set_index("images", append=True).swaplevel()


def main(arguments: list[str] | None = None) -> None:
    options = parse_study("study", __doc__, RECIPES, arguments)
    try:
        run_study(options, RECIPES, run_trial, COLUMNS)
    finally:
        if options.output == RESULTS / "study.csv":
            summarise(read()).to_csv(SUMMARY, lineterminator="\n")


if __name__ == "__main__":
    main()
