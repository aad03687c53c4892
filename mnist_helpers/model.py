"""The lesson's network: two convolutions, two fully connected layers, and its own normalisation."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

WEIGHTS = Path(__file__).with_name("digit_classifier.pt")  # a state_dict in half precision


class LocalNormalise(nn.Module):
    """Subtract from each pixel the mean of the 11 x 11 pixels around it; divide by the contrast.

    The contrast is the root mean square of what remains of an image. Grey paper, gradual shading
    and faint ink then leave hardly a trace. Images are float [N, 1, H, W].
    """

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        # Pooling is faster where the images are the channels of one image.
        batch = images.transpose(0, 1).contiguous(memory_format=torch.channels_last)
        means = F.avg_pool2d(batch, 11, stride=1, padding=5, count_include_pad=False)
        detail = images - means.transpose(0, 1)
        power = detail.square().mean(dim=(1, 2, 3), keepdim=True)
        contrast = (power + 1e-6).sqrt()  # at exactly 0, the root's slope would be infinite
        return detail / (contrast + 0.02)  # so that an empty image stays empty


class DigitClassifier(nn.Module):
    """Images of digits in, float [N, 1, 28, 28] from 0 (paper) to 1 (ink); logits [N, 10] out.

    The first layer is LocalNormalise, or another that normalises images."""

    def __init__(self, normalise: nn.Module | None = None):
        super().__init__()
        self.layers = nn.Sequential(
            normalise or LocalNormalise(),
            nn.Conv2d(1, 32, kernel_size=5), nn.MaxPool2d(2), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 64, kernel_size=5), nn.MaxPool2d(2), nn.BatchNorm2d(64), nn.ReLU(),
            nn.Dropout2d(0.1), nn.Flatten(),
            nn.Linear(64 * 4 * 4, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.2),
            nn.Linear(128, 10),
        )  # fmt: skip

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


def pretrained(path: str | Path = WEIGHTS) -> DigitClassifier:
    """Return the lesson's network in evaluation mode, as trained on its 55,000 images (the best of
    five seeds by validation accuracy: research/pretrained.py), or with the weights in a file."""
    model = DigitClassifier()
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return model.eval()
