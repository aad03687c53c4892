"""Images per second in training on the CPU: the lesson's loop, the loop that one would usually
write, and what the processor could do at all.

All train with batches of 96, in turn and each in a process of its own, for five rounds: compare
within a round. The float32 limit is the arithmetic of a usual training step at the rate of a large
matrix product. In the rows named "without ...", one choice in the lesson's step is taken back.
"""

import statistics
import time
import timeit
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision import datasets, transforms

from mnist_helpers import DigitClassifier, augment, has_bfloat16, load, train_epoch
from research.recipes import BATCH_SIZE, fixed_normalisation
from research.runner import make_parser, run_missing

BATCHES = 100


def images_per_second(train: Callable[[DataLoader], object], dataset: Dataset) -> float:
    """Time the second epoch: in the first one, caches fill and the allocator settles."""
    loader = DataLoader(dataset, BATCH_SIZE, shuffle=True)
    train(loader)
    start = time.perf_counter()
    train(loader)
    return len(dataset) / (time.perf_counter() - start)


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
    network = model().to(memory_format=layout)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3, fused=fused)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=5e-3, total_steps=2 * batches, cycle_momentum=False
    )
    return images_per_second(
        lambda loader: train_epoch(network, loader, optimizer, schedule, augmentation, bfloat16),
        load(root, training_images=batches * BATCH_SIZE).training,
    )


def usual_network() -> nn.Sequential:
    """Return the lesson's network for images that are normalised before, with the pooling in its
    usual place, after the ReLU."""
    layers = DigitClassifier().layers[1:]
    for start in (1, 5):
        layers.insert(start + 2, layers.pop(start))
    return layers


def pooling_last() -> nn.Sequential:
    return nn.Sequential(DigitClassifier().layers[0], *usual_network())


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


def float32_limit(root: str, batches: int) -> float:
    """Return how many images' floating-point operations, of a usual training step, a product of
    matrices of 1,024 x 1,024 has in a second."""
    with FlopCounterMode(display=False) as counter:
        usual_network()(torch.zeros(BATCH_SIZE, 1, 28, 28)).sum().backward()
    left, right = torch.randn(2, 1_024, 1_024)
    seconds = statistics.median(timeit.repeat(lambda: left @ right, number=1, repeat=batches))
    return 2 * 1_024**3 / seconds * BATCH_SIZE / counter.get_total_flops()


def contenders() -> dict[str, Callable[[str, int], float]]:
    """Return what is measured here: functions of the data's folder and the number of batches."""
    found = {}
    for name in ("float32", "bfloat16") if has_bfloat16() else ("float32",):
        bfloat16 = name == "bfloat16"
        found[f"usual loop, {name}"] = partial(train_usual, bfloat16=bfloat16, tensors=False)
        found[f"TensorDataset, {name}"] = partial(train_usual, bfloat16=bfloat16, tensors=True)
        found[f"lesson, {name}"] = partial(train_lesson, bfloat16=bfloat16)
        found["float32 limit"] = float32_limit  # beside what it limits
    without = {
        "channels_last": {"layout": torch.contiguous_format},
        "pooling first": {"model": pooling_last},
        "fused Adam": {"fused": False},
        "augmentation": {"augmentation": None},
        "LocalNormalise": {"model": fixed_normalisation},
    }
    for name, choice in without.items():
        found[f"without {name}"] = partial(train_lesson, bfloat16=has_bfloat16(), **choice)
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
