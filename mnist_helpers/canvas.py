"""DrawingCanvas, a widget to draw digits on, and gallery, ten digits that people drew."""

import base64
import html
import json
import weakref
from collections import namedtuple
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import nn
from torch.utils.data import TensorDataset

from .detector import _load_detector
from .own_digits import to_mnist
from .page import GALLERY, HERE, describe, front_end, page_html, read, write_whole

SIZE = 280  # height and width of the canvas in its own units, ten to a pixel of MNIST
PEN = 20  # width of its strokes
KEPT: dict[str, dict] = {}  # the digits that the reader keeps, by their labels; all canvases' own
CANVASES = weakref.WeakSet()
Drawing = namedtuple("Drawing", ["label", "hand", "picture"])  # and `hand` is who drew it, and how


def gallery() -> list[Drawing]:
    """Return the digits 0 to 9 as ten people drew them: grey pictures of SIZE x SIZE pixels.

    The strokes are from UJIpenchars2: F. Prat, M. J. Castro, D. Llorens, A. Marzal and J. M. Vilar,
    2008, UCI Machine Learning Repository, CC BY 4.0. They are scaled here.
    """
    return [Drawing(d["label"], d["hand"], draw(d["strokes"], d["pen"])) for d in GALLERY]


def draw(strokes: list, pen: int = PEN) -> Image.Image:
    """Draw strokes, lists of points (x, y) in the canvas' units, in black on white."""
    scale, radius = 4, 2 * pen  # first four times as large, for smooth edges
    picture = Image.new("L", (scale * SIZE, scale * SIZE), 255)
    brush = ImageDraw.Draw(picture)
    for stroke in strokes:
        points = [(scale * x, scale * y) for x, y in stroke]
        brush.line(points, fill=0, width=2 * radius)
        for point in points:  # round ends and corners
            brush.circle(point, radius, fill=0)
    return picture.reduce(scale)


def _decode(drawing: dict) -> torch.Tensor:
    """Return the image, uint8 [28, 28], that canvas.js made of a drawing."""
    image = bytearray(base64.b64decode(drawing["image"])) or bytearray(28 * 28)  # not yet drawn
    return torch.frombuffer(image, dtype=torch.uint8).reshape(28, 28)


def _dataset(kept: dict[str, dict]) -> TensorDataset:
    """Return these drawings as data, and the gallery's for the digits that aren't among them."""
    images = torch.stack([to_mnist(each.picture) for each in gallery()])
    for label, drawing in kept.items():
        images[int(label)] = _decode(drawing)
    return TensorDataset(images[:, None], torch.arange(10))


def _load(path: str | Path) -> dict[str, dict]:
    """Return what is kept in a file, or nothing where there is none."""
    path = Path(path).expanduser()
    try:
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        _dataset(kept)
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"'{path}' isn't a file of digits that DrawingCanvas wrote: name another, or move it."
        ) from error
    return kept


def DrawingCanvas(model: nn.Module, digits: str | Path | None = None, page: bool = False):
    """Return a widget to draw digits on, which shows what is inside of `model` as it is now.

    The network runs in the browser. `.image` is what was drawn, uint8 [28, 28]; `.digits`, a
    TensorDataset of uint8 [10, 1, 28, 28] and labels [10], is what the reader kept, and the
    gallery's for the rest. All canvases share them, as long as Python runs; with a file, `digits`,
    they are still there afterwards. With `page`, the notebook's file holds a canvas for readers
    without Python, too (0.7 MB). Raises ValueError where the network can't be shown, and where the
    file of digits is another one.
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
        image = property(lambda self: _decode(self.drawing))
        digits = property(lambda self: _dataset(KEPT))

        def __repr__(self):
            return "DrawingCanvas: run this cell to draw"

        def _repr_mimebundle_(self, **options):
            data, metadata = super()._repr_mimebundle_(**options)
            return data | standin, metadata

    def keep(change=None) -> None:
        KEPT.update(canvas.kept)
        if digits:
            write_whole(digits, json.dumps(KEPT))
        for each in CANVASES:
            each.kept = dict(KEPT)

    standin = {}  # shown where no widget can be: the page, over a picture where frames aren't
    if page:
        picture = base64.b64encode((HERE / "canvas.png").read_bytes()).decode()
        text = html.escape(page_html(model, detector=False))
        standin = {"text/html": read("standin.html", picture=picture, page=text)}
    networks = json.dumps({"classifier": describe(model), "detector": describe(_load_detector())})
    kept = (_load(digits) if digits else {}) | KEPT
    canvas = Canvas(networks=networks, gallery=json.dumps(GALLERY), kept=kept)
    CANVASES.add(canvas)
    keep()  # where the file can't be written, it is said at once
    canvas.observe(keep, "kept")
    return canvas
