"""DrawingCanvas, a widget to draw digits on, and gallery, ten digits that people drew."""

import base64
import html
import json
import weakref
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image, ImageDraw
from torch import nn
from torch.utils.data import TensorDataset

from .own_digits import to_mnist
from .page import HERE, _detector, describe, front_end, page_html, write_whole

SIZE = 280  # height and width of the canvas in its own units, ten to a pixel of MNIST
PEN = 20  # width of its strokes
KEPT: dict[str, dict] = {}  # the digits that the reader keeps, by their labels; all canvases' own
CANVASES = weakref.WeakSet()
# Where no widget can be shown: the page, laid over a picture that is left where frames aren't.
STANDIN = """<div style="position: relative; max-width: 1000px; overflow: hidden">
<img src="data:image/png;base64,{picture}" style="width: 100%" alt="A picture of the canvas: a drawn
 digit, the network's answer, and what each of its layers computes">
<iframe srcdoc="{page}" title="Canvas to draw a digit on" onload="
 new ResizeObserver(([all]) => {{ this.parentNode.style.height = all.target.offsetHeight + 'px' }})
 .observe(this.contentDocument.documentElement)" style="position: absolute; inset: 0;
 width: 100%; height: 100%; border: 0; background: white"></iframe></div>"""


class Drawing(NamedTuple):
    """A digit of the gallery: its label, who drew it and how, and the picture."""

    label: int
    hand: str
    picture: Image.Image


def _gallery() -> list[dict]:
    return json.loads((HERE / "gallery.json").read_text(encoding="utf-8"))["drawings"]


def gallery() -> list[Drawing]:
    """Return the digits 0 to 9 as ten people drew them: grey pictures of SIZE x SIZE pixels.

    The strokes are from UJIpenchars2: F. Prat, M. J. Castro, D. Llorens, A. Marzal and J. M. Vilar,
    2008, UCI Machine Learning Repository, CC BY 4.0. They are scaled here.
    """
    return [Drawing(d["label"], d["hand"], draw(d["strokes"], d["pen"])) for d in _gallery()]


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
    """Return the image, uint8 [28, 28], that canvas.js made of a drawing."""
    image = bytearray(base64.b64decode(drawing["image"]))
    return torch.frombuffer(image, dtype=torch.uint8).reshape(28, 28)


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

        def __repr__(self):
            return "DrawingCanvas: run this cell to draw"

        def _repr_mimebundle_(self, **options):
            data, metadata = super()._repr_mimebundle_(**options)
            return data | standin, metadata

        @property
        def image(self) -> torch.Tensor:
            return _decode(self.drawing) if self.drawing["image"] else torch.zeros(28, 28).byte()

        @property
        def digits(self) -> TensorDataset:
            kept = [_decode(KEPT[label]) if label in KEPT else None for label in "0123456789"]
            pairs = zip(kept, gallery(), strict=True)
            images = [to_mnist(each.picture) if own is None else own for own, each in pairs]
            return TensorDataset(torch.stack(images)[:, None], torch.arange(10))

    def keep(change) -> None:
        KEPT.update(change.new)
        if digits:
            write_whole(digits, json.dumps(KEPT))
        for each in CANVASES:
            each.kept = dict(KEPT)

    standin = {}
    if page:
        picture = base64.b64encode((HERE / "canvas.png").read_bytes()).decode()
        text = html.escape(page_html(model, detector=False))
        standin = {"text/html": STANDIN.format(picture=picture, page=text)}
    networks = {"classifier": describe(model), "detector": _detector()}
    if digits:
        KEPT.update(_load(digits) | KEPT)
        write_whole(digits, json.dumps(KEPT))  # where that is impossible, it is said at once
    canvas = Canvas(networks=json.dumps(networks), gallery=json.dumps(_gallery()), kept=dict(KEPT))
    canvas.observe(keep, "kept")
    CANVASES.add(canvas)
    return canvas


def _load(path: str | Path) -> dict[str, dict]:
    """Return what is kept in a file, or nothing where there is none."""
    path = Path(path).expanduser()
    try:
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if not set(kept) <= set("0123456789"):
            raise ValueError(f"It has other names than digits: {', '.join(map(str, kept))}")
        for drawing in kept.values():
            _decode(drawing)
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"'{path}' isn't a file of digits that DrawingCanvas wrote: name another, or move it."
        ) from error
    return kept
