"""Images per second in training on the CPU: the lesson's loop, and the loop that one would usually
write.

All train with batches of 96, in turn and each in a process of its own, for five rounds: compare
within a round.
"""

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset
from torchvision import datasets, transforms

from mnist_helpers import DigitClassifier, augment, has_bfloat16, load, train_epoch
from research.recipes import BATCH_SIZE
from research.runner import make_parser, run_missing

BATCHES = 100


def images_per_second(train: Callable[[DataLoader], object], dataset: Dataset) -> float:
    """Time the second epoch: in the first one, caches fill and the allocator settles."""
    loader = DataLoader(dataset, BATCH_SIZE, shuffle=True)
    train(loader)
    start = time.perf_counter()
    train(loader)
    return len(dataset) / (time.perf_counter() - start)


def train_lesson(root: str, batches: int, *, bfloat16: bool, layout=torch.channels_last) -> float:
    """Train as the lesson does, or in another memory layout; return images per second."""
    network = DigitClassifier().to(memory_format=layout)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=5e-3, total_steps=2 * batches, cycle_momentum=False
    )
    return images_per_second(
        lambda loader: train_epoch(network, loader, optimizer, schedule, augment, bfloat16),
        load(root, training_images=batches * BATCH_SIZE).training,
    )


def usual_network() -> nn.Sequential:
    """Return the lesson's network for images that are normalised before, with the pooling in its
    usual place, after the ReLU."""
    layers = DigitClassifier().layers[1:]
    for start in (1, 5):
        layers.insert(start + 2, layers.pop(start))
    return layers


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
    model = usual_network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()

    def train(loader: DataLoader) -> None:
        running_loss = 0.0
        for images, labels in loader:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()

    return images_per_second(train, dataset)


def contenders() -> dict[str, Callable[[str, int], float]]:
    """Return what is measured here: functions of the data's folder and the number of batches."""
    found, plain = {}, torch.contiguous_format
    for name in ("float32", "bfloat16") if has_bfloat16() else ("float32",):
        bfloat16 = name == "bfloat16"
        found[f"usual loop, {name}"] = partial(train_usual, bfloat16=bfloat16, tensors=False)
        found[f"TensorDataset, {name}"] = partial(train_usual, bfloat16=bfloat16, tensors=True)
        found[f"lesson, {name}"] = partial(train_lesson, bfloat16=bfloat16)
    found["without channels_last"] = partial(train_lesson, bfloat16=has_bfloat16(), layout=plain)
    return found


def run_trial(contender: str, round: int, root: str) -> dict[str, str]:
    """Measure a contender in a process of its own, so that none finds what another left behind."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        speed = process.submit(contenders()[contender], root, BATCHES).result()
    return {"images_per_second": f"{speed:.0f}"}


def main(arguments: list[str] | None = None) -> None:
    options = make_parser("speed", __doc__).parse_args(arguments)
    load(options.data)  # fetches the files
    trials = [{"contender": name, "round": n} for n in range(1, 6) for name in contenders()]
    run = partial(run_trial, root=options.data)
    run_missing(options.output, trials, run, ["images_per_second"])


if __name__ == "__main__":
    main()
