import math

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import nn

from mnist_helpers import DigitClassifier, Evaluation, evaluate, predict_proba
from mnist_helpers.evaluation import predict_logits
from mnist_helpers.model import device_of

from .conftest import perceptron


@pytest.fixture(scope="module")
def evaluation():
    """500 predictions, two thirds of them right, with probabilities of all sizes."""
    random = np.random.default_rng(0)
    labels = random.integers(10, size=500)
    logits = random.normal(scale=2, size=(500, 10))
    logits[np.arange(500), labels] += 5
    exponentials = np.exp(logits)
    return Evaluation(labels, exponentials / exponentials.sum(axis=1, keepdims=True))


def with_errors(errors: int, images: int) -> Evaluation:
    labels = np.zeros(images, dtype=int)
    labels[:errors] = 1
    return Evaluation(labels, np.tile(np.eye(10)[0], (images, 1)))


def test_the_accuracy_is_the_share_of_right_predictions(evaluation):
    predictions = evaluation.probabilities.argmax(axis=1)
    assert evaluation.accuracy == metrics.accuracy_score(evaluation.labels, predictions)
    assert 0.5 < evaluation.accuracy < 0.9


@pytest.mark.parametrize(("errors", "images"), [(43, 10_000), (0, 10_000), (5, 20), (20, 20)])
def test_the_interval_is_wilsons(errors, images):
    z, p = 1.959963984540054, 1 - errors / images
    middle = p + z**2 / (2 * images)
    half = z * math.sqrt(p * (1 - p) / images + z**2 / (4 * images**2))
    expected = [(middle + sign * half) / (1 + z**2 / images) for sign in (-1, 1)]
    assert with_errors(errors, images).interval == pytest.approx(expected, abs=1e-12)


def test_the_line_has_its_form():
    line = "99.57 % (95 % interval 99.42 to 99.68, 43 errors in 10,000)"
    assert str(with_errors(43, 10_000)) == line


def test_the_loss_is_the_log_loss(evaluation):
    expected = metrics.log_loss(evaluation.labels, evaluation.probabilities, labels=range(10))
    assert evaluation.loss == pytest.approx(expected)


def test_a_truth_without_any_probability_keeps_the_loss_finite():
    assert 100 < with_errors(1, 1).loss < 1_000


def test_the_confusion_matrix_counts_predictions_by_label(evaluation):
    expected = np.zeros((10, 10), dtype=int)
    for label, prediction in zip(evaluation.labels, evaluation.predictions, strict=True):
        expected[label, prediction] += 1
    assert np.array_equal(evaluation.confusion_matrix(), expected)


def test_digits_that_do_not_occur_keep_their_row():
    assert with_errors(1, 2).confusion_matrix().shape == (10, 10)


def test_the_confused_pairs_are_the_largest_counts_off_the_diagonal(evaluation):
    pairs = evaluation.confused_pairs(5)
    counts = evaluation.confusion_matrix()
    assert all(counts[row.label, row.prediction] == row.images for row in pairs.itertuples())
    np.fill_diagonal(counts, 0)
    assert pairs["images"].tolist() == sorted(counts.ravel().tolist())[:-6:-1]


def test_the_worst_errors_come_first_and_are_errors(evaluation):
    worst = evaluation.worst_errors(30)
    assert (evaluation.labels[worst] != evaluation.predictions[worst]).all()
    confidence = evaluation.probabilities[worst].max(axis=1)
    assert (np.diff(confidence) <= 0).all()
    errors = np.flatnonzero(evaluation.labels != evaluation.predictions)
    assert confidence[0] == evaluation.probabilities[errors].max()


def test_there_may_be_fewer_errors_than_asked_for():
    assert len(with_errors(3, 10).worst_errors(24)) == 3
    perfect = with_errors(0, 10)
    assert len(perfect.worst_errors(24)) == len(perfect.confused_pairs(6)) == 0


def test_the_calibration_error_is_the_weighted_gap_of_15_bins(evaluation):
    confidence = evaluation.probabilities.max(axis=1)
    right = evaluation.labels == evaluation.predictions
    expected = 0.0
    for number in range(15):
        inside = (confidence > number / 15) & (confidence <= (number + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert evaluation.calibration_error == pytest.approx(expected, abs=1e-12)
    assert expected > 0.01


def test_certain_predictions_of_which_a_tenth_is_wrong_are_off_by_a_tenth():
    assert with_errors(10, 100).calibration_error == pytest.approx(0.1)


def test_the_shares_of_the_bins_sum_to_one(evaluation):
    assert evaluation.reliability()["share"].sum() == pytest.approx(1)


def test_evaluations_can_be_compared(evaluation):
    assert evaluation == evaluation and evaluation != with_errors(1, 2)


@pytest.fixture(params=[DigitClassifier, perceptron], ids=["ours", "another"])
def model(request):
    torch.manual_seed(0)
    return request.param()


def test_the_model_predicts_without_dropout_nor_gradients(model, digits):
    probabilities = predict_proba(model.train(), digits.images)
    model.eval()
    logits = model(digits.images[:, None] / 255)
    assert torch.allclose(probabilities, logits.softmax(dim=1), atol=1e-5)
    assert not probabilities.requires_grad


def test_an_evaluation_holds_the_probabilities_of_the_split(model, digits):
    evaluation = evaluate(model, digits)
    assert np.allclose(evaluation.probabilities, predict_proba(model, digits.images), atol=1e-6)
    assert np.array_equal(evaluation.labels, digits.labels.numpy())


def test_small_probabilities_are_not_rounded(digits):
    """ln(1 - 1e-9) is 0 in float32."""
    certain = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    nn.init.zeros_(certain[1].weight)
    certain[1].bias.data = torch.tensor([23.0] + [0.0] * 9)
    expected = math.log1p(9 * math.exp(-23))
    assert evaluate(certain, digits[::10]).loss == pytest.approx(expected, rel=1e-4)


def test_a_prediction_does_not_depend_on_the_other_images(model, digits):
    alone = torch.cat([predict_logits(model, image[None]) for image in digits.images[:20]])
    assert torch.allclose(predict_logits(model, digits.images)[:20], alone, atol=1e-5)


def test_predictions_stay_in_full_precision_where_training_is_not(model, digits):
    expected = predict_proba(model, digits.images)
    with torch.autocast("cpu", torch.bfloat16):
        found = predict_proba(model, digits.images)
    assert found.dtype == torch.float32 and torch.equal(found, expected)


def test_a_network_without_weights_is_evaluated_where_its_buffers_are(digits):
    class Templates(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("means", digits.images[:10].flatten(1).float() / 255)

        def forward(self, images):
            return images.flatten(1) @ self.means.T

    assert predict_proba(Templates(), digits.images).shape == (250, 10)
    assert device_of(Templates().to("meta")) == torch.device("meta")


def test_no_images_have_no_probabilities(model, digits):
    assert predict_proba(model, digits.images[:0]).shape == (0, 10)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (torch.zeros(3, 28, 28), TypeError),
        (torch.zeros(28, 28, dtype=torch.uint8), ValueError),
        (torch.zeros(3, 32, 32, dtype=torch.uint8), ValueError),
        ("seven", TypeError),
    ],
)
def test_what_are_no_images_is_refused(wrong, error):
    with pytest.raises(error, match="images must"):
        predict_proba(perceptron(), wrong)
