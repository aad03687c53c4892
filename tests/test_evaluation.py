import math

import numpy as np
import pytest
import torch
from sklearn import metrics

from mnist_helpers import DigitClassifier, Evaluation, evaluate


@pytest.fixture(scope="module")
def evaluation():
    """500 answers, two thirds of them right, with probabilities of all sizes."""
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


def test_the_accuracy_is_the_share_of_right_answers(evaluation):
    answers = evaluation.probabilities.argmax(axis=1)
    assert evaluation.accuracy == metrics.accuracy_score(evaluation.labels, answers)
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


def test_the_confusion_matrix_counts_answers_by_label(evaluation):
    expected = np.zeros((10, 10), dtype=int)
    for label, answer in zip(evaluation.labels, evaluation.predictions, strict=True):
        expected[label, answer] += 1
    assert np.array_equal(evaluation.confusion_matrix(), expected)


def test_digits_that_do_not_occur_keep_their_row():
    assert with_errors(1, 2).confusion_matrix().shape == (10, 10)
    assert len(with_errors(1, 2).report()) == 10


def test_the_report_follows_from_the_confusion_matrix(evaluation):
    counts = evaluation.confusion_matrix()
    precision, recall = counts.diagonal() / counts.sum(axis=0), counts.diagonal() / counts.sum(1)
    report = evaluation.report()
    assert np.allclose(report["precision"], precision)
    assert np.allclose(report["recall"], recall)
    assert np.allclose(report["F1"], 2 * precision * recall / (precision + recall))
    assert np.array_equal(report["images"], counts.sum(axis=1))


def test_the_worst_errors_come_first_and_are_errors(evaluation):
    worst = evaluation.worst_errors(30)
    assert (evaluation.labels[worst] != evaluation.predictions[worst]).all()
    of_the_truth = evaluation.probabilities[worst, evaluation.labels[worst]]
    assert (np.diff(of_the_truth) >= 0).all()
    errors = np.flatnonzero(evaluation.labels != evaluation.predictions)
    assert of_the_truth[0] == evaluation.probabilities[errors, evaluation.labels[errors]].min()


def test_there_may_be_fewer_errors_than_asked_for():
    assert len(with_errors(3, 10).worst_errors(24)) == 3


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


def test_certain_answers_of_which_a_tenth_is_wrong_are_off_by_a_tenth():
    assert with_errors(10, 100).calibration_error == pytest.approx(0.1)


def test_the_shares_of_the_bins_sum_to_one(evaluation):
    assert evaluation.reliability()["share"].sum() == pytest.approx(1)


def test_evaluate_lets_the_model_answer_without_dropout(few):
    torch.manual_seed(0)
    model = DigitClassifier()
    evaluation = evaluate(model.train(), few)
    expected = model.predict_proba(few.images).numpy()
    assert np.allclose(evaluation.probabilities, expected, atol=1e-6)
    assert np.array_equal(evaluation.labels, few.labels.numpy())
