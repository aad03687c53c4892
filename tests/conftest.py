"""What several test files need. MNIST is fetched once, into the folder that the notebook uses."""

import io
import warnings
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.utils.data import TensorDataset

from mnist_helpers import MNIST, load

ROOT = Path(__file__).parent.parent
# Rows and columns of a pocket calculator's seven segments, and which of them make a digit.
BARS = {
    "a": (4, 7, 9, 19), "b": (4, 15, 16, 19), "c": (12, 23, 16, 19), "d": (20, 23, 9, 19),
    "e": (12, 23, 9, 12), "f": (4, 15, 9, 12), "g": (12, 15, 9, 19),
}  # fmt: skip
GLYPHS = ["abcdef", "bc", "abdeg", "abcdg", "bcfg", "acdfg", "acdefg", "abc", "abcdefg", "abcdfg"]


def draw_digits(count: int, seed: int = 0) -> TensorDataset:
    """Return digits of seven segments, each somewhere near the middle: a network learns them at
    once, and they need no files."""
    generator = torch.Generator().manual_seed(seed)
    images, labels = torch.zeros(count, 1, 28, 28, dtype=torch.uint8), torch.arange(count) % 10
    for image, label in zip(images[:, 0], labels.tolist(), strict=True):
        down, right = torch.randint(-3, 4, (2,), generator=generator).tolist()
        ink = int(torch.randint(160, 256, (1,), generator=generator))
        for bar in GLYPHS[label]:
            top, bottom, left, end = BARS[bar]
            image[top + down : bottom + down, left + right : end + right] = ink
    return TensorDataset(images, labels)


def perceptron() -> nn.Module:
    """Return a small network that is none of ours, the same one each time."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1),
        nn.Linear(32, 10),
    )  # fmt: skip


@pytest.fixture(scope="session")
def splits() -> MNIST:
    """Drawn digits, to train on: two whole batches of 96, and a shorter one."""
    return MNIST(draw_digits(250), draw_digits(100, seed=1), draw_digits(100, seed=2))


@pytest.fixture(scope="session")
def data() -> MNIST:
    return load(ROOT / "data")


@pytest.fixture
def one_thread():
    """The same number of threads in each process gives the same bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def drawn(figure: Figure) -> Figure:
    """Draw the figure, and let any warning (a label that doesn't fit, say) be an error, but for
    what matplotlib itself uses that is deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "", DeprecationWarning, "matplotlib|pyparsing")
        figure.savefig(io.BytesIO())
    return figure
