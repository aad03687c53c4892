"""What the scripts share: their options, and how they run what is missing in their tables."""

import argparse
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from joblib import Parallel, delayed
from tqdm import tqdm

from .tables import MACHINE, RESULTS, Table, describe_machine

MOST_PROCESSES = 60  # Windows can't wait for more


def make_parser(name: str, description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all scripts have."""
    parser = argparse.ArgumentParser(prog=f"python -m research.{name}", description=description)
    parser.add_argument("--output", type=Path, default=RESULTS / f"{name}.csv")
    parser.add_argument("--data", default="data", help="where MNIST is, or shall be fetched to")
    return parser


def add_processes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count(), help="with one thread each; default: all"
    )


def run_side_by_side(
    table: Table, calls: Iterable[tuple], function: Callable, processes: int
) -> None:
    """Call the function with each tuple of arguments in joblib's present backend, and append the
    row or the rows that a call returns as soon as it has returned.

    A call that fails costs no other its rows; at the end, an ExceptionGroup holds all failures.
    Ctrl-C ends the workers, and nothing new begins.
    """
    calls = list(calls)
    parallel = Parallel(
        min(processes, MOST_PROCESSES), return_as="generator_unordered", batch_size=1
    )
    results: Iterator[dict | list[dict] | Exception] = parallel(
        delayed(_try)(function, *arguments) for arguments in calls
    )
    failures = []
    try:
        for result in tqdm(results, total=len(calls), unit="training", smoothing=0):
            if isinstance(result, Exception):
                failures.append(result)
                continue
            for row in result if isinstance(result, list) else [result]:
                table.append(row)
    finally:
        results.close()
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {len(calls)} trainings failed", failures)


def _try(function: Callable, *arguments) -> dict | list[dict] | Exception:
    try:
        return function(*arguments)
    except Exception as error:
        return error


def measure_in_turn(
    output: Path, trials: list[dict], function: Callable[..., dict], columns: list[str]
) -> None:
    """Append a row for each trial that has none yet: the trial's values and what the function
    returns for them, `columns`. Each trial has a process of its own, which inherits no allocator,
    threads or memory from one before it.

    Raises RuntimeError if the table was begun on another machine: such numbers don't mix.
    """
    names = list(trials[0])
    with Table(output, [*names, *columns]) as table:
        here, rows = describe_machine(), table.rows()
        if any(row[name] != here[name] for row in rows for name in MACHINE):
            raise RuntimeError(
                f"{str(output)!r} was begun on another machine, or with other versions. "
                "Move it elsewhere to measure anew."
            )
        done = {tuple(row[name] for name in names) for row in rows}
        missing = [each for each in trials if tuple(map(str, each.values())) not in done]
        for trial in tqdm(missing, unit="measurement", smoothing=0):
            table.append(trial | in_own_process(function, trial))


def in_own_process(function: Callable[..., dict], arguments: dict) -> dict:
    # Not a multiprocessing.Pool, whose processes may start none, as a DataLoader's workers.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, **arguments).result()
