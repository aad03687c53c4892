"""Predictions of a network, and the numbers that sum them up."""

import math
import re

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

from mnist_helpers import DigitClassifier, Evaluation, evaluate, predict_logits, predict_proba

from .conftest import draw_digits, perceptron


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    """500 predictions, two thirds of them right, with probabilities of all sizes."""
    random = np.random.default_rng(0)
    labels = random.integers(10, size=500)
    logits = random.normal(scale=2, size=(500, 10))
    logits[np.arange(500), labels] += 5
    exponentials = np.exp(logits)
    return Evaluation(labels, exponentials / exponentials.sum(axis=1, keepdims=True))


def with_errors(errors: int, images: int) -> Evaluation:
    """Every image is surely a 0, but some are labelled 1."""
    labels = (np.arange(images) < errors).astype(int)
    return Evaluation(labels, np.tile(np.eye(10)[0], (images, 1)))


def test_accuracy_and_loss_are_scikit_learns(evaluation):
    labels, probabilities = evaluation.labels, evaluation.probabilities
    predictions = probabilities.argmax(axis=1)
    assert evaluation.accuracy == pytest.approx(metrics.accuracy_score(labels, predictions))
    assert evaluation.loss == pytest.approx(metrics.log_loss(labels, probabilities))


def test_a_label_without_any_probability_keeps_the_loss_finite():
    assert 100 < with_errors(1, 1).loss < 1_000


@pytest.mark.parametrize(("errors", "images"), [(43, 10_000), (0, 10_000), (5, 20), (20, 20)])
def test_the_interval_is_wilsons(errors, images):
    z, p = 1.959963984540054, 1 - errors / images
    middle = p + z**2 / (2 * images)
    half = z * math.sqrt(p * (1 - p) / images + z**2 / (4 * images**2))
    expected = [(middle + sign * half) / (1 + z**2 / images) for sign in (-1, 1)]
    assert with_errors(errors, images).interval == pytest.approx(expected, abs=1e-12)


def test_an_evaluation_prints_accuracy_interval_and_errors():
    numbers = re.findall(r"[\d.,]*\d", str(with_errors(43, 10_000)))
    assert numbers == ["99.57", "95", "99.42", "99.68", "43", "10,000"]


# Of a network


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return draw_digits(30).tensors[0]


@pytest.fixture(params=[DigitClassifier, perceptron], ids=["ours", "another"])
def model(request) -> nn.Module:
    torch.manual_seed(0)
    return request.param()


def test_predictions_use_neither_dropout_nor_the_batchs_own_statistics(model):
    images = draw_digits(501).tensors[0]  # more than are classified at once
    logits = predict_logits(model.train(), images)
    with torch.no_grad():
        assert torch.allclose(logits, model.eval()(images / 255), atol=1e-5)


def test_a_prediction_does_not_depend_on_the_other_images(model, images):
    alone = torch.cat([predict_logits(model, image) for image in images])
    assert torch.allclose(predict_logits(model, images), alone, atol=1e-5)


def state(model: nn.Module) -> dict[str, object]:
    values = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    return values | {"modes": modes, "generator": torch.get_rng_state()}


def test_an_evaluation_changes_no_weight_statistic_mode_or_random_number(model):
    list(model.train().children())[-1].eval()  # a part that its owner has frozen
    before = state(model)
    digits = draw_digits(30)
    assert not predict_logits(model, digits.tensors[0]).requires_grad
    evaluate(model, DataLoader(digits, batch_size=7, shuffle=True))
    torch.testing.assert_close(state(model), before, rtol=0, atol=0)


def test_images_may_come_without_the_dimension_of_channels_or_as_an_array(model, images):
    for each in (images[:, 0], images.numpy()):
        assert torch.equal(predict_logits(model, each), predict_logits(model, images))


def test_an_evaluation_holds_labels_and_the_softmax_of_the_logits(model):
    digits = draw_digits(30)
    evaluation = evaluate(model, digits)
    exponentials = predict_logits(model, digits.tensors[0]).double().exp()
    expected = exponentials / exponentials.sum(dim=1, keepdim=True)
    assert np.array_equal(evaluation.labels, digits.tensors[1])
    assert np.allclose(evaluation.probabilities, expected, atol=1e-9)
    assert np.allclose(predict_proba(model, digits.tensors[0]), expected, atol=1e-6)


def test_any_data_set_of_pairs_can_be_evaluated(model):
    part, _ = random_split(draw_digits(30), [20, 10])
    whole = evaluate(model, TensorDataset(*map(torch.stack, zip(*part, strict=True))))
    for kind in (part, DataLoader(part, batch_size=6)):
        assert evaluate(model, kind).loss == pytest.approx(whole.loss, rel=1e-6)


def test_the_loss_of_a_network_that_is_nearly_certain_is_not_rounded_to_zero():
    """ln(1 - 1e-9) is 0 in float32."""
    certain = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    nn.init.zeros_(certain[1].weight)
    certain[1].bias.data = torch.tensor([23.0] + [0.0] * 9)
    expected = math.log1p(9 * math.exp(-23))
    assert evaluate(certain, draw_digits(1)).loss == pytest.approx(expected, rel=1e-4)


def test_a_network_without_weights_or_in_float64_can_be_evaluated():
    pooled = nn.Sequential(nn.Flatten(), nn.AdaptiveAvgPool1d(10))
    for model in (pooled, perceptron().double()):
        assert predict_logits(model, draw_digits(30).tensors[0]).dtype == torch.float32


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (torch.zeros(28, 28, dtype=torch.uint8), r"\[28, 28\]"),
        (torch.zeros(3, 3, 28, 28, dtype=torch.uint8), r"\[3, 3, 28, 28\]"),
        (torch.zeros(3, 28, 28), "float32"),
    ],
)
def test_images_of_another_shape_or_type_are_refused(images, found):
    with pytest.raises(ValueError, match=f"uint8.*{found}"):
        predict_proba(perceptron(), images)


class Returns(nn.Module):
    def __init__(self, returned):
        super().__init__()
        self.returned = returned

    def forward(self, images):
        return self.returned


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ({"logits": torch.zeros(30, 10)}, "dict"),
        (torch.zeros(30, 11), r"\[30, 10\].*\[30, 11\]"),
        (torch.full((30, 10), torch.nan), "nan"),
    ],
)
def test_a_network_that_returns_something_else_is_refused(returned, message, images):
    with pytest.raises(ValueError, match=message):
        predict_proba(Returns(returned), images)
