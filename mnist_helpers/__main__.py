"""Classify the digits on pictures: python -m mnist_helpers photo.jpg more.png"""

import argparse
import logging
import sys
from pathlib import Path

import joblib
import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import nn

from .model import pretrained
from .own_digits import Prediction, predict_digits
from .pictures import PictureError, open_picture


def _load(path: str) -> nn.Module:
    """Return the network that torch.export saved at this path. Raises ValueError if it can't."""
    logging.getLogger("torch.export").setLevel(logging.ERROR)  # else it prints a traceback, too
    try:
        network = torch.export.load(path).module()
    except OSError as error:
        raise ValueError(f"'{path}' can't be read: {error}") from error
    except Exception as error:  # a damaged file can fail anywhere
        raise ValueError(
            f"'{path}' can't be loaded. It must be a network that torch.export.save wrote, as the "
            "lesson does into models/mnist.pt2, in no newer PyTorch than this; weights alone "
            "(models/mnist.pt) aren't one."
        ) from error
    network.eval = lambda: network  # an exported network has no other mode, and would refuse
    return network


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mnist_helpers", description="Classify the digits on pictures."
    )
    parser.add_argument("pictures", nargs="+", metavar="picture")
    parser.add_argument("--model", metavar="FILE", help="such as models/mnist.pt2 of the lesson")
    parser.add_argument("--show", metavar="FOLDER", type=Path, help="write them there with boxes")
    options = parser.parse_args(arguments)
    folders = [Path(picture).resolve().parent for picture in options.pictures]
    if options.show and (options.show.is_file() or options.show.resolve() in folders):
        parser.error("--show must name a folder that holds none of the pictures")
    torch.set_num_threads(min(torch.get_num_threads(), joblib.cpu_count()))  # a container's quota
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
                _show(picture, predictions).save(options.show / name)
    except (OSError, ValueError, RuntimeError, AssertionError) as error:  # the network's, too
        parser.exit(1, f"{error}\n")
    sys.exit(failed)


def _show(picture: object, predictions: list[Prediction]) -> Image.Image:
    colours, scale = open_picture(picture)
    shown = Image.fromarray(np.uint8(255 * colours))
    brush = ImageDraw.Draw(shown)
    for prediction in predictions:
        box = [side * scale for side in prediction.box]
        brush.rectangle(box, outline="red", width=2)
        place, text = (box[0], max(box[1], 16)), str(prediction).split()[0]
        brush.text(place, text, fill="red", font_size=16, anchor="lb")
    return shown


if __name__ == "__main__":
    main()
