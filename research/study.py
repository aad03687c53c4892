"""Many trainings, variants of the recipe times seeds, each in a process of its own, into one CSV.

python -m mnist_helpers.study --help
"""

import argparse
import csv
import math
import multiprocessing
import os
import platform
import time
from collections.abc import Iterable
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from tqdm import tqdm

from .archive import digest
from .augmentation import Distortion
from .baselines import SoftmaxFirst, TutorialClassifier
from .data import MNIST, Split, load_mnist
from .download import download_mnist
from .evaluation import evaluate
from .model import DigitClassifier
from .runtime import seed_everything
from .training import TrainingConfig, train

COLUMNS = [
    *("variant", "recipe", "seed", "validation_accuracy", "test_accuracy", "test_loss"),
    *("calibration_error", "train_seconds", "test_errors", "torch", "python", "processor"),
]


@dataclass(frozen=True)
class Variant:
    """What differs from the final recipe, which learns from all 60,000 images that there are."""

    images: int = 60_000
    config: dict = field(default_factory=dict)  # of TrainingConfig
    classifier: type[DigitClassifier] = DigitClassifier
    arguments: dict = field(default_factory=dict)  # of the classifier
    seeds: int = 5

    def make_model(self, seed: int) -> DigitClassifier:
        seed_everything(seed)
        return self.classifier(**self.arguments)

    def recipe(self) -> str:
        """A digest of network, configuration and images: rows of another recipe don't count."""
        model = f"{self.classifier.__name__} {self.make_model(0)}"
        return digest(model, TrainingConfig(**self.config), self.images)[:8]


CONSTANT = {"one_cycle": False, "learning_rate": 1e-3}
VARIANTS = {
    "final": Variant(seeds=10),
    "55,000 images": Variant(images=55_000),
    "20,000 images": Variant(images=20_000),
    "6,000 images": Variant(images=6_000),
    "1,000 images": Variant(images=1_000),
    "1 epoch": Variant(config={"epochs": 1}),
    "3 epochs": Variant(config={"epochs": 3}),
    "batch of 384": Variant(config={"batch_size": 384}),
    "constant learning rate": Variant(config=CONSTANT),
    "every image once": Variant(config={"hard_images": 0.0}),
    "no distortion": Variant(config={"distortion": None}),
    "moved, not degraded": Variant(config={"distortion": Distortion(degraded=0.0)}),
    "no dropout": Variant(arguments={"dropout": (0.0, 0.0)}),
    "no batch normalisation": Variant(arguments={"batch_normalisation": False}),
    "softmax before the loss": Variant(classifier=SoftmaxFirst),
    "half the channels": Variant(arguments={"channels": (16, 32)}),
    "double the channels": Variant(arguments={"channels": (64, 128)}, seeds=3),
    "tutorials": Variant(
        config=CONSTANT | {"distortion": None, "hard_images": 0.0}, classifier=TutorialClassifier
    ),
}


def train_variant(name: str, seed: int, mnist: MNIST) -> tuple[DigitClassifier, float]:
    """Return the trained classifier, and its validation accuracy: NaN where the network has
    learned from the validation images, as it does when it is shown all 60,000."""
    variant = VARIANTS[name]
    images = torch.cat([mnist.train.images, mnist.validation.images])[: variant.images]
    labels = torch.cat([mnist.train.labels, mnist.validation.labels])[: variant.images]
    model = variant.make_model(seed)
    config = TrainingConfig(**variant.config, seed=seed)
    history = train(model, Split(images, labels), mnist.validation, config)
    held_out = variant.images <= len(mnist.train)
    return model, history[-1].validation_accuracy if held_out else math.nan


def run_trial(name: str, seed: int, data: str) -> dict:
    """Train one variant with one seed on one thread, and return its row."""
    torch.set_num_threads(1)
    mnist = load_mnist(data)
    start = time.monotonic()
    model, validation_accuracy = train_variant(name, seed, mnist)
    seconds = time.monotonic() - start
    evaluation = evaluate(model, mnist.test)
    errors = (~evaluation.correct).nonzero()[0]
    return {
        "variant": name,
        "recipe": VARIANTS[name].recipe(),
        "seed": seed,
        "validation_accuracy": round(100 * validation_accuracy, 2),
        "test_accuracy": round(100 * evaluation.accuracy, 2),
        "test_loss": evaluation.loss,
        "calibration_error": 100 * evaluation.calibration_error,
        "train_seconds": round(seconds, 1),
        "test_errors": " ".join(f"{index}:{evaluation.predictions[index]}" for index in errors),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "processor": f"{platform.machine()}, {os.cpu_count()} cores, one thread",
    }


def finished_trials(output: Path) -> set[tuple[str, int]]:
    """Return variant and seed of each row of the present recipes; a row cut off is taken away."""
    text = output.read_text() if output.exists() else ""
    whole = text[: text.rfind("\n") + 1] or ",".join(COLUMNS) + "\n"
    if whole != text:  # it is new, or the process was killed while it wrote
        output.write_text(whole)
    recipes = {name: variant.recipe() for name, variant in VARIANTS.items()}
    rows = csv.DictReader(whole.splitlines())
    present = (row for row in rows if recipes.get(row["variant"]) == row["recipe"])
    return {(row["variant"], int(row["seed"])) for row in present}


def run_study(
    output: Path, executor: Executor, data: str, names: Iterable[str] = tuple(VARIANTS)
) -> None:
    """Run the trials whose rows are not in `output` yet, and append each as soon as it is done.

    Raises RuntimeError if another process is writing to the same file.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(f"{output}.lock", timeout=0).acquire()
    except Timeout as error:
        raise RuntimeError(f"Another study is writing to {str(output)!r}: wait for it") from error
    with lock:
        done = finished_trials(output)
        trials = [(seed, name) for name in names for seed in range(VARIANTS[name].seeds)]
        missing = sorted((seed, name) for seed, name in trials if (name, seed) not in done)
        futures = [executor.submit(run_trial, name, seed, data) for seed, name in missing]
        bar = tqdm(total=len(trials), initial=len(trials) - len(missing), unit="training")
        with bar, output.open("a", newline="") as file:
            for future in as_completed(futures):
                if future.exception():  # raised at the end: the other rows must not be lost
                    continue
                csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(future.result())
                file.flush()
                os.fsync(file.fileno())
                bar.update()
        for future in futures:
            future.result()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m mnist_helpers.study", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("results/study.csv"))
    parser.add_argument("--data", default="data", help="where MNIST is, or shall be fetched to")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--dask", metavar="ADDRESS", help="run there, as tcp://scheduler:8786")
    parser.add_argument(
        "--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="VARIANT",
        help=f"some of: {', '.join(VARIANTS)}",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    download_mnist(options.data)
    if options.dask:
        from distributed import Client  # not needed, nor installed, on a single machine

        with Client(options.dask) as client:
            run_study(options.output, client.get_executor(), options.data, options.variants)
    else:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(options.processes, mp_context=spawn) as executor:
            run_study(options.output, executor, options.data, options.variants)


if __name__ == "__main__":
    main()
