"""Train the network that says whether an image shows a digit at all, and measure what it refuses.

It is the network of mnist_helpers/detector.py: ten logits, and none of the ten has logit 0. It
learns from MNIST's training digits, as they are and in other pens, and from things that aren't
digits: letters and signs of printed fonts, scribbles, crossing lines, halves of digits, two digits
on or beside each other, patterns and noise. Its threshold refuses 0.7 % of the validation digits
after `to_mnist`, and is put into its last biases, so that above 0 is a digit. Writes
mnist_helpers/digit_detector.pt, and results/digit_detector.csv: refusals of digits, and of pictures
drawn by other code.
"""

import argparse
from contextlib import suppress
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from joblib import Parallel, cpu_count, delayed
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from skimage import morphology
from sklearn.datasets import load_digits
from torch import nn
from tqdm import tqdm, trange

from mnist_helpers import PictureError, augment, load, predict_logits, to_mnist
from mnist_helpers.detector import WEIGHTS, is_digit, make_detector
from mnist_helpers.own_digits import Page, normalise
from research.not_digits import make_kinds
from research.runner import MACHINE, RESULTS, describe_machine

SIDE = 112  # pixels of a drawing
FONTS = ["DejaVuSans", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSerif", "STIXGeneral"]
FONTS += ["cmr10", "cmss10", "cmtt10", "cmmi10"]  # those that come with matplotlib
SIGNS = "ACDEFGHJKLMNPQRTUVWXYadefhkmnrtuvwxy@#$%&?!+*=<>{}[]^~"  # not those that look like digits
COUNTS = {"signs": 450, "scribbles": 225, "crossing lines": 225, "halves": 350}  # in a chunk
COUNTS |= {"on each other": 250, "beside each other": 125, "patterns": 100, "noise": 100}
CHUNKS, OTHER_PENS = 20, 1_000
EPOCHS, BATCH_SIZE, REFUSED = 5, 96, 0.007


def draw_sign(random: np.random.Generator) -> np.ndarray:
    """Return a sign of a font, most of them written with a round pen, warped."""
    fonts = Path(matplotlib.get_data_path(), "fonts", "ttf")
    font = ImageFont.truetype(str(fonts / f"{random.choice(FONTS)}.ttf"), 64)
    image = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(image).text((56, 56), str(random.choice(list(SIGNS))), 255, font, anchor="mm")
    mask = np.asarray(image) > 127
    return warp(trace(mask, random.uniform(1.2, 6)) if random.random() < 0.75 else mask, random)


def trace(mask: np.ndarray, radius: float) -> np.ndarray:
    """Draw the middle of a mask's strokes again, with a round pen."""
    core = morphology.skeletonize(mask)
    return np.clip(radius + 0.5 - ndimage.distance_transform_edt(~core), 0, 1)


def warp(values: np.ndarray, random: np.random.Generator, most: float = 1) -> np.ndarray:
    """Turn, stretch, slant and bend a drawing [SIDE, SIDE], each by chance."""
    angle, slant = random.normal(0, [0.12 * most, 0.15 * most])
    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix = (
        turn @ np.array([[1, 0], [slant, 1]]) @ np.diag(np.exp(random.normal(0, 0.18 * most, 2)))
    )
    places = np.tensordot(matrix, np.mgrid[:SIDE, :SIDE] - SIDE / 2, axes=1) + SIDE / 2
    bends = random.normal(0, 0.03 * SIDE * most * random.random(), (2, 4, 4))
    bends = [ndimage.zoom(each, SIDE / 4, order=3) for each in bends]
    return ndimage.map_coordinates(np.float32(values), places + bends, order=1)


def draw_line(points: np.ndarray, width: int) -> np.ndarray:
    """Draw a smooth line through points [N, 2]."""
    along = np.linspace(0, len(points) - 1, 12 * len(points))
    order = min(3, len(points) - 1)
    smooth = [ndimage.map_coordinates(each, [along], order=order) for each in points.T]
    image = Image.new("L", (SIDE, SIDE))
    path = np.clip(np.stack(smooth, axis=1), 3, SIDE - 3)
    ImageDraw.Draw(image).line([tuple(point) for point in path], 255, width, joint="curve")
    return np.asarray(image) / 255


def draw_scribble(random: np.random.Generator) -> np.ndarray:
    """Return one to three lines that jump, wander or loop."""

    def points() -> np.ndarray:
        count = int(random.integers(5, 30))
        if (kind := random.integers(3)) == 0:
            return random.uniform(12, SIDE - 12, (count, 2))
        if kind == 1:
            path = np.cumsum(random.normal(0, 18, (count, 2)), axis=0)
        else:
            angle = np.linspace(0, random.uniform(19, 57), max(count, 24))
            across = 40 * random.random() * np.linspace(-1, 1, len(angle)) + 20 * np.cos(angle)
            path = np.stack([across, random.uniform(12, 40) * np.sin(angle)], axis=1)
            path += random.normal(0, 3, path.shape)
        return path - path.mean(axis=0) + SIDE / 2

    width = int(random.integers(2, 11))
    return np.max([draw_line(points(), width) for _ in range(random.integers(1, 4))], axis=0)


def draw_crossing_lines(random: np.random.Generator) -> np.ndarray:
    width, count = int(random.integers(3, 11)), random.integers(2, 6)
    sizes = [(int(random.integers(2, 4)), 2) for _ in range(count)]
    return np.max([draw_line(random.uniform(12, SIDE - 12, size), width) for size in sizes], axis=0)


def draw_pattern(random: np.random.Generator) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    angle, step = random.choice([0, random.uniform(0, np.pi)]), random.uniform(5, 60)
    u, v = (
        np.cos(angle) * rows + np.sin(angle) * columns,
        np.cos(angle) * columns - np.sin(angle) * rows,
    )
    centre, size = random.uniform(0, SIDE, 2), SIDE * random.uniform(0.1, 0.45, 2)
    from_middle = np.abs(np.stack([rows, columns]) - SIDE / 2)
    values = [
        (u // step + v // step) % 2,
        (u // step) % 2,
        np.hypot(u % step - step / 2, v % step - step / 2) < step * random.uniform(0.2, 0.45),
        (u % step < step / 5 + 1) | (v % step < step / 5 + 1),
        np.sin(6 * np.hypot(rows - centre[0], columns - centre[1]) / step) > 0,
        (1 + np.sin(6 * u / step)) / 2,
        (from_middle[0] < size[0]) & (from_middle[1] < size[1]),
    ][random.integers(7)]
    return np.float64(values)


def draw_noise(random: np.random.Generator) -> np.ndarray:
    side = int(random.choice([28, 56, 112]))
    normal = random.normal(size=(side, side))
    kind = random.integers(6)
    if kind == 0:
        values = random.random((side, side))
    elif kind == 1:
        values = normal
    elif kind == 2:
        values = random.random((side, side)) < random.uniform(0.02, 0.5)
    elif kind == 3:
        smooth = ndimage.gaussian_filter(normal, side / 28 * random.uniform(0.5, 3))
        values = smooth > np.quantile(smooth, random.uniform(0.5, 0.95))
    elif kind == 4:  # the power falls with the frequency, as in photographs
        frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side))) + 1 / side
        values = np.fft.ifft2(np.fft.fft2(normal) / frequency ** random.uniform(0.5, 2)).real
    else:
        values = np.rot90(np.cumsum(normal[0])[:, None] + 0.5 * normal, random.integers(2))
    values = np.float64(values)
    return random.uniform(0.2, 1) * (values - values.min()) / max(np.ptp(values), 1e-9)


def enlarge(image: np.ndarray, side: int = SIDE, how=Image.Resampling.BICUBIC) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((side, side), how)) / 255


def cut(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return about one half of a digit: its upper, lower, left or right part."""
    values = np.rot90(values, turns := int(random.integers(4)))
    rows = np.flatnonzero((values > 0.3).any(axis=1))
    below = np.arange(SIDE) > rows[0] + random.uniform(0.4, 0.6) * np.ptp(rows)
    return np.rot90(np.where(below[:, None], 0, values), -turns)


def put_beside(first: np.ndarray, second: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Put two digits so closely beside each other that they touch."""
    left = np.flatnonzero((first > 0.3).any(axis=0))
    right = np.flatnonzero((second > 0.3).any(axis=0))
    shift = left[-1] - right[0] - int(random.integers(0, 6))
    wide = np.pad(first, ((0, 0), (0, max(0, shift))))
    wide[:, shift : shift + SIDE] = np.maximum(wide[:, shift : shift + SIDE], second)
    return wide


def rewrite(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a digit as another pen, paper or program would show it."""
    values = warp(enlarge(image), random, most=0.7)
    kind = random.integers(4)
    if kind < 2 and (values > 0.5).any():
        values = trace(values > 0.5, random.uniform(1.2, 8))
    elif kind == 2:
        size = int(random.choice([3, 5, 7]))
        change = ndimage.grey_dilation if random.random() < 0.7 else ndimage.grey_erosion
        values = change(values, size=(size, size))
    if random.random() < 0.3:  # few pixels, sharp or smooth
        small = enlarge(np.uint8(255 * values), int(random.integers(8, 21)))
        how = Image.Resampling.NEAREST if random.random() < 0.5 else Image.Resampling.BICUBIC
        values = enlarge(np.uint8(255 * small), SIDE, how)
    return np.clip(values, 0, 1)


def make_others(images: np.ndarray, labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return what is no digit, uint8 [N, 28, 28], as `predict_digits` would hand it to a network.
    `images` and `labels` are of MNIST's digits."""

    def one() -> np.ndarray:
        return enlarge(images[random.integers(len(images))])

    def half() -> np.ndarray:
        some = random.integers(len(images))
        return half() if labels[some] == 1 else cut(enlarge(images[some]), random)  # still a 1

    def overlaid() -> np.ndarray:
        first, second = random.integers(len(images), size=2)
        if labels[first] == labels[second]:
            return overlaid()
        shift = tuple(random.integers(-20, 21, 2))
        return np.maximum(enlarge(images[first]), np.roll(enlarge(images[second]), shift, (0, 1)))

    draw = {
        "signs": lambda: draw_sign(random),
        "scribbles": lambda: draw_scribble(random),
        "crossing lines": lambda: draw_crossing_lines(random),
        "halves": half,
        "on each other": overlaid,
        "beside each other": lambda: put_beside(one(), one(), random),
        "patterns": lambda: draw_pattern(random),
        "noise": lambda: draw_noise(random),
    }
    others = []
    for kind, count in COUNTS.items():
        for _ in range(count):
            values = draw[kind]()
            if kind in ("patterns", "noise") and random.random() < 0.7:
                try:  # what is taken for ink on such a picture
                    others += Page(values).images[:5]
                except PictureError:
                    continue
            elif values.max() > 0.3:
                others.append(normalise(values))
    return torch.stack(others)


def make_chunk(seed: int, data: str) -> tuple[torch.Tensor, ...]:
    """Return digits in other pens, uint8 [N, 28, 28], their labels [N], and what is no digit."""
    torch.set_num_threads(1)
    random = np.random.default_rng(seed)
    images, labels = (each.numpy() for each in load(data).training.tensors)
    images = images[:, 0]
    some = random.integers(len(images), size=OTHER_PENS)
    digits = torch.stack([normalise(rewrite(images[i], random)) for i in some])
    return digits, torch.from_numpy(labels[some]), make_others(images, labels, random)


def train_detector(images: torch.Tensor, labels: torch.Tensor, others: torch.Tensor) -> nn.Module:
    """Return the network, trained on digits, uint8 [N, 28, 28] with labels [N], and on others."""
    torch.manual_seed(0)
    model = make_detector().to(memory_format=torch.channels_last)
    steps = EPOCHS * len(images) // BATCH_SIZE
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, steps, cycle_momentum=False)
    none = torch.full((BATCH_SIZE // 2,), 10)
    for step in trange(steps, desc="training"):
        some = torch.randint(len(images), (BATCH_SIZE,))
        more = torch.randint(len(others), (len(none),))
        batch = torch.cat([images[some], others[more]])[:, None].float() / 255
        logits = model(augment(batch, min(0.8, 1.6 * (1 - step / steps))))
        loss = F.cross_entropy(F.pad(logits, (0, 1)), torch.cat([labels[some], none]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def prepare(images: torch.Tensor | np.ndarray) -> torch.Tensor:
    """Return digits, uint8 [N, 28, 28], as `to_mnist` makes them of such small pictures, uint8 [N,
    H, W]; an image without ink of those on which it finds none."""
    prepared = torch.zeros(len(images), 28, 28, dtype=torch.uint8)
    for number, image in enumerate(tqdm(images, "to_mnist", leave=False)):
        with suppress(PictureError):
            prepared[number] = to_mnist(image)
    return prepared


def set_threshold(model: nn.Module, images: torch.Tensor) -> None:
    """Shift the last biases, so that of these digits, uint8 [N, 28, 28], the share REFUSED has a
    score below 0 once `to_mnist` has been through with them, as with everybody's pictures."""
    scores = predict_logits(model, prepare(images)).logsumexp(dim=1)
    with torch.no_grad():
        model[-1].bias -= scores.quantile(REFUSED)


def measure(data, pictures: int) -> pd.DataFrame:
    """Return the share that is refused: of digits, and of so many pictures of each kind."""
    rows = []
    for name, split in {"validation": data.validation, "test": data.test}.items():
        images = split.tensors[0][:, 0]
        for how, given in {"": images, ", by to_mnist": prepare(images)}.items():
            kind = f"digits, {name}{how}"
            rows.append({"pictures": len(images), "kind": kind, "refused": _refused(given)})
    others = load_digits().images * (255 / 16)  # as in own_digits
    refused = _refused(prepare(np.uint8(np.round(others))))
    name = "scikit-learn's digits, by to_mnist"
    rows.append({"kind": name, "pictures": len(others), "refused": refused})
    random = np.random.default_rng(1)
    images, labels = (each.numpy() for each in data.validation.tensors)
    kinds = make_kinds(images[:, 0], labels, random)
    for kind, make in tqdm(kinds.items(), "kinds"):
        pages = [Page(make()).images for _ in range(pictures)]
        refused = np.mean([not images or _refused(torch.stack(images)) == 1 for images in pages])
        rows.append({"kind": kind, "pictures": pictures, "refused": refused})
    return pd.DataFrame(rows).assign(**describe_machine())


def _refused(images: torch.Tensor) -> float:
    return float((~is_digit(images)).float().mean())


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m research.digit_detector", description=__doc__)
    parser.add_argument("--output", type=Path, default=RESULTS / "digit_detector.csv")
    parser.add_argument("--data", default="data", help="where MNIST is, or shall be fetched to")
    parser.add_argument("--measure", action="store_true", help="the network that is there already")
    parser.add_argument("--pictures", type=int, default=200, help="of each kind (default: 200)")
    options = parser.parse_args(arguments)
    data = load(options.data)
    if not options.measure:
        chunks = Parallel(min(cpu_count(), CHUNKS), return_as="generator")(
            delayed(make_chunk)(seed, options.data) for seed in range(CHUNKS)
        )
        digits, labels, others = zip(*tqdm(chunks, "drawing", CHUNKS), strict=True)
        images = torch.cat([data.training.tensors[0][:, 0], *digits])
        labels = torch.cat([data.training.tensors[1], *labels])
        model = train_detector(images, labels, torch.cat(others))
        set_threshold(model, data.validation.tensors[0][:, 0])
        model.half().to(memory_format=torch.contiguous_format)
        torch.save(model.state_dict(), WEIGHTS)
    table = measure(data, options.pictures)
    table.to_csv(options.output, index=False, float_format="%.4f")
    print(table.drop(columns=MACHINE).round(4).to_string(index=False))


if __name__ == "__main__":
    main()
