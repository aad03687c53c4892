"""The figures of the lesson, drawn from values whose picture is known."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from sklearn import metrics
from torch import nn

from mnist_helpers import DigitClassifier, plots

from .conftest import draw_digits, drawn

HISTORY = [
    {"epoch": 1, "training_loss": 0.5, "validation_loss": 0.2, "validation_accuracy": 0.9},
    {"epoch": 2, "training_loss": 0.3, "validation_loss": 0.1, "validation_accuracy": 0.99},
]


def test_a_notebook_gets_each_figure_with_its_text_and_as_a_picture():
    figure = plots.with_alt(plots.image_grid([np.eye(28)], ["a"], "<one>"), 'a "text" & more')
    data, _ = DisplayFormatter().format(figure)
    assert 'alt="a &quot;text&quot; &amp; more"' in data["text/html"]
    assert data["image/png"] in data["text/html"]
    assert data["text/plain"] == 'a "text" & more'


def test_a_grid_shows_each_image_below_its_caption():
    images = torch.rand(7, 28, 28)
    figure = drawn(plots.image_grid(images, list("abcdefg"), "title"))
    shown = [(axis.get_title(), axis.images[0].get_array()) for axis in figure.axes if axis.images]
    assert [caption for caption, _ in shown] == list("abcdefg")
    assert all(np.allclose(array, image) for (_, array), image in zip(shown, images, strict=True))


def test_samples_are_of_the_label_that_stands_above_them():
    digits = draw_digits(100)
    figure = drawn(plots.sample_digits(digits))
    for axis in figure.axes:
        image = torch.as_tensor(axis.images[0].get_array().data)
        of_label = digits.tensors[0][digits.tensors[1] == int(axis.get_title()), 0]
        assert (of_label == image).flatten(1).all(dim=1).any()


def test_predictions_show_label_prediction_and_probability():
    digits = draw_digits(3)
    probabilities = torch.eye(10)[[5, 1, 2]] * 0.8 + 0.02
    figure = drawn(plots.predictions(digits, probabilities, [0], "title"))
    assert figure.axes[0].get_title() == "0 → 5\n82 %"


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


def test_the_ladder_shows_the_study_and_this_run_in_percent_of_error():
    study = pd.DataFrame(
        {
            "validation_accuracy": [90.0, 99.0],
            "validation_low": [np.nan, 98.3],
            "validation_high": [np.nan, 99.5],
        },
        index=["a", "b"],
    )
    (axis,) = drawn(plots.ladder(study, {"b": 0.98})).axes
    (bars,) = axis.containers
    assert np.allclose(bars.lines[0].get_xdata(), [10, 1])
    assert np.allclose(bars.lines[2][0].get_segments()[1][:, 0], [0.5, 1.7])
    assert any(np.allclose(line.get_xdata(), [2]) for line in axis.lines)
    assert [label.get_text() for label in axis.get_yticklabels()] == ["a", "b"]


def test_the_confusion_matrix_is_that_of_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    labels, predictions = torch.randint(10, (2, 300), generator=generator)
    (axis,) = drawn(plots.confusion_matrix(labels, predictions)).axes
    shown = np.zeros((10, 10))
    for text in axis.texts:
        column, row = text.get_position()
        shown[int(row), int(column)] = int(text.get_text())
    assert np.array_equal(shown, metrics.confusion_matrix(labels, predictions))


def test_the_most_frequent_errors_are_the_title_of_the_confusion_matrix():
    (axis,) = plots.confusion_matrix([4, 4, 4, 9], [9, 9, 4, 4]).axes
    assert re.findall(r"\d", axis.get_title()) == ["4", "9", "2", "9", "4", "1"]


def test_coverage_is_the_error_among_the_most_certain():
    labels = torch.zeros(100, dtype=torch.long)
    probabilities = torch.eye(10)[[0] * 95 + [1] * 5] * torch.linspace(1, 0.5, 100)[:, None]
    (axis,) = drawn(plots.coverage(labels, probabilities)).axes
    refused, errors = axis.lines[0].get_data()
    expected = {0: 5 / 100, 2: 3 / 98, 5: 0, 10: 0}  # the least certain are the wrong ones
    for share, error in expected.items():
        assert np.interp(-share, -np.asarray(refused), errors) == pytest.approx(
            100 * error, abs=1e-3
        )
    (marked,) = (line for line in axis.lines if len(line.get_xdata()) == 1)
    assert marked.get_xydata() == pytest.approx(np.array([[1, 100 * 4 / 99]]))


def test_the_first_convolution_is_shown_with_its_responses():
    model = DigitClassifier()
    image = draw_digits(1).tensors[0][0]
    figure = drawn(plots.first_convolution(model, image, kernels=[4]))
    shown, kernel, response = (torch.as_tensor(axis.images[0].get_array()) for axis in figure.axes)
    convolution = model.layers[1]
    assert torch.equal(kernel, convolution.weight[4, 0].detach())
    by_hand = nn.functional.conv2d(shown[None, None], kernel[None, None])[0, 0]
    assert torch.allclose(response, by_hand + convolution.bias[4].detach(), atol=1e-5)


def test_a_network_that_fails_is_left_without_a_hook():
    model = nn.Sequential(nn.Conv2d(1, 4, kernel_size=5))
    with pytest.raises(ValueError):
        plots.first_convolution(model, draw_digits(1).tensors[0][0], kernels=[0])
    pickle.dumps(model)  # which a hook would prevent


def test_without_an_image_or_a_convolution_the_figure_says_so():
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    kernels = plots.first_convolution(model, draw_digits(1).tensors[0][0], kernels=[0])
    for figure in (plots.image_grid([], [], "no errors"), kernels):
        assert drawn(figure).axes[0].texts[0].get_text()


def test_weights_are_shown_as_the_image_of_each_digit():
    weights = torch.randn(10, 784)
    figure = drawn(plots.weight_images(weights, "title"))
    for digit, axis in enumerate(figure.axes):
        assert axis.get_title() == str(digit)
        assert np.allclose(axis.images[0].get_array(), weights[digit].view(28, 28))
