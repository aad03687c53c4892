import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from mnist_helpers import EpochResult, Evaluation, plots

from .conftest import drawn


@pytest.fixture(scope="module")
def evaluation(data):
    """Answers to the first 100 test images: 20 of them wrong, one nine times out of ten certain."""
    labels = data.test.labels[:100].numpy()
    answers = np.where(np.arange(100) < 20, (labels + 1) % 10, labels)
    probabilities = np.full((100, 10), 0.01)
    probabilities[np.arange(100), answers] = 0.91
    return Evaluation(labels, probabilities)


@pytest.fixture(scope="module")
def history():
    return [EpochResult(1, 0.5, 0.9, 0.1, 0.95), EpochResult(2, 0.2, 0.95, 0.05, 0.98)]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def test_samples_show_a_row_for_each_digit(data):
    figure = drawn(plots.sample_grid(data.train, columns=3))
    assert len(figure.axes) == 30
    first_five = data.train.images[data.train.labels == 5][0]
    assert np.array_equal(figure.axes[15].images[0].get_array(), first_five)


def test_mean_digits_are_the_means(data):
    figure = drawn(plots.mean_digits(data.train))
    mean = data.train.images.numpy()[data.train.labels.numpy() == 3].mean(axis=0)
    assert np.allclose(figure.axes[3].images[0].get_array(), mean, atol=1e-2)


def test_distortions_stand_beside_the_original():
    figure = drawn(plots.distortion_grid(torch.ones(28, 28), torch.zeros(22, 28, 28)))
    assert sum(len(axis.images) for axis in figure.axes) == 23


def test_curves_show_loss_and_accuracy_of_both_splits(history):
    loss, accuracy = drawn(plots.training_curves(history)).axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[0.5, 0.2], [0.1, 0.05]]
    assert [list(line.get_ydata()) for line in accuracy.lines] == [[90, 95], [95, 98]]
    assert loss.get_xlabel() == "epoch" and accuracy.get_ylabel() == "accuracy (%)"


def test_curves_can_be_drawn_after_one_epoch(history):
    drawn(plots.training_curves(history[:1]))


def test_the_confusion_matrix_writes_every_count(evaluation):
    figure = drawn(plots.confusion_matrix(evaluation))
    counts = evaluation.confusion_matrix()
    written = [int(text.get_text()) for text in figure.axes[0].texts]
    assert sorted(written) == sorted(counts[counts > 0])


def test_answers_say_label_answer_and_probability(data, evaluation):
    indices = evaluation.worst_errors(24)
    figure = drawn(plots.answers(data.test, evaluation, indices, "The worst"))
    titles = [axis.get_title() for axis in figure.axes]
    assert len(indices) == sum(bool(title) for title in titles) == 20  # there are no more
    label = evaluation.labels[indices[0]]
    assert titles[0] == f"{label} read as {(label + 1) % 10}\nat 91.0 %"


def test_the_reliability_diagram_says_the_calibration_error(evaluation):
    figure = drawn(plots.reliability_diagram(evaluation))
    assert any("expected calibration error 11.00 %" in text for text in texts(figure))
