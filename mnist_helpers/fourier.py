"""A convolution's training by way of the Fourier transform, in which it is a product.

A convolution with a kernel of 5 x 5 multiplies and adds 25 times for each pair of channels and each
output pixel. The discrete Fourier transform turns it into one complex product for each frequency
(the convolution theorem), which a real image of 12 x 12 has 72 of: with 32 and 64 channels, that is
about a quarter of the arithmetic, the transforms included.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import nn


class Conv2d(nn.Conv2d):
    """nn.Conv2d without padding, faster to train on a CPU: the same values and gradients, but for
    rounding, which is less than the direct sum's."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        super().__init__(in_channels, out_channels, kernel_size)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[2:]
        transformable = height == width and width % 2 == 0
        if self.training and images.device.type == "cpu" and transformable:
            return _FourierConvolution.apply(images, self.weight, self.bias)
        return super().forward(images)


@lru_cache
def fourier_matrices(size: int, kernel_size: int) -> tuple[np.ndarray, ...]:
    """Return the matrices of the discrete Fourier transform of real images.

    `rows` [size, size] transforms one dimension. Its result is symmetric, so that half of the
    frequencies are enough, and comes as pairs of real numbers: those of frequency 0 and size / 2,
    which are real, then the real and the imaginary part of each one between. `columns` [size / 2,
    2 size, 2 size] transforms for each pair the other dimension of both its members, into as many
    pairs again. All of these are orthogonal: their transposes transform back, and `inner`, a part
    of `columns`, back to the outputs alone.

    `products` [size / 2, 4 size, 2 kernel_size] takes the place of `columns` for kernels. For each
    pair (a, b) it has the four entries of a matrix: [[a, -b], [b, a]] is multiplication by the
    conjugate of the complex number a + bi, and [[a, 0], [0, b]] by two real numbers.
    """
    positions, half = np.arange(size), size // 2
    angles = 2 * np.pi / size * np.outer(positions, positions)
    cosines, sines = np.cos(angles) / np.sqrt(size), np.sin(angles) / np.sqrt(size)

    between = np.stack([cosines[1:half], -sines[1:half]], axis=1).reshape(-1, size)
    rows = np.concatenate([cosines[[0, half]], np.sqrt(2) * between])

    of_complex = np.stack([cosines, sines, -sines, cosines], axis=1)
    columns = np.stack([np.kron(np.eye(2), rows)] + [of_complex.reshape(2 * size, -1)] * (half - 1))

    pairs = columns.reshape(half, size, 2, 2, size)
    inner = pairs[..., : size - kernel_size + 1].reshape(half, 2 * size, -1)

    a, b = size * pairs[:, :, 0, :, :kernel_size], size * pairs[:, :, 1, :, :kernel_size]
    products = np.stack([a, -b, b, a], axis=2) / np.sqrt(2)
    real = 0, [0, half]  # where both dimensions' frequencies are 0 or size / 2
    products[real] = np.stack([a, 0 * a, 0 * b, b], axis=2)[real]
    return rows, columns, inner, products.reshape(half, 4 * size, -1)


def transform(values: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Transform values [N, H, W, C] to [N, size / 2, columns' rows, C]."""
    count, height, width, channels = values.shape
    values = rows[:, :height] @ values.reshape(count, height, width * channels)
    return columns @ values.view(count, len(columns), 2 * width, channels)


def transform_back(values: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Return `transform`'s transpose of values, [N, H, W, C]; H is W."""
    count, channels, width = len(values), values.shape[-1], columns.shape[-1] // 2
    values = (columns.mT @ values).view(count, len(rows), width * channels)
    return (rows[:, :width].mT @ values).view(count, width, width, channels)


class _FourierConvolution(torch.autograd.Function):
    """images [N, C, size, size], weight [D, C, K, K], bias [D] to [N, D, size - K + 1, ...].

    The transform is of a periodic image, in which what leaves at one side comes back at the other:
    the outputs for which that happens are those that a convolution without padding does not have.
    """

    @staticmethod
    def forward(ctx, images, weight, bias):
        count, _, size, _ = images.shape
        outputs, channels, kernel_size, _ = weight.shape
        matrices = fourier_matrices(size, kernel_size)
        matrices = [torch.from_numpy(matrix).to(images.dtype) for matrix in matrices]
        rows, columns, inner, products = matrices

        # A matrix product for each pair of frequencies: [N, 2 C] @ [2 C, 2 D].
        left = transform(images.permute(0, 2, 3, 1), rows, columns)
        left = left.view(count, -1, 2 * channels).transpose(0, 1)
        kernels = weight.permute(2, 3, 1, 0).reshape(1, kernel_size, kernel_size, -1)
        right = transform(kernels, rows, products).view(-1, 2, 2, channels, outputs)
        right = right.transpose(2, 3).reshape(-1, 2 * channels, 2 * outputs)
        result = torch.bmm(left, right).transpose(0, 1)
        result = transform_back(result.reshape(count, size // 2, -1, outputs), rows, inner)

        ctx.save_for_backward(left, right, *matrices)
        return result.add_(bias).permute(0, 3, 1, 2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        left, right, rows, columns, inner, products = ctx.saved_tensors
        count, outputs = gradient.shape[:2]
        size, channels = len(rows), left.shape[2] // 2
        gradient = gradient.permute(0, 2, 3, 1)

        result = transform(gradient, rows, inner).view(count, -1, 2 * outputs).transpose(0, 1)
        of_right = torch.bmm(left.mT, result).view(-1, 2, channels, 2, outputs)
        of_right = of_right.transpose(2, 3).reshape(1, size // 2, -1, channels * outputs)
        of_kernels = transform_back(of_right, rows, products)[0]
        of_weight = of_kernels.unflatten(2, (channels, outputs)).permute(3, 2, 0, 1)

        of_left = torch.bmm(result, right.mT).transpose(0, 1)
        of_left = of_left.reshape(count, size // 2, -1, channels)
        of_images = transform_back(of_left, rows, columns).permute(0, 3, 1, 2)
        return of_images, of_weight, gradient.sum((0, 1, 2))
