"""How well digits from elsewhere are classified after four preparations of their pictures, by the
lesson's last rung from three seeds, into results/own_digits.csv.

"Boxed and centred" is what a careful tutorial does, the first two are what most do.
`to_mnist` was developed on scikit-learn's digits and on drawings, too. A picture that is refused
counts as wrong.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageOps
from scipy import ndimage
from skimage import filters
from sklearn.datasets import load_digits
from tqdm import tqdm

from mnist_helpers import MNIST, PictureError, load, predict_logits, to_mnist
from mnist_helpers.drawings import draw
from research.recipes import RECIPES
from research.runner import current_commit, describe_machine, make_parser


def make_sets(data: MNIST) -> dict[str, tuple[list[Image.Image], np.ndarray]]:
    """Return pictures and labels [N], by the name of their data set."""
    small = load_digits()
    images = [Image.fromarray(image) for image in data.test.tensors[0][:, 0].numpy()]
    labels = data.test.tensors[1].numpy()
    text = Path(__file__).with_name("pen_digits.json").read_text(encoding="utf-8")
    people = [each for each in json.loads(text)["drawings"] if each["label"].isdigit()]
    strokes = [draw(each["strokes"], pen) for pen in (8, 14, 20) for each in people]
    scanned = [Image.fromarray(np.uint8(image * (255 / 16))) for image in small.images]
    return {
        "scikit-learn's digits": (scanned, small.target),
        "pen strokes": (strokes, np.array([int(each["label"]) for each in people] * 3)),
        "MNIST, untouched": (images, labels),
    }


def with_light_ink(picture: Image.Image) -> Image.Image:
    grey = picture.convert("L")
    return ImageOps.invert(grey) if np.median(grey) > 127 else grey


def box_and_centre(picture: Image.Image) -> Image.Image:
    """Scale what Otsu's threshold finds into 20 x 20 pixels, its centre of mass in the middle."""
    grey = np.asarray(with_light_ink(picture))
    ink = Image.fromarray(np.uint8(255 * (grey > filters.threshold_otsu(grey))))
    if not (box := ink.getbbox()):
        raise PictureError("There is no ink on the picture.")
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


def prepare(preparation: str, picture: Image.Image) -> torch.Tensor:
    """Return an image uint8 [28, 28], which is empty if the picture is refused."""
    try:
        return torch.from_numpy(np.asarray(PREPARATIONS[preparation](picture)).copy())
    except PictureError:
        return torch.zeros(28, 28, dtype=torch.uint8)


def main(arguments: list[str] | None = None) -> None:
    options = make_parser("own_digits", __doc__).parse_args(arguments)
    torch.set_num_threads(1)  # as in the study
    options.output.parent.mkdir(parents=True, exist_ok=True)
    data = load(options.data)
    sets, rows = make_sets(data), []
    models = [RECIPES["+ local normalisation"].train(seed, data)[0] for seed in range(3)]
    for name, (pictures, labels) in sets.items():
        for preparation in PREPARATIONS:
            images = torch.stack([prepare(preparation, each) for each in tqdm(pictures, name)])
            is_accepted = images.numpy().any(axis=(1, 2))
            for seed, model in enumerate(models):
                right = predict_logits(model, images).argmax(dim=1).numpy() == labels
                row = {"data set": name, "preparation": preparation, "seed": seed}
                rows.append(row | {"images": len(labels), "right": (right & is_accepted).sum()})
    table = pd.DataFrame(rows).assign(commit=current_commit(), **describe_machine())
    table.to_csv(options.output, index=False)


if __name__ == "__main__":
    main()
