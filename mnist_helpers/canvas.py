"""DrawingCanvas, a widget to draw digits on, and gallery, ten digits that people drew."""

import base64
import json
import weakref
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image, ImageDraw
from torch import nn
from torch.utils.data import TensorDataset

from .own_digits import to_mnist
from .page import _detector, describe, front_end

HERE = Path(__file__).parent
SIZE = 280  # height and width of the canvas in its own units, ten to a pixel of MNIST
PEN = 20  # width of its strokes, in MNIST about a seventh of a digit's height
KEPT: dict[str, dict] = {}  # the reader's digits by their labels, as long as Python runs
CANVASES = weakref.WeakSet()


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


def _decode(drawing: dict) -> torch.Tensor:
    """Return the image that the browser made of a drawing, uint8 [28, 28]."""
    image = bytearray(base64.b64decode(drawing["image"]))
    return torch.frombuffer(image, dtype=torch.uint8).reshape(28, 28)


def DrawingCanvas(model: nn.Module, digits: str | Path | None = None):
    """Return a widget to draw digits on: it shows what `model`, as it is now, makes of them.

    The network runs in the browser, also while Python is busy. `.image` is what was drawn, uint8
    [28, 28]. `.digits` is a TensorDataset of ten images, uint8 [10, 1, 28, 28], and their labels
    [10]: what the reader kept, and the gallery's for the rest. All canvases share what was kept, as
    long as Python runs; with `digits`, a file, it lasts longer. Raises ValueError where the network
    can't be shown.
    """
    try:  # only here, for all else works without Jupyter
        from anywidget import AnyWidget
        from traitlets import Dict, Unicode
    except ImportError as error:
        raise ImportError("The canvas needs anywidget: pip install anywidget") from error

    class Canvas(AnyWidget):
        _esm, _css = front_end(), HERE / "canvas.css"
        networks, gallery = Unicode().tag(sync=True), Unicode().tag(sync=True)
        drawing = Dict({"strokes": [], "image": ""}).tag(sync=True)
        kept = Dict().tag(sync=True)

        def __repr__(self):
            return "DrawingCanvas: run this cell to draw"

        @property
        def image(self) -> torch.Tensor:
            empty = torch.zeros(28, 28, dtype=torch.uint8)
            return _decode(self.drawing) if self.drawing["strokes"] else empty

        @property
        def digits(self) -> TensorDataset:
            images = [
                _decode(KEPT[str(label)]) if str(label) in KEPT else to_mnist(picture)
                for label, _, picture in gallery()
            ]
            return TensorDataset(torch.stack(images)[:, None], torch.arange(10))

    canvas = Canvas(
        networks=json.dumps({"classifier": describe(model), "detector": _detector()}),
        gallery=json.dumps(json.loads((HERE / "gallery.json").read_text("utf-8"))["drawings"]),
        kept=dict(KEPT),
    )

    def keep(change) -> None:
        KEPT.update(change.new)
        for each in CANVASES:
            each.kept = dict(KEPT)

    canvas.observe(keep, "kept")
    CANVASES.add(canvas)
    return canvas
