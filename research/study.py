"""Many trainings, variants of the recipe times seeds, each on one thread, into one table.

A row is written as soon as it is known. Ctrl-C stops everything; the same command then goes on.
"""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from joblib import parallel_config

from mnist_helpers import MNIST, download_mnist, load_mnist
from research.running import add_processes, make_parser, run_side_by_side
from research.tables import Table
from research.variants import COLUMNS, VARIANTS, Variant, run_trial


def missing_trials(rows: list[dict], variants=VARIANTS) -> list[tuple[str, int]]:
    """Return name and seed of each trial that has no row of the present recipe, lower seeds first.
    A variant that is the final recipe on this machine anyhow is left out."""
    done = {(row["variant"], row["recipe"], int(row["seed"])) for row in rows}
    recipes = {name: variant.recipe() for name, variant in variants.items()}
    return [
        (name, seed)
        for seed in range(max(variant.seeds for variant in variants.values()))
        for name, variant in variants.items()
        if seed < variant.seeds and not variant.is_the_same_as_final()
        if (name, recipes[name], seed) not in done
    ]


def run_study(
    output: Path,
    load: Callable[[], MNIST],
    processes: int = 1,
    variants: dict[str, Variant] = VARIANTS,
) -> None:
    """Run the trials whose rows are not in `output` yet; `load` gives the data in each process.

    Raises RuntimeError as Table does, and ExceptionGroup as `run_side_by_side` does.
    """
    with Table(output, COLUMNS) as table:
        missing = missing_trials(table.rows(), variants)
        calls = [(name, variants[name], seed, load) for name, seed in missing]
        run_side_by_side(table, calls, run_trial, processes)


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser("study", __doc__)
    add_processes(parser)
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
        processes = options.processes
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
