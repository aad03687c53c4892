"""How scripts fill their tables: what is missing is run, and a row is on disk once it is known."""

import argparse
import csv
import io
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from pathlib import Path

import torch
from filelock import FileLock
from joblib import Parallel, cpu_count, delayed, parallel_config
from tqdm import tqdm

from mnist_helpers import load

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "research" / "results"
MACHINE = ["machine", "processor", "instructions", "threads", "torch", "python"]


def describe_machine() -> dict[str, str]:
    """Return the columns MACHINE: what a number depends on apart from the code."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    known = ("amx_bf16", "avx512_bf16", "avx512_f", "avx2")
    best = next(filter(capabilities.get, known), torch.backends.cpu.get_cpu_capability().lower())
    return {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "processor": capabilities.get("cpu_name") or platform.processor() or "unknown",
        "instructions": best,
        "threads": str(torch.get_num_threads()),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }


def current_commit() -> str:
    """Return the commit of the code that runs, with a plus where files were changed since."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
    except FileNotFoundError:  # there is no git
        return "unknown"
    return done.stdout.strip() or "unknown"


def read_rows(path: Path, columns: list[str]) -> list[dict[str, str]]:
    """Return a table's rows. Begin it where there is none, and cut off a last line without an end,
    which a process leaves that is killed while it writes. Raises ValueError at other columns."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = text[: text.rfind("\n") + 1] or ",".join(columns) + "\n"
    reader = csv.DictReader(io.StringIO(whole, newline=""))
    if reader.fieldnames != columns:
        raise ValueError(
            f"{str(path)!r} has the columns {reader.fieldnames}, but they should be {columns}. "
            "Move the file elsewhere to begin a new one."
        )
    if whole != text:
        path.write_text(whole, encoding="utf-8", newline="\n")
    return list(reader)


def run_missing(
    output: Path, trials: list[dict], function: Callable[..., dict], columns: list[str]
) -> None:
    """Append a row for each trial that has none yet: the trial's own values, what `function`
    returns when it is called with them (`columns`, or what it knows better of MACHINE), commit and
    machine.

    Trials run one by one, or as joblib's parallel_config says. The error of one that fails is
    raised, and rows stay: after that, or after Ctrl-C, the same call goes on. Raises filelock's
    Timeout if another process writes to this table.
    """
    keys = list(trials[0])
    columns = [*keys, *columns, "commit", *MACHINE]
    commit = current_commit()
    output.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{output}.lock", timeout=0):  # for another process would run the same trials
        done = {tuple(row[key] for key in keys) for row in read_rows(output, columns)}
        missing = [trial for trial in trials if tuple(map(str, trial.values())) not in done]
        parallel = Parallel(return_as="generator_unordered", batch_size=1)
        results: Generator = parallel(delayed(_row)(function, trial) for trial in missing)
        with closing(results):
            for result in tqdm(results, total=len(missing), smoothing=0):
                with output.open("a", newline="", encoding="utf-8") as file:
                    writer = csv.DictWriter(file, columns, lineterminator="\n")
                    writer.writerow({**result, "commit": commit})


def _row(function: Callable[..., dict], trial: dict) -> dict:
    result = function(**trial)  # which may change the number of threads
    return {**trial, **describe_machine(), **result}


def make_parser(script: str, doc: str, output: Path | None = None) -> argparse.ArgumentParser:
    """Return a parser of the options --output and --data."""
    parser = argparse.ArgumentParser(prog=f"python -m research.{script}", description=doc)
    parser.add_argument("--output", type=Path, default=output or RESULTS / f"{script}.csv")
    parser.add_argument("--data", default="data", help="where MNIST is, or shall be fetched to")
    return parser


def parse_study(
    script: str, description: str, recipes: dict, arguments: list[str] | None
) -> argparse.Namespace:
    """Return the options of a script that trains recipes."""
    parser = make_parser(script, description)
    parser.add_argument(
        "--processes", type=int, default=cpu_count(), help="with one thread each; default: all"
    )
    parser.add_argument("--dask", metavar="ADDRESS", help="run there, as tcp://scheduler:8786")
    parser.add_argument(
        "--recipes", nargs="+", choices=recipes, default=list(recipes), metavar="RECIPE",
        help=f"some of: {'; '.join(recipes)}",
    )  # fmt: skip
    return parser.parse_args(arguments)


def run_study(
    options: argparse.Namespace, recipes: dict, function: Callable[..., dict], columns: list[str]
) -> None:
    """Train the recipes that `options` name, each from its seeds, lower seeds first.

    `function` takes recipe, version, seed and data_root. Ctrl-C ends the program.
    """
    load(options.data)  # fetches the files
    trials = [
        {"recipe": name, "version": recipes[name].version, "seed": seed}
        for seed in range(max(recipe.seeds for recipe in recipes.values()))
        for name in options.recipes
        if seed < recipes[name].seeds
    ]
    function = partial(function, data_root=str(Path(options.data).absolute()))
    workers = {"n_jobs": options.processes}
    if options.dask:
        workers = {"backend": "dask", "scheduler_host": options.dask}  # all that the cluster has
    try:
        with parallel_config(**workers):
            run_missing(options.output, trials, function, columns)
    except KeyboardInterrupt:
        print(f"\nStopped. {options.output} holds what was finished; the same command goes on.")
        sys.exit(130)
