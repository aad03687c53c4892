"""Random distortion of a whole batch at once: the same digit, as another hand might have put it."""

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


def distort(
    images: torch.Tensor, distortion: Distortion, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Rotate, shift, scale and shear each image [N, 1, H, W] by its own random amount.

    All are drawn and resampled together, on the device of the images (bilinear; what comes in from
    beyond the border is 0, paper). `generator` is one of that device; None takes torch's own.
    """
    count, _, height, width = images.shape
    draws = torch.rand(5, count, generator=generator, device=images.device) * 2 - 1
    angle = draws[0] * math.radians(distortion.rotation)
    # grid_sample asks for each output pixel where it comes from: hence the inverse map.
    shrink = torch.exp(draws[1] * -distortion.scale)
    shear = draws[2] * distortion.shear
    cosine, sine = angle.cos() * shrink, angle.sin() * shrink
    shift_x = draws[3] * (2 * distortion.shift / width)  # the image's width is 2 in its own units
    shift_y = draws[4] * (2 * distortion.shift / height)
    rows = [cosine, cosine * shear - sine, shift_x, sine, sine * shear + cosine, shift_y]
    maps = torch.stack(rows, dim=1).view(count, 2, 3)
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
