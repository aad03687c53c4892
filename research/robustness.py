"""Train rungs of the ladder, and measure their accuracies on damaged test images, into
results/robustness.csv: a row for each recipe and seed, a column for each damage and its strength.

The recipe "damaged images too" is the last rung, but of each batch it sees half with one of three
damages: uniform noise of up to 0.5, means of 3 x 3 pixels, or grey paper (up to 0.5) with faint ink
(from 0.5 on). So it knows the likes of the noise, blur, paper and contrast measured here, and of
nothing else. Move the table elsewhere when you change what a damage does.
"""

import dataclasses

import torch
import torch.nn.functional as F
from scipy import ndimage
from torch.utils.data import TensorDataset
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import adjust_contrast, affine, gaussian_blur

from mnist_helpers import augment, evaluate, load
from research import recipes
from research.runner import parse_study, run_study

SMOOTH, ACROSS = InterpolationMode.BILINEAR, torch.linspace(0, 1, 28)


def augment_and_damage(images: torch.Tensor, strength: float) -> torch.Tensor:
    """Augment images float [N, 1, H, W], and damage the first half of them, at any strength."""
    images = augment(images, strength)
    half, rest = images.tensor_split([len(images) // 2])
    kind, paper, ink = torch.rand(3, len(half), 1, 1, 1, device=images.device)
    noisy = half + torch.rand_like(half) - 0.5
    blurred = F.avg_pool2d(half, 3, stride=1, padding=1)
    grey = torch.lerp(0.5 * paper, 0.5 + 0.5 * ink, half)
    damaged = torch.where(kind < 1 / 3, noisy, torch.where(kind < 2 / 3, blurred, grey))
    return torch.cat([damaged.clamp(0, 1), rest])


RECIPES = {
    name: dataclasses.replace(recipes.LADDER[name], seeds=3)
    for name in ("+ dropout", "+ augmentation", "+ local normalisation")
} | {"damaged images too": recipes.Recipe(augmentation=augment_and_damage, seeds=3)}


def fog(images: torch.Tensor, density: float) -> torch.Tensor:
    """Add clouds some 6 pixels wide, and bring the sum back to [0, 1]."""
    clouds = F.interpolate(torch.rand(len(images), 1, 5, 5), images.shape[-2:], mode="bicubic")
    return (images + density * clouds) / (1 + density)


def cover(images: torch.Tensor, side: int) -> torch.Tensor:
    """Put a square of paper, of so many pixels, anywhere on the middle 20 x 20."""
    top, left = torch.randint(4, 25 - side, (2, len(images), 1, 1, 1))
    rows, columns = torch.arange(28).view(28, 1) - top, torch.arange(28) - left
    inside = (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
    return images.masked_fill(inside, 0)


# Functions of images x, float [N, 1, 28, 28] in [0, 1], and a strength; and the strengths: rotation
# in degrees clockwise, translation in pixels to the right and down.
DAMAGES = {
    "clean": (lambda x, _: x, [0]),
    "fog": (fog, [0.5, 1, 2]),
    "grey paper": (lambda x, level: level + (1 - level) * x, [0.2, 0.5, 0.7]),
    "contrast": (adjust_contrast, [0.5, 0.25, 0.1]),
    "shadow": (lambda x, dark: 1 - (1 - x) * (1 - dark * ACROSS), [0.3, 0.6, 0.9]),
    "gaussian noise": (lambda x, deviation: x + deviation * torch.randn_like(x), [0.1, 0.2, 0.4]),
    "gaussian blur": (lambda x, deviation: gaussian_blur(x, 9, deviation), [1, 1.5, 2]),
    "rotation": (lambda x, angle: affine(x, angle, [0, 0], 1, [0, 0], SMOOTH), [-30, -20, 20, 30]),
    "translation": (lambda x, by: affine(x, 0, [by, by], 1, [0, 0], SMOOTH), [-3, -2, 2, 3]),
    "scale": (lambda x, factor: affine(x, 0, [0, 0], factor, [0, 0], SMOOTH), [0.6, 0.75, 1.3]),
    "cover": (cover, [4, 6, 8]),
    "thin strokes": (lambda x, size: ndimage.grey_erosion(x, (1, 1, size, size)), [2, 3]),
    "thick strokes": (lambda x, size: ndimage.grey_dilation(x, (1, 1, size, size)), [2, 3]),
}
MEASURED = {
    f"{name} {strength:g}": (function, strength)
    for name, (function, strengths) in DAMAGES.items()
    for strength in strengths
}


def damage(name: str, images: torch.Tensor) -> torch.Tensor:
    """Damage images uint8 [N, 1, 28, 28]; what is random is the same at each call."""
    function, strength = MEASURED[name]
    torch.manual_seed(0)
    damaged = torch.as_tensor(function(images / 255, strength))
    return (255 * damaged.clamp(0, 1)).round().byte()


def run_trial(recipe: str, version: str, seed: int, data_root: str) -> dict[str, str]:
    """Train a recipe from one seed on one thread; return the accuracies in percent by damage."""
    torch.set_num_threads(1)
    data = load(data_root)
    model, _ = RECIPES[recipe].train(seed, data)
    images, labels = data.test.tensors
    damaged = ((name, TensorDataset(damage(name, images), labels)) for name in MEASURED)
    return {name: f"{100 * evaluate(model, each).accuracy:.2f}" for name, each in damaged}


def main(arguments: list[str] | None = None) -> None:
    options = parse_study("robustness", __doc__, RECIPES, arguments)
    run_study(options, RECIPES, run_trial, list(MEASURED))


if __name__ == "__main__":
    main()
