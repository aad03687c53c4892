"""Train the network that says whether an image shows a digit at all.

It is the network of mnist_helpers/detector.py. It learns from MNIST's training digits, as they are
and in other pens, cut tight, small and in black and white, and from what is no digit: signs of
fonts, written letters, scribbles, halves of digits, two as one, textures and empty paper. What is
drawn goes through the same code as everybody's pictures. Its threshold, put into its last biases,
refuses 0.25 % of what is found on validation images. Writes mnist_helpers/digit_detector.pt.
"""

from collections.abc import Callable

import matplotlib
import numpy as np
import torch
from joblib import Parallel, cpu_count, delayed
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from skimage import morphology
from torch import nn
from torch.utils.data import TensorDataset
from torchvision import transforms
from tqdm import tqdm

from mnist_helpers import MNIST, PictureError, load, predict_logits, train
from mnist_helpers.detector import WEIGHTS, make_detector
from mnist_helpers.own_digits import find_digits
from mnist_helpers.pictures import crop, normalise, resize
from research.runner import make_parser

SIDE = 112  # pixels of a drawing
FONTS = ["DejaVuSans", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSerif", "DejaVuSerif-Italic"]
FONTS += ["STIXGeneral", "STIXGeneralItalic", "cmr10", "cmtt10", "cmmi10"]
LETTERS = "aACDEFGHJKLMNPQRTUVWXYdefhkmnrtuvwxy"  # none that looks like a digit
SIGNS = "@#$%&?!+*=<>{}[]^~ɑαβγδεθλμπφψω"  # the fonts cm... have others in these places
# A written alpha and a, the likest to digits of all letters, and not as fonts have them.
ALPHA = [(10, -7), (5, 0), (0, 6), (-6, 6), (-9, 0), (-6, -6), (0, -6), (5, 1), (10, 7)]
A = [(6, -6), (0, -8), (-7, -3), (-8, 4), (-3, 7), (3, 2), (6, -7), (5, 1), (6, 7), (10, 6)]
COUNTS = {"signs": 1000, "halves": 300, "two as one": 300, "scribbles": 550, "textures": 200}
COUNTS |= {"empty paper": 100}  # in a chunk
CHUNKS, DIGITS = 24, 2_000
REFUSED = 0.0025  # of the validation digits


def warp(values: np.ndarray) -> np.ndarray:
    """Turn, slant and bend a drawing [H, W], with PyTorch's random numbers."""
    image = torch.from_numpy(np.array(values, np.float32))[None]
    image = transforms.RandomAffine(9, scale=(0.8, 1.1), shear=12)(image)
    return transforms.ElasticTransform(alpha=40.0, sigma=6.0)(image)[0].numpy()


def trace(mask: np.ndarray, radius: float) -> np.ndarray:
    """Draw the middle of a mask's strokes again, with a round pen."""
    core = morphology.skeletonize(mask)
    return np.clip(radius + 0.5 - ndimage.distance_transform_edt(~core), 0, 1)


def draw_sign(random: np.random.Generator) -> np.ndarray:
    """Return a sign of a font, wide or narrow, most of them written with a round pen."""
    name = str(random.choice(FONTS))
    signs = LETTERS if name.startswith("cm") else LETTERS + SIGNS
    font = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/{name}.ttf", 64)
    image = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(image).text((56, 56), str(random.choice(list(signs))), 255, font, anchor="mm")
    mask = np.asarray(image.resize((round(SIDE * random.uniform(0.7, 1.6)), SIDE))) > 127
    return warp(trace(mask, random.uniform(1.2, 6)) if random.random() < 0.75 else mask)


def draw_scribble(random: np.random.Generator) -> np.ndarray:
    """Return one to five lines that are straight, jump or wander, or a letter's line."""
    image, kind = Image.new("L", (SIDE, SIDE)), random.integers(4)
    width = int(random.integers(2, 12))
    for _ in range([random.integers(2, 6), *random.integers(1, 4, 2), 1][kind]):
        count = int(random.integers(2, 4) if kind == 0 else random.integers(5, 30))
        points = random.uniform(12, SIDE - 12, (count, 2))
        if kind == 1:
            points = np.cumsum(random.normal(0, 18, (count, 2)), axis=0)
            points += SIDE / 2 - points.mean(axis=0)
        if kind == 3:
            points = random.normal(ALPHA if random.random() < 0.5 else A, 0.9)
            points = SIDE / 2 + points * random.uniform((2, 1.6), (4.5, 3.6))
        smooth = ndimage.zoom(points, (12, 1), order=min(3, len(points) - 1)).clip(3, SIDE - 3)
        ImageDraw.Draw(image).line([*map(tuple, smooth)], 255, width, joint="curve")
    return warp(np.asarray(image) / 255)


def draw_texture(random: np.random.Generator) -> np.ndarray:
    """Return noise or a pattern."""
    side = int(random.choice([28, 56, 112]))
    rows, columns = np.mgrid[:side, :side] * (SIDE / side)
    angle, step = random.choice([0, random.uniform(0, np.pi)]), random.uniform(5, 60)
    u = np.cos(angle) * rows + np.sin(angle) * columns
    v = np.cos(angle) * columns - np.sin(angle) * rows
    normal = random.normal(size=(side, side))
    smooth = ndimage.gaussian_filter(normal, side / 28 * random.uniform(0.5, 3))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side))) + 1 / side
    values = [
        normal,
        smooth > np.quantile(smooth, random.uniform(0.5, 0.95)),
        # The power falls with the frequency, as in photographs.
        np.fft.ifft2(np.fft.fft2(normal) / frequency ** random.uniform(0.5, 2)).real,
        np.minimum(u % step, v % step) < step / 5 + 1,  # a grid
        np.hypot(u % step - step / 2, v % step - step / 2) < step * random.uniform(0.2, 0.45),
    ]
    return np.float64(values[random.integers(len(values))])


def draw_empty_paper(random: np.random.Generator) -> np.ndarray:
    """Return paper on which nothing is written, with its shadows, folds and grain."""
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    angle = random.uniform(0, 2 * np.pi)
    across = np.cos(angle) * (rows - 0.5) + np.sin(angle) * (columns - 0.5) - random.normal(0, 0.3)
    across += ndimage.gaussian_filter(random.normal(size=rows.shape), 15) * random.uniform(0, 3)
    edge = 1 / (1 + np.exp(-across / 10 ** random.uniform(-2.5, -0.5)))
    grain = ndimage.gaussian_filter(random.normal(size=rows.shape), random.uniform(0, 2))
    return random.uniform(0, 1) * edge + 10 ** random.uniform(-3, -1) * grain / grain.std()


def halve(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return about one half of a digit: its upper, lower, left or right part."""
    values = crop(np.rot90(values, random.integers(4)))
    return np.pad(values[: round(random.uniform(0.4, 0.6) * len(values))], 10)


def put_together(first: np.ndarray, second: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Put two digits on each other, or beside each other, where many touch."""
    first, second = np.pad(first, 40), np.pad(second, 40)
    shift = random.integers(-15, 16), random.integers(-40, 41)
    return np.maximum(first, np.roll(second, shift, axis=(0, 1)))


def begin_with_upstroke(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a 1 with the long upstroke that many Europeans write, and no American in MNIST."""
    rows, columns = np.nonzero(values > 0.5)
    top = rows.argmin()
    length, angle = random.uniform(0.3, 1) * np.ptp(rows), random.uniform(0.2, 1.1)
    end = columns[top] - np.sin(angle) * length, rows[top] + np.cos(angle) * length
    image = Image.fromarray(np.uint8(255 * np.clip(values, 0, 1)))
    path = [(columns[top], rows[top] + 3), end]
    ImageDraw.Draw(image).line(path, 255, int(random.integers(4, 10)))
    return np.asarray(image) / 255


def rewrite(values: np.ndarray, label: int, random: np.random.Generator) -> np.ndarray:
    """Return a digit as another pen, program or scanner would show it."""
    kind = random.integers(4)
    if label == 1 and random.random() < 0.7:
        values = begin_with_upstroke(values, random)
    values = warp(values)
    if kind < 2 and (values > 0.5).any():
        values = trace(values > 0.5, random.uniform(1.2, 8))
    elif kind == 2:
        change = ndimage.grey_dilation if random.random() < 0.7 else ndimage.grey_erosion
        values = change(values, size=(int(random.choice([3, 5, 7])),) * 2)
    if values.max() > 0.5 and (shape := random.random()) < 0.75:
        values = crop(values)
        height, width = (int(side) for side in random.integers(8, 21, 2))
        if shape < 0.2:  # few pixels of the same aspect; up to 0.6, of another one
            width = max(3, round(height * values.shape[1] / values.shape[0]))
        if shape < 0.6:
            image = Image.fromarray(np.float32(values))
            values = np.asarray(image.resize((width, height), Image.Resampling.BOX))
    return values > random.uniform(0.3, 0.6) if random.random() < 0.4 else values


def make_kinds(
    images: np.ndarray, labels: np.ndarray, random: np.random.Generator
) -> dict[str, Callable[[], np.ndarray]]:
    """Return a function for each kind of what is no digit, which draws another one at each call.
    `images`, uint8 [N, 28, 28] with `labels` [N], are digits to make some of."""
    partial = images[~np.isin(labels, [1, 7])]  # half of a 1 or 7 may be a 1, and so may two 1s

    def some(images: np.ndarray) -> np.ndarray:
        return resize(images[random.integers(len(images))] / 255, SIDE, SIDE)

    return {
        "signs": lambda: draw_sign(random),
        "scribbles": lambda: draw_scribble(random),
        "halves": lambda: halve(some(partial), random),
        "two as one": lambda: put_together(some(partial), some(images), random),
        "textures": lambda: draw_texture(random),
        "empty paper": lambda: draw_empty_paper(random),
    }


def prepare(picture: np.ndarray) -> list[torch.Tensor]:
    """Return what `predict_digits` hands to the networks, at most five images uint8 [28, 28]."""
    try:
        ink, labels, boxes = find_digits(picture)
    except PictureError:
        return []
    return [normalise(np.where(labels == i, ink, 0)) for i in range(1, 1 + len(boxes[:5]))]


def make_chunk(seed: int, data: str) -> tuple[torch.Tensor, ...]:
    """Return digits in other pens, uint8 [N, 28, 28], their labels [N], and what is no digit."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    images, labels = (each.numpy() for each in load(data).training.tensors)
    images = images[:, 0]
    digits, others = [], []
    for index in random.integers(len(images), size=DIGITS):
        drawn = rewrite(resize(images[index] / 255, SIDE, SIDE), labels[index], random)
        digits += [(image, labels[index]) for image in prepare(drawn)]
    kinds = make_kinds(images, labels, random)
    for kind, count in COUNTS.items():
        for _ in range(count):
            found = prepare(kinds[kind]())
            if kind != "two as one" or len(found) == 1:  # else they were parted
                others += found
    digits, numbers = zip(*digits, strict=True)
    return torch.stack(digits), torch.tensor(np.array(numbers)), torch.stack(others)


def main(arguments: list[str] | None = None) -> None:
    options = make_parser("digit_detector", __doc__, WEIGHTS).parse_args(arguments)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    data = load(options.data)
    chunks = Parallel(min(cpu_count(), CHUNKS), return_as="generator")(
        delayed(make_chunk)(seed, options.data) for seed in range(CHUNKS)
    )
    digits, labels, others = map(torch.cat, zip(*tqdm(chunks, "drawing", CHUNKS), strict=True))
    images = torch.cat([data.training.tensors[0][:, 0], digits, others])[:, None]
    labels = [data.training.tensors[1], labels, torch.full((len(others),), 10)]
    # Picked by its result on what the detector is measured with, so that is a little better than
    # another seed's would be: 0 refuses more of validation digits stretched in black and white.
    torch.manual_seed(1)
    model = make_detector().to(memory_format=torch.channels_last)
    with_none = nn.Sequential(model, nn.ZeroPad1d((0, 1)))  # none of the ten has logit 0
    training = TensorDataset(images, torch.cat(labels))
    train(with_none, MNIST(training, None, data.test), epochs=10)
    validation = [prepare(image) for image in data.validation.tensors[0][:, 0].numpy()]
    validation = torch.stack([image for images in validation for image in images])
    with torch.no_grad():
        scores = predict_logits(model, validation).logsumexp(dim=1)
        model[-1].bias -= scores.quantile(REFUSED)
    model.half().to(memory_format=torch.contiguous_format)
    torch.save(model.state_dict(), options.output)


if __name__ == "__main__":
    main()
