import numpy as np
import pytest
import torch
from torchvision import datasets

from mnist_helpers import Split, load_mnist
from mnist_helpers.data import to_float


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


def test_the_splits_have_their_sizes(data):
    assert [len(split) for split in (data.train, data.validation, data.test)] == [
        55_000, 5_000, 10_000
    ]  # fmt: skip


def test_fewer_training_images_leave_the_other_splits_alone(data, raw):
    fewer = load_mnist(raw.parent.parent, training_images=300)
    assert torch.equal(fewer.train.images, data.train.images[:300])
    assert torch.equal(fewer.validation.images, data.validation.images)
    assert torch.equal(fewer.test.labels, data.test.labels)


@pytest.mark.parametrize("count", [-1, 0, 1, 55_001])
def test_an_impossible_number_of_training_images_is_refused(count, raw):
    with pytest.raises(ValueError, match=f"2 to 55,000, but it is {count}"):
        load_mnist(raw.parent.parent, training_images=count)


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


def test_a_slice_of_a_split_is_a_split(digits):
    part = digits[10:13]
    assert torch.equal(part.images, digits.images[10:13]) and part.labels.tolist() == [0, 1, 2]


def test_splits_can_be_compared(digits):
    assert digits == digits and digits != digits[:5]


def test_ink_becomes_one_and_paper_zero():
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).expand(2, 28, 3).repeat(1, 1, 10)
    images = to_float(pixels[..., :28])
    assert images.shape == (2, 1, 28, 28)
    assert torch.allclose(images[0, 0, 0, :3], torch.tensor([0, 0.2, 1]))
