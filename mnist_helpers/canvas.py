"""DrawingCanvas, a widget to draw digits on, which shows what is inside of a network."""

import base64
import html
import json
from pathlib import Path

import torch
from anywidget import AnyWidget
from torch import nn
from torch.utils.data import TensorDataset
from traitlets import Dict, List, observe

from .drawings import GALLERY, gallery
from .own_digits import to_mnist
from .page import FRONT_END, HERE, describe_networks, page_html, read, write_whole

CANVASES: list["DrawingCanvas"] = []  # which share the digits that the reader keeps


class DrawingCanvas(AnyWidget):
    """A widget to draw digits on, which shows what is inside of `model` as it is now.

    The network runs in the browser. What the reader keeps all canvases share, as long as Python
    runs; with a file, `digits`, it is still there afterwards. With `page`, the notebook's file
    holds a canvas for readers without Python, too (0.7 MB). Raises ValueError where the network
    can't be shown, and where the file of digits is another one.
    """

    _esm, _css = FRONT_END, HERE / "canvas.css"
    networks, gallery = Dict().tag(sync=True), List(GALLERY).tag(sync=True)
    drawing = Dict({"strokes": [], "image": [0] * 784}).tag(sync=True)
    kept = Dict().tag(sync=True)

    def __init__(self, model: nn.Module, digits: str | Path | None = None, page: bool = False):
        self._standin, self._file = {}, digits
        kept = (_load(digits) if digits else {}) | (CANVASES[0].kept if CANVASES else {})
        super().__init__(networks=describe_networks(model), kept=kept)
        if page:  # shown where no widget can be: the page, over a picture where frames aren't
            picture = base64.b64encode((HERE / "canvas.png").read_bytes()).decode()
            text = html.escape(page_html({"classifier": self.networks["classifier"]}))
            self._standin["text/html"] = read("standin.html", picture=picture, page=text)
        self._keep()  # where the file can't be written, it is said at once
        CANVASES.append(self)

    @property
    def image(self) -> torch.Tensor:
        """What was drawn, uint8 [28, 28]."""
        return _to_image(self.drawing)

    @property
    def digits(self) -> TensorDataset:
        """The ten digits that were kept, and the gallery's for the rest: uint8 [10, 1, 28, 28]
        and labels [10]."""
        return _dataset(self.kept)

    @observe("kept")
    def _keep(self, change: object = None) -> None:
        for each in CANVASES:  # whose browser may not have known yet what others keep
            each.kept = each.kept | self.kept
        if self._file:
            write_whole(self._file, json.dumps(self.kept))

    def __repr__(self) -> str:
        return "DrawingCanvas: run this cell to draw"

    def _repr_mimebundle_(self, **options):
        data, metadata = super()._repr_mimebundle_(**options)
        return data | self._standin, metadata


def _to_image(drawing: dict) -> torch.Tensor:
    return torch.tensor(drawing["image"], dtype=torch.uint8).reshape(28, 28)


def _dataset(kept: dict[str, dict]) -> TensorDataset:
    images = torch.stack([to_mnist(picture) for picture in gallery()])
    for label, drawing in kept.items():
        images[int(label)] = _to_image(drawing)
    return TensorDataset(images[:, None], torch.arange(10))


def _load(path: str | Path) -> dict[str, dict]:
    """Return what is kept in a file, or nothing where there is none."""
    path = Path(path).expanduser()
    try:
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        _dataset(kept)
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"'{path}' holds no digits as DrawingCanvas writes them: name another, or move it."
        ) from error
    return kept
