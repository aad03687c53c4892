"""Networks to compare with: as tutorials build them, and with a frequent mistake."""

import torch
from torch import nn

from .model import DigitClassifier


class SoftmaxFirst(DigitClassifier):
    """The frequent mistake: probabilities go where the loss expects logits."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images).softmax(dim=1)


class Standardise(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images - 0.1307) / 0.3081  # mean and deviation of the training set's pixels


class TutorialClassifier(DigitClassifier):
    """What tutorials build: ReLU before pooling, much dropout, and no batch normalisation."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            Standardise(),
            nn.Conv2d(1, 32, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Dropout(0.25),
            nn.Flatten(),
            nn.Linear(64 * 7 * 7, 128),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(128, 10),
        )
        self.to(memory_format=torch.channels_last)
