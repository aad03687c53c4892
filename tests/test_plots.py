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


WITHOUT_VALIDATION = {"epoch": 1, "training_loss": 0.5}


@pytest.mark.parametrize(
    "history", [[], [HISTORY[1] | {"validation_accuracy": 1.0}], [WITHOUT_VALIDATION]]
)
def test_curves_without_an_epoch_an_error_or_a_validation_are_drawn(history):
    drawn(plots.training_curves(history))


def test_a_loss_that_hardly_changes_still_has_numbers_on_its_axis():
    losses = {"training_loss": 0.31, "validation_loss": 0.34, "validation_accuracy": 0.9}
    figure = plots.training_curves([{"epoch": epoch} | losses for epoch in (1, 2)])
    figure.canvas.draw()
    axis = figure.axes[0]
    low, high = axis.get_ylim()
    assert sum(low <= tick <= high for tick in axis.get_yticks()) >= 2


def test_the_ladder_shows_the_study_and_other_runs_in_percent_of_error():
    study = pd.DataFrame(
        {
            "validation_accuracy": [90.0, 99.0],
            "validation_low": [np.nan, 98.3],
            "validation_high": [np.nan, 99.5],
        },
        index=["a", "b"],
    )
    runs = {"this run": {"b": 98.0}, "guess": {"a": 95.0, "b": None}, "own": {"c": [96.0, 97.0]}}
    (axis,) = drawn(plots.ladder(study, runs, "title")).axes
    (bars,) = axis.containers
    assert np.allclose(bars.lines[0].get_xdata(), [10, 1])
    assert np.allclose(bars.lines[2][0].get_segments()[1][:, 0], [0.5, 1.7])
    errors = {line.get_label(): list(line.get_xdata()) for line in axis.lines}
    assert errors["this run"] == [2] and errors["guess"] == [5] and errors["own"] == [4, 3]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["a", "b", "c"]


def test_the_confusion_matrix_is_that_of_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    labels, predictions = torch.randint(10, (2, 300), generator=generator)
    (axis,) = drawn(plots.confusion_matrix(labels, predictions)).axes
    shown = np.zeros((10, 10))
    for text in axis.texts:
        column, row = text.get_position()
        shown[int(row), int(column)] = int(text.get_text())
    assert np.array_equal(shown, metrics.confusion_matrix(labels, predictions))


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
    expected = layers[0](image).detach()
    assert np.allclose(shown[1:4], expected[0])
    assert [list(each) for each in ([3, 24, 24], [1728], [10])] == [
        list(map(int, re.findall(r"\d+", axis.texts[0].get_text().split("\n")[1].split(",")[0])))
        for axis in figure.axes
        if axis.texts
    ][1:]


def test_accuracies_on_papers_stand_where_network_and_paper_meet():
    table = pd.DataFrame({"white": [99.0, 98.0], "grey": [10.0, 97.5]}, index=["a", "b"])
    (axis,) = drawn(plots.papers(table, "title")).axes
    shown = {text.get_position(): float(text.get_text()) for text in axis.texts}
    assert shown == {(0, 0): 99, (1, 0): 10, (0, 1): 98, (1, 1): 97.5}
