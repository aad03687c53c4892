"""Networks to compare with: the package's own with other sizes or parts left out, a frequent
mistake, and what tutorials build."""

import torch
from torch import nn

from mnist_helpers import DigitClassifier, LocalNormalise


class VariedClassifier(nn.Module):
    """DigitClassifier with arguments; without any, it has the same layers and weights."""

    def __init__(
        self,
        channels: tuple[int, int] = (32, 64),
        *,
        batch_normalisation: bool = True,
        dropout: tuple[float, float] = (0.1, 0.2),
        padding: int = 0,
    ):
        super().__init__()
        side = 4 + padding * 3 // 2  # what two poolings leave of 28 pixels
        first, second = channels
        layers = [
            LocalNormalise(),
            nn.Conv2d(1, first, kernel_size=5, padding=padding),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            nn.Conv2d(first, second, kernel_size=5, padding=padding),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(second),
            nn.ReLU(),
            nn.Dropout2d(dropout[0]),
            nn.Flatten(),
            nn.Linear(second * side**2, 128),
            nn.BatchNorm1d(128),
            nn.ReLU(),
            nn.Dropout(dropout[1]),
            nn.Linear(128, 10),
        ]
        normalisations = (nn.BatchNorm1d, nn.BatchNorm2d)
        self.layers = nn.Sequential(
            *(
                each
                for each in layers
                if batch_normalisation or not isinstance(each, normalisations)
            )
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


class SoftmaxFirst(DigitClassifier):
    """The frequent mistake: probabilities go where the loss expects logits."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images).softmax(dim=1)


class Standardise(nn.Module):
    """Subtract the mean of the training set's pixels, and divide by their deviation."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images - 0.1307) / 0.3081


class FixedStandardisation(DigitClassifier):
    """The network with `Standardise` in the place of `LocalNormalise`."""

    def __init__(self):
        super().__init__()
        self.layers[0] = Standardise()


class TutorialClassifier(nn.Module):
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

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


class FiveConvolutions(nn.Sequential):
    """Five convolutions of 3 x 3 instead of two of 5 x 5; otherwise like DigitClassifier."""

    def __init__(self):
        def convolve(inputs: int, outputs: int) -> list[nn.Module]:
            convolution = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)
            return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]

        super().__init__(
            LocalNormalise(),
            *convolve(1, 32),
            *convolve(32, 32),
            nn.MaxPool2d(2),
            *convolve(32, 64),
            *convolve(64, 64),
            nn.MaxPool2d(2),
            *convolve(64, 96),
            nn.Dropout2d(0.1),
            nn.Flatten(),
            nn.Linear(96 * 7 * 7, 128),
            nn.BatchNorm1d(128),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(128, 10),
        )
