"""Random distortion of a whole batch: the same digit as another hand might have put it, or as a
worse pen, paper or camera would show it."""

import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F

from .checks import check_number


@dataclass(frozen=True)
class Distortion:
    """How far images may be distorted: moves are uniform between minus and plus each bound, damages
    uniform between none and the bound. Raises TypeError or ValueError for an impossible bound."""

    rotation: float = 12.0  # degrees
    shift: float = 2.0  # pixels, in each direction
    scale: float = 0.12  # natural logarithm of the magnification: 0.12 is about 12 %
    shear: float = 0.15  # horizontal pixels for each vertical one
    degraded: float = 0.5  # share of the images with one of the four damages below
    noise: float = 0.35  # standard deviation
    blur: float = 1.0  # share of the mean of 3 x 3 pixels
    spots: float = 0.15  # share of the pixels that become paper or ink
    cover: float = 9.0  # side of a square of paper or ink, in pixels; 3 at least

    def __post_init__(self):
        for field in fields(self):
            most = 1 if field.name in ("degraded", "blur", "spots") else math.inf
            check_number(field.name, getattr(self, field.name), most=most)


def distort(
    images: torch.Tensor,
    distortion: Distortion,
    generator: torch.Generator | None = None,
    *,
    strength: float = 1.0,
) -> torch.Tensor:
    """Move each image [N, 1, H, W] by its own random amount, and degrade some of them.

    `generator` is one of the images' device; None takes PyTorch's own. `strength` in [0, 1] makes
    the moves smaller. The result is not clipped to [0, 1]: noise goes beyond.
    """
    draws = torch.rand(5, len(images), generator=generator, device=images.device) * 2 - 1
    draws *= strength
    moved = move(
        images,
        angle=draws[0] * math.radians(distortion.rotation),
        magnification=torch.exp(draws[1] * distortion.scale),
        shear=draws[2] * distortion.shear,
        shift=draws[3:] * distortion.shift,
    )
    return _degrade(moved, distortion, generator)


def move(
    images: torch.Tensor,
    *,
    angle: torch.Tensor,
    magnification: torch.Tensor,
    shear: torch.Tensor,
    shift: torch.Tensor,
) -> torch.Tensor:
    """Rotate, scale, slant and shift each image [N, 1, H, W]; what comes in from beyond the border
    is paper.

    `angle` is in radians, `shear` in pixels a row, each [N]; `shift` in pixels of the original, to
    the left and upwards, [2, N].
    """
    height, width = images.shape[2:]
    # grid_sample asks for each output pixel where it comes from: hence the inverse map.
    cosine, sine = angle.cos() / magnification, angle.sin() / magnification
    shift_x, shift_y = shift[0] * (2 / width), shift[1] * (2 / height)  # a width is 2 units there
    rows = [cosine, cosine * shear - sine, shift_x, sine, sine * shear + cosine, shift_y]
    maps = torch.stack(rows).view(2, 3, len(images), 1, 1)
    # F.affine_grid would give this grid [2, N, H, W], too, but by a matrix product for each image.
    x, y = _centres(width, images.device), _centres(height, images.device).view(height, 1)
    grid = maps[:, 0] * x + (maps[:, 1] * y + maps[:, 2])
    grid = grid.permute(1, 2, 3, 0)
    return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)


def _centres(size: int, device: torch.device) -> torch.Tensor:
    """The centres of so many pixels that together reach from -1 to 1."""
    return (2 * torch.arange(size, device=device) + 1) / size - 1


def _degrade(images, distortion: Distortion, generator) -> torch.Tensor:
    """Damage a share of the images, an equal part in each of four ways, each as strongly as chance
    has it. The first of the batch are taken: its order is random."""
    count = int(len(images) * distortion.degraded / 4)
    damages = {
        add_noise: distortion.noise,
        blur: distortion.blur,
        add_spots: distortion.spots,
        cover: max(0.0, distortion.cover - 3),
    }
    parts = images.split([count] * len(damages) + [len(images) - count * len(damages)])
    damaged = []
    for part, (damage, bound) in zip(parts, damages.items(), strict=False):
        draw = torch.rand(count, 1, 1, 1, generator=generator, device=images.device)
        amount = bound * draw + (3 if damage is cover else 0)
        damaged.append(damage(part, amount, generator) if bound else part)
    return torch.cat([*damaged, parts[-1]])


# The damages: images [N, 1, H, W], their amounts [N, 1, 1, 1] or a number, a generator or None.


def add_noise(images, deviation, generator=None) -> torch.Tensor:
    """Add normal noise of this standard deviation to every pixel."""
    return images + deviation * torch.randn(images.shape, generator=generator, device=images.device)


def blur(images, share, generator=None) -> torch.Tensor:
    """Replace this share of each pixel by the mean of the 3 x 3 pixels around it."""
    mean = F.avg_pool2d(images, 3, stride=1, padding=1)
    return images + share * (mean - images)


def add_spots(images, share, generator=None) -> torch.Tensor:
    """Turn this share of the pixels to paper or ink, as chance has it."""
    draws = torch.rand(2, *images.shape, generator=generator, device=images.device)
    return torch.where(draws[0] < share, draws[1].round(), images)


def cover(images, side, generator=None) -> torch.Tensor:
    """Cover a square with so many pixels a side, anywhere, by paper or ink."""
    count, _, height, width = images.shape
    draws = torch.rand(3, count, 1, 1, 1, generator=generator, device=images.device)
    rows = torch.arange(height, device=images.device).view(height, 1)
    columns = torch.arange(width, device=images.device)
    in_rows = (rows - height * draws[0]).abs() < side / 2
    in_columns = (columns - width * draws[1]).abs() < side / 2
    return torch.where(in_rows & in_columns, draws[2].round(), images)
