"""The search for the recipe: trainings with options that the package itself doesn't keep.

    python benchmarks/recipe_search.py '{"kernel1": 5, "padding1": 2}' --seeds 0 1

trains on the first 50,000 training images, measures on the last 10,000, and appends one row a
training to results/search.csv. The test images are not used. One thread each, so that two
processes can run side by side. The first 22 rows are from an earlier form of this script, with the
same options but other random draws, and so is the one with mixup; a row without seconds was halted
in between.
"""

import argparse
import csv
import functools
import json
import math
import time
from unittest import mock

import torch
import torch.nn.functional as F
from report import ROOT
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision.ops import SqueezeExcitation
from torchvision.transforms.v2 import MixUp

from mnist_helpers import augmentation, fourier, load_mnist
from mnist_helpers.model import LocalNormalise, to_float
from mnist_helpers.runtime import keep_freed_memory

OUTPUT = ROOT / "results" / "search.csv"
COLUMNS = ["configuration", "change", "seed", "validation_accuracy", "validation_loss", "seconds"]

# What a configuration changes. This is where the search began.
START = {
    **{"kernel1": 3, "padding1": 1, "channels1": 32, "kernel2": 3, "padding2": 1, "channels2": 64},
    **{"hidden": 128, "dropout1": 0.1, "dropout2": 0.2, "drop_maps": False},
    **{"maxout1": 1, "maxout2": 1},  # the largest of so many channels is kept (Goodfellow 2013)
    **{"pool1": 2, "pool2": 2},  # kernels, as far apart as they are wide, but 3: that has stride 2
    "circular2": 0,  # so many pixels of the other side continue the second convolution's images
    "views": "image",  # or "deskewed", or "shadows", beside the image as more channels
    "gate": 0,  # maps are scaled by what so many hidden units make of their means (Hu et al. 2018)
    "second_hidden": 0,  # units of a second hidden layer
    "output_batch_normalisation": False,
    **{"normalise_before_pooling": False, "momentum": 0.1},  # of the batch normalisation's averages
    "margin": 0.0,  # what the true digit's logit must be ahead by (Wang et al. 2018)
    "sampling": "bilinear",  # how moved images are interpolated; or "bicubic"
    "both_stages": False,  # the first convolution's maps go to the hidden layer, too, pooled to 4x4
    "deep": False,  # five convolutions instead of two, to see what more depth would give
    "normalise": "dataset",  # or "local"; "signed" turns light on dark, too
    "deskew": False,  # centre each image and make it upright, by its moments
    "hidden_batch_normalisation": False,
    **{"rotation": 12, "shift": 2, "scale": 0.12, "shear": 0.15},
    "stretch": 0.0,  # natural logarithm of width over height
    "stroke": 0.0,  # how far an image goes towards its 3x3 maximum (thicker) or minimum (thinner)
    **{"elastic": 0.0, "elastic_grid": 5},  # deviation in pixels of a grid's random displacements
    "degraded": 0.0,  # the share of images that is noisy, blurred, spotted or covered
    "ramp_down": 0.0,  # by how much the distortion shrinks over the last steps
    "ramp_start": 0.6,  # after which share of them
    "ramp_degraded": False,  # whether the degraded share shrinks with it
    **{"learning_rate": 5e-3, "annealing": "cos", "epochs": 10, "warm_up": 0.3},
    **{"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.0, "label_smoothing": 0.0},
    # The labels are mixed with what the network said of an image before (Kim et al. 2021): the
    # share of that grows linearly to this, and at each sight it keeps this part of what it was.
    **{"remember": 0.0, "memory_decay": 0.5},
    "floor": 0.0,  # the learning rate stays above this share of its peak after the warm-up
    "views_a_batch": 1,  # so many distorted versions of an image stand in a batch of 96 in all
    "mixup": 0.0,  # a batch is mixed with itself in a proportion of Beta(m, m) (Zhang et al. 2018)
    # From the second epoch on, this share of the images that an epoch shows is drawn with a
    # probability in proportion to (mean loss so far) ** importance_power: hard ones come oftener.
    **{"importance": 0.0, "importance_power": 0.5},
    # Sharpness-aware minimisation (Foret et al. 2021): the gradient is taken this far uphill, at
    # the price of a second forward and backward pass a step.
    "uphill": 0.0,
    # From the middle of the training on, images whose mean loss so far is above this are left out.
    "denied": 0.0,
    # So many networks learn side by side, each from the labels and from what the others answer
    # (Zhang et al. 2018); each is measured alone, and written as its own row.
    "peers": 1,
    "averages": [],  # decays of weight averages, each measured, too, and written as its own row
}

# The recipe that was chosen.
FINAL = {
    **{"kernel1": 5, "padding1": 0, "kernel2": 5, "padding2": 0, "normalise": "signed"},
    **{"hidden_batch_normalisation": True, "drop_maps": True},
    **{"degraded": 0.5, "ramp_down": 1.0, "importance": 0.5},
}


def change(configuration: dict) -> str:
    """Return in words how a configuration differs from the recipe that was chosen."""
    options, chosen = START | configuration, START | FINAL
    differences = [f"{name} {options[name]}" for name in START if options[name] != chosen[name]]
    return ", ".join(differences) or "none"


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


def shadows(images: torch.Tensor) -> torch.Tensor:
    """Return what lies behind ink, seen from the left, the right, above and below, [N, 4, H, W]."""
    ink = (images / 2).clamp(0, 1)
    views = []
    for dimension in (3, 2):
        views.append(ink.cummax(dimension).values)
        views.append(ink.flip(dimension).cummax(dimension).values.flip(dimension))
    return torch.cat(views, dim=1)


def largest(maps: torch.Tensor, count: int) -> torch.Tensor:
    """Return of each `count` channels the largest value."""
    return maps.unflatten(1, (-1, count)).amax(2) if count > 1 else maps


class Network(nn.Module):
    def __init__(self, options: dict):
        super().__init__()
        self.options = options
        o = options
        self.local = LocalNormalise()
        views = {"image": 1, "deskewed": 2, "shadows": 5}[o["views"]]
        self.convolution1 = nn.Conv2d(
            views, o["channels1"] * o["maxout1"], o["kernel1"], padding=o["padding1"], bias=False
        )
        self.normalise1 = nn.BatchNorm2d(o["channels1"])
        channels2 = o["channels2"] * o["maxout2"]
        if o["padding2"]:
            self.convolution2 = nn.Conv2d(
                o["channels1"], channels2, o["kernel2"], padding=o["padding2"], bias=False
            )
        else:
            self.convolution2 = fourier.Conv2d(o["channels1"], channels2, o["kernel2"])
        self.normalise2 = nn.BatchNorm2d(o["channels2"])
        side = self.pooled(28 + 2 * o["padding1"] - o["kernel1"] + 1, o["pool1"])
        margin = 2 * o["padding2"] + 2 * o["circular2"]
        side = self.pooled(side + margin - o["kernel2"] + 1, o["pool2"])
        normalised = o["hidden_batch_normalisation"]
        features = o["channels2"] * side**2 + 16 * o["both_stages"] * o["channels1"]
        self.hidden = nn.Linear(features, o["hidden"], bias=not normalised)
        self.normalise3 = nn.BatchNorm1d(o["hidden"]) if normalised else nn.Identity()
        for layer in (self.normalise1, self.normalise2, self.normalise3):
            layer.momentum = o["momentum"]
        width = o["hidden"]
        if o["second_hidden"]:
            width = o["second_hidden"]
            self.more = nn.Sequential(
                nn.Linear(o["hidden"], width, bias=False), nn.BatchNorm1d(width), nn.ReLU()
            )
        self.output = nn.Linear(width, 10)
        self.normalise4 = nn.BatchNorm1d(10) if o["output_batch_normalisation"] else nn.Identity()
        if o["gate"]:
            self.gate = SqueezeExcitation(o["channels2"], o["gate"])

    @staticmethod
    def pooled(side: int, kernel: int) -> int:
        return (side + 1) // 2 if kernel == 3 else side // kernel

    @staticmethod
    def pool(x: torch.Tensor, kernel: int) -> torch.Tensor:
        if kernel == 3:
            return F.max_pool2d(x, 3, stride=2, padding=1)
        return F.max_pool2d(x, kernel)

    def stage(self, x: torch.Tensor, normalise: nn.Module, pool: int, maxout: int) -> torch.Tensor:
        """Take what a convolution gave through pooling, normalisation and ReLU."""
        x = largest(x, maxout)
        if self.options["normalise_before_pooling"]:
            return self.pool(F.relu(normalise(x)), pool)
        return F.relu(normalise(self.pool(x, pool)))

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
        if o["views"] == "deskewed":
            x = torch.cat([x, deskew(x)], dim=1)
        if o["views"] == "shadows":
            x = torch.cat([x, shadows(x)], dim=1)
        x = first = self.stage(self.convolution1(x), self.normalise1, o["pool1"], o["maxout1"])
        if o["circular2"]:
            x = F.pad(x, [o["circular2"]] * 4, mode="circular")
            x = x.contiguous(memory_format=torch.channels_last)
        x = self.stage(self.convolution2(x), self.normalise2, o["pool2"], o["maxout2"])
        if o["gate"]:
            x = self.gate(x)
        drop = F.dropout2d if o["drop_maps"] else F.dropout
        x = drop(x, o["dropout1"], self.training).flatten(1)
        if o["both_stages"]:
            x = torch.cat([x, F.adaptive_max_pool2d(first, 4).flatten(1)], dim=1)
        x = F.relu(self.normalise3(self.hidden(x)))
        x = F.dropout(x, o["dropout2"], self.training)
        if o["second_hidden"]:
            x = self.more(x)
        return self.normalise4(self.output(x))


class DeepNetwork(nn.Sequential):
    """Five convolutions of 3x3, each normalised; otherwise like the recipe's network."""

    def __init__(self, options: dict):
        def convolve(inputs: int, outputs: int) -> list[nn.Module]:
            convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
            return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]

        super().__init__(
            LocalNormalise(),
            *convolve(1, 32),
            *convolve(32, 32),
            nn.MaxPool2d(2),
            *convolve(32, 64),
            *convolve(64, 64),
            nn.MaxPool2d(2),
            *convolve(64, 96),
            nn.Dropout2d(options["dropout1"]),
            nn.Flatten(),
            nn.Linear(96 * 7 * 7, options["hidden"], bias=False),
            nn.BatchNorm1d(options["hidden"]),
            nn.ReLU(),
            nn.Dropout(options["dropout2"]),
            nn.Linear(options["hidden"], 10),
        )


def displace(
    images: torch.Tensor, deviation: float, size: int, generator: torch.Generator
) -> torch.Tensor:
    """Move each pixel by its own amount, smooth over the image: random on a coarse grid."""
    coarse = torch.randn(len(images), 2, size, size, generator=generator) * (deviation / 14)
    fine = F.interpolate(coarse, size=(28, 28), mode="bicubic", align_corners=True)
    still = torch.eye(2, 3).expand(len(images), 2, 3)
    grid = F.affine_grid(still, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid + fine.permute(0, 2, 3, 1), align_corners=False)


def stretch(images: torch.Tensor, bound: float, generator: torch.Generator) -> torch.Tensor:
    """Make each image wider and lower, or narrower and higher."""
    logarithm = (torch.rand(len(images), generator=generator) * 2 - 1) * bound / 2
    zero = torch.zeros(len(images))
    maps = torch.stack([logarithm.exp(), zero, zero, zero, (-logarithm).exp(), zero], 1)
    grid = F.affine_grid(maps.view(-1, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def change_strokes(images: torch.Tensor, bound: float, generator: torch.Generator) -> torch.Tensor:
    amount = ((torch.rand(len(images), generator=generator) * 2 - 1) * bound).view(-1, 1, 1, 1)
    thicker = F.max_pool2d(images, 3, stride=1, padding=1)
    thinner = -F.max_pool2d(-images, 3, stride=1, padding=1)
    changed = torch.where(amount > 0, thicker, thinner)
    return images.lerp(changed, amount.abs().expand_as(images))


def distort(
    images: torch.Tensor, o: dict, progress: float, generator: torch.Generator
) -> torch.Tensor:
    strength = 1 - o["ramp_down"] * max(0.0, (progress - o["ramp_start"]) / (1 - o["ramp_start"]))
    bounds = {name: strength * o[name] for name in ("rotation", "shift", "scale", "shear")}
    sample = functools.partial(F.grid_sample, mode=o["sampling"])
    with mock.patch.object(F, "grid_sample", sample):
        images = augmentation.move(images, augmentation.Distortion(**bounds), generator).clamp(0, 1)
    if o["stretch"]:
        images = stretch(images, strength * o["stretch"], generator)
    if o["stroke"]:
        images = change_strokes(images, strength * o["stroke"], generator)
    if o["elastic"]:
        images = displace(images, strength * o["elastic"], o["elastic_grid"], generator)
    share = o["degraded"] * (strength if o["ramp_degraded"] else 1)
    return augmentation.degrade(images, share, generator)


def choose_images(
    o: dict, losses: torch.Tensor, generator: torch.Generator, leave_out: bool
) -> torch.Tensor:
    """Return an epoch's images in random order, as many as there are; `losses` [N] may be zero."""
    count = len(losses)
    order = torch.randperm(count, generator=generator)
    drawn = round(count * o["importance"])
    if not drawn or not losses.any():
        return order
    weights = losses.pow(o["importance_power"])
    if leave_out:
        denied = losses > o["denied"]
        print("left out:", denied.sum().item(), flush=True)
        weights[denied] = 0
        trusted = order[~denied[order]]
        order = torch.cat([trusted[: count - len(trusted)], trusted])
    hard = torch.multinomial(weights, drawn, generator=generator)
    both = torch.cat([order[drawn:], hard])
    return both[torch.randperm(count, generator=generator)]


def measure(network: nn.Module, validation) -> dict:
    network.eval()
    with torch.inference_mode():
        batches = validation.images.split(500)
        logits = torch.cat([network(to_float(images)) for images in batches])
    right = (logits.argmax(dim=1) == validation.labels).double().mean().item()
    loss = F.cross_entropy(logits, validation.labels).item()
    return {"validation_accuracy": round(100 * right, 2), "validation_loss": round(loss, 5)}


def take_gradient_uphill(network: Network, images, labels, o: dict) -> None:
    """Replace the gradients by those at the place `uphill` along them."""
    weights = list(network.parameters())
    gradients = [weight.grad for weight in weights]
    length = torch.stack(torch._foreach_norm(gradients)).norm() + 1e-12
    steps = torch._foreach_mul(gradients, (o["uphill"] / length).item())
    layers = [network.normalise1, network.normalise2, network.normalise3]
    with torch.no_grad():
        torch._foreach_add_(weights, steps)
    for layer in layers:
        layer.momentum = 0.0  # their statistics were taken in the first pass
    network.zero_grad()
    F.cross_entropy(network(images), labels, label_smoothing=o["label_smoothing"]).backward()
    for layer in layers:
        layer.momentum = 0.1
    with torch.no_grad():
        torch._foreach_sub_(weights, steps)


def run_trial(configuration: dict, seed: int, data: str) -> list[dict]:
    """Train with batches of 96, and return the row, and one more for each average."""
    torch.set_num_threads(1)
    keep_freed_memory()
    o = START | configuration
    mnist = load_mnist(data, validation_size=10_000)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed + 1_000)
    kind = DeepNetwork if o["deep"] else Network
    peers = nn.ModuleList([kind(o) for _ in range(o["peers"])])
    network = peers.to(memory_format=torch.channels_last)[0]
    optimizer = torch.optim.AdamW(
        peers.parameters(),
        lr=o["learning_rate"],
        betas=(o["beta1"], o["beta2"]),
        eps=o["epsilon"],
        weight_decay=o["weight_decay"],
        fused=True,
    )
    steps = o["epochs"] * math.ceil(len(mnist.train) / 96)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        o["learning_rate"],
        total_steps=steps,
        pct_start=o["warm_up"],
        anneal_strategy=o["annealing"],
        cycle_momentum=False,
    )
    averages = {
        decay: AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
        for decay in o["averages"]
    }
    losses = torch.zeros(len(mnist.train))  # of each image, averaged over the epochs
    memory = torch.zeros(len(mnist.train), 10)
    start, step = time.monotonic(), 0
    for epoch in range(o["epochs"]):
        peers.train()
        leave_out = o["denied"] > 0 and epoch >= o["epochs"] / 2
        views = o["views_a_batch"]
        order = choose_images(o, losses, generator, leave_out)[: len(losses) // views]
        for indices in order.split(96 // views):
            indices = indices.repeat(views)
            images, labels = to_float(mnist.train.images[indices]), mnist.train.labels[indices]
            distorted, targets = distort(images, o, step / steps, generator), labels
            if o["mixup"]:
                mix = MixUp(alpha=o["mixup"], num_classes=10)
                distorted, targets = mix(distorted, labels)
            logits = network(distorted)
            if o["importance"]:
                now = F.cross_entropy(logits.detach(), labels, reduction="none") + 1e-3
                before = losses[indices]
                losses[indices] = torch.where(before > 0, 0.7 * before + 0.3 * now, now)
            if o["margin"]:
                logits = logits - o["margin"] * F.one_hot(labels, 10)
            loss = F.cross_entropy(logits, targets, label_smoothing=o["label_smoothing"])
            answers = [logits.softmax(dim=1).detach()]
            for peer in peers[1:]:
                others = peer(distorted)
                loss = loss + F.cross_entropy(others, labels) + F.cross_entropy(others, answers[0])
                answers.append(others.softmax(dim=1).detach())
            if len(peers) > 1:
                loss = loss + F.cross_entropy(logits, torch.stack(answers[1:]).mean(dim=0))
            if o["remember"]:
                target = F.one_hot(labels, 10).float()
                said, old = logits.detach().softmax(dim=1), memory[indices]
                known = (old.sum(dim=1, keepdim=True) > 0).float()
                share = known * o["remember"] * step / steps
                loss = F.cross_entropy(logits, target.lerp(old, share.expand_as(old)))
                keep = known * o["memory_decay"]
                memory[indices] = said.lerp(old, keep.expand_as(old))
            optimizer.zero_grad()
            loss.backward()
            if o["uphill"]:
                take_gradient_uphill(network, distorted, labels, o)
            optimizer.step()
            schedule.step()
            step += 1
            if step > o["warm_up"] * steps:
                for group in optimizer.param_groups:
                    group["lr"] = max(group["lr"], o["floor"] * o["learning_rate"])
            for average in averages.values():
                average.update_parameters(network)
    seconds = round(time.monotonic() - start)
    results = [(network, {"averages": []})]
    results += [(average, {"averages": [decay]}) for decay, average in averages.items()]
    results += [(peer, {"averages": [], "peer": number}) for number, peer in enumerate(peers)][1:]
    return [
        {"configuration": json.dumps(configuration | what), "change": change(configuration | what)}
        | {"seed": seed}
        | measure(result, mnist.validation)
        | {"seconds": seconds}
        for result, what in results
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
