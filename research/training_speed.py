"""Images per second in training, next to what one would write instead and to what the processor
could do at all.

    python benchmarks/training_speed.py

The contenders train the same network with batches of 96, in turn and each in a process of its own,
for several rounds; the ratios within a round count. `limit` is the arithmetic of a step as it is
usually written, with direct convolutions, at the rate of a large matrix product.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from report import ROOT, in_own_process, median_and_range, write_results
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision import datasets, transforms

from mnist_helpers import (
    DigitClassifier,
    TrainingConfig,
    charts,
    load_mnist,
    seed_everything,
    train_epoch,
)
from mnist_helpers.data import Split
from mnist_helpers.model import to_float
from mnist_helpers.training import start_training, training_step

ROUNDS = 5
BATCH_SIZE = 96
WARM_UP, BATCHES = 10, 100  # the first batches are not timed: workers start, caches fill
IMAGES = (WARM_UP + BATCHES) * BATCH_SIZE


class Stopwatch:
    """Told of each batch when it is done, it times those after the warm-up."""

    def __call__(self, batch: int) -> None:
        if batch == WARM_UP:
            self.start = time.perf_counter()
        if batch == WARM_UP + BATCHES:
            self.images_per_second = BATCHES * BATCH_SIZE / (time.perf_counter() - self.start)


class UsualClassifier(nn.Module):
    """DigitClassifier's layers in the order in which they are usually written."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 5)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 64, 5)
        self.bn2 = nn.BatchNorm2d(64)
        self.dropout1 = nn.Dropout(0.1)
        self.fc1 = nn.Linear(64 * 4 * 4, 128)
        self.bn3 = nn.BatchNorm1d(128)
        self.dropout2 = nn.Dropout(0.2)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        x = self.dropout1(x).flatten(1)
        return self.fc2(self.dropout2(F.relu(self.bn3(self.fc1(x)))))


def train_as_usual(loader: DataLoader, stopwatch: Stopwatch) -> None:
    model = UsualClassifier()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    running_loss = 0.0
    for batch, (images, labels) in enumerate(loader, start=1):
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
        stopwatch(batch)


def idiom(stopwatch: Stopwatch, workers: int = 0) -> None:
    normalise = transforms.Normalize((0.1307,), (0.3081,))
    transform = transforms.Compose([transforms.ToTensor(), normalise])
    images = Subset(datasets.MNIST(ROOT / "data", transform=transform), range(IMAGES))
    train_as_usual(DataLoader(images, BATCH_SIZE, shuffle=True, num_workers=workers), stopwatch)


def tensor_dataset(stopwatch: Stopwatch) -> None:
    training = load_mnist(ROOT / "data").train
    images = ((to_float(training.images) - 0.1307) / 0.3081)[:IMAGES]
    data = TensorDataset(images, training.labels[:IMAGES])
    train_as_usual(DataLoader(data, BATCH_SIZE, shuffle=True), stopwatch)


def ours(stopwatch: Stopwatch) -> None:
    training = load_mnist(ROOT / "data").train
    config = TrainingConfig(batch_size=BATCH_SIZE)
    state = start_training(DigitClassifier(), config, IMAGES)
    some = Split(training.images[:IMAGES], training.labels[:IMAGES])
    train_epoch(state, some, config, lambda epoch, batch, totals, images: stopwatch(batch))


def operations_of_an_image() -> float:
    """Count the floating-point operations of the usual training step, for each image."""
    model = UsualClassifier()
    optimizer = torch.optim.Adam(model.parameters())
    images, labels = torch.zeros(BATCH_SIZE, 1, 28, 28), torch.zeros(BATCH_SIZE, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        training_step(model, optimizer, images, labels)
    return counter.get_total_flops() / BATCH_SIZE


def limit(stopwatch: Stopwatch) -> None:
    """Multiply matrices of 1,024 x 1,024 for a while, and take the median rate."""
    left, right = torch.randn(2, 1_024, 1_024)
    seconds = []
    for _ in range(100):
        start = time.perf_counter()
        torch.mm(left, right)
        seconds.append(time.perf_counter() - start)
    operations_per_second = 2 * 1_024**3 / statistics.median(seconds)
    stopwatch.images_per_second = operations_per_second / operations_of_an_image()


CONTENDERS: dict[str, Callable[[Stopwatch], None]] = {
    "ours": ours,
    "idiom": idiom,
    "idiom_2_workers": partial(idiom, workers=2),
    "tensor_dataset": tensor_dataset,
    "limit": limit,
}


def images_per_second(name: str, seed: int) -> float:
    seed_everything(seed)
    stopwatch = Stopwatch()
    CONTENDERS[name](stopwatch)
    return stopwatch.images_per_second


def main() -> None:
    rows = []
    for number in range(1, ROUNDS + 1):
        for name in CONTENDERS:
            speed = round(in_own_process(images_per_second, name, number))
            rows.append({"contender": name, "round": number, "images_per_second": speed})
            print(rows[-1], flush=True)
    table = write_results("training_speed", rows)
    speeds = table.pivot(index="round", columns="contender", values="images_per_second")
    for name in CONTENDERS:
        print(f"{name}: {speeds[name].median():,.0f} images/s", end="; ")
        print("ours is", median_and_range(speeds["ours"] / speeds[name]), "of it")
    charts.speed(table).savefig(ROOT / "docs" / "speed.png", dpi=150)
    usual = speeds[["idiom", "idiom_2_workers", "tensor_dataset"]].max(axis=1)
    print("ours is", median_and_range(speeds["ours"] / usual), "of the fastest of the usual ways")


if __name__ == "__main__":
    main()
