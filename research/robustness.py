"""Accuracy on test images that are damaged more and more, for the final recipe and the tutorials'
network, three seeds each."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from mnist_helpers import MNIST, Split, augmentation, evaluate, load_mnist
from mnist_helpers.data import to_float
from research.running import add_processes, make_parser, run_side_by_side
from research.tables import Table, describe_machine
from research.variants import VARIANTS, Variant

COLUMNS = ["variant", "recipe", "seed", "damage", "strength", "unit", "accuracy"]
SEEDS = 3


def _signs(count: int, generator: torch.Generator) -> torch.Tensor:
    return torch.rand(count, generator=generator).round() * 2 - 1


def rotate(images, degrees, generator):
    return _move(images, angle=math.radians(degrees) * _signs(len(images), generator))


def shift(images, pixels, generator):
    direction = 2 * math.pi * torch.rand(len(images), generator=generator)
    return _move(images, shift=pixels * torch.stack([direction.cos(), direction.sin()]))


def scale(images, factor, generator):
    return _move(images, magnification=torch.full((len(images),), factor))


def slant(images, pixels_a_row, generator):
    return _move(images, shear=pixels_a_row * _signs(len(images), generator))


def _move(images, **amounts):
    still = torch.zeros(len(images))
    nothing = {"angle": still, "magnification": still + 1, "shear": still}
    return augmentation.move(images, **{**nothing, "shift": torch.stack([still] * 2), **amounts})


def change_strokes(images, pixels, generator):
    """Thicker strokes for positive pixels, thinner ones for negative: to each side half of them."""
    return images.lerp(_dilate(images) if pixels > 0 else _erode(images), abs(pixels) / 2)


def outline(images, share, generator):
    """Leave of each stroke its outline: take this share of its inside away."""
    return images - share * _erode(images)


def _dilate(images):
    return F.max_pool2d(images, 3, stride=1, padding=1)


def _erode(images):
    return -_dilate(-images)


def blur(images, times, generator):
    for _ in range(int(times)):
        images = augmentation.blur(images, 1.0)
    return images


def cover(images, side, generator):
    """A square of paper or ink, anywhere; its centre may lie at the border."""
    return augmentation.cover(images, side, generator) if side else images


def brighten_side(images, pixels, generator):
    """A stripe of ink along the left or the right side, as where another sheet begins."""
    stripes = images.clone()
    left = torch.rand(len(images), generator=generator) < 0.5
    stripes[left, :, :, : int(pixels)] = 1
    stripes[~left, :, :, 28 - int(pixels) :] = 1
    return stripes


def grey(images, level, generator):
    return level + (1 - level) * images


def shade(images, darkest, generator):
    """From white on one side to `darkest` on the other, in any direction."""
    direction = 2 * math.pi * torch.rand(len(images), 1, 1, 1, generator=generator)
    across = torch.linspace(-1, 1, 28)
    slope = direction.cos() * across + direction.sin() * across.view(28, 1)
    return grey(images, darkest * (slope / math.sqrt(2) + 1) / 2, generator)


def fade(images, share, generator):
    return share * images


@dataclass(frozen=True)
class Damage:
    """How images are damaged, its strengths (the harmless one among them), and the one of them that
    stands in the report's summary."""

    function: Callable
    strengths: list[float]
    unit: str
    typical: float


DAMAGES = {
    "rotation": Damage(rotate, [0, 10, 20, 30, 45], "degrees", 20),
    "shift": Damage(shift, [0, 1, 2, 3, 4, 6], "pixels", 3),
    "scale": Damage(scale, [0.6, 0.75, 0.9, 1, 1.2, 1.4], "magnification", 0.75),
    "slant": Damage(slant, [0, 0.2, 0.35, 0.5, 0.6], "pixels a row", 0.35),
    "stroke width": Damage(change_strokes, [-2, -1, 0, 1, 2], "pixels", 1),
    "outlines": Damage(outline, [0, 0.25, 0.5, 0.75, 1], "share of the inside", 1),
    "blur": Damage(blur, [0, 1, 2, 3, 4], "means of 3 x 3", 1),
    "noise": Damage(augmentation.add_noise, [0, 0.1, 0.25, 0.4, 0.5], "deviation", 0.25),
    "spots": Damage(augmentation.add_spots, [0, 0.05, 0.1, 0.2, 0.3], "share of pixels", 0.1),
    "cover": Damage(cover, [0, 3, 6, 8, 10], "side, pixels", 6),
    "bright side": Damage(brighten_side, [0, 1, 2, 3, 4, 6], "pixels", 3),
    "grey paper": Damage(grey, [0, 0.15, 0.3, 0.5, 0.6], "share of full ink", 0.5),
    "shading": Damage(shade, [0, 0.2, 0.35, 0.5, 0.6], "share of full ink", 0.5),
    "faint ink": Damage(fade, [0.2, 0.3, 0.5, 0.75, 1], "share of full ink", 0.3),
}


def damage(name: str, strength: float, images: torch.Tensor) -> torch.Tensor:
    """Return uint8 images [N, 28, 28], each with the named damage. What is random (a direction, a
    place) is so for each image, and the same for every strength and every network."""
    damaged = DAMAGES[name].function(to_float(images), strength, torch.Generator().manual_seed(0))
    return damaged.clamp(0, 1).mul(255).round().byte()[:, 0]


def measure_robustness(model: nn.Module, split: Split) -> list[dict]:
    """Return a row (damage, strength, unit, accuracy in percent) for each damage and strength."""
    return [
        {
            "damage": name,
            "strength": strength,
            "unit": each.unit,
            "accuracy": round(
                100 * evaluate(model, Split(damage(name, strength, split.images), split.labels))
                .accuracy, 2,
            ),
        }
        for name, each in DAMAGES.items()
        for strength in each.strengths
    ]  # fmt: skip


def run_trial(name: str, variant: Variant, seed: int, load: Callable[[], MNIST]) -> list[dict]:
    torch.set_num_threads(1)
    data = load()
    model, _ = variant.train(seed, data)
    same = describe_machine() | {"variant": name, "recipe": variant.recipe(), "seed": seed}
    return [same | row for row in measure_robustness(model, data.test)]


def missing_trials(rows: list[dict]) -> list[tuple[str, int]]:
    """Return name and seed of each training that has not all its rows, lower seeds first."""
    done = [(row["variant"], row["recipe"], int(row["seed"])) for row in rows]
    each = sum(len(one.strengths) for one in DAMAGES.values())
    return [
        (name, seed)
        for seed in range(SEEDS)
        for name in ("final", "tutorials")
        if done.count((name, VARIANTS[name].recipe(), seed)) < each
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser("robustness", __doc__)
    add_processes(parser)
    options = parser.parse_args(arguments)
    load = partial(load_mnist, Path(options.data).absolute())
    load()  # fetches the files once, before the processes begin
    with Table(options.output, COLUMNS) as table:
        missing = missing_trials(table.rows())
        calls = [(name, VARIANTS[name], seed, load) for name, seed in missing]
        run_side_by_side(table, calls, run_trial, options.processes)


if __name__ == "__main__":
    main()
