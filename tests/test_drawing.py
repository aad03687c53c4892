"""The canvas' Python side: strokes in, answers out. tests/browser/ draws on it in a browser."""

import base64
import json
import subprocess
import sys

import numpy as np
import pytest
from torch import nn

import mnist_helpers as mnist
from mnist_helpers.drawing import PEN, SIZE, answer, draw

from .conftest import ROOT

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


def test_what_is_drawn_outside_is_cut_off():
    assert draw([[[-50, 140], [330, 140]]]).size == (SIZE, SIZE)


def test_the_answer_is_that_of_read_digits():
    (reading,) = mnist.read_digits(InkCounter(), draw([LEFT]))
    (told,) = ask(message(LEFT))["readings"]
    assert told["digit"] == reading.digit
    assert told["probabilities"] == pytest.approx(np.asarray(reading.probabilities), abs=1e-4)
    image = np.frombuffer(base64.b64decode(told["image"]), dtype=np.uint8).reshape(28, 28)
    assert (image == np.asarray(reading.image)).all()


def test_digits_side_by_side_are_told_one_by_one():
    assert len(ask(message(LEFT, RIGHT))["readings"]) == 2


def test_an_empty_canvas_has_no_digit_and_asks_no_network():
    class Untouchable(nn.Module):
        def forward(self, images):
            raise AssertionError("asked for an empty canvas")

    assert ask(message(), Untouchable()) == {"number": 1, "readings": []}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "[]",
        "[" * 100_000,
        '{"number": 1}',
        '{"number": 1, "strokes": 5}',
        '{"number": 1, "strokes": [[1, 2]]}',
        '{"number": 1, "strokes": [[[1, 2, 3]]]}',
        '{"number": 1, "strokes": [[["a", "b"]]]}',
        '{"number": 1, "strokes": [[[NaN, 2]]]}',
        '{"number": 1, "strokes": [[[Infinity, 2]]]}',
        '{"number": 1, "strokes": [[[1e300, 2]]]}',
        '{"number": 1, "strokes": [[[' + "9" * 400 + ", 2]]]}",
    ],
)
def test_what_is_no_drawing_is_answered_by_an_error(text):
    assert set(ask(text)) == {"number", "error"}


def test_the_reader_is_told_why_a_network_failed():
    told = ask(message(LEFT), nn.Linear(5, 10))
    assert told["number"] == 1 and told["error"].startswith("RuntimeError: ")
    assert "mat1 and mat2" in told["error"]  # after the operator's name, from PyTorch 2.15 on


def test_a_network_in_training_is_left_as_it_is():
    modes = []

    class Watched(InkCounter):
        def train(self, mode=True):
            modes.append((self is model, mode))
            return super().train(mode)

    model = Watched()
    ask(message(LEFT), model)
    assert not [mode for own, mode in modes if own]


def test_the_canvas_answers_what_the_page_sends(canvas):
    canvas.set_state({"drawing": message(LEFT, RIGHT, number=1)})
    assert len(json.loads(canvas.answer)["readings"]) == 2
    canvas.set_state({"drawing": message(LEFT, number=2)})  # undo: a stroke fewer
    assert canvas.answer == answer(InkCounter(), message(LEFT, number=2))
    canvas.set_state({"drawing": message(number=3)})  # clear
    assert json.loads(canvas.answer) == {"number": 3, "readings": []}


def test_an_answer_bears_the_number_of_its_drawing(canvas):
    """So that the page can tell an answer to what it shows from one to what it showed before."""
    for number in (1, 2, 7):
        canvas.set_state({"drawing": message(LEFT, number=number)})
        assert json.loads(canvas.answer)["number"] == number


def test_the_state_is_kept_for_a_page_that_is_opened_again(canvas):
    canvas.set_state({"drawing": message(LEFT)})
    state = canvas.get_state()
    assert state["drawing"] == message(LEFT) and len(json.loads(state["answer"])["readings"]) == 1


def test_all_that_travels_is_text_or_a_number(canvas):
    canvas.set_state({"drawing": message(LEFT)})
    own = {key: canvas.get_state()[key] for key in ("drawing", "answer", "size", "pen", "_esm")}
    assert {type(value) for value in own.values()} == {str, int}


def test_in_a_notebook_it_is_one_constant_line(canvas):
    data, _ = canvas._repr_mimebundle_()
    assert data["text/plain"] == "DrawingCanvas: run this cell to draw"


def test_the_package_needs_no_anywidget():
    program = (
        "import sys; sys.modules['anywidget'] = None; import mnist_helpers as mnist\n"
        "assert len(mnist.gallery()) == 10; mnist.DrawingCanvas(None)"
    )
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
    assert result.stderr.splitlines()[-1] == (
        "ImportError: The canvas needs anywidget: pip install anywidget"
    )


def test_the_gallery_has_each_digit_once_and_nothing_is_cut_off():
    drawings = mnist.gallery()
    assert [drawing.label for drawing in drawings] == list(range(10))
    for drawing in drawings:
        ink = np.asarray(drawing.picture) < 128
        assert ink.any() and not (ink[0] | ink[-1] | ink[:, 0] | ink[:, -1]).any()


def test_the_hands_of_the_gallery_differ():
    """A thin pen and a thick one, a small digit and a large one, at differing places."""
    inks = [np.asarray(drawing.picture) < 128 for drawing in mnist.gallery()]
    widths = [stroke_width(ink) for ink in inks]
    heights = [np.ptp(np.nonzero(ink)[0]) for ink in inks]
    assert max(widths) > 3 * min(widths) and max(heights) > 2 * min(heights)


def stroke_width(ink: np.ndarray) -> float:
    """Estimate the strokes' width: the share of ink that one layer off the edge takes away."""
    inner = ink[1:-1, 1:-1] & ink[:-2, 1:-1] & ink[2:, 1:-1] & ink[1:-1, :-2] & ink[1:-1, 2:]
    return 2 * ink.sum() / (ink.sum() - inner.sum())
