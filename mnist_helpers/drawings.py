"""Ten digits that people drew, and strokes as pictures."""

import json
from pathlib import Path

from PIL import Image, ImageDraw

SIZE = 280  # height and width of the canvas in its own units, ten to a pixel of MNIST
PEN = 20  # width of its strokes
GALLERY = json.loads(Path(__file__).with_name("gallery.json").read_text("utf-8"))["drawings"]


def gallery() -> list[Image.Image]:
    """Return the digits 0 to 9 as ten people drew them: grey pictures of SIZE x SIZE pixels.

    The strokes are from UJIpenchars2: F. Prat, M. J. Castro, D. Llorens, A. Marzal and J. M. Vilar,
    2008, UCI Machine Learning Repository, CC BY 4.0. They are scaled here.
    """
    return [draw(drawing["strokes"], drawing["pen"]) for drawing in GALLERY]


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
