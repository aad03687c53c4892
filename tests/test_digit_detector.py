"""Whether a picture shows a digit at all: MNIST's digits do, and what other code draws does not."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from mnist_helpers import DigitClassifier, read_digits
from mnist_helpers.evaluation import predict_logits
from mnist_helpers.own_digits import DETECTOR, is_digit
from research import digit_detector
from research.not_digits import LETTERS, draw_letter, make_kinds
from research.tables import RESULTS

PICTURES = 20  # of each kind
KINDS = [
    *(f"noise, {kind}" for kind in ("uniform", "normal", "salt", "clouds", "streaks")),
    *("patterns", "empty paper", "scribbles", "letters", "halves of digits"),
    "two digits on each other",
]
NETWORK = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))  # which may be any, and untrained


@pytest.fixture(scope="module")
def refused(data) -> dict[str, float]:
    """The share of the pictures of each kind on which no digit is found."""
    images, labels = data.validation.images.numpy(), data.validation.labels.numpy()
    kinds = make_kinds(images, labels, np.random.default_rng(7))
    assert list(kinds) == KINDS
    return {
        kind: np.mean([is_refused(make()) for _ in range(PICTURES)]) for kind, make in kinds.items()
    }


def is_refused(picture: np.ndarray) -> bool:
    return all(reading.digit is None for reading in read_digits(NETWORK, picture))


@pytest.mark.parametrize("kind", KINDS)
def test_most_of_what_is_no_digit_is_refused(refused, kind):
    assert refused[kind] >= 0.5  # a half of a digit may be another digit


def test_nine_in_ten_of_what_is_no_digit_are_refused(refused):
    assert np.mean(list(refused.values())) >= 0.9


def test_most_letters_are_refused():
    random = np.random.default_rng(3)
    shares = [
        np.mean([is_refused(draw_letter(each, random)) for _ in range(2)]) for each in LETTERS
    ]
    assert np.mean(shares) >= 0.9


def test_one_digit_in_a_hundred_is_refused_at_most(data):
    assert (~is_digit(data.validation.images)).float().mean() <= 0.01
    assert (~is_digit(data.test.images)).float().mean() <= 0.01


def test_drawn_digits_are_not_refused(digits):
    assert is_digit(digits.images).float().mean() >= 0.5  # of a calculator's segments, not a hand's


def test_a_reading_without_a_digit_keeps_its_probabilities():
    (reading,) = read_digits(NETWORK, draw_letter("W", np.random.default_rng(0)))
    assert reading.digit is None
    assert reading.probabilities.sum().item() == pytest.approx(1, abs=1e-5)


def test_training_draws_each_kind_in_mnists_format(data, monkeypatch):
    monkeypatch.setattr(digit_detector, "COUNTS", dict.fromkeys(digit_detector.COUNTS, 3))
    monkeypatch.setattr(digit_detector, "OTHER_PENS", 4)
    monkeypatch.setattr(digit_detector, "load_mnist", lambda root: data)
    threads = torch.get_num_threads()
    digits, labels, others = digit_detector.make_chunk(0, "")
    torch.set_num_threads(threads)
    assert digits.shape == (4, 28, 28) and len(labels) == 4 and len(others) > 16
    for images in (digits, others):
        assert images.dtype == torch.uint8 and images.flatten(1).any(dim=1).all()
        assert not images[:, [0, -1]].any()  # the border is paper


def test_the_threshold_refuses_the_share_that_it_should(data, monkeypatch):
    monkeypatch.setattr(digit_detector, "REFUSED", 0.1)
    images = data.validation.images[:100]
    model = DigitClassifier().eval()
    digit_detector.set_threshold(model, images)
    scores = predict_logits(model, digit_detector.prepare(images)).logsumexp(dim=1)
    assert (scores < 0).sum() == 10


def test_the_detector_is_a_small_file_of_finite_weights():
    assert DETECTOR.stat().st_size < 500_000
    weights = torch.load(DETECTOR, weights_only=True)["contents"]["weights"]
    assert all(each.isfinite().all() for each in weights.values())


def test_the_measured_refusals_are_within_what_is_promised():
    table = pd.read_csv(RESULTS / "digit_detector.csv").set_index("kind")["refused"]
    is_digits = table.index.str.contains("digits, ")
    assert table[is_digits].max() <= 0.02 and is_digits.sum() == 5
    assert table[table.index.str.startswith("digits, ")].max() <= 0.01
    assert sorted(table.index[~is_digits]) == sorted(KINDS)
    assert table[~is_digits].mean() >= 0.9
