"""Images per second in training on the CPU: the lesson's loop, and the loop that one would usually
write.

All train with batches of 96, in turn and each in a process of its own, for five rounds: compare
within a round.
"""

import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset
from torchvision import datasets, transforms

from mnist_helpers import DigitClassifier, augment, has_bfloat16, load, train_epoch
from research.recipes import BATCH_SIZE
from research.runner import make_parser, run_missing

BATCHES = 100
PRECISIONS = ["float32", "bfloat16"] if has_bfloat16() else ["float32"]
LOOPS = ["usual loop", "TensorDataset", "lesson"]
CONTENDERS = [f"{loop}, {precision}" for precision in PRECISIONS for loop in LOOPS]


def usual_epoch(model: nn.Module, loader: DataLoader, optimizer, bfloat16: bool) -> None:
    """Train as one usually does."""
    running_loss, criterion = 0.0, nn.CrossEntropyLoss()
    for images, labels in loader:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()


def images_per_second(contender: str, root: str, batches: int = BATCHES) -> float:
    """Time the second epoch of a contender: in the first one, caches fill and the allocator
    settles. The usual loop reads torchvision's data set with its transforms, and TensorDataset
    images that were normalised before; both have pooling after the ReLU."""
    model, count = DigitClassifier(), batches * BATCH_SIZE
    dataset = load(root, training_images=count).training
    bfloat16 = contender.endswith("bfloat16")
    if contender.startswith("lesson"):
        model = model.to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=5e-3, total_steps=2 * batches, cycle_momentum=False
        )
        epoch = partial(train_epoch, schedule=schedule, change=augment, bfloat16=bfloat16)
    else:
        model = model.layers[1:]  # without the normalisation
        for start in (1, 5):
            model.insert(start + 2, model.pop(start))
        if contender.startswith("TensorDataset"):
            images, labels = dataset.tensors
            dataset = TensorDataset((images / 255 - 0.1307) / 0.3081, labels)
        else:
            steps = [transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]
            official = datasets.MNIST(root, transform=transforms.Compose(steps))
            dataset = Subset(official, range(count))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        epoch = partial(usual_epoch, bfloat16=bfloat16)
    loader = DataLoader(dataset, BATCH_SIZE, shuffle=True)
    epoch(model, loader, optimizer)
    start = time.perf_counter()
    epoch(model, loader, optimizer)
    return count / (time.perf_counter() - start)


def run_trial(contender: str, round: int, root: str) -> dict[str, str]:
    """Measure a contender in a process of its own, so that none finds what another left behind."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        speed = process.submit(images_per_second, contender, root).result()
    return {"images_per_second": f"{speed:.0f}"}


def main(arguments: list[str] | None = None) -> None:
    options = make_parser("speed", __doc__).parse_args(arguments)
    load(options.data)  # fetches the files
    trials = [{"contender": name, "round": n} for n in range(1, 6) for name in CONTENDERS]
    run = partial(run_trial, root=options.data)
    run_missing(options.output, trials, run, ["images_per_second"])


if __name__ == "__main__":
    main()
