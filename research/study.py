"""Train the recipes of research/recipes.py, each from several seeds and on one thread, into
results/study.csv, and sum them up in mnist_helpers/study.csv, which the lesson reads.

A row is written as soon as it is known. Ctrl-C stops everything; the same command then goes on.
"""

import argparse
import os
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pandas as pd
from joblib import parallel_config
from scipy import stats

from mnist_helpers import load
from research.recipes import COLUMNS, LADDER, RECIPES, run_trial
from research.runner import RESULTS, ROOT, run_missing

SUMMARY = ROOT / "mnist_helpers" / "study.csv"


def all_trials(recipes: list[str]) -> list[dict]:
    """Return what identifies each training, lower seeds first."""
    most = max(RECIPES[name].seeds for name in recipes)
    return [
        {"recipe": name, "version": RECIPES[name].version, "seed": seed}
        for seed in range(most)
        for name in recipes
        if seed < RECIPES[name].seeds
    ]


def read(path: Path = RESULTS / "study.csv") -> pd.DataFrame:
    """Return the rows of the recipes as they are now."""
    rows = pd.read_csv(path)
    versions = {name: recipe.version for name, recipe in RECIPES.items()}
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
    parser = argparse.ArgumentParser(prog="python -m research.study", description=__doc__)
    parser.add_argument("--output", type=Path, default=RESULTS / "study.csv")
    parser.add_argument("--data", default="data", help="where MNIST is, or shall be fetched to")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count(), help="with one thread each; default: all"
    )
    parser.add_argument("--dask", metavar="ADDRESS", help="run there, as tcp://scheduler:8786")
    parser.add_argument(
        "--recipes", nargs="+", choices=RECIPES, default=list(RECIPES), metavar="RECIPE",
        help=f"some of: {'; '.join(RECIPES)}",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    load(options.data)  # fetches the files
    run = partial(run_trial, data_root=str(Path(options.data).absolute()))
    with ExitStack() as stack:
        processes = options.processes
        if options.dask:
            from distributed import Client  # not needed, nor installed, on a single machine

            stack.enter_context(Client(options.dask))
            stack.enter_context(parallel_config("dask"))
            processes = -1  # all that the cluster has
        try:
            run_missing(options.output, all_trials(options.recipes), run, COLUMNS, processes)
        except KeyboardInterrupt:
            print(f"\nStopped. {options.output} holds what was finished; the same command goes on.")
            sys.exit(130)
        finally:
            if options.output == RESULTS / "study.csv":
                summarise(read()).to_csv(SUMMARY, lineterminator="\n")


if __name__ == "__main__":
    main()
