"""Classify the digits on pictures: python -m mnist_helpers photo.jpg more.png"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import nn

from .model import pretrained
from .own_digits import Prediction, predict_digits
from .pictures import PictureError, open_picture


def _load(path: str) -> nn.Module:
    """Return the lesson's network with the weights in a file, which runs nothing. Raises ValueError
    if it can't be read, or holds other weights."""
    try:
        return pretrained(path)
    except OSError:
        raise
    except Exception as error:  # a damaged file can fail anywhere
        raise ValueError(
            f"'{path}' doesn't hold the weights of the lesson's DigitClassifier, as the lesson "
            "saves them into models/mnist.pt. In Python, predict_digits takes any network."
        ) from error


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mnist_helpers", description="Classify the digits on pictures."
    )
    parser.add_argument("pictures", nargs="+", metavar="picture")
    parser.add_argument("--model", metavar="FILE", help="the lesson's models/mnist.pt")
    parser.add_argument("--show", metavar="FOLDER", type=Path, help="write them there with boxes")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # for a few digits more are no faster, and others may need them
    sys.stdout.reconfigure(errors="backslashreplace")  # a name may be in no encoding
    failed = False
    try:
        model = _load(options.model) if options.model else pretrained()
        if options.show:
            options.show.mkdir(parents=True, exist_ok=True)
        for number, picture in enumerate(options.pictures, 1):
            try:
                predictions = predict_digits(model, picture)
            except PictureError as error:
                print(f"{picture}: {error}", file=sys.stderr)
                failed = True
                continue
            print(f"{picture}: {'  '.join(map(str, predictions)) or 'no digit'}")
            if options.show:
                name = f"{number:03d}-{Path(picture).stem}.png"  # never that of another picture
                with open(options.show / name, "xb") as file:
                    _show(picture, predictions).save(file, "png")
    except FileExistsError as error:
        parser.exit(1, f"'{error.filename}' exists already: give --show another folder.\n")
    except (OSError, ValueError, RuntimeError, AssertionError) as error:  # the network's, too
        parser.exit(1, f"{error}\n")
    sys.exit(failed)


def _show(picture: object, predictions: list[Prediction]) -> Image.Image:
    colours, (width, _) = open_picture(picture)
    shown = Image.fromarray(np.uint8(255 * colours))
    brush = ImageDraw.Draw(shown)
    for prediction in predictions:
        box = [side * shown.width / width for side in prediction.box]
        brush.rectangle(box, outline="red", width=2)
        place, text = (box[0], max(box[1], 16)), str(prediction).split()[0]
        brush.text(place, text, fill="red", font_size=16, anchor="lb")
    return shown


if __name__ == "__main__":
    main()
