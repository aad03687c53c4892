"""DrawingCanvas, a widget to draw digits on, which shows what is inside of a network."""

import base64
import html

import torch
from anywidget import AnyWidget
from torch import nn
from torch.utils.data import TensorDataset
from traitlets import Dict, List, observe

from .drawings import GALLERY, gallery
from .own_digits import to_mnist
from .page import FRONT_END, HERE, describe_networks, fill_in, page_html

CANVASES: list["DrawingCanvas"] = []  # which share the digits that the reader keeps


class DrawingCanvas(AnyWidget):
    """A widget to draw digits on, which shows what is inside of `model` as it is now.

    The network runs in the browser. What the reader keeps, `kept`, all canvases share as long as
    Python runs. `torch.save(canvas.kept, "digits.pt")` keeps it in a file, and
    `DrawingCanvas(model, kept=torch.load("digits.pt"))` has it again. With `page`, the notebook's
    file holds a canvas for readers without Python, too (0.7 MB). Raises ValueError where the
    network can't be shown.
    """

    _esm, _css = FRONT_END, HERE / "canvas.css"
    networks, gallery = Dict().tag(sync=True), List(GALLERY).tag(sync=True)
    drawing = Dict({"strokes": [], "image": [0] * 784}).tag(sync=True)
    kept = Dict().tag(sync=True)  # drawings by label

    def __init__(self, model: nn.Module, kept: dict[str, dict] | None = None, page: bool = False):
        kept = (kept or {}) | (CANVASES[0].kept if CANVASES else {})  # drawn since, so it is newer
        super().__init__(networks=describe_networks(model), kept=kept)
        self._standin = {}
        if page:  # shown where no widget can be: the page, over a picture where frames aren't
            picture = base64.b64encode((HERE / "canvas.png").read_bytes()).decode()
            text = html.escape(page_html({"classifier": self.networks["classifier"]}))
            self._standin["text/html"] = fill_in("standin.html", picture=picture, page=text)
        CANVASES.append(self)

    @property
    def image(self) -> torch.Tensor:
        """What was drawn, uint8 [28, 28]."""
        return torch.tensor(self.drawing["image"], dtype=torch.uint8).view(28, 28)

    @property
    def digits(self) -> TensorDataset:
        """The ten digits that were kept, and the gallery's for the rest: uint8 [10, 1, 28, 28]
        and labels [10]."""
        images = torch.stack([to_mnist(picture) for picture in gallery()])
        for label, drawing in self.kept.items():
            images[int(label)] = torch.tensor(drawing["image"]).view(28, 28)
        return TensorDataset(images[:, None], torch.arange(10))

    @observe("kept")
    def _share(self, change: object) -> None:
        for each in CANVASES:  # whose browser may not have known yet what others keep
            each.kept = each.kept | self.kept

    def __repr__(self) -> str:
        return "DrawingCanvas: run this cell to draw"

    def _repr_mimebundle_(self, **options):
        data, metadata = super()._repr_mimebundle_(**options)
        return data | self._standin, metadata
