"""The canvas' Python side: what the browser sends, kept. tests/browser/ draws in a browser."""

import numpy as np
import pytest
import torch
from torch import nn

import mnist_helpers as mnist
from mnist_helpers import canvas as canvas_module
from mnist_helpers.drawings import PEN, draw

LEFT = [[60, 80], [60, 200]]


def drawing(shade: int) -> dict:
    """Return what canvas.js sends of a drawing; its image is of one shade, but for its corner."""
    return {"strokes": [LEFT], "image": [7] + [shade] * 783}


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


@pytest.fixture(autouse=True)
def kept(monkeypatch):
    """Another test's digits are another reader's."""
    monkeypatch.setattr(canvas_module, "CANVASES", [])


@pytest.fixture
def canvas():
    return mnist.DrawingCanvas(linear())


def test_a_stroke_is_as_wide_as_the_pen_and_lies_where_it_was_drawn():
    ink = np.asarray(draw([LEFT])) < 128
    rows, columns = np.nonzero(ink)
    assert abs(ink[140].sum() - PEN) <= 1
    assert abs(columns.mean() - 60) < 1 and abs(rows.mean() - 140) < 1
    assert abs(rows.max() - rows.min() - (120 + PEN)) <= 2  # round ends beyond its points


def test_a_single_point_is_a_dot():
    ink = np.asarray(draw([[[100, 50]]])) < 128
    assert ink.sum() == pytest.approx(np.pi * (PEN / 2) ** 2, rel=0.1)


def test_the_image_is_what_the_browser_sent_last(canvas):
    assert canvas.image.dtype == torch.uint8 and torch.equal(canvas.image, torch.zeros(28, 28))
    canvas.set_state({"drawing": drawing(40)})
    assert canvas.image.shape == (28, 28)
    assert canvas.image[0, 0] == 7 and (canvas.image.flatten()[1:] == 40).all()


def test_the_digits_are_those_that_were_kept_and_the_gallerys_for_the_rest(canvas):
    canvas.set_state({"kept": {"3": drawing(30)}})
    canvas.set_state({"kept": {"3": drawing(31), "8": drawing(80)}})
    images, labels = canvas.digits.tensors
    assert images.shape == (10, 1, 28, 28) and images.dtype == torch.uint8
    assert labels.tolist() == list(range(10))
    assert images[[3, 8], 0, 5, 5].tolist() == [31, 80]
    for label, picture in enumerate(mnist.gallery()):
        if label not in (3, 8):
            assert torch.equal(images[label, 0], mnist.to_mnist(picture))


def test_a_cell_that_is_run_again_still_has_the_digits_and_so_has_another_canvas(canvas):
    other = mnist.DrawingCanvas(linear())
    canvas.set_state({"kept": {"3": drawing(30)}})
    other.set_state({"kept": {"4": drawing(40)}})  # whose browser doesn't know of the 3 yet
    for each in (canvas, other, mnist.DrawingCanvas(linear())):
        assert each.digits.tensors[0][[3, 4], 0, 5, 5].tolist() == [30, 40]
        assert set(each.kept) == {"3", "4"}  # which the browser shows


def test_what_was_saved_is_there_again_after_a_restart(canvas, tmp_path):
    canvas.set_state({"kept": {"3": drawing(30)}})
    torch.save(canvas.kept, tmp_path / "digits.pt")
    canvas_module.CANVASES.clear()  # as Python is started again
    again = mnist.DrawingCanvas(linear(), kept=torch.load(tmp_path / "digits.pt"))
    assert again.digits.tensors[0][3, 0, 5, 5] == 30


def test_what_was_drawn_since_is_newer_than_what_was_saved():
    first = mnist.DrawingCanvas(linear())
    first.set_state({"kept": {"3": drawing(33)}})
    canvas = mnist.DrawingCanvas(linear(), kept={"3": drawing(30), "4": drawing(40)})
    for each in (first, canvas):
        assert each.digits.tensors[0][[3, 4], 0, 5, 5].tolist() == [33, 40]


def test_a_network_that_cannot_be_shown_is_an_error_of_the_cell():
    with pytest.raises(ValueError, match=r"\[1, 10\]"):
        mnist.DrawingCanvas(nn.Sequential(nn.Flatten(), nn.Linear(784, 3)))


def test_the_notebooks_file_holds_the_page_only_where_it_is_asked_for(canvas):
    assert "text/html" not in canvas._repr_mimebundle_()[0]
    data, _ = mnist.DrawingCanvas(linear(), page=True)._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]  # which Jupyter shows, if it can
    assert "<iframe srcdoc=" in data["text/html"] and '<img src="data:image' in data["text/html"]


def test_nothing_of_the_gallerys_digits_is_cut_off():
    for picture in mnist.gallery():
        ink = np.asarray(picture) < 128
        assert ink.any() and not (ink[0] | ink[-1] | ink[:, 0] | ink[:, -1]).any()
