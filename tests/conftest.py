"""What several test files need. The data are fetched once, into the folder the notebook uses."""

import io
import warnings
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from mnist_helpers import MNIST, Split, load_mnist

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def data() -> MNIST:
    return load_mnist(ROOT / "data")


@pytest.fixture(scope="session")
def raw(data) -> Path:
    """The folder with the four true files."""
    return ROOT / "data" / "MNIST" / "raw"


@pytest.fixture
def few(data) -> Split:
    """250 training images: two whole batches of 96 and a shorter one."""
    return Split(data.train.images[:250], data.train.labels[:250])


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def drawn(figure: Figure) -> Figure:
    """Draw the figure, and let any warning (a label that doesn't fit, say) be an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(io.BytesIO())
    return figure
