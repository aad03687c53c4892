"""How well other people's digits are read: accuracy after each preparation, with intervals.

    python -m research.own_digits --model models/mnist.pt

Writes results/own_digits.csv. The synthetic photographs are made of MNIST's test images.
`to_mnist` was developed on such photographs of validation images, on scikit-learn's digits and on
drawings; one of its thresholds was mended after photographs of test images had shown a fault.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from scipy import ndimage
from scipy.stats import binomtest
from skimage import morphology
from sklearn.datasets import load_digits
from torch import nn
from tqdm import tqdm

from mnist_helpers import DigitClassifier, PictureError, load, predict_proba, to_mnist, train
from research.runner import MACHINE, RESULTS, describe_machine

KINDS = ["plain", "thin", "thick", "blue", "faint", "shaded", "ruled", "squared"]
KINDS += ["light on dark", "all at once"]


def enlarge(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return an MNIST image uint8 [28, 28] in 4 to 20 times its size, padded, shifted, shaded and,
    half of them, by chance, inverted: uint8 [H, W]."""
    factor = generator.uniform(4, 20)
    side = round(28 * factor)
    large = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)) / 255
    padding = generator.integers(0, side // 2, 4)
    large = np.pad(large, (tuple(padding[:2]), tuple(padding[2:])))
    large = large * generator.uniform(0.5, 1)
    if generator.random() < 0.5:
        large = 1 - large
    rows, columns = np.mgrid[: large.shape[0], : large.shape[1]] / side
    slope = generator.uniform(-0.15, 0.15, 2)
    large = 0.7 * large + 0.15 + slope[0] * (rows - 0.5) + slope[1] * (columns - 0.5)
    return np.uint8(255 * np.clip(large, 0, 1))


def photograph(image: np.ndarray, kind: str, generator: np.random.Generator) -> np.ndarray:
    """Return a picture uint8 [H, W, 3], 300 to 1,000 pixels wide, of an MNIST image's digit as
    somebody might have written it on paper."""
    every = kind == "all at once"
    side = int(generator.integers(300, 1001))
    if every or kind == "thin":
        width = generator.uniform(0.02, 0.05)
    elif kind == "thick":
        width = generator.uniform(0.14, 0.19)
    else:
        width = None
    shape = _draw(image, side, generator, width)
    rows, columns = np.mgrid[:side, :side] / side
    paper = np.full((side, side, 3), generator.uniform(0.65, 0.95), np.float32)
    if every or kind in ("ruled", "squared"):
        paper *= 1 - _lines(side, generator, squared=kind != "ruled")[:, :, None]
    ink = (
        generator.uniform(0.05, 0.3, 3)
        if kind != "faint" and not every
        else np.full(3, generator.uniform(0.4, 0.55))
    )
    if kind == "blue" or every:
        ink = np.array([0.15, 0.2, 0.6]) + generator.uniform(-0.1, 0.1, 3)
    photo = paper * (1 - shape) + ink * shape
    if every or kind == "shaded":
        centre, slope = generator.uniform(0.2, 0.8, 2), generator.uniform(-0.4, 0.4, 2)
        distance = np.hypot(rows - centre[0], columns - centre[1])
        light = 1 - 0.4 * distance**2 + slope[0] * (rows - 0.5) + slope[1] * (columns - 0.5)
        photo = photo * np.clip(light, 0.3, None)[:, :, None]
    photo = photo + generator.normal(0, 0.02, photo.shape)
    if kind == "light on dark":
        photo = 1 - photo
    return np.uint8(255 * np.clip(photo, 0, 1))


def _draw(image, side, generator, width):
    """The digit's shape [side, side, 1] in [0, 1], turned, shifted, in strokes of another width."""
    size = generator.uniform(0.45, 0.85) * side
    factor = size / 20
    large = ndimage.zoom(image / 255, 8, order=3)  # 224: fine enough for smooth strokes
    mask = ndimage.gaussian_filter(large, 2) > 0.45
    if width:
        core = morphology.skeletonize(mask)
        mask = ndimage.distance_transform_edt(~core) <= width * 160 / 2
    shape = Image.fromarray(np.uint8(255 * mask))
    angle = generator.uniform(-10, 10)
    room = (side - size) / 2
    shift = generator.uniform(-0.8, 0.8, 2) * room
    scale = 8 / factor
    cosine, sine = scale * np.cos(np.radians(angle)), scale * np.sin(np.radians(angle))
    middle = side / 2 + shift
    matrix = (
        cosine,
        -sine,
        112 - cosine * middle[0] + sine * middle[1],
        sine,
        cosine,
        112 - sine * middle[0] - cosine * middle[1],
    )
    shape = shape.transform((side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    shape = ndimage.gaussian_filter(np.asarray(shape) / 255, 0.7)
    return shape[:, :, None].astype(np.float32)


def _lines(side, generator, squared):
    spacing = generator.uniform(0.06, 0.2) * side
    darkness = generator.uniform(0.08, 0.2)
    slope = generator.uniform(-0.05, 0.05)
    rows, columns = np.mgrid[:side, :side]
    offset = generator.uniform(0, spacing, 2)
    width = max(1.0, 0.004 * side)
    across = np.abs((rows + slope * columns + offset[0]) % spacing) < width
    down = np.abs((columns - slope * rows + offset[1]) % spacing) < width
    return darkness * (across | (down & squared))


def resized(picture: np.ndarray) -> torch.Tensor:
    """Return the picture merely shrunk or enlarged to uint8 [28, 28], without any inversion."""
    grey = picture if picture.ndim == 2 else picture.mean(axis=2)
    image = Image.fromarray(np.float32(grey)).resize((28, 28), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.uint8(np.clip(np.asarray(image), 0, 255)))


def measure(model: nn.Module, name: str, pictures: list, labels: np.ndarray) -> list[dict]:
    """Return a row for each preparation; a picture that `to_mnist` refuses counts as wrong."""
    rows = []
    for preparation in (resized, to_mnist):
        images, refused = [], []
        for picture in tqdm(pictures, f"{name}, {preparation.__name__}", leave=False):
            try:
                images.append(preparation(picture))
            except PictureError:
                images.append(torch.zeros(28, 28, dtype=torch.uint8))
            refused.append(not images[-1].any())
        answers = predict_proba(model, torch.stack(images)).argmax(dim=1).numpy()
        right = int(((answers == labels) & ~np.array(refused)).sum())
        interval = binomtest(right, len(labels)).proportion_ci(0.95, method="wilson")
        rows.append(
            {
                "data set": name,
                "preparation": preparation.__name__,
                "images": len(labels),
                "right": right,
                "accuracy": right / len(labels),
                "low": interval.low,
                "high": interval.high,
            }
            | describe_machine()
        )
    return rows


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m research.own_digits", description=__doc__)
    parser.add_argument("--model", help="what the lesson saved; without it, one is trained")
    parser.add_argument("--data", default="data", help="where MNIST is, or shall be fetched to")
    parser.add_argument("--images", type=int, default=1500, help="of MNIST (default: 1500)")
    parser.add_argument("--output", type=Path, default=RESULTS / "own_digits.csv")
    options = parser.parse_args(arguments)
    data = load(options.data)
    torch.manual_seed(0)
    model = DigitClassifier()
    if options.model:
        model.load_state_dict(torch.load(options.model, map_location="cpu", weights_only=True))
    else:
        train(model, data)
    generator = np.random.default_rng(0)
    others = load_digits()
    others_pictures = [np.uint8(np.round(picture * (255 / 16))) for picture in others.images]
    rows = measure(model, "scikit-learn's digits", others_pictures, others.target)
    images, labels = (each.numpy() for each in data.test.tensors)
    images = images[:, 0]
    chosen = generator.permutation(len(images))[: options.images]
    rows += measure(model, "MNIST, untouched", list(images[chosen]), labels[chosen])
    enlarged = [enlarge(images[i], generator) for i in chosen]
    rows += measure(model, "MNIST, enlarged", enlarged, labels[chosen])
    for kind in KINDS:
        chosen = generator.permutation(len(images))[: options.images // 5]
        photographs = [photograph(images[i], kind, generator) for i in chosen]
        rows += measure(model, f"photograph, {kind}", photographs, labels[chosen])
    options.output.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(options.output, index=False)
    print(pd.DataFrame(rows).drop(columns=MACHINE).to_string(index=False))


if __name__ == "__main__":
    main()
