"""Many trainings, variants of the recipe times seeds, each on one thread, into one table.

A row is written as soon as it is known. Ctrl-C stops everything; the same command then goes on.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from joblib import Parallel, delayed, parallel_config
from tqdm import tqdm

from mnist_helpers import MNIST, download_mnist, load_mnist
from research.tables import RESULTS, Table
from research.variants import COLUMNS, VARIANTS, Variant, run_trial

MOST_PROCESSES = 60  # Windows can't wait for more


def missing_trials(rows: list[dict], variants: dict[str, Variant]) -> list[tuple[int, str]]:
    """Return seed and name of each trial that has no row of the present recipe, lower seeds first.
    A variant that is the final recipe on this machine anyhow is left out."""
    done = {(row["variant"], row["recipe"], int(row["seed"])) for row in rows}
    return [
        (seed, name)
        for seed in range(max(variant.seeds for variant in variants.values()))
        for name, variant in variants.items()
        if seed < variant.seeds and not variant.is_the_same_as_final()
        if (name, variant.recipe(), seed) not in done
    ]


def run_study(
    output: Path,
    load: Callable[[], MNIST],
    processes: int = 1,
    variants: dict[str, Variant] = VARIANTS,
) -> None:
    """Run the trials whose rows are not in `output` yet, in joblib's present backend.

    `load` gives the data in each process. A trial that fails is reported at the end, as an
    ExceptionGroup, and costs no other its row. Raises RuntimeError as Table does.
    """
    with Table(output, COLUMNS) as table:
        missing = missing_trials(table.rows(), variants)
        calls = [delayed(_try_trial)(name, variants[name], seed, load) for seed, name in missing]
        parallel = Parallel(processes, return_as="generator_unordered", batch_size=1)
        failures = []
        results: Iterator[dict | Exception] = parallel(calls)
        try:
            for result in tqdm(results, total=len(missing), unit="training", smoothing=0):
                if isinstance(result, Exception):
                    failures.append(result)
                else:
                    table.append(result)
        finally:
            results.close()  # at Ctrl-C, this ends the workers
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {len(missing)} trainings failed", failures)


def _try_trial(*trial) -> dict | Exception:
    try:
        return run_trial(*trial)
    except Exception as error:
        return error


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m research.study", description=__doc__)
    parser.add_argument("--output", type=Path, default=RESULTS / "study.csv")
    parser.add_argument("--data", default="data", help="where MNIST is, or shall be fetched to")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--dask", metavar="ADDRESS", help="run there, as tcp://scheduler:8786")
    parser.add_argument(
        "--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="VARIANT",
        help=f"some of: {'; '.join(VARIANTS)}",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    variants = {name: VARIANTS[name] for name in options.variants}
    for name, variant in variants.items():
        if variant.is_the_same_as_final():
            print(f"{name!r} is left out: this processor computes 'final' in float32, too.")
    download_mnist(options.data)
    load = partial(load_mnist, Path(options.data).absolute())
    with ExitStack() as stack:
        processes = min(options.processes, MOST_PROCESSES)
        if options.dask:
            from distributed import Client  # not needed, nor installed, on a single machine

            stack.enter_context(Client(options.dask))
            stack.enter_context(parallel_config("dask"))
            processes = -1  # all that the cluster has
        try:
            run_study(options.output, load, processes, variants)
        except KeyboardInterrupt:
            print(f"\nStopped. {options.output} holds what was finished; the same command goes on.")
            sys.exit(130)


if __name__ == "__main__":
    main()
