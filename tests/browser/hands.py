"""Twenty digits by two hands: one large, slanted and shaky, one small and off-centre."""

import numpy as np

# Strokes in a box 100 wide and 140 high: points x,y that a smooth line goes through.
LARGE = [
    "62,6 26,18 8,70 30,130 66,128 90,74 76,18 52,4",
    "56,4 53,48 50,94 48,136",
    "12,34 36,6 78,16 80,52 46,96 8,132 | 8,132 50,130 94,134",
    "14,10 50,6 86,10 | 86,10 66,36 46,58 | 46,58 82,70 90,102 62,134 12,122",
    "66,6 40,50 8,94 | 8,94 52,93 98,92 | 72,62 70,100 68,138",
    "86,8 54,7 24,10 | 24,10 20,34 17,60 | 17,60 54,52 86,78 76,120 42,136 8,120",
    "70,4 34,36 12,84 24,128 62,134 86,104 66,76 32,84 16,104",
    "8,12 50,10 92,8 | 92,8 68,50 50,94 40,138",
    "80,22 46,4 20,28 46,62 82,92 78,128 40,136 14,108 40,72 76,44 82,20",
    "84,34 56,6 20,24 20,60 54,68 82,40 | 84,34 82,76 66,116 42,138",
]
SMALL = [
    "50,4 14,30 12,104 48,136 88,106 88,32 54,4",
    "34,30 48,18 60,4 | 60,4 60,50 61,92 60,138",
    "10,26 48,2 88,30 66,78 12,136 50,132 92,136",
    "14,20 46,4 82,24 70,58 38,66 78,78 90,110 50,138 10,120",
    "22,8 18,40 16,76 | 16,76 50,76 90,74 | 84,6 83,70 82,138",
    "24,8 21,34 18,62 | 18,62 56,56 84,84 64,128 12,132 | 22,8 54,8 92,6",
    "58,2 22,46 10,100 42,136 82,116 76,80 38,76 14,100",
    "8,26 9,14 10,8 | 10,8 50,9 90,8 | 90,8 74,70 60,136",
    "50,64 18,40 36,6 70,8 80,40 50,64 14,96 28,134 74,134 88,98 50,64",
    "84,24 46,4 14,34 38,66 78,52 85,22 | 85,22 86,80 84,138",
]


def parse(digit: str) -> list[list]:
    """Return the strokes' points."""
    return [[point.split(",") for point in stroke.split()] for stroke in digit.split("|")]


def smooth(points: list, steps: int = 5) -> np.ndarray:
    """Return points along the Catmull-Rom spline through the given ones."""
    ends = np.array(points, dtype=float)
    ends = np.vstack([2 * ends[0] - ends[1], ends, 2 * ends[-1] - ends[-2]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    parts = [
        b
        + t * (c - a) / 2
        + t**2 * (2 * a - 5 * b + 4 * c - d) / 2
        + t**3 * (3 * (b - c) + d - a) / 2
        for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:], strict=False)
    ]
    return np.vstack([*parts, ends[-2]])


def large(digit: int) -> list[np.ndarray]:
    """Return the strokes of a slanted, shaky digit as fractions of the canvas."""
    generator = np.random.default_rng(digit)
    strokes = []
    for points in parse(LARGE[digit]):
        x, y = smooth(points).T
        x = x + 0.25 * (70 - y) + generator.normal(0, 1, len(x))
        strokes.append(np.stack([75 + 1.3 * x, 40 + 1.4 * (y + generator.normal(0, 1, len(y)))], 1))
    return [stroke / 280 for stroke in strokes]


def small(digit: int) -> list[np.ndarray]:
    """Return the strokes of a small digit in a corner as fractions of the canvas."""
    corner = np.array([(24, 30), (168, 26), (30, 140), (160, 136)][digit % 4])
    return [(corner + 0.8 * smooth(points)) / 280 for points in parse(SMALL[digit])]


def scribble() -> list[np.ndarray]:
    """Return one long stroke, to and fro across the canvas."""
    points = np.random.default_rng(1).uniform(0.1, 0.9, (14, 2))
    return [smooth(points, steps=8)]
