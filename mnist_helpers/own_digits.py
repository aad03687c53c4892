"""Digits that people wrote themselves: from a picture to MNIST's format, and to an answer.

python -m mnist_helpers.own_digits photo.jpg [--model models/mnist.pt] [--show OUT.png]
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from skimage import filters, morphology
from torch import nn
from torch.nn import functional as F

from .pictures import PictureError, find_ink, open_picture, resize

FULL = 75
LOW = 0.3
WORKING_SIZE = 160  # pixels of the digit's longer side while its strokes are worked on
BOX_SIZE = 20  # and in MNIST's format
THINNEST = 2.2  # width of a stroke in MNIST's pixels; there it is 2.8 on average
MOST_DIGITS = 200  # on a page; where more is found, it is a pattern or noise
CONFIDENCE = 0.75  # below this, the answer is "no digit": 1 % of the validation digits


class Box(NamedTuple):
    """A rectangle in pixels of the picture as displayed; right and bottom are just outside."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class Reading:
    """What was read in one place of a picture: `digit` is None where it is no digit."""

    digit: int | None
    probabilities: torch.Tensor  # float [10]
    box: Box
    image: torch.Tensor  # uint8 [28, 28], which the network saw


def to_mnist(picture: object) -> torch.Tensor:
    """Return a picture of one digit as MNIST's own were made: uint8 [28, 28], ink 255."""
    page = Page(picture)
    if not page.boxes:
        raise PictureError("There is no ink on the picture.")
    return normalise(np.where(page.labels > 0, page.ink, 0))


def find_digits(picture: object) -> list[Box]:
    """Return the boxes of the digits on a picture, line by line, from left to right."""
    page = Page(picture)
    return [page.displayed(box) for box in page.boxes]


def read_digits(model: nn.Module, picture: object) -> list[Reading]:
    """Read all digits on a picture, line by line, from left to right."""
    page = Page(picture)
    if not page.boxes:
        return []
    images = torch.stack(
        [normalise(np.where(page.labels == i, page.ink, 0)) for i in range(1, len(page.boxes) + 1)]
    )
    probabilities = steady_probabilities(model, images)
    return [
        Reading(int(p.argmax()) if p.max() >= CONFIDENCE else None, p, page.displayed(box), image)
        for p, box, image in zip(probabilities, page.boxes, images, strict=True)
    ]


def steady_probabilities(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the mean probabilities [N, 10] over copies that are slightly turned, scaled, moved."""
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    was_training = model.training
    model.eval()
    x = images[:, None].float() / 255
    total = 0
    variants = [
        (0, 1, 0, 0),
        (10, 1, 0, 0),
        (-10, 1, 0, 0),
        (0, 1.12, 0, 0),
        (0, 0.88, 0, 0),
        (0, 1, 1.5, 0),
        (0, 1, -1.5, 0),
        (0, 1, 0, 1.5),
        (0, 1, 0, -1.5),
    ]
    with torch.inference_mode():
        for angle, scale, dx, dy in variants:
            a = np.deg2rad(angle)
            theta = torch.tensor(
                [
                    [np.cos(a) / scale, -np.sin(a) / scale, dx / 14],
                    [np.sin(a) / scale, np.cos(a) / scale, dy / 14],
                ],
                dtype=torch.float32,
            )
            grid = F.affine_grid(theta.expand(len(x), 2, 3), x.shape, align_corners=False)
            moved = F.grid_sample(x, grid, align_corners=False)
            total = total + model(moved.to(device)).float().softmax(dim=1).cpu()
    model.train(was_training)
    return total / len(variants)


class Page:
    """The ink on a picture, and to which digit it belongs."""

    def __init__(self, picture: object):
        colours, self.scale = open_picture(picture)
        self.contrast, self.paper = find_ink(colours)
        self.colours = colours
        self.ink, mask = threshold(self.contrast)
        self.labels, self.boxes = group(mask)

    def displayed(self, box: Box) -> Box:
        return Box(*(round(side / self.scale) for side in box))


def threshold(contrast: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ink in [0, 1] and where it is, bool, [H, W] each."""
    top = np.percentile(contrast, 99.9) if contrast.size > 4000 else contrast.max()
    split = filters.threshold_otsu(np.clip(contrast, None, top))
    below = contrast[contrast <= split]
    contrast = contrast - np.median(below)
    noise = 1.4826 * np.median(np.abs(below - np.median(below)))
    full = np.percentile(contrast[contrast > split - np.median(below)], FULL)
    if full < max(0.02, 4 * noise):
        return np.zeros_like(contrast), np.zeros(contrast.shape, bool)
    mask = filters.apply_hysteresis_threshold(contrast, max(LOW * full, 3 * noise), 0.55 * full)
    return np.clip(contrast / full, 0, 1), mask


def group(mask: np.ndarray) -> tuple[np.ndarray, list[Box]]:
    """Join the parts of broken digits, drop specks; return labels [H, W] and their boxes in the
    order in which one reads."""
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    if count == 0:
        return parts, []
    areas = np.bincount(parts.ravel())[1:]
    kept = areas > 0.02 * areas.max()
    if kept.sum() > MOST_DIGITS * 3:
        return np.zeros_like(parts), []
    slices = ndimage.find_objects(parts)
    boxes = [
        (Box(s[1].start, s[0].start, s[1].stop, s[0].stop), {i + 1})
        for i, s in enumerate(slices)
        if kept[i]
    ]
    stroke = 2 * np.percentile(
        ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1][mask], 90
    )
    boxes = merge(boxes, stroke)
    largest = max(size(box) for box, _ in boxes)
    boxes = [(box, members) for box, members in boxes if size(box) >= 0.25 * largest]
    if len(boxes) > MOST_DIGITS:
        return np.zeros_like(parts), []
    boxes = in_reading_order(boxes)
    new = np.zeros(count + 1, int)
    for i, (_, members) in enumerate(boxes, start=1):
        new[list(members)] = i
    labels = ndimage.grey_dilation(new[parts], (3, 3))  # with the strokes' soft edge
    return labels, [box for box, _ in boxes]


def size(box: Box) -> int:
    return max(box.right - box.left, box.bottom - box.top)


def merge(boxes: list, stroke: float) -> list:
    merged = True
    while merged:
        merged = False
        largest = max(size(box) for box, _ in boxes)
        for i in range(len(boxes)):
            for j in range(i):
                if belong(boxes[i][0], boxes[j][0], stroke, largest):
                    a, b = boxes[i][0], boxes[j][0]
                    both = Box(
                        min(a.left, b.left),
                        min(a.top, b.top),
                        max(a.right, b.right),
                        max(a.bottom, b.bottom),
                    )
                    boxes[j] = (both, boxes[i][1] | boxes[j][1])
                    del boxes[i]
                    merged = True
                    break
            if merged:
                break
    return boxes


def belong(a: Box, b: Box, stroke: float, largest: int) -> bool:
    across = max(a.left, b.left) - min(a.right, b.right)
    down = max(a.top, b.top) - min(a.bottom, b.bottom)
    gap = np.hypot(max(across, 0), max(down, 0))
    if min(size(a), size(b)) < max(4 * stroke, 0.5 * largest):  # a fragment
        return gap < max(2 * stroke, 0.2 * max(size(a), size(b)))
    narrow = min(a.right - a.left, b.right - b.left)
    return -across > 0.5 * narrow and down < 0.12 * largest


def in_reading_order(boxes: list) -> list:
    lines = []
    for box in sorted(boxes, key=lambda pair: pair[0].top + pair[0].bottom):
        middle = (box[0].top + box[0].bottom) / 2
        if lines and middle < lines[-1][0][0].bottom:
            lines[-1].append(box)
        else:
            lines.append([box])
    return [box for line in lines for box in sorted(line, key=lambda pair: pair[0].left)]


def normalise(ink: np.ndarray) -> torch.Tensor:
    """Bring one digit's ink [H, W] in [0, 1] into MNIST's format, uint8 [28, 28]."""
    crop = resize_longer_side(np.pad(crop_to(ink, 0.1), 1), WORKING_SIZE)
    mask = crop > 0.5
    inside = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    skeleton = morphology.skeletonize(mask)
    width = 2 * np.median(inside[skeleton]) if skeleton.any() else 1
    grow = round((THINNEST * WORKING_SIZE / BOX_SIZE - width) / 2)
    if grow > 0:
        disc = np.hypot(*np.ogrid[-grow : grow + 1, -grow : grow + 1]) <= grow
        crop = ndimage.grey_dilation(np.pad(crop, grow), footprint=disc)
    crop = resize_longer_side(crop_to(crop, 0.2), BOX_SIZE)
    canvas = np.zeros((28, 28), np.float32)
    y, x = ndimage.center_of_mass(crop)
    top = int(np.clip(round(14 - y), 0, 28 - crop.shape[0]))
    left = int(np.clip(round(14 - x), 0, 28 - crop.shape[1]))
    canvas[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    return torch.from_numpy(np.uint8(np.round(255 * canvas)))


def crop_to(ink: np.ndarray, least: float) -> np.ndarray:
    rows, columns = (
        np.flatnonzero((ink > least).any(axis=1)),
        np.flatnonzero((ink > least).any(axis=0)),
    )
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def resize_longer_side(ink: np.ndarray, side: int) -> np.ndarray:
    scale = side / max(ink.shape)
    return np.clip(resize(ink, *[max(1, round(scale * length)) for length in ink.shape]), 0, 1)
