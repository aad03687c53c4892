"""Whether a picture shows a digit at all: MNIST's digits do, and what other code draws does not."""

import importlib

import numpy as np
import pytest
import torch
from torch import nn

import mnist_helpers
from mnist_helpers import detector, predict_digits, predict_logits
from mnist_helpers.detector import is_digit, make_detector
from research import digit_detector
from research.not_digits import draw_letter, make_kinds

NETWORK = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))  # which may be any, and untrained


@pytest.fixture(scope="module")
def refused(data) -> dict[str, float]:
    """The share of ten pictures of each kind on which no digit is found."""
    images, labels = (each.numpy() for each in data.validation.tensors)
    kinds = make_kinds(images[:, 0], labels, np.random.default_rng(7))
    return {kind: np.mean([is_refused(make()) for _ in range(10)]) for kind, make in kinds.items()}


def is_refused(picture: np.ndarray) -> bool:
    return all(prediction.digit is None for prediction in predict_digits(NETWORK, picture))


def test_most_of_each_kind_that_is_no_digit_are_refused(refused):
    assert min(refused.values()) >= 0.5, refused  # a half of a digit may be another digit


def test_nine_in_ten_of_what_is_no_digit_are_refused(refused):
    assert np.mean(list(refused.values())) >= 0.9


@pytest.mark.parametrize("split", ["validation", "test"])
def test_one_digit_in_a_hundred_is_refused_at_most(data, split):
    images, _ = getattr(data, split).tensors
    assert (~is_digit(images[:, 0])).float().mean() <= 0.01


def test_it_does_not_depend_on_the_lessons_network(data, monkeypatch):
    digits = data.validation.tensors[0][:100, 0]
    images = torch.cat([digits, digits.roll(9, 1)])
    answers = is_digit(images)
    assert 0 < answers[100:].sum() < 100
    monkeypatch.setattr(mnist_helpers.model, "DigitClassifier", None)
    monkeypatch.setattr(mnist_helpers.LocalNormalise, "forward", lambda self, images: 0 * images)
    assert torch.equal(importlib.reload(detector).is_digit(images), answers)


def test_a_reading_without_a_digit_keeps_its_probabilities():
    (prediction,) = predict_digits(NETWORK, draw_letter("W", np.random.default_rng(0)))
    assert prediction.digit is None
    assert prediction.probabilities.sum().item() == pytest.approx(1, abs=1e-5)


def test_training_draws_each_kind_in_mnists_format(data, monkeypatch):
    monkeypatch.setattr(digit_detector, "COUNTS", dict.fromkeys(digit_detector.COUNTS, 3))
    monkeypatch.setattr(digit_detector, "OTHER_PENS", 4)
    monkeypatch.setattr(digit_detector, "load", lambda root: data)
    threads = torch.get_num_threads()
    digits, labels, others = digit_detector.make_chunk(0, "")
    torch.set_num_threads(threads)
    assert digits.shape == (4, 28, 28) and len(labels) == 4 and len(others) > 16
    for images in (digits, others):
        assert images.dtype == torch.uint8 and images.flatten(1).any(dim=1).all()
        assert not images[:, [0, -1]].any()  # the border is paper


def test_the_threshold_refuses_the_share_that_it_should(data, monkeypatch):
    monkeypatch.setattr(digit_detector, "REFUSED", 0.1)
    images = data.validation.tensors[0][:100, 0]
    model = make_detector()
    digit_detector.set_threshold(model, images)
    scores = predict_logits(model, digit_detector.prepare(images)).logsumexp(dim=1)
    assert (scores < 0).sum() == 10
