"""The network: two convolutions, two fully connected layers, and its own normalisation."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn


class LocalNormalise(nn.Module):
    """Subtract from each pixel the mean of the square around it, and divide the image by the root
    mean square of what remains.

    Grey paper, slow shading and faint ink then leave hardly a trace. Where the square crosses the
    border, the image is taken as reflected there. Images are float [N, 1, size, size].
    """

    def __init__(self, size: int = 28, side: int = 11):
        super().__init__()
        # The mean of `side` neighbours in a row is a linear map: this matrix.
        basis = F.pad(torch.eye(size)[None], (side // 2, side // 2), mode="reflect")
        self.register_buffer("mean", F.avg_pool1d(basis, side, stride=1)[0], persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", enabled=False):  # small differences need float32
            detail = images - self.mean.T @ images @ self.mean
            strength = detail.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
            return detail / (strength + 0.02)  # so that an empty image stays empty


class DigitClassifier(nn.Module):
    """Images of digits in, float [N, 1, 28, 28] from 0 (paper) to 1 (ink); logits [N, 10] out."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            LocalNormalise(),
            nn.Conv2d(1, 32, kernel_size=5), nn.MaxPool2d(2), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 64, kernel_size=5), nn.MaxPool2d(2), nn.BatchNorm2d(64), nn.ReLU(),
            nn.Dropout2d(0.1), nn.Flatten(),
            nn.Linear(64 * 4 * 4, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.2),
            nn.Linear(128, 10),
        )  # fmt: skip

    def forward(self, images):
        return self.layers(images)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch dropout and gradients off for a while."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def device_of(model: nn.Module) -> torch.device:
    """Return the device of the model's weights, or of its buffers; the CPU if it has neither."""
    return next(chain(model.parameters(), model.buffers()), torch.empty(0)).device


def check_logits(logits: object, count: int) -> None:
    """Raise TypeError or ValueError unless a network's output for `count` images is [count, 10]."""
    if not isinstance(logits, torch.Tensor):
        raise TypeError(f"The network must return a tensor, but it returned a {type(logits)}")
    if logits.shape != (count, 10):
        raise ValueError(
            f"The network must return ten logits for each image, [{count}, 10] for {count} images, "
            f"but it returned {list(logits.shape)}. Look at its last layer."
        )


def check_model(model: nn.Module) -> None:
    """Raise TypeError or ValueError unless the model maps float [N, 1, 28, 28] to logits [N, 10];
    warn if they are probabilities, since cross-entropy takes a softmax itself."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"The network must be an nn.Module, but it is a {type(model).__name__}")
    images = torch.linspace(0, 1, 2 * 784, device=device_of(model)).view(2, 1, 28, 28)
    with evaluating(model):
        logits = model(images)
        check_logits(logits, count=2)
        if (logits >= 0).all() and torch.allclose(logits.sum(dim=1), torch.ones_like(logits[:, 0])):
            warnings.warn(
                "The network returns probabilities. cross_entropy expects logits and takes the "
                "softmax itself: leave it out of the network, or no loss falls below 1.4612.",
                stacklevel=3,
            )


def layer_table(model: nn.Module) -> pd.DataFrame:
    """Return the model layer by layer, in the order in which one image passes through them: name,
    shape of the output, number of trained parameters. Raises as `check_model` does."""
    check_model(model)
    rows, hooks = [], []

    def note(layer, inputs, output):
        shape = " x ".join(map(str, output.shape[1:])) if torch.is_tensor(output) else ""
        parameters = sum(each.numel() for each in layer.parameters() if each.requires_grad)
        rows.append({"layer": type(layer).__name__, "output": shape, "parameters": parameters})

    leaves = [layer for layer in model.modules() if not list(layer.children())]
    try:
        hooks = [layer.register_forward_hook(note) for layer in leaves]
        with evaluating(model):
            model(torch.zeros(1, 1, 28, 28, device=device_of(model)))
    finally:
        for hook in hooks:
            hook.remove()
    return pd.DataFrame(rows, columns=["layer", "output", "parameters"])
