"""Classify the digits on pictures: python -m mnist_helpers photo.jpg more.png"""

import argparse
import json
import logging
import os
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import nn

from .model import pretrained
from .own_digits import Prediction, predict_digits
from .pictures import PictureError, open_picture

# What torch.export.save writes of a network: in PyTorch 2.6, then as newer ones do.
PARTS = r"serialized_\w+\.(json|pt)|version|[^/]+/(\.data/\w+|archive_\w+|byteorder|version|"
PARTS += r"models/model\.json|data/(sample_inputs/model\.pt|(weights|constants)/(\w+\.json|"
PARTS += r"(weight|tensor)_\d+)))"
OPERATIONS = r"torch\.ops\.aten\.(?!from_file)\w+\.\w+|_operator\.(getitem|add|sub|mul|floordiv)"
PLAIN = r"((?!collections).)*"  # tuples, lists and dicts
SIZES = r"((Symbol|Integer|Mul|Add|Pow|Mod|FloorDiv|positive|integer|True|s\d+|-?\d+)|[ ,()='*+-])*"


def _texts(values: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield all texts in what JSON held, with the key of each."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield from _texts(value, key)
    elif isinstance(values, list):
        for value in values:
            yield from _texts(value, key)
    elif isinstance(values, str):
        yield key, values


def _check(path: str) -> None:
    """Raise ValueError if a file holds more than a network: torch.export.load would run it."""
    allowed = {"target": OPERATIONS, "expr_str": SIZES, "guards_code": SIZES}
    allowed |= {"in_spec": PLAIN, "out_spec": PLAIN}
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        for name in names:
            if names.count(name) > 1 or not re.fullmatch(PARTS, name):
                raise ValueError(f"it holds '{name}'")
            for key, text in _texts(json.loads(archive.read(name)) if ".json" in name else []):
                if not re.fullmatch(allowed.get(key, ".*"), text, re.DOTALL):
                    raise ValueError(f"it asks for '{text}'")


def _load(path: str) -> nn.Module:
    """Return the network that torch.export saved at this path. Raises ValueError if it can't, or
    if the file asks for anything to be run but a network's operations."""
    logging.getLogger("torch.export").setLevel(logging.ERROR)  # else it prints a traceback, too
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"  # torch.export.load would unpickle anything
    try:
        _check(path)
        network = torch.export.load(path).module()
    except OSError as error:
        raise ValueError(f"'{path}' can't be read: {error}") from error
    except Exception as error:  # a damaged file can fail anywhere
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"'{path}' can't be loaded. It must be a network that torch.export.save wrote, as the "
            "lesson does into models/mnist.pt2, in no newer PyTorch than this, and hold nothing "
            f"else ({reason}); weights alone (models/mnist.pt) aren't one."
        ) from error
    network.train = lambda mode=True: network  # it has no modes, and would refuse
    network.eval = network.train
    return network


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mnist_helpers", description="Classify the digits on pictures."
    )
    parser.add_argument("pictures", nargs="+", metavar="picture")
    parser.add_argument("--model", metavar="FILE", help="such as models/mnist.pt2 of the lesson")
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
