"""How scripts fill their tables: what is missing is run, and a row is on disk once it is known."""

import argparse
import csv
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import torch
from filelock import FileLock, Timeout
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
    best = [name for name in known if capabilities.get(name)]
    return {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "processor": capabilities.get("cpu_name") or platform.processor() or "unknown",
        "instructions": best[0] if best else torch.backends.cpu.get_cpu_capability().lower(),
        "threads": str(torch.get_num_threads()),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }


def current_commit() -> str:
    """Return the commit of the code that runs, with a plus where files were changed since."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
    return done.stdout.strip() or "unknown"


class Table:
    """A CSV file to which one process at a time appends rows, in a `with` statement.

    Raises RuntimeError if another process is writing to it, if its folder can't be written or gives
    no locks, or if it has other columns.
    """

    def __init__(self, path: str | Path, columns: list[str]):
        self.path, self.columns = Path(path), columns

    def __enter__(self) -> "Table":
        self._lock = FileLock(f"{self.path}.lock", timeout=0)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout as error:
            raise RuntimeError(f"Another process is writing to {str(self.path)!r}") from error
        except (OSError, NotImplementedError) as error:  # as on some network drives
            raise RuntimeError(
                f"{str(self.path)!r} can't be kept for one process: {error}. Name a file on a "
                "local disk by --output."
            ) from error
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        # The last line has no end if the process was killed while it wrote.
        whole = text[: text.rfind("\n") + 1] or ",".join(self.columns) + "\n"
        if whole != text:
            self.path.write_text(whole, encoding="utf-8", newline="\n")
        found = next(csv.reader([whole.split("\n")[0]]))
        if found != self.columns:
            self._lock.release()
            raise RuntimeError(
                f"{str(self.path)!r} has the columns {found}, but they should be {self.columns}. "
                "Move the file elsewhere to begin a new one."
            )
        return self

    def __exit__(self, *exception) -> None:
        self._lock.release()

    def rows(self) -> list[dict[str, str]]:
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def append(self, row: dict) -> None:
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns, lineterminator="\n").writerow(row)
            file.flush()
            os.fsync(file.fileno())


def run_missing(
    output: Path,
    trials: list[dict],
    function: Callable[..., dict],
    columns: list[str],
    processes: int = 1,
) -> None:
    """Append a row for each trial that has none yet: the trial's own values, what `function`
    returns when it is called with them (`columns`, or what it knows better of MACHINE), commit and
    machine.

    Trials run in as many processes, or in joblib's present backend. One that fails costs no other
    its row; at the end, an ExceptionGroup holds all failures. After Ctrl-C the same call goes on.
    """
    keys = list(trials[0])
    commit = current_commit()
    with Table(output, [*keys, *columns, "commit", *MACHINE]) as table:
        done = {tuple(row[key] for key in keys) for row in table.rows()}
        missing = [trial for trial in trials if tuple(map(str, trial.values())) not in done]
        parallel = Parallel(processes, return_as="generator_unordered", batch_size=1)
        results: Iterable = parallel(delayed(_try)(function, trial) for trial in missing)
        failures = []
        try:
            for result in tqdm(results, total=len(missing), smoothing=0):
                if isinstance(result, Exception):
                    failures.append(result)
                else:
                    table.append({**result, "commit": commit})
        finally:
            results.close()
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {len(missing)} trials failed", failures)


def _try(function: Callable[..., dict], trial: dict) -> dict | Exception:
    try:
        result = function(**trial)  # which may change the number of threads
        return {**trial, **describe_machine(), **result}
    except Exception as error:
        return error


def make_parser(script: str, description: str) -> argparse.ArgumentParser:
    """Return a parser of the options --output and --data."""
    parser = argparse.ArgumentParser(prog=f"python -m research.{script}", description=description)
    parser.add_argument("--output", type=Path, default=RESULTS / f"{script}.csv")
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
    with ExitStack() as stack:
        processes = options.processes
        if options.dask:
            from distributed import Client  # not needed, nor installed, on a single machine

            stack.enter_context(Client(options.dask))
            stack.enter_context(parallel_config("dask"))
            processes = -1  # all that the cluster has
        try:
            run_missing(options.output, trials, function, columns, processes)
        except KeyboardInterrupt:
            print(f"\nStopped. {options.output} holds what was finished; the same command goes on.")
            sys.exit(130)
