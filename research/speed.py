"""Images per second in training on the CPU: the lesson's loop, the loop that one would usually
write, and what the processor could do at all.

All train with batches of 96, in turn and each in a process of its own, for five rounds: compare
within a round. The float32 limit is the arithmetic of a usual training step at the rate of a large
matrix product. In the rows named "without ...", one choice in the lesson's step is taken back.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision import datasets, transforms

from mnist_helpers import DigitClassifier, augment, has_bfloat16, load, train_epoch
from research.recipes import BATCH_SIZE, fixed_normalisation
from research.runner import RESULTS, run_missing

ROUNDS = 5
WARM_UP, BATCHES = 10, 100  # the first batches are not timed: caches fill, the allocator settles


class TimedLoader(DataLoader):
    """Times an iteration from the end of the warm-up to the end of the last step."""

    images_per_second = 0.0

    def __init__(self, dataset: Dataset):
        super().__init__(dataset, BATCH_SIZE, shuffle=True)

    def __iter__(self) -> Iterator:
        for number, batch in enumerate(super().__iter__(), start=1):
            yield batch
            if number == WARM_UP:
                start = time.perf_counter()
        seconds = time.perf_counter() - start
        self.images_per_second = (number - WARM_UP) * BATCH_SIZE / seconds


def train_lesson(
    root: str,
    batches: int,
    *,
    bfloat16: bool,
    model: Callable[[], nn.Module] = DigitClassifier,
    layout: torch.memory_format = torch.channels_last,
    fused: bool = True,
    augmentation: Callable | None = augment,
) -> float:
    """Train as the lesson does, or with a choice taken back; return images per second."""
    loader = TimedLoader(load(root, training_images=batches * BATCH_SIZE).training)
    network = model().to(memory_format=layout)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3, fused=fused)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=5e-3, total_steps=len(loader), cycle_momentum=False
    )
    train_epoch(network, loader, optimizer, schedule, augmentation, bfloat16)
    return loader.images_per_second


def normalisation_first() -> nn.Module:
    """Return the lesson's network with the pooling in its usual place, after the ReLU."""
    model = DigitClassifier()
    for start in (2, 6):
        pooling = model.layers.pop(start)
        model.layers.insert(start + 2, pooling)
    return model


def usual_network() -> nn.Module:
    """Return the lesson's layers in their usual order, for images that are normalised before."""
    return nn.Sequential(
        nn.Conv2d(1, 32, kernel_size=5), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, kernel_size=5), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        nn.Dropout(0.1), nn.Flatten(),
        nn.Linear(64 * 4 * 4, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(128, 10),
    )  # fmt: skip


def train_usual(root: str, batches: int, *, bfloat16: bool, tensors: bool) -> float:
    """Train as one usually does, over torchvision's data set with its transforms, or over tensors
    that are normalised once; return images per second."""
    if tensors:
        images, labels = load(root, training_images=batches * BATCH_SIZE).training.tensors
        dataset = TensorDataset((images / 255 - 0.1307) / 0.3081, labels)
    else:
        steps = [transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]
        official = datasets.MNIST(root, transform=transforms.Compose(steps))
        dataset = Subset(official, range(batches * BATCH_SIZE))
    loader = TimedLoader(dataset)
    model = usual_network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    running_loss = 0.0
    for images, labels in loader:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
    return loader.images_per_second


def float32_limit(root: str, batches: int) -> float:
    """Multiply matrices of 1,024 x 1,024 and divide the median rate by the floating-point
    operations that a usual training step has for each image."""
    model = usual_network()
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(BATCH_SIZE, 1, 28, 28)).sum().backward()
    left, right = torch.randn(2, 1_024, 1_024)
    seconds = []
    for _ in range(batches):
        start = time.perf_counter()
        torch.mm(left, right)
        seconds.append(time.perf_counter() - start)
    return 2 * 1_024**3 / statistics.median(seconds) * BATCH_SIZE / counter.get_total_flops()


def contenders() -> dict[str, Callable[[str, int], float]]:
    """Return what is measured here: functions of the data's folder and the number of batches."""
    ways = {"float32": False} | ({"bfloat16": True} if has_bfloat16() else {})
    found = {}
    for name, bfloat16 in ways.items():
        found[f"lesson, {name}"] = partial(train_lesson, bfloat16=bfloat16)
        found[f"TensorDataset, {name}"] = partial(train_usual, bfloat16=bfloat16, tensors=True)
        found[f"usual loop, {name}"] = partial(train_usual, bfloat16=bfloat16, tensors=False)
    without = {
        "channels_last": {"layout": torch.contiguous_format},
        "pooling first": {"model": normalisation_first},
        "fused Adam": {"fused": False},
        "augmentation": {"augmentation": None},
        "LocalNormalise": {"model": fixed_normalisation},
    }
    for name, choice in without.items():
        found[f"without {name}"] = partial(train_lesson, bfloat16=has_bfloat16(), **choice)
    return found | {"float32 limit": float32_limit}


def measure(contender: str, round: int, root: str, batches: int = WARM_UP + BATCHES) -> float:
    torch.manual_seed(round)
    return contenders()[contender](root, batches)


def run_trial(contender: str, round: int, root: str) -> dict[str, str]:
    """Measure a contender in a process of its own, so that none finds what another left behind."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        speed = process.submit(measure, contender, round, root).result()
    return {"images_per_second": f"{speed:.0f}"}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m research.speed", description=__doc__)
    parser.add_argument("--output", type=Path, default=RESULTS / "speed.csv")
    parser.add_argument("--data", default="data", help="where MNIST is, or shall be fetched to")
    options = parser.parse_args(arguments)
    load(options.data)  # fetches the files
    rounds = range(1, ROUNDS + 1)
    trials = [{"contender": name, "round": each} for each in rounds for name in contenders()]
    run_missing(
        options.output, trials, partial(run_trial, root=options.data), ["images_per_second"]
    )


if __name__ == "__main__":
    main()
