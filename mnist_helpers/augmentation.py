"""Random distortion of a whole batch at once: the same digit, as another hand might have put it,
or as a worse pen, paper or camera would show it."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Distortion:
    """How far an image may be distorted: amounts are uniform between minus and plus each bound."""

    rotation: float = 12.0  # degrees
    shift: float = 2.0  # pixels, in each direction
    scale: float = 0.12  # natural logarithm of the magnification: 0.12 is about 12 %
    shear: float = 0.15  # horizontal pixels for each vertical one
    degraded: float = 0.5  # the share of the images that is also noisy, blurred, spotted or covered


def distort(
    images: torch.Tensor,
    distortion: Distortion,
    generator: torch.Generator | None = None,
    *,
    strength: float = 1.0,
) -> torch.Tensor:
    """Move each image [N, 1, H, W] by its own random amount, and degrade some of them.

    `generator` is one of the images' device; None takes PyTorch's own. `strength` in [0, 1] makes
    the moves smaller.
    """
    moved = move(images, distortion, generator, strength)
    return degrade(moved, distortion.degraded, generator)


def move(
    images: torch.Tensor,
    distortion: Distortion,
    generator: torch.Generator | None,
    strength: float = 1.0,
) -> torch.Tensor:
    """Rotate, shift, scale and shear each image by its own random amount, all of them at once."""
    count = len(images)
    draws = torch.rand(5, count, generator=generator, device=images.device) * 2 - 1
    draws *= strength
    return affine(
        images,
        angle=draws[0] * math.radians(distortion.rotation),
        magnification=torch.exp(draws[1] * distortion.scale),
        shear=draws[2] * distortion.shear,
        shift=draws[3:] * distortion.shift,
    )


def affine(
    images: torch.Tensor,
    *,
    angle: torch.Tensor,
    magnification: torch.Tensor,
    shear: torch.Tensor,
    shift: torch.Tensor,
) -> torch.Tensor:
    """Resample each image [N, 1, H, W] bilinearly; what comes in from beyond the border is paper.

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


def degrade(images: torch.Tensor, share: float, generator: torch.Generator | None) -> torch.Tensor:
    """Let a share of the images [N, 1, H, W] be noisy, blurred, spotted or covered, in equal parts
    and each as strongly as chance has it. The first of the batch are taken: its order is random."""
    count = int(len(images) * share / 4)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, device=images.device)

    noisy, blurred, spotted, covered, clean = images.split([count] * 4 + [len(images) - 4 * count])

    normal = torch.randn(noisy.shape, generator=generator, device=images.device)
    noisy = noisy + normal * (0.35 * uniform(count, 1, 1, 1))

    mean = F.avg_pool2d(blurred, 3, stride=1, padding=1)
    blurred = blurred.lerp(mean, uniform(count, 1, 1, 1).expand_as(mean))

    spots = uniform(*spotted.shape) < 0.15 * uniform(count, 1, 1, 1)
    spotted = torch.where(spots, uniform(*spotted.shape).round(), spotted)  # to paper or ink

    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device).view(1, 1, height, 1)
    columns = torch.arange(width, device=images.device).view(1, 1, 1, width)
    half = 1.5 + 3 * uniform(count, 1, 1, 1)  # of the square's side, in pixels
    in_rows = (rows - height * uniform(count, 1, 1, 1)).abs() < half
    in_columns = (columns - width * uniform(count, 1, 1, 1)).abs() < half
    covered = torch.where(in_rows & in_columns, uniform(count, 1, 1, 1).round(), covered)

    return torch.cat([noisy, blurred, spotted, covered, clean])
