"""Changes of the recipe, compared on the last 10,000 training images; the first 50,000 are learned
from, and the test images are not used.

Some of the options that were tried on the way to the recipe, and can still be run.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from mnist_helpers import MNIST, Distortion, Split, load_mnist
from research.baselines import FiveConvolutions, VariedClassifier
from research.running import add_processes, make_parser, run_side_by_side
from research.tables import Table, describe_machine
from research.variants import Variant

CHANGES = {
    "none": Variant(images=50_000),
    "every image once": Variant(images=50_000, config={"hard_images": 0.0}),
    "padded convolutions": Variant(
        images=50_000, network=VariedClassifier, arguments={"padding": 2}
    ),
    "double the channels": Variant(
        images=50_000, network=VariedClassifier, arguments={"channels": (64, 128)}
    ),
    "five convolutions": Variant(images=50_000, network=FiveConvolutions),
    "20 epochs": Variant(images=50_000, config={"epochs": 20}),
    "moved half as far again": Variant(
        images=50_000,
        config={"distortion": Distortion(rotation=18.0, shift=3.0, scale=0.18, shear=0.22)},
    ),
}
SEEDS = 6
COLUMNS = ["change", "recipe", "seed", "validation_accuracy", "validation_loss", "seconds"]
COLUMNS += ["configuration"]  # of rows whose options are gone, as JSON


def hold_out(load: Callable[[], MNIST], count: int = 10_000) -> MNIST:
    """Return the training images, with the last `count` of them for validation, and no test."""
    data = load()
    images = torch.cat([data.train.images, data.validation.images])
    labels = torch.cat([data.train.labels, data.validation.labels])
    held_out = Split(images[-count:], labels[-count:])
    return MNIST(Split(images[:-count], labels[:-count]), held_out, held_out)


def run_change(name: str, variant: Variant, seed: int, load: Callable[[], MNIST]) -> dict:
    """Train with one change and one seed on one thread, and return its row."""
    torch.set_num_threads(1)
    data = hold_out(load)
    start = time.monotonic()
    _, history = variant.train(seed, data)
    row = {
        "change": name,
        "recipe": variant.recipe(),
        "seed": seed,
        "validation_accuracy": round(100 * history[-1]["validation_accuracy"], 2),
        "validation_loss": round(history[-1]["validation_loss"], 5),
        "seconds": round(time.monotonic() - start),
    }
    return describe_machine() | row


def missing_trials(rows: list[dict], changes=CHANGES, seeds: int = SEEDS) -> list[tuple[str, int]]:
    """Return change and seed of each training of the present recipe without a row."""
    done = {(row["change"], row["recipe"], int(row["seed"])) for row in rows}
    recipes = {name: CHANGES[name].recipe() for name in changes}
    return [
        (name, seed)
        for seed in range(seeds)
        for name in changes
        if (name, recipes[name], seed) not in done
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser("search", __doc__)
    add_processes(parser)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="so many of them, 0 first")
    parser.add_argument(
        "--changes", nargs="+", choices=CHANGES, default=list(CHANGES), metavar="CHANGE",
        help=f"some of: {'; '.join(CHANGES)}",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    load = partial(load_mnist, Path(options.data).absolute())
    load()  # fetches the files once, before the processes begin
    with Table(options.output, COLUMNS) as table:
        missing = missing_trials(table.rows(), options.changes, options.seeds)
        calls = [(name, CHANGES[name], seed, load) for name, seed in missing]
        run_side_by_side(table, calls, run_change, options.processes)


if __name__ == "__main__":
    main()
