"""How well digits from elsewhere are classified after four preparations of their pictures, by the
lesson's last rung from three seeds, into results/own_digits.csv.

`to_mnist` was developed on photographs like these, drawn from validation images (here from test
images), on scikit-learn's digits and on drawings. A picture that is refused counts as wrong.
"""

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageOps
from scipy import ndimage
from skimage import filters, morphology
from skimage.transform import SimilarityTransform, warp
from sklearn.datasets import load_digits
from tqdm import tqdm

from mnist_helpers import MNIST, DigitClassifier, PictureError, load, predict_logits, to_mnist
from mnist_helpers.canvas import draw
from research.recipes import RECIPES
from research.runner import current_commit, describe_machine, make_parser

THIN, BLUE = 3, (0.15, 0.2, 0.6)
KINDS = {  # of photographs
    "plain": {},
    "thin": {"radius": THIN},
    "thick": {"radius": 13},
    "blue": {"ink": BLUE},
    "faint": {"ink": (0.48, 0.48, 0.48)},
    "shaded": {"shade": 0.4},
    "ruled": {"lines": 1},
    "squared": {"lines": 2},
    "light on dark": {"inverted": True},
    "all at once": {"radius": THIN, "ink": BLUE, "shade": 0.4, "lines": 2},
}


def photograph(
    image: Image.Image,
    random: np.random.Generator,
    *,
    radius: int | None = None,
    ink: tuple[float, ...] = (0.18, 0.18, 0.18),
    shade: float = 0.0,
    lines: int = 0,
    inverted: bool = False,
) -> Image.Image:
    """Return an MNIST image's digit as somebody might have written it on paper, 300 to 1,000 pixels
    wide: with a pen of this radius (the digit's height is 160), on ruled (1) or squared (2) paper."""
    side = int(random.integers(300, 1001))
    rows, columns = np.mgrid[:side, :side][..., None] / side - 0.5
    strokes = ndimage.gaussian_filter(ndimage.zoom(np.asarray(image) / 255, 8), 2) > 0.45
    if radius:
        strokes = ndimage.distance_transform_edt(~morphology.skeletonize(strokes)) < radius
    size, angle = random.uniform(0.45, 0.85) * side, np.radians(random.uniform(-10, 10))
    middle = side / 2 + random.uniform(-0.4, 0.4, 2) * (side - size)
    place = SimilarityTransform(translation=(-112, -112))
    place += SimilarityTransform(scale=size / 160, rotation=angle, translation=middle)
    shape = warp(strokes.astype(float), place.inverse, output_shape=(side, side))[..., None]
    paper = np.full((side, side, 1), random.uniform(0.65, 0.95))
    count, slope, down, right = random.uniform((5, -0.05, -1, -1), (16, 0.05, 1, 1))
    for position in (rows + slope * columns, columns - slope * rows)[:lines]:
        paper[count * position % 1 < 0.06] *= 0.85
    photo = paper + shape * (np.array(ink) + random.uniform(-0.1, 0.1) - paper)
    photo *= 1 - shade * (rows**2 + columns**2 + down * rows + right * columns)
    photo = np.clip(photo + random.normal(0, 0.02, photo.shape), 0, 1)
    return Image.fromarray(np.uint8(255 * (1 - photo if inverted else photo)))


def cut_tight(image: Image.Image) -> Image.Image:
    """Return an image's ink, stretched to 16 x 16 pixels in black and white."""
    box = image.point(lambda grey: 255 * (grey > 127)).getbbox()
    return image.resize((16, 16), box=box).point(lambda grey: 255 * (grey > 127))


def make_pictures(data: MNIST) -> dict[str, tuple[list[Image.Image], np.ndarray]]:
    """Return pictures and labels [N], by the name of their data set."""
    random, small = np.random.default_rng(0), load_digits()
    images = [Image.fromarray(image) for image in data.test.tensors[0][:, 0].numpy()]
    labels = data.test.tensors[1].numpy()
    text = Path(__file__).with_name("pen_digits.json").read_text(encoding="utf-8")
    people = [each for each in json.loads(text)["drawings"] if each["label"].isdigit()]
    strokes = [draw(each["strokes"], pen) for pen in (8, 14, 20) for each in people]
    scanned = [Image.fromarray(np.uint8(image * (255 / 16))) for image in small.images]
    sets = {
        "scikit-learn's digits": (scanned, small.target),
        "pen strokes": (strokes, np.array([int(each["label"]) for each in people] * 3)),
        "MNIST, untouched": (images, labels),
        "MNIST, cut tight, small, black and white": ([cut_tight(each) for each in images], labels),
    }
    for kind, options in KINDS.items():
        some = random.permutation(len(images))[:300]
        photographs = [photograph(images[i], random, **options) for i in some]
        sets[f"photograph, {kind}"] = (photographs, labels[some])
    return sets


def with_light_ink(picture: Image.Image) -> Image.Image:
    grey = picture.convert("L")
    return ImageOps.invert(grey) if np.median(grey) > 127 else grey


def box_and_centre(picture: Image.Image) -> Image.Image:
    """Do what a careful tutorial does: scale what Otsu's threshold finds into 20 x 20 pixels, and
    put its centre of mass in the middle."""
    grey = with_light_ink(picture)
    threshold = filters.threshold_otsu(np.asarray(grey))
    ink = grey.point(lambda value: 255 * (value > threshold))
    if not (box := ink.getbbox()):
        raise PictureError("There is no ink.")
    ink = ImageOps.contain(ink.crop(box), (20, 20))
    row, column = ndimage.center_of_mass(np.asarray(ink))
    image = Image.new("L", (28, 28))
    image.paste(ink, (round(14 - column), round(14 - row)))  # where MNIST's own are
    return image


PREPARATIONS = {
    "resized": lambda picture: picture.convert("L").resize((28, 28)),
    "inverted where light, resized": lambda picture: with_light_ink(picture).resize((28, 28)),
    "boxed and centred": box_and_centre,
    "to_mnist": to_mnist,
}


def prepare(name: str, pictures: list[Image.Image]) -> torch.Tensor:
    """Return images uint8 [N, 28, 28]; those of refused pictures are empty."""
    images = torch.zeros(len(pictures), 28, 28, dtype=torch.uint8)
    for image, picture in zip(images, pictures, strict=True):
        with suppress(PictureError):
            image[:] = torch.as_tensor(np.array(PREPARATIONS[name](picture)))
    return images


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser("own_digits", __doc__)
    parser.add_argument("--models", nargs="+", help="state_dicts, in place of three trainings")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # as in the study
    data = load(options.data)
    sets = make_pictures(data)
    trials = [(name, preparation) for name in sets for preparation in PREPARATIONS]
    prepared = [prepare(preparation, sets[name][0]) for name, preparation in tqdm(trials)]
    rows = []
    for seed, file in enumerate(options.models or [None] * 3):
        if file:
            model = DigitClassifier()
            model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        else:
            model, _ = RECIPES["+ local normalisation"].train(seed, data)
        for (name, preparation), images in zip(trials, prepared, strict=True):
            right = predict_logits(model, images).argmax(dim=1).numpy() == sets[name][1]
            right &= images.flatten(1).any(dim=1).numpy()
            row = {"data set": name, "preparation": preparation, "seed": seed}
            rows.append(row | {"images": len(right), "right": right.sum()})
    table = pd.DataFrame(rows).assign(commit=current_commit(), **describe_machine())
    table.to_csv(options.output, index=False)


if __name__ == "__main__":
    main()
