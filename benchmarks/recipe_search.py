"""The search for the recipe: trainings with options that the package itself doesn't keep.

    python benchmarks/recipe_search.py '{"kernel1": 5, "padding1": 2}' --seeds 0 1

trains on the first 50,000 training images, measures on the last 10,000, and appends one row a
training to results/search.csv. The test images are not used. One thread each, so that two
processes can run side by side. The first 22 rows are from an earlier form of this script, with the
same options but other random draws; a row without seconds was halted in between.
"""

import argparse
import csv
import json
import math
import time

import torch
import torch.nn.functional as F
from report import ROOT
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mnist_helpers import augmentation, load_mnist
from mnist_helpers.model import LocalNormalise, to_float
from mnist_helpers.runtime import keep_freed_memory

OUTPUT = ROOT / "results" / "search.csv"
COLUMNS = ["configuration", "seed", "validation_accuracy", "validation_loss", "seconds"]

# What a configuration changes. This is where the search began.
START = {
    **{"kernel1": 3, "padding1": 1, "channels1": 32, "kernel2": 3, "padding2": 1, "channels2": 64},
    **{"hidden": 128, "dropout1": 0.1, "dropout2": 0.2, "drop_maps": False},
    **{"pool1": 2, "pool2": 2},  # kernels; the stride is 2, and where they overlap, padding is 1
    "both_stages": False,  # the first convolution's maps go to the hidden layer, too, pooled to 4x4
    "normalise": "dataset",  # or "local"; "signed" turns light on dark, too
    "deskew": False,  # centre each image and make it upright, by its moments
    "hidden_batch_normalisation": False,
    **{"rotation": 12, "shift": 2, "scale": 0.12, "shear": 0.15},
    **{"elastic": 0.0, "elastic_grid": 5},  # deviation in pixels of a grid's random displacements
    "degraded": 0.0,  # the share of images that is noisy, blurred, spotted or covered
    "ramp_down": 0.0,  # by how much the distortion shrinks over the last 40 % of the steps
    "ramp_degraded": False,  # whether the degraded share shrinks with it
    **{"learning_rate": 5e-3, "beta2": 0.999, "weight_decay": 0.0, "label_smoothing": 0.0},
    **{"epochs": 10, "warm_up": 0.3},
    # From the second epoch on, this share of the images that an epoch shows is drawn with a
    # probability in proportion to (mean loss so far) ** importance_power: hard ones come oftener.
    **{"importance": 0.0, "importance_power": 0.5},
    "averages": [],  # decays of weight averages, each measured, too, and written as its own row
}


def deskew(images: torch.Tensor) -> torch.Tensor:
    count = len(images)
    ink = images.clamp(min=0).square()
    axis = (torch.arange(28.0) - 13.5) / 14
    rows, columns = axis.view(1, 1, 28, 1), axis.view(1, 1, 1, 28)
    mass = ink.sum((1, 2, 3), keepdim=True) + 1e-6
    row = (ink * rows).sum((1, 2, 3), keepdim=True) / mass
    column = (ink * columns).sum((1, 2, 3), keepdim=True) / mass
    covariance = (ink * (rows - row) * (columns - column)).sum((1, 2, 3)) / mass.view(count)
    variance = (ink * (rows - row).square()).sum((1, 2, 3)) / mass.view(count)
    slant = (covariance / (variance + 1e-3)).clamp(-1, 1)
    one, zero = torch.ones(count), torch.zeros(count)
    maps = torch.stack([one, slant, column.view(count), zero, one, row.view(count)], 1)
    grid = F.affine_grid(maps.view(count, 2, 3), (count, 1, 28, 28), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


class Network(nn.Module):
    def __init__(self, options: dict):
        super().__init__()
        self.options = options
        o = options
        self.local = LocalNormalise()
        self.convolution1 = nn.Conv2d(
            1, o["channels1"], o["kernel1"], padding=o["padding1"], bias=False
        )
        self.normalise1 = nn.BatchNorm2d(o["channels1"])
        self.convolution2 = nn.Conv2d(
            o["channels1"], o["channels2"], o["kernel2"], padding=o["padding2"], bias=False
        )
        self.normalise2 = nn.BatchNorm2d(o["channels2"])
        side = (28 + 2 * o["padding1"] - o["kernel1"] + 1) // 2
        side = (side + 2 * o["padding2"] - o["kernel2"] + 1) // 2
        normalised = o["hidden_batch_normalisation"]
        features = o["channels2"] * side**2 + 16 * o["both_stages"] * o["channels1"]
        self.hidden = nn.Linear(features, o["hidden"], bias=not normalised)
        self.normalise3 = nn.BatchNorm1d(o["hidden"]) if normalised else nn.Identity()
        self.output = nn.Linear(o["hidden"], 10)

    @staticmethod
    def pool(x: torch.Tensor, kernel: int) -> torch.Tensor:
        return F.max_pool2d(x, kernel, stride=2, padding=(kernel - 1) // 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        o = self.options
        if o["normalise"] == "dataset":
            x = (images - 0.1307) / 0.3081
        elif o["normalise"] == "signed":
            x = self.local(images)
        else:
            x = images - self.local.mean @ images @ self.local.mean.T
            x = x / (x.square().mean((1, 2, 3), keepdim=True).sqrt() + 0.02)
        if o["deskew"]:
            x = deskew(x)
        x = first = F.relu(self.normalise1(self.pool(self.convolution1(x), o["pool1"])))
        x = F.relu(self.normalise2(self.pool(self.convolution2(x), o["pool2"])))
        drop = F.dropout2d if o["drop_maps"] else F.dropout
        x = drop(x, o["dropout1"], self.training).flatten(1)
        if o["both_stages"]:
            x = torch.cat([x, F.adaptive_max_pool2d(first, 4).flatten(1)], dim=1)
        x = F.relu(self.normalise3(self.hidden(x)))
        return self.output(F.dropout(x, o["dropout2"], self.training))


def displace(
    images: torch.Tensor, deviation: float, size: int, generator: torch.Generator
) -> torch.Tensor:
    """Move each pixel by its own amount, smooth over the image: random on a coarse grid."""
    coarse = torch.randn(len(images), 2, size, size, generator=generator) * (deviation / 14)
    fine = F.interpolate(coarse, size=(28, 28), mode="bicubic", align_corners=True)
    still = torch.eye(2, 3).expand(len(images), 2, 3)
    grid = F.affine_grid(still, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid + fine.permute(0, 2, 3, 1), align_corners=False)


def distort(
    images: torch.Tensor, o: dict, progress: float, generator: torch.Generator
) -> torch.Tensor:
    strength = 1 - o["ramp_down"] * max(0.0, (progress - 0.6) / 0.4)
    bounds = {name: strength * o[name] for name in ("rotation", "shift", "scale", "shear")}
    images = augmentation.move(images, augmentation.Distortion(**bounds), generator)
    if o["elastic"]:
        images = displace(images, strength * o["elastic"], o["elastic_grid"], generator)
    share = o["degraded"] * (strength if o["ramp_degraded"] else 1)
    return augmentation.degrade(images, share, generator)


def choose_images(o: dict, losses: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return an epoch's images in random order, as many as there are; `losses` [N] may be zero."""
    count = len(losses)
    order = torch.randperm(count, generator=generator)
    drawn = round(count * o["importance"])
    if not drawn or not losses.any():
        return order
    weights = losses.pow(o["importance_power"])
    hard = torch.multinomial(weights, drawn, generator=generator)
    both = torch.cat([order[drawn:], hard])
    return both[torch.randperm(count, generator=generator)]


def measure(network: Network, validation) -> dict:
    network.eval()
    with torch.inference_mode():
        batches = validation.images.split(500)
        logits = torch.cat([network(to_float(images)) for images in batches])
    right = (logits.argmax(dim=1) == validation.labels).double().mean().item()
    loss = F.cross_entropy(logits, validation.labels).item()
    return {"validation_accuracy": round(100 * right, 2), "validation_loss": round(loss, 5)}


def run_trial(configuration: dict, seed: int, data: str) -> list[dict]:
    """Train with batches of 96, and return the row, and one more for each average."""
    torch.set_num_threads(1)
    keep_freed_memory()
    o = START | configuration
    mnist = load_mnist(data, validation_size=10_000)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed + 1_000)
    network = Network(o).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=o["learning_rate"],
        betas=(0.9, o["beta2"]),
        weight_decay=o["weight_decay"],
        fused=True,
    )
    steps = o["epochs"] * math.ceil(len(mnist.train) / 96)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        o["learning_rate"],
        total_steps=steps,
        pct_start=o["warm_up"],
        cycle_momentum=False,
    )
    averages = {
        decay: AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
        for decay in o["averages"]
    }
    losses = torch.zeros(len(mnist.train))  # of each image, averaged over the epochs
    start, step = time.monotonic(), 0
    for _ in range(o["epochs"]):
        network.train()
        for indices in choose_images(o, losses, generator).split(96):
            images, labels = to_float(mnist.train.images[indices]), mnist.train.labels[indices]
            logits = network(distort(images, o, step / steps, generator))
            if o["importance"]:
                now = F.cross_entropy(logits.detach(), labels, reduction="none") + 1e-3
                before = losses[indices]
                losses[indices] = torch.where(before > 0, 0.7 * before + 0.3 * now, now)
            loss = F.cross_entropy(logits, labels, label_smoothing=o["label_smoothing"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            for average in averages.values():
                average.update_parameters(network)
    seconds = round(time.monotonic() - start)
    results = {(): network} | {(decay,): average for decay, average in averages.items()}
    return [
        {"configuration": json.dumps(configuration | {"averages": decay}), "seed": seed}
        | measure(result, mnist.validation)
        | {"seconds": seconds}
        for decay, result in results.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("configuration", type=json.loads, help="what differs from START, as JSON")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--data", default="data")
    options = parser.parse_args()
    if unknown := set(options.configuration) - set(START):
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(START)}")
    OUTPUT.parent.mkdir(exist_ok=True)
    for seed in options.seeds:
        rows = run_trial(options.configuration, seed, options.data)
        print(*rows, sep="\n", flush=True)
        is_new = not OUTPUT.exists()
        with OUTPUT.open("a", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            if is_new:
                writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
