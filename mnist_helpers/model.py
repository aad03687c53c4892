"""The network: two convolutions, two fully connected layers, and its own normalisation."""

import pandas as pd
import torch
from torch import nn

from .data import check_images


class Standardise(nn.Module):
    """Subtract the mean of the training set's pixels, and divide by their standard deviation."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images - 0.1307) / 0.3081


class DigitClassifier(nn.Module):
    """Images of digits in, ten logits each out.

    `forward` takes float images [N, 1, 28, 28] in [0, 1] (0 = paper, 1 = ink) and returns logits
    [N, 10]; `predict_proba` takes uint8 images [N, 28, 28] and returns probabilities [N, 10].
    """

    def __init__(self):
        super().__init__()
        # Pooling before ReLU gives what ReLU before pooling gives, at a quarter of the cost.
        # Batch normalisation shifts its output itself, so the convolutions need no bias.
        self.layers = nn.Sequential(
            Standardise(),
            nn.Conv2d(1, 32, kernel_size=5, padding=2, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 64, kernel_size=5, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.Dropout2d(0.1),  # whole feature maps at a time
            nn.Flatten(),
            nn.Linear(64 * 5 * 5, 128),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(128, 10),
        )
        self.to(memory_format=torch.channels_last)  # the faster layout for convolutions

    @property
    def device(self) -> torch.device:
        return self.layers[-1].weight.device

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)

    def predict_logits(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits [N, 10] of uint8 images [N, 28, 28], without dropout.

        The images may be on any device; the logits are on the model's. Raises TypeError or
        ValueError for images of another dtype or shape.
        """
        check_images(images)
        was_training = self.training
        self.eval()
        try:
            with torch.inference_mode():
                batches = images.split(1_000)  # so that memory does not grow with N
                return torch.cat([self(to_float(batch.to(self.device))) for batch in batches])
        finally:
            self.train(was_training)

    def predict_proba(self, images: torch.Tensor) -> torch.Tensor:
        """Return the probabilities [N, 10] of uint8 images [N, 28, 28]; see `predict_logits`."""
        return self.predict_logits(images).softmax(dim=1)


def to_float(images: torch.Tensor) -> torch.Tensor:
    """Turn uint8 images [N, 28, 28] into the model's input: float [N, 1, 28, 28] in [0, 1]."""
    return images.unsqueeze(1).float().div_(255)


def layer_table(model: DigitClassifier) -> pd.DataFrame:
    """Return the model layer by layer: name, shape of one image's output, trained parameters."""
    values = torch.zeros(1, 1, 28, 28, device=model.device)
    rows = []
    with torch.inference_mode():
        for layer in model.eval().layers:
            values = layer(values)
            shape = " x ".join(map(str, values.shape[1:]))
            parameters = sum(parameter.numel() for parameter in layer.parameters())
            rows.append({"layer": type(layer).__name__, "output": shape, "parameters": parameters})
    return pd.DataFrame(rows)
