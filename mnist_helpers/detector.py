"""Whether an image shows a digit at all: a network of its own says so.

It learned to tell MNIST's digits from letters, scribbles, halves of digits, patterns and noise, in
research/digit_detector.py.
"""

import functools
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from .evaluation import predict_logits

WEIGHTS = Path(__file__).with_name("digit_detector.pt")  # a state_dict in half precision


class LocalContrast(nn.Module):
    """Subtract from each pixel the mean of the 11 x 11 pixels around it; divide by the contrast.

    Beyond the border, the image is taken as reflected there. Images are float [N, 1, 28, 28]. This
    and `make_detector` repeat some of model.py on purpose: who edits the lesson's network doesn't
    change what its pictures are refused by.
    """

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        # The mean of 11 neighbours in a row is a linear map: this matrix.
        basis = torch.eye(28, dtype=images.dtype, device=images.device)[None]
        mean = F.avg_pool1d(F.pad(basis, (5, 5), mode="reflect"), 11, stride=1)[0]
        detail = images - mean.T @ images @ mean
        contrast = detail.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        return detail / (contrast + 0.02)  # so that an empty image stays empty


def make_detector() -> nn.Module:
    """Return the untrained network: float [N, 1, 28, 28] in, the logits of the digits [N, 10] out,
    where "none of them" has the logit 0."""
    return nn.Sequential(
        LocalContrast(),
        nn.Conv2d(1, 32, kernel_size=5), nn.MaxPool2d(2), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 64, kernel_size=5), nn.MaxPool2d(2), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Dropout2d(0.1), nn.Flatten(),
        nn.Linear(64 * 4 * 4, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(128, 10),
    )  # fmt: skip


@functools.cache
def _load_detector() -> nn.Module:
    with torch.device("meta"):  # the file's tensors become the layers' own, on the CPU
        detector = make_detector()
    weights = torch.load(WEIGHTS, map_location="cpu", weights_only=True)
    detector.load_state_dict(weights, assign=True)
    return detector.float().to(memory_format=torch.channels_last).eval()


def digit_odds(images: torch.Tensor) -> torch.Tensor:
    """Return of images, uint8 [N, 28, 28] as `to_mnist` makes them, the logarithm of the odds that
    each shows a digit, float32 [N]. It is below 0 for 0.2 % of MNIST's validation images."""
    logits = predict_logits(_load_detector(), images)
    is_blot = (images.cpu() > 127).sum(dim=(1, 2)) > 0.65 * 20 * 20  # MNIST's boldest: 0.53
    return logits.logsumexp(dim=1).masked_fill(is_blot, -10)
