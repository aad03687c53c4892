"""Digits that people wrote themselves: from a picture to MNIST's format, and to an answer.

The way: open_picture, find_ink (which removes the paper), threshold, group, normalise.

python -m mnist_helpers.own_digits photo.jpg [--model models/mnist.pt] [--show OUT.png]"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage import morphology
from torch import nn

from .detector import is_digit
from .evaluation import predict_proba
from .model import DigitClassifier
from .pictures import PictureError, find_ink, open_picture, resize
from .segments import Box, group, threshold

WORKING_SIZE = 160  # pixels of the digit's longer side while its strokes are worked on
BOX_SIZE = 20  # and in MNIST's format
THINNEST = 2.2  # width of a stroke in MNIST's pixels; half of MNIST's are thinner than 2.5


@dataclass(frozen=True, eq=False)
class Prediction:
    """What was found in one place of a picture; `digit` is None where it is no digit."""

    digit: int | None
    probabilities: torch.Tensor  # float [10], of the digits, even if it is none
    box: Box
    image: torch.Tensor  # uint8 [28, 28], what the network was given


class Page:
    """A picture, the ink on it, and which ink belongs to which digit."""

    def __init__(self, picture: object):
        self.colours, scale = open_picture(picture)
        self.contrast = find_ink(self.colours)
        ink, mask = threshold(self.contrast)
        labels, boxes = group(mask)
        self.ink = np.where(labels > 0, ink, 0)
        self.boxes = [Box(*(round(side / scale) for side in box)) for box in boxes]
        self.images = [normalise(np.where(labels == i + 1, ink, 0)) for i in range(len(boxes))]


def to_mnist(picture: object) -> torch.Tensor:
    """Return a picture of one digit as MNIST's own were made: uint8 [28, 28], 255 = ink.

    `picture` is a path, a PIL image, or an array or tensor [H, W], [H, W, 3] or [H, W, 4] of any
    size and range, dark on light or light on dark. As in LeCun et al. 1998 (section III.A), the ink
    is scaled into 20 x 20 pixels, with its aspect kept and grey edges, and its centre of mass is
    placed in the middle. Thin strokes are thickened first. Raises PictureError if it can't be
    opened or shows no ink.
    """
    return torch.from_numpy(stages(picture)["28 x 28"])


def stages(picture: object) -> dict[str, np.ndarray]:
    """Return what `to_mnist` makes of a picture, step by step, as arrays [H, W] by name.

    Raises PictureError as `to_mnist` does.
    """
    page = Page(picture)
    if not page.boxes:
        raise PictureError("There is no ink on the picture that could be a digit.")
    return {
        "as brought": page.colours.mean(axis=2),
        "local paper removed": page.contrast,
        "ink": page.ink,
        "28 x 28": normalise(page.ink).numpy(),
    }


def find_digits(picture: object) -> list[Box]:
    """Return the boxes of the digits on a picture, line by line, each from left to right; none
    where there is no ink. Digits that touch are one box. Raises PictureError if it can't be opened.
    """
    return Page(picture).boxes


def predict_digits(model: nn.Module, picture: object) -> list[Prediction]:
    """Classify all digits on a picture, line by line, each from left to right.

    `model` is any network from float [N, 1, 28, 28] to logits [N, 10]; it is left in evaluation
    mode. A picture without ink gives no prediction. Raises PictureError if it can't be opened.
    """
    page = Page(picture)
    if not page.boxes:
        return []
    images = torch.stack(page.images)
    rows = predict_proba(model, images)
    digits = [
        int(row.argmax()) if yes else None for row, yes in zip(rows, is_digit(images), strict=True)
    ]
    return [Prediction(*each) for each in zip(digits, rows, page.boxes, images, strict=True)]


def normalise(ink: np.ndarray) -> torch.Tensor:
    """Bring one digit's ink [H, W] in [0, 1] into MNIST's format, uint8 [28, 28]."""
    ink = _scale_to(np.pad(_crop(ink, 0.2), 1), WORKING_SIZE)
    core = morphology.skeletonize(ink > 0.5)
    to_paper = ndimage.distance_transform_edt(np.pad(ink > 0.5, 1))[1:-1, 1:-1]
    width = 2 * np.median(to_paper[core]) if core.any() else 1
    grow = round((THINNEST * WORKING_SIZE / BOX_SIZE - width) / 2)
    if grow > 0:
        disc = np.hypot(*np.ogrid[-grow : grow + 1, -grow : grow + 1]) <= grow
        ink = ndimage.grey_dilation(np.pad(ink, grow), footprint=disc)
    ink = _scale_to(_crop(ink, 0.2), BOX_SIZE)
    image = np.zeros((28, 28), np.uint8)
    # MNIST's own centres of mass are at row and column 14, counted from 0.
    middles = zip(ndimage.center_of_mass(ink), ink.shape, strict=True)
    top, left = (int(np.clip(round(14 - middle), 0, 28 - side)) for middle, side in middles)
    image[top : top + ink.shape[0], left : left + ink.shape[1]] = np.round(255 * ink)
    return torch.from_numpy(image)


def _crop(ink: np.ndarray, least: float) -> np.ndarray:
    rows, columns = np.nonzero(ink > min(least, ink.max() / 2))
    return ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def _scale_to(ink: np.ndarray, side: int) -> np.ndarray:
    scale = side / max(ink.shape)
    return np.clip(resize(ink, *(max(1, round(scale * length)) for length in ink.shape)), 0, 1)


def _load_classifier(path: Path) -> nn.Module:
    """Return the lesson's network with the weights that it saved. Raises ValueError if it can't."""
    model = DigitClassifier()
    try:
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except FileNotFoundError:
        raise ValueError(
            f"There is no network at '{path}': run the lesson, which saves one, or name its file "
            "by --model."
        ) from None
    except Exception as error:  # a damaged file can fail anywhere
        # PyTorch's own words for a file of another kind advise to execute what it holds.
        is_clear = isinstance(error, (OSError, RuntimeError))
        reason = error if is_clear else "it holds something else."
        raise ValueError(
            f"'{path}' must hold the weights of the lesson's DigitClassifier, as "
            f"torch.save(model.state_dict(), ...) writes them, but: {reason}"
        ) from error
    return model


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mnist_helpers.own_digits", description="Classify the digits on a picture."
    )
    parser.add_argument("picture")
    parser.add_argument(
        "--model", type=Path, default="models/mnist.pt", help="the weights that the lesson saved"
    )
    parser.add_argument("--show", metavar="OUT.png", help="write the picture with boxes there")
    options = parser.parse_args(arguments)
    try:
        predictions = predict_digits(_load_classifier(options.model), options.picture)
        if options.show:
            _show(options.picture, predictions).save(options.show)
    except (OSError, ValueError) as error:  # a PictureError is a ValueError
        parser.exit(1, f"{error}\n")
    for prediction in predictions:
        share = f"{100 * float(prediction.probabilities.max()):.1f} %"
        print("no digit" if prediction.digit is None else f"{prediction.digit}  {share}")
    if not predictions:
        print("no digit")


def _show(picture: object, predictions: list[Prediction]) -> Image.Image:
    colours, scale = open_picture(picture)
    shown = Image.fromarray(np.uint8(255 * np.clip(colours, 0, 1)))
    brush = ImageDraw.Draw(shown)
    for prediction in predictions:
        box = [side * scale for side in prediction.box]
        brush.rectangle(box, outline="red", width=2)
        brush.text(box[:2], "?" if prediction.digit is None else str(prediction.digit), fill="red")
    return shown


if __name__ == "__main__":
    main()
