"""Images per second in training, next to what one would write instead and to what the processor
could do at all; and what each choice in the step gives.

All train with batches of 96, in turn and each in a process of its own, for five rounds; the ratios
within a round count. `limit` is the arithmetic of a step at the rate of a large matrix product in
float32. In the other rows, one choice in our step is taken back.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from unittest import mock

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision import datasets, transforms

from mnist_helpers import (
    Batches,
    DigitClassifier,
    Distortion,
    load_mnist,
    runtime,
    seed_everything,
    to_device,
    train_epoch,
)
from mnist_helpers.data import to_float
from research.running import make_parser, measure_in_turn

ROUNDS = 5
BATCH_SIZE = 96
WARM_UP, BATCHES = 10, 100  # the first batches are not timed: workers start, caches fill


class Stopwatch:
    """Times an iteration over batches from the end of the warm-up to the end of the last step."""

    def watch(self, batches: Iterable) -> Iterator:
        for number, batch in enumerate(batches, start=1):
            yield batch
            if number == WARM_UP:
                start = time.perf_counter()
        seconds = time.perf_counter() - start
        self.images_per_second = (number - WARM_UP) * BATCH_SIZE / seconds


def image_count() -> int:
    return (WARM_UP + BATCHES) * BATCH_SIZE


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


def train_as_usual(loader: DataLoader, stopwatch: Stopwatch, bfloat16: bool = False) -> None:
    model = UsualClassifier()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    running_loss = 0.0
    for images, labels in stopwatch.watch(loader):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()


def train_idiom(stopwatch: Stopwatch, data: str, workers: int = 0, bfloat16: bool = False) -> None:
    normalise = transforms.Normalize((0.1307,), (0.3081,))
    transform = transforms.Compose([transforms.ToTensor(), normalise])
    images = Subset(datasets.MNIST(data, transform=transform), range(image_count()))
    loader = DataLoader(images, BATCH_SIZE, shuffle=True, num_workers=workers)
    train_as_usual(loader, stopwatch, bfloat16)


def train_tensor_dataset(stopwatch: Stopwatch, data: str) -> None:
    training = load_mnist(data).train[: image_count()]
    images = (to_float(training.images) - 0.1307) / 0.3081
    loader = DataLoader(TensorDataset(images, training.labels), BATCH_SIZE, shuffle=True)
    train_as_usual(loader, stopwatch)


def measure_limit(stopwatch: Stopwatch, data: str) -> None:
    """Multiply matrices of 1,024 x 1,024, take the median rate, and divide it by the floating-point
    operations that a usual training step has for each image."""
    model, images = UsualClassifier(), torch.zeros(BATCH_SIZE, 1, 28, 28)
    with FlopCounterMode(display=False) as counter:
        model(images).sum().backward()
    left, right = torch.randn(2, 1_024, 1_024)
    seconds = []
    for _ in range(100):
        start = time.perf_counter()
        torch.mm(left, right)
        seconds.append(time.perf_counter() - start)
    rate = 2 * 1_024**3 / statistics.median(seconds)
    stopwatch.images_per_second = rate * BATCH_SIZE / counter.get_total_flops()


class TimedBatches(Batches):
    def __iter__(self) -> Iterator:
        return self.stopwatch.watch(super().__iter__())


class BatchesWithLossRead(TimedBatches):
    def note_losses(self, losses: torch.Tensor) -> None:
        losses.mean().item()
        super().note_losses(losses)


def reorder(model: DigitClassifier, *order: int) -> None:
    """Put pooling (0), batch normalisation (1) and ReLU (2) in this order after convolutions."""
    layers = list(model.layers)
    for start in (2, 6):
        layers[start : start + 3] = [layers[start + place] for place in order]
    model.layers = nn.Sequential(*layers)


def train_ours(
    stopwatch: Stopwatch,
    data: str,
    change_model: Callable[[DigitClassifier], object] = lambda model: None,
    distorted: bool = True,
    batches_class: type[TimedBatches] = TimedBatches,
    fused: bool | None = None,
    float32: bool = False,
) -> None:
    """Train an epoch as the notebook does, with one choice taken back by the other arguments."""
    model = to_device(DigitClassifier(), torch.device("cpu"))
    change_model(model)
    training = load_mnist(data).train[: image_count()]
    distortion = Distortion() if distorted else None
    batches = batches_class(training, BATCH_SIZE, 1, distortion=distortion, hard_images=0.5)
    batches.stopwatch = stopwatch
    optimizer = torch.optim.Adam(model.parameters(), fused=fused)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=5e-3, total_steps=len(batches), cycle_momentum=False
    )
    no_bfloat16 = mock.patch.object(runtime, "has_bfloat16", lambda: False)
    with no_bfloat16 if float32 else nullcontext():
        train_epoch(model, batches, optimizer, schedule)


CONTENDERS: dict[str, Callable[[Stopwatch, str], None]] = {
    "ours": train_ours,
    "idiom": train_idiom,
    "idiom_2_workers": partial(train_idiom, workers=2),
    "idiom_bf16": partial(train_idiom, bfloat16=True),
    "tensor_dataset": train_tensor_dataset,
    "limit": measure_limit,
    "in float32": partial(train_ours, float32=True),
    "PyTorch's own memory layout": partial(
        train_ours, change_model=lambda model: model.to(memory_format=torch.contiguous_format)
    ),
    "ReLU before pooling": partial(train_ours, change_model=lambda model: reorder(model, 2, 0, 1)),
    "batch normalisation before pooling": partial(
        train_ours, change_model=lambda model: reorder(model, 1, 2, 0)
    ),
    "the loss read in each step": partial(train_ours, batches_class=BatchesWithLossRead),
    "fused Adam": partial(train_ours, fused=True),
    "compiled": partial(train_ours, change_model=lambda model: model.compile()),
    "no distortion": partial(train_ours, distorted=False),
    "no local normalisation": partial(
        train_ours, change_model=lambda model: model.layers.__setitem__(0, nn.Identity())
    ),
}
NEED_BFLOAT16 = {"idiom_bf16", "in float32"}  # elsewhere slower, or the same as ours


def measure_speed(contender: str, round: int, data: str) -> dict:
    seed_everything(round)
    stopwatch = Stopwatch()
    CONTENDERS[contender](stopwatch, data)
    speed = stopwatch.images_per_second
    return {"images_per_second": f"{speed:.0f}", "threads": torch.get_num_threads()}


def main(arguments: list[str] | None = None) -> None:
    options = make_parser("speed", __doc__).parse_args(arguments)
    load_mnist(options.data)  # fetches the files
    names = [name for name in CONTENDERS if name not in NEED_BFLOAT16 or runtime.has_bfloat16()]
    trials = [
        {"contender": name, "round": number} for number in range(1, ROUNDS + 1) for name in names
    ]
    measure = partial(measure_speed, data=options.data)
    measure_in_turn(options.output, trials, measure, ["images_per_second", "threads"])


if __name__ == "__main__":
    main()
