"""Things that aren't digits, to see whether they are refused: none of them, and no code that draws
them, has a part in the training of the detector (digit_detector.py)."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

SIDE = 280  # pixels of a picture

# The strokes of capital letters in a unit square, y downwards. O, I, S, Z and B are left out, which
# people write as they write 0, 1, 5, 2 and 8.
_BOW = [(0, 0), (0.8, 0), (1, 0.12), (1, 0.4), (0.8, 0.52), (0, 0.52)]
_ARC = [(1, 0.15), (0.7, 0), (0.3, 0), (0, 0.3), (0, 0.7), (0.3, 1), (0.7, 1)]
_RING = [(0.5, 0), (0.1, 0.15), (0, 0.5), (0.1, 0.85), (0.5, 1), (0.9, 0.85), (1, 0.5), (0.9, 0.15)]
LETTERS = {
    "A": [[(0, 1), (0.5, 0), (1, 1)], [(0.2, 0.6), (0.8, 0.6)]],
    "C": [[*_ARC, (1, 0.85)]],
    "D": [[(0, 0), (0, 1), (0.6, 1), (1, 0.7), (1, 0.3), (0.6, 0), (0, 0)]],
    "E": [[(1, 0), (0, 0), (0, 1), (1, 1)], [(0, 0.5), (0.8, 0.5)]],
    "F": [[(1, 0), (0, 0), (0, 1)], [(0, 0.5), (0.8, 0.5)]],
    "G": [[*_ARC, (1, 0.8), (1, 0.5), (0.6, 0.5)]],
    "H": [[(0, 0), (0, 1)], [(1, 0), (1, 1)], [(0, 0.5), (1, 0.5)]],
    "J": [[(0.8, 0), (0.8, 0.75), (0.6, 1), (0.2, 1), (0, 0.75)]],
    "K": [[(0, 0), (0, 1)], [(1, 0), (0, 0.55), (1, 1)]],
    "L": [[(0, 0), (0, 1), (1, 1)]],
    "M": [[(0, 1), (0, 0), (0.5, 0.6), (1, 0), (1, 1)]],
    "N": [[(0, 1), (0, 0), (1, 1), (1, 0)]],
    "P": [[(0, 1), *_BOW]],
    "Q": [[*_RING, (0.5, 0)], [(0.6, 0.6), (1.05, 1.05)]],
    "R": [[(0, 1), *_BOW], [(0.4, 0.52), (1, 1)]],
    "T": [[(0, 0), (1, 0)], [(0.5, 0), (0.5, 1)]],
    "U": [[(0, 0), (0, 0.7), (0.3, 1), (0.7, 1), (1, 0.7), (1, 0)]],
    "V": [[(0, 0), (0.5, 1), (1, 0)]],
    "W": [[(0, 0), (0.25, 1), (0.5, 0.3), (0.75, 1), (1, 0)]],
    "X": [[(0, 0), (1, 1)], [(1, 0), (0, 1)]],
    "Y": [[(0, 0), (0.5, 0.5), (1, 0)], [(0.5, 0.5), (0.5, 1)]],
}


def draw_letter(letter: str, random: np.random.Generator) -> np.ndarray:
    """Return a capital letter in some hand, uint8 [280, 280], black on white."""
    angle, slant = random.uniform(-0.15, 0.15), random.uniform(-0.2, 0.2)
    turn = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    size = random.uniform([90, 140], [150, 200])
    strokes = []
    for stroke in LETTERS[letter]:
        points = (np.array(stroke) + random.normal(0, 0.02, (len(stroke), 2)) - 0.5) * size
        strokes.append((points @ [[1, 0], [slant, 1]]) @ turn + SIDE / 2)
    return _draw(strokes, int(random.integers(8, 26)))


def scribble(random: np.random.Generator) -> np.ndarray:
    """Return one long line that goes here and there, uint8 [280, 280]."""
    corners = random.uniform(50, 230, (int(random.integers(12, 40)), 2))
    along = np.linspace(0, len(corners) - 1, 12 * len(corners))
    smooth = [ndimage.map_coordinates(each, [along], order=3) for each in corners.T]
    return _draw([np.stack(smooth, axis=1)], int(random.integers(8, 26)))


def _draw(strokes: list[np.ndarray], width: int) -> np.ndarray:
    image = Image.new("L", (SIDE, SIDE), 255)
    brush = ImageDraw.Draw(image)
    for stroke in strokes:
        brush.line([tuple(point) for point in stroke], fill=0, width=width, joint="curve")
    return np.asarray(image)


def noise(kind: str, random: np.random.Generator) -> np.ndarray:
    """Return noise of one of five kinds, uint8, 28 to 280 pixels wide and high."""
    side = int(random.choice([28, 100, 280]))
    normal = random.normal(size=(side, side))
    values = {
        "uniform": lambda: random.random((side, side)),
        "normal": lambda: 0.5 + 0.16 * normal,
        "salt": lambda: random.random((side, side)) > random.uniform(0.02, 0.3),
        "clouds": lambda: _stretch(ndimage.gaussian_filter(normal, side / 28)),
        "streaks": lambda: 0.8 + 0.024 * np.cumsum(normal[0])[:, None] + 0.08 * normal,
    }[kind]()
    return np.uint8(255 * np.clip(values, 0, 1))


def pattern(kind: str, random: np.random.Generator) -> np.ndarray:
    """Return a regular pattern of one of five kinds, uint8 [280, 280]."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    step = int(random.integers(8, 100))
    lines = (rows % step < step / 5 + 1) | (columns % step < step / 5 + 1)
    return (
        np.uint8(255)
        * {
            "checkerboard": (rows // step + columns // step) % 2 == 0,
            "stripes": (rows // step) % 2 == 0,
            "slanted stripes": ((rows + columns) // step) % 2 == 0,
            "dots": np.hypot(rows % step - step / 2, columns % step - step / 2) < step / 3,
            "lines": lines,
        }[kind]
    )


def paper(random: np.random.Generator) -> np.ndarray:
    """Return paper without writing, uint8 [280, 280]: a slow shadow, and a camera's noise."""
    shadow = random.uniform(-0.2, 0.2) * np.linspace(0, 1, SIDE)[:, None]
    grain = random.normal(0, random.uniform(0.002, 0.05), (SIDE, SIDE))
    return np.uint8(255 * np.clip(random.uniform(0.4, 0.95) + shadow + grain, 0, 1))


def half(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return one half of a digit's image, uint8 [28, 28], enlarged: [280, 280]."""
    part = image.copy()
    [part[:14], part[14:], part[:, :14], part[:, 14:]][random.integers(4)][...] = 0
    return _enlarge(part)


def overlaid(first: np.ndarray, second: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return two digits' images, uint8 [28, 28], on each other, enlarged: [280, 280]."""
    moved = np.roll(second, tuple(random.integers(-3, 4, 2)), (0, 1))
    return _enlarge(np.maximum(first, moved))


def _enlarge(image: np.ndarray) -> np.ndarray:
    return 255 - np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _stretch(values: np.ndarray) -> np.ndarray:
    return (values - values.min()) / np.ptp(values)


def make_kinds(
    images: np.ndarray, labels: np.ndarray, random: np.random.Generator
) -> dict[str, Callable[[], np.ndarray]]:
    """Return a function for each kind, which returns another picture of it at each call. `images`,
    uint8 [N, 28, 28] with `labels` [N], are digits of which halves and heaps are made."""

    def two() -> tuple[np.ndarray, np.ndarray]:
        first, second = random.integers(len(images), size=2)
        return (images[first], images[second]) if labels[first] != labels[second] else two()

    kinds = {
        f"noise, {kind}": lambda kind=kind: noise(kind, random)
        for kind in ("uniform", "normal", "salt", "clouds", "streaks")
    }
    patterns = ["checkerboard", "stripes", "slanted stripes", "dots", "lines"]
    return kinds | {
        "patterns": lambda: pattern(str(random.choice(patterns)), random),
        "empty paper": lambda: paper(random),
        "scribbles": lambda: scribble(random),
        "letters": lambda: draw_letter(str(random.choice(list(LETTERS))), random),
        "halves of digits": lambda: half(images[random.integers(len(images))], random),
        "two digits on each other": lambda: overlaid(*two(), random),
    }
