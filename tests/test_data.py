import numpy as np
import pytest
import torch
from torchvision import datasets

from mnist_helpers import Split, load_mnist


def test_the_images_are_those_that_torchvision_reads(data, raw):
    training = datasets.MNIST(raw.parent.parent, train=True)
    test = datasets.MNIST(raw.parent.parent, train=False)
    assert torch.equal(torch.cat([data.train.images, data.validation.images]), training.data)
    assert torch.equal(torch.cat([data.train.labels, data.validation.labels]), training.targets)
    assert torch.equal(data.test.images, test.data)
    assert torch.equal(data.test.labels, test.targets)


def test_the_images_are_the_bytes_behind_the_header(data, raw):
    pixels = np.fromfile(raw / "t10k-images-idx3-ubyte", dtype=np.uint8)[16:]
    assert np.array_equal(data.test.images.numpy().ravel(), pixels)


def test_the_splits_have_their_sizes_and_types(data):
    sizes = [len(data.train), len(data.validation), len(data.test)]
    assert sizes == [55_000, 5_000, 10_000]
    for split in (data.train, data.validation, data.test):
        assert split.images.dtype == torch.uint8 and split.labels.dtype == torch.int64


def test_the_validation_size_can_be_chosen(data, raw):
    other = load_mnist(raw.parent.parent, validation_size=10_000)
    assert len(other.train) == 50_000
    assert torch.equal(other.validation.images[5_000:], data.validation.images)


@pytest.mark.parametrize("size", [0, -1, 60_000])
def test_a_validation_size_that_leaves_nothing_is_refused(size, raw):
    with pytest.raises(ValueError, match=f"{size}"):
        load_mnist(raw.parent.parent, validation_size=size)


IMAGES = torch.zeros(3, 28, 28, dtype=torch.uint8)
LABELS = torch.tensor([0, 5, 9])


@pytest.mark.parametrize(
    ("images", "labels", "error", "message"),
    [
        (IMAGES.float(), LABELS, TypeError, "float32"),
        (IMAGES.numpy(), LABELS, TypeError, "ndarray"),
        (IMAGES[0], LABELS, ValueError, r"\[28, 28\]"),
        (IMAGES[:, None], LABELS, ValueError, r"\[3, 1, 28, 28\]"),
        (IMAGES[:, :27], LABELS, ValueError, r"\[3, 27, 28\]"),
        (IMAGES, LABELS.float(), TypeError, "float32"),
        (IMAGES, [0, 5, 9], TypeError, "list"),
        (IMAGES, LABELS[:2], ValueError, r"\[2\].*\[3, 28, 28\]"),
        (IMAGES[:0], LABELS[:0], ValueError, "empty"),
        (IMAGES, torch.tensor([0, 5, 10]), ValueError, "10"),
        (IMAGES, torch.tensor([0, -1, 9]), ValueError, "-1"),
    ],
)
def test_what_is_no_split_is_refused(images, labels, error, message):
    with pytest.raises(error, match=message):
        Split(images, labels)
