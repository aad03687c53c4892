"""Which ink on a picture belongs to which digit."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.sparse.csgraph import connected_components
from skimage import filters

MOST_DIGITS = 200  # on one picture; where more is found, it is a pattern or noise
EIGHT = np.ones((3, 3))  # pixels that touch by a corner belong together


class Box(NamedTuple):
    """A rectangle in pixels of the picture as displayed; right and bottom are just outside."""

    left: int
    top: int
    right: int
    bottom: int


def threshold(contrast: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how much ink there is, in [0, 1], and where there is some, bool, [H, W] each.

    Faint pixels count where they are connected to dark ones: soft edges do, ruled lines and print
    from the other side don't. Where nothing stands out from the paper's noise, there is no ink.
    """
    nothing = np.zeros_like(contrast), np.zeros(contrast.shape, bool)
    brightest = np.sort(contrast, axis=None)
    top = brightest[-min(50, 1 + contrast.size // 1000)]  # a hairline has few pixels
    split = filters.threshold_otsu(np.clip(contrast, None, top))  # Otsu 1979
    if not (contrast > split).any():
        return nothing
    paper = np.median(contrast[contrast <= split])
    noise = 1.4826 * np.median(np.abs(contrast[contrast <= split] - paper))
    full = np.percentile(contrast[contrast > split], 75) - paper
    if full < max(0.02, 4 * noise):
        return nothing
    # Where a hairline is all the ink, Otsu's threshold may part ruled lines from paper instead.
    full = max(full, 0.75 * (top - paper))
    contrast = contrast - paper
    faint, dark = max(0.3 * full, 3 * noise), 0.55 * full
    mask = filters.apply_hysteresis_threshold(contrast, faint, dark)
    return np.clip(contrast / full, 0, 1), mask


def group(mask: np.ndarray) -> tuple[np.ndarray, list[Box]]:
    """Drop specks, join the parts of broken digits, and number the digits as one reads.

    Returns labels int [H, W] (0 = paper, 1 = the first digit, ...) and the digits' boxes.
    """
    parts, count = ndimage.label(mask, EIGHT)
    nothing = np.zeros_like(parts), []
    areas = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    slices = ndimage.find_objects(parts)
    # What runs along the picture's border is the table's edge, unless there is nothing else.
    around = np.concatenate([parts[0], parts[-1], parts[1:-1, 0], parts[1:-1, -1]])
    along = np.bincount(around, minlength=count + 1)[1:]
    lengths = np.array([sum(side.stop - side.start for side in pair) for pair in slices])
    inside = along < 0.5 * lengths
    areas = np.where(inside | ~inside.any(), areas, 0)
    large = np.flatnonzero(areas > 0.02 * areas.max(initial=0))
    if not 0 < len(large) <= 3 * MOST_DIGITS:
        return nothing
    boxes = np.array([[s.start for s in slices[i][::-1]] + [s.stop for s in slices[i][::-1]]
                      for i in large])  # fmt: skip
    to_paper = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    owners, boxes = _join(boxes, stroke=2 * np.percentile(to_paper[mask], 90))
    sizes = _sizes(boxes)
    kept = np.flatnonzero(sizes >= 0.25 * sizes.max())
    if len(kept) > MOST_DIGITS:
        return nothing
    order = _reading_order(boxes, kept)
    numbers = np.zeros(len(boxes), int)
    numbers[order] = np.arange(1, len(order) + 1)
    label_of = np.zeros(count + 1, int)
    label_of[large + 1] = numbers[owners]
    labels = ndimage.grey_dilation(label_of[parts], (3, 3))  # with the strokes' soft edge
    return labels, [Box(*boxes[i].tolist()) for i in order]


def _sizes(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2:] - boxes[:, :2]).max(axis=1)


def _join(boxes: np.ndarray, stroke: float) -> tuple[np.ndarray, np.ndarray]:
    """Join boxes [N, 4] until none belong together; return each one's owner [N] and the owners'
    boxes."""
    owners = np.arange(len(boxes))
    while True:
        count, joined = connected_components(_belong(boxes, stroke))
        if count == len(boxes):
            return owners, boxes
        owners = joined[owners]
        members = [boxes[joined == i] for i in range(count)]
        boxes = np.array([[*b[:, :2].min(axis=0), *b[:, 2:].max(axis=0)] for b in members])


def _belong(boxes: np.ndarray, stroke: float) -> np.ndarray:
    """Say which boxes are parts of one digit, bool [N, N]: a fragment and what is near it, or two
    large parts one above the other, nearly touching."""
    starts, stops = boxes[:, :2], boxes[:, 2:]
    # How far they are apart, across and down [N, N, 2]; below 0 they overlap by so much.
    apart = np.maximum(starts[:, None], starts) - np.minimum(stops[:, None], stops)
    distance = np.hypot(*np.moveaxis(np.maximum(apart, 0), 2, 0))
    sizes, widths = _sizes(boxes), stops[:, 0] - starts[:, 0]
    smaller, larger = np.minimum.outer(sizes, sizes), np.maximum.outer(sizes, sizes)
    is_fragment = smaller < max(4 * stroke, 0.5 * sizes.max())
    is_near = distance < np.maximum(2 * stroke, 0.2 * larger)
    overlaps = -apart[:, :, 0] > 0.5 * np.minimum.outer(widths, widths)
    touches = apart[:, :, 1] < 0.16 * sizes.max()
    return np.where(is_fragment, is_near, overlaps & touches)


def _reading_order(boxes: np.ndarray, kept: np.ndarray) -> list[int]:
    """Return the indices of the boxes line by line, each from left to right."""
    middles = (boxes[:, 1] + boxes[:, 3]) / 2
    lines = []
    for i in sorted(kept, key=lambda i: middles[i]):
        if lines and middles[i] < boxes[lines[-1][0], 3]:  # above the foot of the line's first
            lines[-1].append(i)
        else:
            lines.append([i])
    return [i for line in lines for i in sorted(line, key=lambda i: boxes[i, 0])]
