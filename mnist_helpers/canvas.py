"""DrawingCanvas, a widget to draw digits on, and gallery, ten digits that people drew."""

import base64
import copy
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import MethodType
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from torch import nn

from .own_digits import predict_digits

HERE = Path(__file__).parent
SIZE = 280  # height and width of the canvas in its own units, ten to a pixel of MNIST
PEN = 20  # width of its strokes, in MNIST about a seventh of a digit's height


class Drawing(NamedTuple):
    """A digit of the gallery: its label, who drew it and how, and the picture."""

    label: int
    hand: str
    picture: Image.Image


def gallery() -> list[Drawing]:
    """Return the digits 0 to 9 as ten people drew them: grey pictures of SIZE x SIZE pixels.

    The strokes are from UJIpenchars2: F. Prat, M. J. Castro, D. Llorens, A. Marzal and J. M. Vilar,
    2008, UCI Machine Learning Repository, CC BY 4.0. They are scaled here.
    """
    drawings = json.loads((HERE / "gallery.json").read_text(encoding="utf-8"))["drawings"]
    return [Drawing(d["label"], d["hand"], draw(d["strokes"], d["pen"])) for d in drawings]


def draw(strokes: list, pen: int = PEN) -> Image.Image:
    """Draw strokes, lists of points (x, y) in the canvas' units, in black on white."""
    scale, radius = 4, 2 * pen  # first four times as large, for smooth edges
    picture = Image.new("L", (scale * SIZE, scale * SIZE), 255)
    brush = ImageDraw.Draw(picture)
    for stroke in strokes:
        points = [(scale * x, scale * y) for x, y in stroke]
        brush.line(points, fill=0, width=2 * radius)
        for x, y in points:  # round ends and corners
            brush.ellipse((x - radius, y - radius, x + radius, y + radius), fill=0)
    return picture.reduce(scale)


def _twin(model: nn.Module) -> nn.Module:
    """Return the same network, whose weights and other values are the model's own, not copies;
    only whether it is in training or evaluation mode is its own."""
    values = (value for module in model.modules() for value in _values([vars(module)]))
    return copy.deepcopy(model, {id(value): value for value in values})


def _values(items: Iterable) -> Iterator:
    """Yield what dicts and lists hold, but no modules and none of their methods."""
    for item in items:
        if isinstance(item, (dict, list, tuple)):
            yield from _values(item.values() if isinstance(item, dict) else item)
        elif not isinstance(item, (nn.Module, MethodType)):
            yield item


def answer(model: nn.Module, message: str) -> str:
    """Classify the canvas' message, as canvas.js describes it; return the answer, or the error."""
    number = None
    try:
        drawing = json.loads(message)
        number, strokes = drawing["number"], drawing["strokes"]
        points = np.array([point for stroke in strokes for point in stroke], dtype=float)
        if not (points.shape[1:] in [(), (2,)] and (np.abs(points) <= 10 * SIZE).all()):
            raise ValueError(f"A stroke is a list of points [x, y] between 0 and {SIZE}")
        own = _twin(model)  # the model itself may be trained meanwhile, in another thread
        predictions = [
            {
                "digit": prediction.digit,
                "probabilities": [round(float(p), 4) for p in prediction.probabilities],
                "image": base64.b64encode(np.asarray(prediction.image).tobytes()).decode(),
            }
            for prediction in (predict_digits(own, draw(strokes)) if len(points) else [])
        ]
        return json.dumps({"number": number, "predictions": predictions}, allow_nan=False)
    except Exception as error:  # Jupyter would hide it in a log; the canvas shows it
        return json.dumps({"number": number, "error": f"{type(error).__name__}: {error}"})


def DrawingCanvas(model: nn.Module):
    """Return a widget to draw digits on; after each stroke, `model` classifies the drawing."""
    try:  # only here, for all else works without Jupyter
        from anywidget import AnyWidget
        from traitlets import Int, Unicode
    except ImportError as error:
        raise ImportError("The canvas needs anywidget: pip install anywidget") from error

    class Canvas(AnyWidget):
        _esm = HERE / "canvas.js"
        _css = HERE / "canvas.css"
        size, pen = Int(SIZE).tag(sync=True), Int(PEN).tag(sync=True)
        drawing = Unicode('{"number": 0, "strokes": []}').tag(sync=True)
        answer = Unicode('{"number": 0, "predictions": []}').tag(sync=True)

        def __repr__(self):
            return "DrawingCanvas: run this cell to draw"

    canvas = Canvas()
    canvas.observe(lambda change: canvas.set_trait("answer", answer(model, change.new)), "drawing")
    return canvas
