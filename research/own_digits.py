"""How well digits from elsewhere are classified: after four ways to prepare their pictures, by the
lesson's last rung from three seeds, into results/own_digits.csv.

`to_mnist` was developed on photographs like these, drawn from validation images (here from test
images), on scikit-learn's digits and on drawings. A picture that is refused counts as wrong.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from scipy import ndimage
from skimage import filters, morphology
from skimage.transform import SimilarityTransform, warp
from sklearn.datasets import load_digits
from tqdm import tqdm

from mnist_helpers import MNIST, DigitClassifier, PictureError, load, predict_logits, to_mnist
from mnist_helpers.canvas import draw
from research.recipes import RECIPES
from research.runner import current_commit, describe_machine, make_parser

KINDS = ["plain", "thin", "thick", "blue", "faint", "shaded", "ruled", "squared"]
KINDS += ["light on dark", "all at once"]


def photograph(image: np.ndarray, kind: str, random: np.random.Generator) -> np.ndarray:
    """Return a picture uint8 [H, W, 3], 300 to 1,000 pixels wide, of an MNIST image's digit as
    somebody might have written it on paper."""
    kinds = {"thin", "blue", "squared", "shaded"} if kind == "all at once" else {kind}
    side = int(random.integers(300, 1001))
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    strokes = ndimage.gaussian_filter(ndimage.zoom(image / 255, 8), 2) > 0.45  # [224, 224]
    if kinds & {"thin", "thick"}:
        width = random.uniform(*((0.02, 0.05) if "thin" in kinds else (0.14, 0.19)))  # of a digit
        strokes = ndimage.distance_transform_edt(~morphology.skeletonize(strokes)) < 160 * width / 2
    size, angle = random.uniform(0.45, 0.85) * side, np.radians(random.uniform(-10, 10))
    middle = side / 2 + random.uniform(-0.4, 0.4, 2) * (side - size)
    place = SimilarityTransform(translation=(-112, -112))
    place += SimilarityTransform(scale=size / 160, rotation=angle, translation=middle)
    shape = warp(strokes.astype(float), place.inverse, output_shape=(side, side))[:, :, None]
    paper = np.full((side, side, 1), random.uniform(0.65, 0.95))
    if kinds & {"ruled", "squared"}:
        count, slope = random.uniform(5, 16), random.uniform(-0.05, 0.05)
        lines = count * (rows + slope * columns) % 1 < 0.06
        if "squared" in kinds:
            lines |= count * (columns - slope * rows) % 1 < 0.06
        paper[lines] *= random.uniform(0.8, 0.92)
    ink = np.array([0.15, 0.2, 0.6]) if "blue" in kinds else np.full(3, 0.18)
    ink = ink + (0.3 if "faint" in kinds else random.uniform(-0.1, 0.1))
    photo = paper * (1 - shape) + ink * shape
    if "shaded" in kinds:
        down, right = random.uniform(-0.4, 0.4, 2)
        photo *= (1 - 0.4 * (rows**2 + columns**2) + down * rows + right * columns)[:, :, None]
    photo += random.normal(0, 0.02, photo.shape)
    return np.uint8(255 * np.clip(1 - photo if "light on dark" in kinds else photo, 0, 1))


def cut_tight(image: np.ndarray) -> np.ndarray:
    """Return the ink of an image uint8 [28, 28], stretched to 16 x 16, in black and white."""
    box = Image.fromarray(image > 127).getbbox()
    small = Image.fromarray(image).resize((16, 16), box=box)
    return np.where(np.asarray(small) > 127, 255, 0).astype(np.uint8)


def make_pictures(data: MNIST, photographs: int = 300) -> dict[str, tuple[list, np.ndarray]]:
    """Return pictures, uint8 [H, W] or [H, W, 3], and labels [N], by the name of their data set."""
    random = np.random.default_rng(0)
    images, labels = data.test.tensors[0][:, 0].numpy(), data.test.tensors[1].numpy()
    small = load_digits()
    text = Path(__file__).with_name("pen_digits.json").read_text(encoding="utf-8")
    people = [each for each in json.loads(text)["drawings"] if each["label"].isdigit()]
    drawings = [np.asarray(draw(each["strokes"], pen)) for pen in (8, 14, 20) for each in people]
    sets = {
        "scikit-learn's digits": (list(np.uint8(small.images * (255 / 16))), small.target),
        "pen strokes": (drawings, np.array([int(each["label"]) for each in people] * 3)),
        "MNIST, untouched": (list(images), labels),
        "MNIST, cut tight, small, black and white": (list(map(cut_tight, images)), labels),
    }
    for kind in KINDS:
        some = random.permutation(len(images))[:photographs]
        drawn = [photograph(images[i], kind, random) for i in some]
        sets[f"photograph, {kind}"] = (drawn, labels[some])
    return sets


def in_grey(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).convert("L"))


def with_light_ink(picture: np.ndarray) -> np.ndarray:
    grey = in_grey(picture)
    return 255 - grey if np.median(grey) > 127 else grey


def resize(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((28, 28)))


def box_and_centre(picture: np.ndarray) -> np.ndarray:
    """Do what a careful tutorial does: scale what Otsu's threshold finds into 20 x 20 pixels, and
    put its centre of mass in the middle."""
    grey = with_light_ink(picture)
    ink = Image.fromarray(grey > filters.threshold_otsu(grey)).convert("L")
    if not ink.getbbox():
        raise PictureError("There is no ink.")
    ink = ink.crop(ink.getbbox())
    ink = ink.resize([max(1, round(20 * length / max(ink.size))) for length in ink.size])
    row, column = ndimage.center_of_mass(np.asarray(ink))
    image = Image.new("L", (28, 28))
    image.paste(ink, (round(14 - column), round(14 - row)))  # as MNIST's own
    return np.asarray(image)


PREPARATIONS = {
    "resized": lambda picture: resize(in_grey(picture)),
    "inverted where light, resized": lambda picture: resize(with_light_ink(picture)),
    "boxed and centred": box_and_centre,
    "to_mnist": to_mnist,
}


def prepare(name: str, picture: np.ndarray) -> torch.Tensor:
    """Return an image uint8 [28, 28], which is empty if the picture is refused."""
    try:
        return torch.as_tensor(np.array(PREPARATIONS[name](picture)))
    except PictureError:
        return torch.zeros(28, 28, dtype=torch.uint8)


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser("own_digits", __doc__)
    parser.add_argument("--models", nargs="+", help="state_dicts, in place of the three trainings")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # as in the study
    data = load(options.data)
    prepared = {
        (name, preparation): (
            torch.stack([prepare(preparation, each) for each in pictures]),
            labels,
        )
        for name, (pictures, labels) in tqdm(make_pictures(data).items(), "preparing")
        for preparation in PREPARATIONS
    }
    rows = []
    for seed, file in enumerate(options.models or [None] * 3):
        if file:
            model = DigitClassifier()
            model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        else:
            model, _ = RECIPES["+ local normalisation"].train(seed, data)
        for (name, preparation), (images, labels) in prepared.items():
            answers = predict_logits(model, images).argmax(dim=1).numpy()
            right = (answers == labels) & images.flatten(1).any(dim=1).numpy()
            row = {"data set": name, "preparation": preparation, "seed": seed}
            rows.append(row | {"images": len(labels), "right": right.sum()})
    table = pd.DataFrame(rows).assign(commit=current_commit(), **describe_machine())
    table.to_csv(options.output, index=False)


if __name__ == "__main__":
    main()
