"""Accuracy on test images that get worse and worse, for the final recipe and the tutorials' one.

python -m mnist_helpers.robustness --help
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F
from torchvision.transforms.v2.functional import gaussian_blur

from .augmentation import affine
from .data import Split, load_mnist
from .model import DigitClassifier, to_float
from .study import train_variant

SEED = 0


def damage(name: str, strength: float, images: torch.Tensor) -> torch.Tensor:
    """Return float images [N, 1, 28, 28] in [0, 1], each with the named damage.

    What has a direction (rotation, shift, slant, shading) has a random one for each image; the same
    seed is used for every strength and every classifier.
    """
    generator = torch.Generator().manual_seed(SEED)
    return DAMAGES[name][0](images, strength, generator).clamp(0, 1)


def _signs(count: int, generator: torch.Generator) -> torch.Tensor:
    return torch.rand(count, generator=generator).round() * 2 - 1


def _rotate(images, degrees, generator):
    angle = math.radians(degrees) * _signs(len(images), generator)
    return _affine(images, angle=angle)


def _shift(images, pixels, generator):
    direction = 2 * math.pi * torch.rand(len(images), generator=generator)
    return _affine(images, shift=pixels * torch.stack([direction.cos(), direction.sin()]))


def _scale(images, factor, generator):
    return _affine(images, magnification=torch.full((len(images),), factor))


def _slant(images, pixels_a_row, generator):
    return _affine(images, shear=pixels_a_row * _signs(len(images), generator))


def _affine(images, **amounts):
    still = torch.zeros(len(images))
    nothing = {"angle": still, "magnification": still + 1, "shear": still}
    return affine(images, **{**nothing, "shift": torch.stack([still, still]), **amounts})


def _stroke_width(images, pixels, generator):
    """Thicker strokes for positive pixels, thinner ones for negative: to each side half of them."""
    change = F.max_pool2d(images, 3, stride=1, padding=1)
    if pixels < 0:
        change = -F.max_pool2d(-images, 3, stride=1, padding=1)
    return images.lerp(change, abs(pixels) / 2)


def _blur(images, sigma, generator):
    return gaussian_blur(images, [13, 13], [sigma, sigma]) if sigma else images


def _noise(images, deviation, generator):
    return images + deviation * torch.randn(images.shape, generator=generator)


def _salt_and_pepper(images, share, generator):
    hit = torch.rand(images.shape, generator=generator) < share
    return torch.where(hit, torch.rand(images.shape, generator=generator).round(), images)


def _square(images, side, generator):
    """A square of ink, wholly inside the image."""
    corners = torch.rand(2, len(images), 1, 1, 1, generator=generator) * (29 - side)
    top, left = corners.floor()
    rows, columns = torch.arange(28).view(28, 1), torch.arange(28)
    inside = (rows >= top) & (rows < top + side) & (columns >= left) & (columns < left + side)
    return images.masked_fill(inside, 1.0)


def _background(images, grey, generator):
    return grey + (1 - grey) * images


def _shading(images, darkest, generator):
    """From white on one side to `darkest` on the other, in any direction."""
    direction = 2 * math.pi * torch.rand(len(images), 1, 1, 1, generator=generator)
    across = torch.linspace(-1, 1, 28)
    slope = direction.cos() * across + direction.sin() * across.view(28, 1)
    grey = darkest * (slope / math.sqrt(2) + 1) / 2
    return grey + (1 - grey) * images


def _contrast(images, share, generator):
    return share * images


def _inverted(images, share, generator):
    return images.lerp(1 - images, share)


# For each damage: how it is done, its strengths (the harmless one among them), and their unit.
DAMAGES = {
    "rotation": (_rotate, [0, 10, 20, 30, 45], "degrees"),
    "shift": (_shift, [0, 1, 2, 3, 4, 6], "pixels"),
    "scale": (_scale, [0.6, 0.75, 0.9, 1, 1.2, 1.4], "magnification"),
    "slant": (_slant, [0, 0.2, 0.35, 0.5, 0.6], "pixels a row"),
    "stroke width": (_stroke_width, [-2, -1, 0, 1, 2], "pixels"),
    "blur": (_blur, [0, 0.5, 1, 1.5, 2], "sigma, pixels"),
    "noise": (_noise, [0, 0.1, 0.25, 0.4, 0.5], "deviation"),
    "salt and pepper": (_salt_and_pepper, [0, 0.05, 0.1, 0.2, 0.3], "share of pixels"),
    "square": (_square, [0, 3, 6, 8, 10], "side, pixels"),
    "background": (_background, [0, 0.15, 0.3, 0.5, 0.6], "share of full ink"),
    "shading": (_shading, [0, 0.2, 0.35, 0.5, 0.6], "share of full ink"),
    "contrast": (_contrast, [0.2, 0.3, 0.5, 0.75, 1], "share of full ink"),
    "inverted": (_inverted, [0, 1], "no, yes"),
}


def measure_robustness(model: DigitClassifier, split: Split) -> Iterator[dict]:
    """Yield a row (damage, strength, unit, accuracy in percent) for each damage and strength."""
    images = to_float(split.images)
    for name, (_, strengths, unit) in DAMAGES.items():
        for strength in strengths:
            damaged = damage(name, strength, images).mul(255).round().byte().squeeze(1)
            right = model.predict_logits(damaged).argmax(dim=1) == split.labels
            accuracy = round(100 * right.double().mean().item(), 2)
            yield {"damage": name, "strength": strength, "unit": unit, "accuracy": accuracy}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m mnist_helpers.robustness", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("results/robustness.csv"))
    parser.add_argument("--data", default="data", help="where MNIST is, or shall be fetched to")
    options = parser.parse_args(arguments)
    mnist = load_mnist(options.data)
    rows = []
    for variant in ("final", "tutorials"):
        model, _ = train_variant(variant, SEED, mnist)
        rows += [{"variant": variant, **row} for row in measure_robustness(model, mnist.test)]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(options.output, index=False)


if __name__ == "__main__":
    main()
