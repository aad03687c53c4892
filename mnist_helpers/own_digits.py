"""Digits that people wrote themselves: where they are on a picture, and which they are."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from scipy.sparse.csgraph import connected_components
from skimage import filters, measure, segmentation, transform
from torch import nn

from .detector import digit_odds
from .evaluation import predict_proba
from .pictures import PictureError, find_sheet, normalise, open_picture, remove_paper

MOST_MARKS = 1000  # on one picture; where more is found, it is a pattern or noise


class Box(NamedTuple):
    """A rectangle in pixels of the picture as displayed; right and bottom are just outside."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True, eq=False)
class Prediction:
    """What was found in one place of a picture; `digit` is None where it is no digit."""

    digit: int | None
    probabilities: torch.Tensor  # float [10], of the digits, even if it is none
    box: Box
    image: torch.Tensor  # uint8 [28, 28], what the network was given

    def __str__(self) -> str:
        if self.digit is None:
            return "?"
        return f"{self.digit} ({100 * float(self.probabilities[self.digit]):.1f} %)"


def to_mnist(picture: object) -> torch.Tensor:
    """Return a picture of one digit as MNIST's own were made: uint8 [28, 28], 255 = ink.

    `picture` is what `open_picture` takes, dark on light or light on dark. As in LeCun et al. 1998
    (section III.A), the ink is scaled into 20 x 20 pixels, with its aspect kept and grey edges, and
    its centre of mass is placed in the middle. Thin strokes are thickened first. Raises
    PictureError if it can't be opened, is a pattern or shows no ink.
    """
    ink, labels, _ = find_digits(picture)
    if not labels.any():
        raise PictureError("There is no ink on the picture that could be a digit.")
    return normalise(np.where(labels, ink, 0))


def predict_digits(model: nn.Module, picture: object) -> list[Prediction]:
    """Classify all digits on a picture, line by line, each from left to right.

    `model` is any network from float [N, 1, 28, 28] to logits [N, 10]; it is left in evaluation
    mode. `picture` is what `open_picture` takes. Digits that touch are found as one. Where most of
    three marks or more are likely to be no digits, none of them is. A picture without ink gives no
    prediction. Raises PictureError if it can't be opened or is a pattern.
    """
    ink, labels, boxes = find_digits(picture)
    if not boxes:
        return []
    images = torch.stack([normalise(np.where(labels == 1 + i, ink, 0)) for i in range(len(boxes))])
    rows = predict_proba(model, images)
    odds = digit_odds(images).numpy()
    if len(odds) > 2 and np.median(odds) < 2:  # words, whose l and o may be digits; or a pattern
        odds[:] = -1
    digits = np.where(odds > 0, rows.argmax(dim=1), None).tolist()
    return [Prediction(*each) for each in zip(digits, rows, boxes, images, strict=True)]


def find_digits(picture: object) -> tuple[np.ndarray, np.ndarray, list[Box]]:
    """Return how much ink there is, in [0, 1], to which digit it belongs (0 = to none, 1 = to the
    first, ...), [H, W] each, and the digits' boxes, line by line, each from left to right.

    What is outside a sheet of paper, edges, long lines, specks and what is smaller than 0.6 of the
    usual digit in its line are dropped, and the parts of broken digits joined. Raises PictureError
    if the picture can't be opened or shows too many marks.
    """
    colours, (width, height) = open_picture(picture)
    sheet, colours = find_sheet(colours)
    contrast = remove_paper(colours)
    ink, mask = threshold(contrast, sheet)
    if 20 < min(mask.shape) < 64 and not _without_edges(mask).any():
        contrast[ndimage.binary_dilation(mask)] = np.median(contrast)
        fainter, rest = threshold(contrast, sheet)  # an edge may be darker than a pencil
        ink, mask = (fainter, rest) if rest.any() else (ink, mask)
    within = _without_edges(mask)
    mask = _without_lines(within if within.any() else mask)
    marks = segmentation.clear_border(measure.label(mask), mask=sheet)
    labels = measure.label(marks > 0)
    _, areas = _measure(labels)
    is_large = areas > 0.02 * areas.max(initial=0)
    if is_large.sum() > MOST_MARKS:
        raise PictureError(
            f"There are {is_large.sum():,} separate marks on the picture, more than a page of "
            "digits has. If it isn't a pattern or noise, please cut it into parts."
        )
    if not labels.any():
        return ink, labels, []
    stroke, numbers = _stroke(labels > 0), is_large * is_large.cumsum()
    while True:
        labels = np.append(0, numbers)[labels]
        boxes, areas = _measure(labels)
        sizes = _relative_sizes(boxes, areas)
        count, joined = connected_components(_belong(boxes, stroke, sizes))
        if count == len(boxes):
            break
        numbers = joined + 1
    # Commas are smaller; of ten digits in one hand the smallest had 0.74 (ten of UJIpenchars2).
    order = _reading_order(boxes, np.flatnonzero(sizes >= 0.6))
    numbers = np.zeros(count + 1, int)  # 0 is what is paper or no digit
    numbers[np.add(order, 1)] = np.arange(1, len(order) + 1)
    labels = ndimage.grey_dilation(numbers[labels], (3, 3))  # with the strokes' soft edge
    scale = np.array([width, height, width, height]) / (ink.shape[::-1] * 2)
    return ink, labels, [Box(*np.round(boxes[i] * scale).astype(int).tolist()) for i in order]


def threshold(contrast: np.ndarray, sheet: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how much ink there is, in [0, 1], and where there is some, bool, [H, W] each.

    Faint pixels count where they are connected to dark ones: soft edges do, ruled lines and print
    from the other side don't. Where nothing stands out from the sheet's noise, there is no ink.
    """
    values = np.sort(contrast[sheet])
    top = values[-min(50, 1 + values.size // 1000)]  # a hairline has few pixels
    dark = values > filters.threshold_otsu(np.clip(values, None, top))  # Otsu 1979
    paper = np.median(values[~dark])
    noise = 1.4826 * np.median(np.abs(values[~dark] - paper))
    full = np.percentile(values[dark], 75) - paper if dark.any() else 0
    if full < max(0.02, min(4 * noise, 0.6)):  # a tight picture has edges, hardly any paper
        return np.zeros_like(contrast), np.zeros(contrast.shape, bool)
    # Where a hairline is all the ink, Otsu's threshold may part ruled lines from paper instead.
    full = max(full, 0.75 * (top - paper))
    contrast = contrast - paper
    mask = filters.apply_hysteresis_threshold(contrast, max(0.3 * full, 3 * noise), 0.55 * full)
    return np.clip(contrast / full, 0, 1), mask


def _measure(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes [N, 4] and areas [N] of what has the labels 1, 2, ..."""
    found = measure.regionprops_table(labels, properties=("bbox", "area"))
    return np.stack([found[f"bbox-{i}"] for i in (1, 0, 3, 2)], axis=1), found["area"]


def _without_edges(mask: np.ndarray) -> np.ndarray:
    """Remove what runs along the picture's border: a table's edge, a cell's frame. Where ink
    reaches all its sides, the picture may be cut tight: then only what runs along most of it."""
    parts = measure.label(mask)
    boxes, _ = _measure(parts)
    border = np.concatenate([parts[0], parts[-1], parts[1:-1, 0], parts[1:-1, -1]])
    along = np.bincount(border, minlength=len(boxes) + 1)[1:]
    near = 1 + np.array(mask.shape) // 30
    sides = mask[: near[0]], mask[-near[0] :], mask[:, : near[1]], mask[:, -near[1] :]
    least = 1.3 if all(side.any() for side in sides) else 0.5
    is_edge = along > least * (boxes[:, 2:] - boxes[:, :2]).sum(axis=1)
    return mask & ~np.append(False, is_edge)[parts]


def _without_lines(mask: np.ndarray) -> np.ndarray:
    """Take lines out of what is too wide to be one digit: the rules of paper, the line under a
    number, the top and bottom of a frame."""
    mask = mask.copy()
    stroke = _stroke(mask) if mask.any() else 0
    for part in measure.regionprops(measure.label(mask)):
        height, width = part.image.shape
        is_row = width > 1.5 * height  # of digits; else it may be the top and bottom of a frame
        is_row |= width > 0.97 * mask.shape[1] and height < 0.85 * mask.shape[0]
        is_high = height > 7 * stroke  # else it may be the bar of a 5
        if is_row and is_high or width > max(0.7 * mask.shape[1], 5 * height):
            mask[part.slice] &= ~_find_lines(part.image, stroke)
    return mask


def _find_lines(part: np.ndarray, stroke: float) -> np.ndarray:
    """Return what is part of long, nearly level lines, and of nothing that crosses them, [H, W]."""
    runs, _ = ndimage.label(part, [[0, 1, 0]] * 3)  # up and down
    heights = np.bincount(runs.ravel())[runs]
    width = part.shape[1]
    lines = transform.probabilistic_hough_line(
        part & (heights <= 1.5 * stroke),
        line_length=round(0.6 * width),
        line_gap=round(0.1 * width),
        theta=np.pi / 2 + np.linspace(-0.1, 0.1, 41),
        rng=0,
    )
    found, (rows, columns) = np.zeros_like(part), np.indices(part.shape, sparse=True)
    for (left, first), (right, last) in lines:
        level = first + (columns - left) * (last - first) / (right - left)
        is_near = part & (np.abs(rows - level) <= stroke)
        found |= is_near & (heights <= 1.5 * np.median(heights[is_near]))
    return found


def _stroke(mask: np.ndarray) -> float:
    """Return the usual width of a stroke in pixels, where there is ink [H, W]."""
    to_paper = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return 2 * np.percentile(to_paper[mask], 90)


def _relative_sizes(boxes: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Return the size of each mark [N] divided by the usual one in its line: half of the ink is in
    larger marks, half in smaller ones. Where fewer than three make a line, all marks count."""
    tops, bottoms = boxes[:, 1], boxes[:, 3]
    sizes = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    overlap = np.minimum.outer(bottoms, bottoms) - np.maximum.outer(tops, tops)
    is_beside = overlap > 0.5 * np.minimum.outer(bottoms - tops, bottoms - tops)
    is_beside &= np.maximum.outer(sizes, sizes) < 4 * np.minimum.outer(sizes, sizes)
    is_beside |= is_beside.sum(axis=1, keepdims=True) < 3
    order = np.argsort(sizes)
    ink = (is_beside * areas)[:, order].cumsum(axis=1)
    return sizes / sizes[order[(ink >= ink[:, -1:] / 2).argmax(axis=1)]]


def _belong(boxes: np.ndarray, stroke: float, relative: np.ndarray) -> np.ndarray:
    """Say which marks are parts of one digit, bool [N, N]: those near each other, of which one is
    above the other or both are dots, unless both are nearly as large as the usual digit."""
    starts, stops = boxes[:, :2], boxes[:, 2:]
    # How far they are apart, across and down [N, N, 2]; below 0 they overlap by so much.
    apart = np.maximum(starts[:, None], starts) - np.minimum(stops[:, None], stops)
    distance = np.linalg.norm(np.maximum(apart, 0), axis=2)
    (widths, heights), sizes = (stops - starts).T, (stops - starts).max(axis=1)
    larger = np.maximum.outer(sizes, sizes)
    is_above = -apart[:, :, 0] > 0.5 * np.minimum.outer(widths, widths)
    is_near = distance < np.maximum(2 * stroke, 0.2 * larger)
    is_small = relative < 0.75
    is_hat = (relative < 1.25) & (3 * heights * relative < sizes)
    is_hat = is_hat[:, None] & (starts[:, None, 1] < starts[:, 1])
    is_fragment = is_small[:, None] | is_small | is_hat | is_hat.T
    return is_near & is_fragment & (is_above | (larger < 4 * stroke))


def _reading_order(boxes: np.ndarray, kept: np.ndarray) -> list[int]:
    """Return the indices of the boxes line by line, each from left to right. A box goes on with
    the line whose last box, left of it, it overlaps most, up and down: lines may be slanted."""
    lines = []
    for i in sorted(kept, key=lambda i: boxes[i, 0]):
        lasts = boxes[[line[-1] for line in lines] or slice(0)]  # none at first
        overlap = np.minimum(lasts[:, 3], boxes[i, 3]) - np.maximum(lasts[:, 1], boxes[i, 1])
        overlap[lasts[:, [0, 2]].mean(axis=1) > boxes[i, 0]] = 0  # it is above or below
        if overlap.max(initial=0) > 0.05 * (boxes[i, 3] - boxes[i, 1]):
            lines[overlap.argmax()].append(i)
        else:
            lines.append([i])
    lines.sort(key=lambda line: boxes[line][:, [1, 3]].mean())
    return [i for line in lines for i in line]
