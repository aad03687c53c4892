"""Whether a picture shows a digit at all: MNIST's digits do, and what other code draws does not."""

import importlib
import json

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

import mnist_helpers
from mnist_helpers import PictureError, detector, predict_digits, pretrained
from mnist_helpers.detector import digit_odds
from mnist_helpers.drawings import draw
from research import digit_detector

from .conftest import ROOT

NETWORK = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))  # which may be any, and untrained


def test_four_in_five_of_what_is_no_digit_are_refused_and_most_of_each_kind(data):
    """Of ten pictures of each kind; a half of a digit may be another digit."""
    images, labels = (each.numpy() for each in data.validation.tensors)
    torch.manual_seed(7)
    kinds = digit_detector.make_kinds(images[:, 0], labels, np.random.default_rng(7))
    refused = [np.mean([is_refused(make()) for _ in range(10)]) for make in kinds.values()]
    assert min(refused) >= 0.5 and np.mean(refused) >= 0.8, refused


def is_refused(picture: np.ndarray) -> bool:
    try:
        predictions = predict_digits(NETWORK, picture)
    except PictureError:  # a pattern with too many marks
        return True
    return all(prediction.digit is None for prediction in predictions)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_one_digit_in_a_hundred_is_refused_at_most(data, split):
    images, _ = getattr(data, split).tensors
    assert (digit_odds(images[:, 0]) <= 0).float().mean() <= 0.01


@pytest.fixture(scope="module")
def handwriting() -> list[tuple[str, str | None]]:
    """What people wrote with a pen, and what was found instead: a digit, or None."""
    text = (ROOT / "research" / "pen_digits.json").read_text(encoding="utf-8")
    found = []
    for drawing in json.loads(text)["drawings"]:
        predictions = predict_digits(pretrained(), draw(drawing["strokes"], pen=14))
        digits = [str(each.digit) for each in predictions if each.digit is not None]
        found.append((drawing["label"], "".join(digits) or None))
    return found


def test_digits_that_people_wrote_with_a_pen_are_right(handwriting):
    right = [label == found for label, found in handwriting if label.isdigit()]
    assert len(right) >= 100 and np.mean(right) >= 0.95


def test_most_letters_that_people_wrote_with_a_pen_are_refused(handwriting):
    refused = [found is None for label, found in handwriting if not label.isdigit()]
    assert len(refused) >= 20 and np.mean(refused) >= 0.8


def test_it_does_not_depend_on_the_lessons_network(data, monkeypatch):
    digits = data.validation.tensors[0][:100, 0]
    images = torch.cat([digits, digits.roll(9, 1)])
    answers = digit_odds(images)
    assert 0 < (answers[100:] > 0).sum() < 100
    monkeypatch.setattr(mnist_helpers.model, "DigitClassifier", None)
    monkeypatch.setattr(mnist_helpers.LocalNormalise, "forward", lambda self, images: 0 * images)
    assert torch.equal(importlib.reload(detector).digit_odds(images), answers)


def test_the_border_is_reflected():
    """As scipy's filter of 11 x 11 has it, where it calls this "mirror"."""
    image = np.random.default_rng(0).random((28, 28))
    detail = image - ndimage.uniform_filter(image, 11, mode="mirror")
    expected = detail / (np.sqrt(np.square(detail).mean()) + 0.02)
    assert np.allclose(detector.LocalContrast()(torch.tensor(image)[None, None]), expected)


def test_what_is_no_digit_keeps_its_probabilities():
    strokes = [[(40, 40), (90, 240), (140, 60), (190, 240), (240, 40)]]  # a W
    (prediction,) = predict_digits(NETWORK, draw(strokes))
    assert prediction.digit is None
    assert prediction.probabilities.sum().item() == pytest.approx(1, abs=1e-5)


def test_training_draws_each_kind_in_mnists_format(data, monkeypatch, one_thread):
    monkeypatch.setattr(digit_detector, "COUNTS", dict.fromkeys(digit_detector.COUNTS, 3))
    monkeypatch.setattr(digit_detector, "DIGITS", 8)
    monkeypatch.setattr(digit_detector, "load", lambda root: data)
    digits, labels, others = digit_detector.make_chunk(0, "")
    assert len(digits) == len(labels) and len(digits) >= 6 and len(others) >= 12
    for images in (digits, others):
        assert images.dtype == torch.uint8 and images.flatten(1).any(dim=1).all()
        assert images.shape[1:] == (28, 28)
