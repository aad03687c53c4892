"""The canvas' Python side: strokes in, answers out. tests/browser/ draws on it in a browser."""

import base64
import json
import threading

import numpy as np
import pytest
import torch
from torch import nn

import mnist_helpers as mnist
from mnist_helpers.canvas import PEN, answer, draw

LEFT = [[60, 80], [60, 200]]
RIGHT = [[220, 80], [220, 200]]


class InkCounter(nn.Module):
    """Stands in for a network: is sure that the digit is a hundredth of the count of ink pixels."""

    def forward(self, images):
        ink = (images > 0.5).sum((1, 2, 3)) // 100
        return 30.0 * nn.functional.one_hot(ink.clamp(max=9), 10).float()


def message(*strokes, number: int = 1) -> str:
    return json.dumps({"number": number, "strokes": strokes})


def ask(text: str, model: nn.Module | None = None) -> dict:
    return json.loads(answer(model or InkCounter(), text))


@pytest.fixture
def canvas():
    return mnist.DrawingCanvas(InkCounter())


def test_a_stroke_is_as_wide_as_the_pen_and_lies_where_it_was_drawn():
    ink = np.asarray(draw([LEFT])) < 128
    rows, columns = np.nonzero(ink)
    assert abs(ink[140].sum() - PEN) <= 1
    assert abs(columns.mean() - 60) < 1 and abs(rows.mean() - 140) < 1
    assert abs(rows.max() - rows.min() - (120 + PEN)) <= 2  # round ends beyond its points


def test_a_single_point_is_a_dot():
    ink = np.asarray(draw([[[100, 50]]])) < 128
    assert ink.sum() == pytest.approx(np.pi * (PEN / 2) ** 2, rel=0.1)


def test_a_point_that_is_repeated_changes_nothing():
    repeated = [[50, 60]] * 3 + [[90, 60]] * 2
    assert (np.asarray(draw([repeated])) == np.asarray(draw([[[50, 60], [90, 60]]]))).all()


def test_the_answer_is_that_of_predict_digits():
    (prediction,) = mnist.predict_digits(InkCounter(), draw([LEFT]))
    (told,) = ask(message(LEFT))["predictions"]
    assert told["digit"] == prediction.digit
    assert told["probabilities"] == pytest.approx(np.asarray(prediction.probabilities), abs=1e-4)
    image = np.frombuffer(base64.b64decode(told["image"]), dtype=np.uint8).reshape(28, 28)
    assert (image == np.asarray(prediction.image)).all()


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "[" * 100_000,
        '{"number": 1}',
        '{"number": 1, "strokes": [[[1, 2, 3]]]}',
        '{"number": 1, "strokes": [[["a", "b"]]]}',
        '{"number": 1, "strokes": [[[NaN, 2]]]}',
        '{"number": 1, "strokes": [[[1e300, 2]]]}',
    ],
    ids=range(7),
)
def test_what_is_no_drawing_is_answered_by_an_error(text):
    assert set(ask(text)) == {"number", "error"}


def test_the_reader_is_told_why_a_network_failed():
    told = ask(message(LEFT), nn.Linear(5, 10))
    assert told["number"] == 1 and "mat1 and mat2" in told["error"]


def test_the_answer_is_of_evaluation_mode_while_the_network_itself_stays_in_training():
    modes = []

    class Network(InkCounter):
        def forward(self, images):
            modes.append((self.training, model.training))
            return super().forward(images)

    model = Network().train()  # JupyterLab lets the canvas answer while a cell still trains it
    assert "predictions" in ask(message(LEFT), model)
    assert modes == [(False, True)]


def test_a_network_may_hold_what_cannot_be_copied():
    model = InkCounter()
    model.lock = threading.Lock()
    model.activations = [torch.ones(3, requires_grad=True) * 2]
    model.last = model.activations[0] + 1
    assert ask(message(LEFT), model) == ask(message(LEFT))


def test_a_change_of_the_weights_shows_in_the_next_answer():
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    model[1].weight.data.zero_()
    for digit in (3, 8):
        model[1].bias.data = 9.0 * nn.functional.one_hot(torch.tensor(digit), 10)
        (prediction,) = ask(message(LEFT), model)["predictions"]
        assert int(np.argmax(prediction["probabilities"])) == digit


def test_the_canvas_answers_what_the_page_sends(canvas):
    canvas.set_state({"drawing": message(LEFT, RIGHT, number=1)})
    assert len(json.loads(canvas.answer)["predictions"]) == 2
    canvas.set_state({"drawing": message(LEFT, number=2)})  # undo: a stroke fewer
    assert canvas.answer == answer(InkCounter(), message(LEFT, number=2))
    canvas.set_state({"drawing": message(number=3)})  # clear
    assert json.loads(canvas.answer) == {"number": 3, "predictions": []}


def test_a_notebook_holds_the_same_text_after_each_run(canvas):
    again = mnist.DrawingCanvas(InkCounter())
    assert repr(canvas) == repr(again) == canvas._repr_mimebundle_()[0]["text/plain"]


def test_the_gallery_has_each_digit_once_and_nothing_is_cut_off():
    drawings = mnist.gallery()
    assert [drawing.label for drawing in drawings] == list(range(10))
    for drawing in drawings:
        ink = np.asarray(drawing.picture) < 128
        assert ink.any() and not (ink[0] | ink[-1] | ink[:, 0] | ink[:, -1]).any()
