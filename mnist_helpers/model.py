"""The network: two convolutions, two fully connected layers, and its own normalisation."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from . import fourier
from .archive import ArchiveError, read_archive, write_archive
from .data import check_images


class LocalNormalise(nn.Module):
    """Subtract from each pixel the mean of the square around it, and divide the image by the root
    mean square of what remains.

    The ink's contrast, a grey background and slow shading leave hardly a trace. Ink covers less
    than paper does, so its values are the larger ones: if these turn out to be negative, the image
    is light on dark, and its sign is changed. Where the square crosses the border, the image is
    taken as reflected there.
    """

    def __init__(self, size: int = 28, side: int = 11):
        super().__init__()
        # The mean of `side` neighbours is a linear map: a matrix for columns, and one for rows.
        mean = torch.zeros(size, size)
        for row in range(size):
            for neighbour in range(row - side // 2, row + side // 2 + 1):
                inside = size - 1 - abs(size - 1 - abs(neighbour))
                mean[row, inside] += 1 / side
        self.register_buffer("mean", mean, persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        detail = images - self.mean @ images @ self.mean.T
        strength = detail.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        skewness = detail.pow(3).mean(dim=(1, 2, 3), keepdim=True)
        ink = torch.where(skewness < 0, -detail, detail)
        return ink / (strength + 0.02)  # so that an empty image stays empty


class DigitClassifier(nn.Module):
    """Images of digits in, ten logits each out.

    `forward` takes float images [N, 1, 28, 28] in [0, 1] (0 = paper, 1 = ink) and returns logits
    [N, 10]; `predict_proba` takes uint8 images [N, 28, 28] and returns probabilities [N, 10].
    """

    def __init__(
        self,
        *,
        channels: tuple[int, int] = (32, 64),
        batch_normalisation: bool = True,
        dropout: tuple[float, float] = (0.1, 0.2),
    ):
        super().__init__()
        self.arguments = {
            "channels": channels,
            "batch_normalisation": batch_normalisation,
            "dropout": dropout,
        }
        normalise = nn.BatchNorm2d if batch_normalisation else nn.Identity
        # Pooling before ReLU gives what ReLU before pooling gives, at a quarter of the cost.
        self.layers = nn.Sequential(
            LocalNormalise(),
            nn.Conv2d(1, channels[0], kernel_size=5),
            nn.MaxPool2d(2),
            normalise(channels[0]),
            nn.ReLU(),
            fourier.Conv2d(channels[0], channels[1], kernel_size=5),
            nn.MaxPool2d(2),
            normalise(channels[1]),
            nn.ReLU(),
            nn.Dropout2d(dropout[0]),  # whole feature maps at a time
            nn.Flatten(),
            nn.Linear(channels[1] * 4 * 4, 128),
            nn.BatchNorm1d(128) if batch_normalisation else nn.Identity(),
            nn.ReLU(),
            nn.Dropout(dropout[1]),
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
        with evaluating(self):
            batches = images.split(100)  # larger batches need more memory, and are slower
            return torch.cat([self(to_float(batch.to(self.device))) for batch in batches])

    def predict_proba(self, images: torch.Tensor) -> torch.Tensor:
        """Return the probabilities [N, 10] of uint8 images [N, 28, 28]; see `predict_logits`."""
        return self.predict_logits(images).softmax(dim=1)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch dropout and gradients off for a while."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


def to_float(images: torch.Tensor) -> torch.Tensor:
    """Turn uint8 images [N, 28, 28] into the model's input: float [N, 1, 28, 28] in [0, 1]."""
    return images.unsqueeze(1).float().div_(255)


def save_model(model: DigitClassifier, path: str | Path, *, validation_accuracy: float) -> None:
    """Write the classifier with all that is needed to use it again; see `load_model`.

    Raises ArchiveError if the file cannot be written, and leaves what was there before.
    """
    path = Path(path)
    contents = {
        "arguments": model.arguments,
        "weights": model.state_dict(),
        "validation_accuracy": validation_accuracy,
        "versions": {"python": platform.python_version(), "torch": str(torch.__version__)},
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_archive(path, "classifier", contents)
    except OSError as error:
        raise ArchiveError(f"The classifier cannot be written to {str(path)!r}: {error}") from error


def load_model(path: str | Path, device: torch.device | None = None) -> DigitClassifier:
    """Return the classifier that `save_model` wrote, on the device (None: the CPU), in evaluation
    mode: its probabilities are the same to the last bit. Raises ArchiveError if it is damaged."""
    contents = read_archive(Path(path), "classifier")
    model = DigitClassifier(**contents["arguments"])
    model.load_state_dict(contents["weights"])
    return model.to(device).eval()


def layer_table(model: DigitClassifier) -> pd.DataFrame:
    """Return the model layer by layer: name, shape of one image's output, trained parameters."""
    values = torch.zeros(1, 1, 28, 28, device=model.device)
    rows = []
    with evaluating(model):
        for layer in model.layers:
            values = layer(values)
            shape = " x ".join(map(str, values.shape[1:]))
            parameters = sum(parameter.numel() for parameter in layer.parameters())
            rows.append({"layer": type(layer).__name__, "output": shape, "parameters": parameters})
    return pd.DataFrame(rows)
