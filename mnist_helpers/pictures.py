"""A picture of handwriting, as people bring it, becomes a map of its ink."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from scipy import ndimage
from skimage import filters

MAX_PIXELS = 64_000_000  # more is refused before it is unpacked
TOO_LARGE = f"The picture has more than {MAX_PIXELS:,} pixels; please shrink it."
EMPTY = "The picture has no pixels."
LARGEST_SIDE = 1000  # larger pictures are shrunk: no stroke needs more pixels
WINDOW = 0.3  # of the longer side: no stroke is thicker, and paper differs little over it


class PictureError(ValueError):
    """The picture cannot be read; the message says why, in one sentence."""


def open_picture(picture: object) -> tuple[np.ndarray, float]:
    """Return a picture as it is displayed, float32 [H, W, 3] in [0, 1], and by how much it was
    shrunk so as to be at most 1,000 pixels wide and high.

    `picture` is a path, a PIL image or an array or tensor [H, W], [H, W, 1], [H, W, 3] or
    [H, W, 4]. What is transparent shows paper. Raises PictureError.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of much that it then reads all the same
            if isinstance(picture, (str, Path)):
                with Image.open(picture) as image:
                    side, values = max(image.size), _unpack(image)
            elif isinstance(picture, Image.Image):
                side, values = max(picture.size), _unpack(picture)
            else:
                values = np.asarray(picture)
                side = max(values.shape, default=0)
    except PictureError:
        raise
    except FileNotFoundError:
        raise PictureError(f"There is no file {str(picture)!r}.") from None
    except Image.DecompressionBombError:
        raise PictureError(TOO_LARGE) from None
    except Exception as error:  # a damaged file makes Pillow raise nearly anything
        raise PictureError(f"This cannot be read as a picture: {error}") from error
    colours = _in_colour(values)
    return colours, max(colours.shape) / side


def _unpack(image: Image.Image) -> np.ndarray:
    """Return the first frame's values, turned upright, at most about twice LARGEST_SIDE long."""
    if image.width * image.height > MAX_PIXELS:
        raise PictureError(TOO_LARGE)
    if 0 in image.size:
        raise PictureError(EMPTY)
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        image = Image.fromarray(np.asarray(image, dtype=np.float32))
    else:
        image.draft("RGB", (2 * LARGEST_SIDE, 2 * LARGEST_SIDE))  # JPEG is unpacked at that size
        if image.mode not in {"L", "RGB", "RGBA"}:
            image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    factor = max(image.size) // LARGEST_SIDE
    if factor > 1:
        image = image.reduce(factor)
    return np.asarray(ImageOps.exif_transpose(image))


def _in_colour(values: np.ndarray) -> np.ndarray:
    """Return values of any range and type as float32 [H, W, 3] in [0, 1]."""
    if values.ndim == 2:
        values = values[:, :, None]
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4) or values.dtype.kind not in "buif":
        raise PictureError(
            "A picture must be a path, an image, or numbers of the shape [H, W], [H, W, 3] or "
            f"[H, W, 4], but this is {values.dtype} {list(values.shape)}."
        )
    if values.size == 0:
        raise PictureError(EMPTY)
    if values.shape[0] * values.shape[1] > MAX_PIXELS:
        raise PictureError(TOO_LARGE)
    is_byte = values.dtype == np.uint8
    scale = min(LARGEST_SIDE / max(values.shape[:2]), 1)
    size = [max(1, round(scale * length)) for length in values.shape[:2]]
    channels = [resize(channel, *size) for channel in np.moveaxis(values, 2, 0)]
    values = np.stack(channels, axis=2)
    low, high = (0, 255) if is_byte else (values.min(), values.max())
    if not np.isfinite([low, high]).all():
        raise PictureError("The picture holds values that are infinite or not a number.")
    values = (values - low) / (high - low or 1)
    if values.shape[2] == 4:
        values = _on_paper(values[:, :, :3], values[:, :, 3:])
    if np.ptp(values) == 0:
        raise PictureError("The picture has the same colour everywhere: nothing is written on it.")
    return np.broadcast_to(values, (*values.shape[:2], 3))


def resize(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resample [H, W], with anti-aliasing."""
    values = np.asarray(values, dtype=np.float32)
    if values.shape == (height, width):
        return values
    image = Image.fromarray(np.ascontiguousarray(values))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))


def _on_paper(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Put paper behind a picture that is transparent in places."""
    opaque = alpha[:, :, 0] > 0.5
    if not opaque.any():
        return np.ones_like(colours)
    middle = np.median(colours[opaque], axis=0)
    if opaque.mean() < 0.5:  # only the ink is opaque: paper is what it can be seen on
        middle = np.float32(middle.mean() < 0.5)
    return colours * alpha + middle * (1 - alpha)


def find_ink(colours: np.ndarray) -> np.ndarray:
    """Return the ink's contrast against the paper around it, [H, W], of a picture [H, W, 3].

    Contrast is about 0 on paper and above 0 on ink. First, ink is what covers less than
    paper does: that decides whether it is dark or light. Then the paper is what a grey closing
    leaves (for dark ink): strokes, which are narrower than its window, vanish, shadows and the
    table's edge stay.
    """
    grey = _strongest_colour(colours)
    if _is_light(grey):
        grey = -grey
    side = max(grey.shape)
    grey = ndimage.gaussian_filter(grey, side / 1000, mode="nearest")
    small = _thumbnail(grey, 128)
    window = _window(small)
    paper = ndimage.grey_closing(small, 2 * window + 1, mode="reflect")
    paper = ndimage.gaussian_filter(paper, window / 4, mode="nearest")
    contrast = resize(paper, *grey.shape) - grey
    return contrast - _ruling(contrast) - _ruling(contrast.T).T


def _ruling(contrast: np.ndarray) -> np.ndarray:
    """Return the contrast [H, W] of what runs straight across the picture: the lines of ruled or
    squared paper, fainter than ink, and four at least: a digit has at most three strokes across.

    Half of the pixels along such a line show it, whatever is written on it: hence the median.
    """
    rows, columns = np.ogrid[: contrast.shape[0], : contrast.shape[1]]

    def at(slope: float, every: int = 1) -> tuple[np.ndarray, np.ndarray]:
        drop = np.round(slope * (columns[:, ::every] - contrast.shape[1] / 2)).astype(int)
        return (rows + drop) % len(rows), columns[:, ::every]

    few = max(1, contrast.shape[1] // 50)
    profiles = {
        slope: np.median(contrast[at(slope, few)], axis=1) for slope in np.linspace(-0.06, 0.06, 25)
    }
    slope = max(profiles, key=lambda slope: profiles[slope].std())
    profile = np.median(contrast[at(slope)], axis=1)
    is_line = profile > profile.std()
    if np.count_nonzero(np.diff(is_line)) < 8:  # each line begins and ends
        return np.zeros_like(contrast)
    strength = np.median(profile[is_line])
    if strength > 0.6 * contrast.max():  # as dark as ink
        return np.zeros_like(contrast)
    profile[profile > 1.5 * strength] = 0  # a stroke, longer than half the way
    ruling = np.empty_like(contrast)
    ruling[at(slope)] = ndimage.maximum_filter(profile, 3)[:, None]  # no line is that straight
    return ruling


def _window(grey: np.ndarray) -> int:
    return max(2, round(WINDOW / 2 * max(grey.shape)))


def _thumbnail(grey: np.ndarray, side: int) -> np.ndarray:
    scale = min(side / max(grey.shape), 1)
    return resize(grey, *[max(1, round(scale * length)) for length in grey.shape])


def _strongest_colour(colours: np.ndarray) -> np.ndarray:
    """Return the mixture of red, green and blue [H, W] in which ink and paper differ most."""
    thumbnail = np.stack([_thumbnail(colours[:, :, i], 64) for i in range(3)], axis=2)
    spread = (thumbnail - np.median(thumbnail, axis=(0, 1))).reshape(-1, 3)
    _, vectors = np.linalg.eigh(spread.T @ spread)
    weights = vectors[:, -1]
    if weights.sum() < 0:
        weights = -weights
    return colours @ weights.astype(np.float32)


def _is_light(grey: np.ndarray) -> bool:
    """Say whether the ink is lighter than the paper."""
    small = _thumbnail(grey, 48)
    small = small - ndimage.median_filter(small, 4 * _window(small) + 1, mode="reflect")
    deviation = small.std()
    if deviation < 1e-6:
        return False
    skewness = np.mean(small**3) / deviation**3
    light = small > filters.threshold_otsu(small)
    border = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
    return skewness + 6 * (0.5 - border.mean()) > 0
