"""The figures of the lesson, drawn from values whose picture is known."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from sklearn import metrics
from torch import nn

from mnist_helpers import plots

from .conftest import drawn

HISTORY = [
    {"epoch": 1, "training_loss": 0.5, "validation_loss": 0.2, "validation_accuracy": 0.9},
    {"epoch": 2, "training_loss": 0.3, "validation_loss": 0.1, "validation_accuracy": 0.99},
]


def test_a_notebook_gets_each_figure_with_its_text_and_as_a_picture():
    figure = plots.describe(plots.Figure(1), "one", 'a "text" & more')
    data, _ = DisplayFormatter().format(figure)
    assert "a &quot;text&quot; &amp; more" in data["text/html"]
    assert data["image/png"] in data["text/html"]
    assert data["text/plain"] == figure.alt


def test_a_grid_shows_each_image_below_its_caption():
    images = torch.rand(7, 28, 28) - 0.5  # as weights are
    figure = drawn(plots.image_grid(images, list("abcdefg"), "title"))
    shown = [(axis.get_title(), axis.images[0].get_array()) for axis in figure.axes if axis.images]
    assert [caption for caption, _ in shown] == list("abcdefg")
    assert all(np.allclose(array, image) for (_, array), image in zip(shown, images, strict=True))


def test_an_empty_grid_says_so():
    figure = drawn(plots.image_grid([], [], "no errors"))
    assert figure.axes[0].texts[0].get_text()


def test_the_curves_hold_the_history_and_the_earlier_one():
    figure = drawn(plots.training_curves(HISTORY, HISTORY[:1]))
    losses, errors = ([list(line.get_ydata()) for line in axis.lines] for axis in figure.axes)
    assert sorted(losses) == [[0.2], [0.2, 0.1], [0.5], [0.5, 0.3]]
    assert np.allclose(max(errors, key=len), [10, 1])


@pytest.mark.parametrize("history", [[], [{"epoch": 1, "training_loss": 0.5}]])
def test_curves_without_an_epoch_or_a_validation_are_drawn(history):
    drawn(plots.training_curves(history))


def test_a_loss_that_hardly_changes_has_numbers_on_its_axis_and_no_error_a_place_on_its_own():
    values = {"training_loss": 0.31, "validation_loss": 0.34, "validation_accuracy": 1.0}
    figure = drawn(plots.training_curves([{"epoch": epoch} | values for epoch in (1, 2)]))
    axis = figure.axes[0]
    low, high = axis.get_ylim()
    assert sum(low <= tick <= high for tick in axis.get_yticks()) >= 2
    assert min(figure.axes[1].lines[-1].get_ydata()) > 0


def test_the_ladder_shows_the_study_and_other_runs_in_percent_of_error():
    names = ["validation_accuracy", "validation_low", "validation_high"]
    study = pd.DataFrame([[90.0, np.nan, np.nan], [99.0, 98.3, 99.5]], ["a", "b"], names)
    runs = {"this run": {"b": 98.0}, "guess": {"a": 95.0, "b": None}, "own": {"c": [96.0, 97.0]}}
    (axis,) = drawn(plots.ladder(study, runs, "title")).axes
    (bars,) = axis.containers
    assert np.allclose(bars.lines[0].get_xdata(), [10, 1])
    assert np.allclose(bars.lines[2][0].get_segments()[1][:, 0], [0.5, 1.7])
    errors = {line.get_label(): list(line.get_xdata()) for line in axis.lines}
    assert errors["this run"] == [2] and errors["guess"] == [5] and errors["own"] == [4, 3]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["a", "b", "c"]
    assert axis.yaxis_inverted()  # "a" is on top


def test_the_confusion_matrix_is_that_of_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    labels, predictions = torch.randint(9, (2, 300), generator=generator)  # no 9
    (axis,) = (figure := drawn(plots.confusion_matrix(labels, predictions))).axes
    shown = np.zeros((10, 10))
    for text in axis.texts:
        column, row = text.get_position()
        shown[row, column] = text.get_text() or 0
    expected = metrics.confusion_matrix(labels, predictions, labels=range(10))
    assert np.array_equal(shown, expected)
    errors = np.where(np.eye(10), 0, expected)
    assert np.array_equal(axis.images[0].get_array(), errors)
    counts = re.findall(r"\((\d+)\)", figure.get_suptitle())  # of the most frequent ones
    assert [int(count) for count in counts] == sorted(errors.flatten())[:-4:-1]


def test_a_convolution_is_shown_by_its_numbers():
    image, kernel = torch.rand(28, 28), torch.randn(3, 3)
    figure = drawn(plots.convolution_step(image, kernel, row=5, column=7))
    tables = [
        np.reshape([float(text.get_text()) for text in axis.texts], (3, 3))
        for axis in figure.axes[1:]
    ]
    patch = image[5:8, 7:10]
    for shown, expected in zip(tables, (patch, kernel, patch * kernel), strict=True):
        assert np.allclose(shown, expected, atol=0.05)
    total = nn.functional.conv2d(image[None, None], kernel[None, None])[0, 0, 5, 7]
    assert f"{total:.2f}" in figure.get_suptitle()


def test_the_drawing_of_a_network_shows_what_each_layer_gives():
    layers = nn.Sequential(nn.Conv2d(1, 3, 5), nn.Flatten(), nn.Linear(3 * 24 * 24, 10))
    image = torch.rand(1, 1, 28, 28)
    figure = drawn(plots.network(layers, image))
    shown = [axis.images[0].get_array() for axis in figure.axes if axis.images]
    assert np.allclose(shown[1:4], layers[0](image).detach()[0])
    assert np.allclose(shown[5], layers(image).detach())
    texts = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert [text.split("\n")[1] for text in texts] == [
        "1 x 28 x 28", "3 x 24 x 24, 78 weights", "1728", "10, 17,290 weights"
    ]  # fmt: skip
