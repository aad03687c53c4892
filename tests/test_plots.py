import numpy as np
import pytest
import torch
from torch import nn

from mnist_helpers import Evaluation, Split, plots

from .conftest import drawn


@pytest.fixture(scope="module")
def split():
    """A hundred images, ten of each digit, each a single pixel of ink at a place of its own."""
    images = torch.zeros(100, 28, 28, dtype=torch.uint8)
    images.view(100, -1)[torch.arange(100), torch.arange(100)] = 255
    return Split(images, torch.arange(100) % 10)


@pytest.fixture(scope="module")
def evaluation(split):
    """Twenty wrong predictions, all of them off by one, with a probability of 91 % each."""
    labels = split.labels.numpy()
    predictions = np.where(np.arange(100) < 20, (labels + 1) % 10, labels)
    probabilities = np.full((100, 10), 0.01)
    probabilities[np.arange(100), predictions] = 0.91
    return Evaluation(labels, probabilities)


@pytest.fixture(scope="module")
def history():
    names = [
        "epoch",
        "training_loss",
        "training_accuracy",
        "validation_loss",
        "validation_accuracy",
    ]
    rows = [(1, 0.5, 0.9, 0.1, 0.95), (2, 0.2, 0.95, 0.05, 0.98)]
    return [dict(zip(names, row, strict=True)) for row in rows]


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def test_samples_show_three_images_of_each_digit(split):
    figure = drawn(plots.sample_digits(split))
    shown = np.stack([axis.images[0].get_array() for axis in figure.axes])
    assert np.array_equal(shown[15:18], split.images[split.labels == 5][:3])
    assert [axis.get_title() for axis in figure.axes[15:18]] == ["5"] * 3


def test_no_figure_has_more_than_six_images_in_a_row(split):
    figure = plots.image_grid(split.images[:13], [""] * 13, "Thirteen")
    assert figure.axes[0].get_subplotspec().get_geometry()[:2] == (3, 6)


def test_a_grid_without_images_says_so():
    assert "There are none." in texts(drawn(plots.image_grid([], [], "The worst errors")))


def test_curves_show_loss_and_accuracy_of_both_splits(history):
    loss, accuracy = drawn(plots.training_curves(history)).axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[0.5, 0.2], [0.1, 0.05]]
    assert [list(line.get_ydata()) for line in accuracy.lines] == [[90, 95], [95, 98]]
    assert accuracy.get_xlabel() == "epoch" and accuracy.get_ylabel() == "accuracy (%)"


def test_an_earlier_training_is_dashed_in_the_same_axes(history):
    for axis in drawn(plots.training_curves(history, history[:1])).axes:
        assert [line.get_linestyle() for line in axis.lines] == ["-", "-", "--", "--"]
        assert [len(line.get_xdata()) for line in axis.lines] == [2, 2, 1, 1]
        assert axis.lines[3].get_label() == "earlier validation"


@pytest.mark.parametrize("epochs", [0, 1])
def test_curves_can_be_drawn_of_an_interrupted_training(history, epochs):
    figure = drawn(plots.training_curves(history[:epochs]))
    assert ("No epoch has been finished yet." in texts(figure)) == (epochs == 0)


def test_the_confusion_matrix_writes_every_count_and_the_most_frequent_errors(evaluation):
    axis = drawn(plots.confusion_matrix(evaluation)).axes[0]
    counts = evaluation.confusion_matrix()
    assert sorted(int(text.get_text()) for text in axis.texts) == sorted(counts[counts > 0])
    assert axis.get_title() == "Most frequent errors: 0 → 1 (2), 1 → 2 (2), 2 → 3 (2)"


def test_a_network_without_an_error_has_a_confusion_matrix():
    perfect = Evaluation(np.arange(10), np.eye(10))
    assert "Most frequent errors: none" in texts(drawn(plots.confusion_matrix(perfect)))


def test_predictions_say_label_prediction_and_probability(split, evaluation):
    figure = drawn(plots.predictions(split, evaluation, evaluation.worst_errors(24), "The worst"))
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert len(titles) == 20  # there are no more
    assert titles[0] == "0 → 1\n91 %"


def test_a_network_without_an_error_has_no_worst_errors(split):
    perfect = Evaluation(split.labels.numpy(), np.eye(10)[split.labels])
    figure = drawn(plots.predictions(split, perfect, perfect.worst_errors(24), "The worst"))
    assert "There are none." in texts(figure)


def test_the_reliability_diagram_has_the_calibration_error_and_intervals(evaluation):
    figure = drawn(plots.reliability_diagram(evaluation))
    assert "Expected calibration error: 11.00 %" in texts(figure)
    (bar,) = figure.axes[0].collections[0].get_segments()
    # Clopper and Pearson's interval for 80 of 100, from their tables.
    assert bar[:, 1] == pytest.approx([0.7082, 0.8733], abs=5e-4)


def test_filters_show_the_kernels_and_their_responses(split):
    network = nn.Sequential(nn.Conv2d(1, 2, kernel_size=3), nn.Flatten(), nn.LazyLinear(10))
    network(torch.zeros(1, 1, 28, 28))
    figure = drawn(plots.filters(network, split.images[0]))
    shown = [axis.images[0].get_array() for axis in figure.axes if axis.images]
    kernels = network[0].weight.detach()[:, 0]
    responses = network[0](split.images[:1, None] / 255)[0].detach()
    expected = [kernels[0], responses[0], kernels[1], responses[1]]
    assert len(shown) == 4
    for found in expected:
        assert any(found.shape == each.shape and np.allclose(found, each) for each in shown)


def test_a_network_without_a_convolution_has_no_filters(split):
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    assert "This network has no convolution." in texts(
        drawn(plots.filters(network, split.images[0]))
    )
