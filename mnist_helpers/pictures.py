"""Pictures of handwriting: opening what people bring, removing the paper, and MNIST's format."""

import base64
import io
import itertools
import os
import warnings

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from scipy import ndimage
from skimage import measure, morphology

# Not all that Pillow knows: its EPS starts a program, its ICO unpacks before it is asked.
FORMATS = ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"]
MAX_PIXELS = 64_000_000  # more is refused before it is unpacked
LARGEST_SIDE = 1000  # larger pictures are shrunk: no stroke needs more pixels
WINDOW = 0.4  # of the longer side: no stroke is thicker, and paper differs little over it
WORKING_SIZE = 160  # pixels of a digit's longer side while its strokes are worked on
BOX_SIZE = 20  # and in MNIST's format
SQUARE = np.ones((3, 3), bool)
THINNEST = 2.2  # width of a stroke in MNIST's pixels; half of MNIST's are thinner than 2.5


class PictureError(ValueError):
    """The picture cannot be read, or can be no picture of digits; the message says why."""


def open_picture(picture: object) -> tuple[np.ndarray, tuple[int, int]]:
    """Return a picture as it is displayed, float32 [H, W, 3] in [0, 1], shrunk so as to be at most
    1,000 pixels wide and high, and its width and height before that.

    `picture` is a path, an open file or its bytes, a data URL, a PIL image, a dict that has one as
    its "composite" (Gradio's sketch), or an array or tensor [H, W], [H, W, C] or [C, H, W] of 1, 3
    or 4 channels and any range. What is transparent shows paper. Raises PictureError.
    """
    if isinstance(picture, dict) and "composite" in picture:
        picture = picture["composite"]
    try:
        if isinstance(picture, str) and picture.startswith("data:"):
            picture = base64.b64decode(picture.partition(",")[2])
        if isinstance(picture, (bytes, bytearray, memoryview)):
            picture = io.BytesIO(picture)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of much that it then reads all the same
            if isinstance(picture, Image.Image):
                values, size = _unpack(picture, is_ours=False)
            elif isinstance(picture, (str, os.PathLike)) or hasattr(picture, "read"):
                with Image.open(picture, formats=FORMATS) as image:
                    values, size = _unpack(image, is_ours=True)
            else:
                values = np.asarray(picture)
                if values.ndim == 3 and values.shape[0] in (1, 3, 4) and values.shape[2] > 4:
                    values = np.moveaxis(values, 0, 2)
                size = values.shape[1::-1]
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError(
            f"This is no picture that can be read here ({', '.join(FORMATS)}): save it as JPEG or "
            "PNG, also if it is in a phone's HEIC."
        ) from None
    except Exception as error:  # a damaged file makes Pillow raise nearly anything
        raise PictureError(f"This cannot be read as a picture: {error}") from error
    return _in_colour(values), size


def _unpack(image: Image.Image, *, is_ours: bool) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the first frame's values, upright and shrunk, and its width and height before that."""
    if image.width * image.height > MAX_PIXELS:
        raise PictureError(f"The picture has more than {MAX_PIXELS:,} pixels; please shrink it.")
    if image.format == "TIFF" and image.n_frames > 1:  # the first may be blank
        raise PictureError(f"The file has {image.n_frames} pages; please save each as a picture.")
    size = image.size
    if image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8):  # lying on its side
        size = size[::-1]
    if is_ours:
        image.draft("RGB", (2 * LARGEST_SIDE, 2 * LARGEST_SIDE))  # JPEG is unpacked at that size
    image = ImageOps.exif_transpose(image)  # a copy
    if image.mode.startswith("I"):  # 16 or 32 bits
        image = image.convert("I").convert("F")
    elif image.has_transparency_data or image.mode not in {"L", "RGB", "F"}:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    # No sharper filter: see _shrink.
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.BILINEAR)
    return np.asarray(image), size


def _in_colour(values: np.ndarray) -> np.ndarray:
    """Return values of any range and type as float32 [H, W, 3] in [0, 1]."""
    values = values[:, :, None] if values.ndim == 2 else values
    has_pixels = values.ndim == 3 and values.shape[2] in (1, 3, 4) and values.size > 0
    if not has_pixels or values.dtype.kind not in "buif":
        raise PictureError(
            "A picture must be a path, a file, an image, or numbers of the shape [H, W], [H, W, 3] "
            f"or [H, W, 4], but this is {values.dtype} {list(values.shape)}."
        )
    is_byte = values.dtype == np.uint8 and values.max() > 1  # else it may be a mask of 0 and 1
    if not is_byte:
        low, high = float(values.min()), float(values.max())
        if not np.isfinite(high - low):
            raise PictureError("The picture holds values that are infinite or not a number.")
        values = (values / 2 - low / 2) / ((high - low) / 2 or 1)  # halves of 3e38 don't overflow
    values = np.clip(_shrink(values, LARGEST_SIDE) / (255 if is_byte else 1), 0, 1)
    if values.shape[2] == 4:  # behind what is transparent lies paper on which the rest can be seen
        values, alpha = values[:, :, :3], values[:, :, 3:]
        is_dark = (values * alpha).sum() < 0.5 * 3 * alpha.sum()
        values = values * alpha + is_dark * (1 - alpha)
    return np.broadcast_to(values, (*values.shape[:2], 3))


def resize(
    values: np.ndarray, height: int, width: int, filter: int = Image.Resampling.LANCZOS
) -> np.ndarray:
    """Resample [H, W], with anti-aliasing."""
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(image.resize((width, height), filter))


def _shrink(values: np.ndarray, side: int) -> np.ndarray:
    """Return [H, W, C] so that it is at most so many pixels wide and high.

    No sharper filter: beside a stroke it makes paper brighter than any paper is."""
    scale = min(side / max(values.shape[:2]), 1)
    size = [max(1, round(scale * length)) for length in values.shape[:2]]
    channels = np.moveaxis(values, 2, 0)
    return np.stack([resize(each, *size, Image.Resampling.BILINEAR) for each in channels], axis=2)


def find_sheet(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where the sheet of paper is, bool [H, W], and the picture [H, W, 3] with nothing but
    paper around it. Where nothing is sure to be a sheet, it is all of the picture.

    A sheet is one of the two largest regions without sharp edges, when strokes are left out, and
    it is convex.
    """
    whole = np.ones(colours.shape[:2], bool)
    if max(whole.shape) < 100:
        return whole, colours
    plain = ndimage.median_filter(_shrink(colours, 128), (9, 9, 1), mode="nearest")  # no strokes
    slopes = [ndimage.gaussian_gradient_magnitude(each, 1) for each in np.log(plain.T + 0.05)]
    is_even = ndimage.binary_erosion(np.max(slopes, axis=0).T < 0.03, SQUARE, border_value=1)
    regions = measure.label(is_even, connectivity=1)
    least = -1.0  # the brightness
    for region in np.argsort(-np.bincount(regions[is_even]))[:2]:  # the largest may be a desk
        is_paper = ndimage.binary_dilation(is_even & (regions == region), SQUARE)
        sheet = morphology.convex_hull_image(is_paper) if is_paper.any() else is_paper
        covered = ndimage.binary_fill_holes(is_paper).sum() / max(sheet.sum(), 1)
        light = plain[is_paper].mean() if is_paper.any() else -1
        if covered >= 0.93 and 0.15 < sheet.mean() < 0.98 and light > least:
            break
        least = light + 0.05  # paper is lighter than a desk; the hole of a 0 isn't
    else:
        return whole, colours
    nearest = ndimage.distance_transform_edt(~is_paper, return_distances=False, return_indices=True)
    around = plain[tuple(nearest)]
    around = np.stack([resize(each, *whole.shape) for each in np.moveaxis(around, 2, 0)], axis=2)
    # One pixel less: a strip of desk along the border may be too thin to be seen here.
    sheet = ndimage.binary_erosion(sheet, SQUARE)
    sheet = resize(sheet, *whole.shape, Image.Resampling.BILINEAR) > 0.5
    return sheet, np.where(sheet[:, :, None], colours, np.clip(around, 0, 1))


def remove_paper(colours: np.ndarray) -> np.ndarray:
    """Return the ink's contrast against the paper around it, [H, W], of a picture [H, W, 3].

    It is about 0 on paper and above 0 on ink. The paper is what a grey closing leaves (of dark
    ink): strokes, which are narrower than its window, vanish; shadows stay. Whether the ink is dark
    or light, and whether the light changes across the paper, is tried: the ink is what covers least
    of the picture, of its border, and of a small picture's corners.
    """
    small = _shrink(colours, 64)
    # The mixture of red, green and blue in which ink and paper differ most.
    spread = (small - np.median(small, axis=(0, 1))).reshape(-1, 3)
    weights = np.linalg.eigh(spread.T @ spread).eigenvectors[:, -1]
    weights = np.float32(weights * np.copysign(1, weights.sum()))
    small = small @ weights
    is_tiny = max(small.shape) <= 32  # then ink may be most of it, and no light is to be seen
    ways = itertools.product((1, -1), (False, not is_tiny))
    sign, is_shaded = min(ways, key=lambda way: _covered(way[0] * small, way[1]))
    grey = sign * (colours @ weights)
    grey = ndimage.gaussian_filter(grey, max(colours.shape[:2]) / 1000, mode="nearest")
    paper = _find_paper(_shrink(grey[:, :, None], 128)[:, :, 0], is_shaded)
    return resize(paper, *grey.shape) - grey


def _find_paper(grey: np.ndarray, is_shaded: bool) -> np.ndarray:
    """Return the brightness of the paper under dark ink, [H, W]."""
    light = _find_light(grey) if is_shaded else 0
    window = max(5, round(WINDOW / 2 * max(grey.shape)))
    # Beyond the border everything is light, so that a stroke along the border vanishes, too.
    rest = grey - light
    paper = ndimage.grey_closing(rest, 2 * window + 1, mode="constant", cval=rest.max())
    return light + ndimage.gaussian_filter(paper, window / 4, mode="nearest")


def _find_light(grey: np.ndarray) -> np.ndarray:
    """Return the slow change of light across paper with dark ink, [H, W]: a polynomial of second
    degree, fitted to what isn't much darker than it."""
    rows, columns = np.mgrid[-1 : 1 : grey.shape[0] * 1j, -1 : 1 : grey.shape[1] * 1j]
    terms = np.stack([rows**0, rows, columns, rows**2, columns**2, rows * columns], axis=2)
    is_paper = np.ones(grey.shape, bool)
    for _ in range(10):
        some = terms[is_paper]  # least squares by the normal equations, which are fast
        light = terms @ np.linalg.lstsq(some.T @ some, some.T @ grey[is_paper], rcond=None)[0]
        is_paper = grey >= light - (grey - light).std()
    return light


def _covered(grey: np.ndarray, is_shaded: bool) -> float:
    """Return how much of a picture and its border is ink if it is dark ink, in even light or not.
    Uneven light can explain away much, so it has to be better."""
    contrast = _find_paper(grey, is_shaded) - grey
    full = max(np.percentile(contrast, 99), contrast.max() / 2, 1e-6)  # a hairline has few pixels
    ink = np.clip(contrast / full, 0, 1)
    i = min(ink.shape) // 21  # within a frame, but for small pictures
    border = np.concatenate([ink[i], ink[-1 - i], ink[:, i], ink[:, -1 - i]])
    covered = ink.mean() + 2 * border.mean()
    if max(ink.shape) <= 32:  # digits cut tight seldom reach corners; a photo's may be dark
        covered += 2 * ink[np.ix_([0, -1], [0, -1])].mean()
    return (1.2 if is_shaded else 1) * covered


def normalise(ink: np.ndarray) -> torch.Tensor:
    """Bring one digit's ink [H, W] in [0, 1] into MNIST's format, uint8 [28, 28]."""
    ink = _scale_to(np.pad(crop(ink), 1), WORKING_SIZE)
    core = morphology.skeletonize(ink > 0.5)
    to_paper = ndimage.distance_transform_edt(np.pad(ink > 0.5, 1))[1:-1, 1:-1]
    width = 2 * np.median(to_paper[core]) if core.any() else 1
    grow = round((THINNEST * WORKING_SIZE / BOX_SIZE - width) / 2)
    if grow > 0:
        ink = ndimage.grey_dilation(np.pad(ink, grow), footprint=morphology.disk(grow))
    ink = _scale_to(crop(ink), BOX_SIZE)
    image = np.zeros((28, 28), np.uint8)
    # MNIST's own centres of mass are at row and column 14, counted from 0.
    middles = zip(ndimage.center_of_mass(ink), ink.shape, strict=True)
    top, left = (int(np.clip(round(14 - middle), 0, 28 - side)) for middle, side in middles)
    image[top : top + ink.shape[0], left : left + ink.shape[1]] = np.round(255 * ink)
    return torch.from_numpy(image)


def crop(ink: np.ndarray) -> np.ndarray:
    """Return the part of [H, W] that holds the ink."""
    rows, columns = np.nonzero(ink > min(0.2, ink.max() / 2))
    return ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def _scale_to(ink: np.ndarray, side: int) -> np.ndarray:
    scale = side / max(ink.shape)
    return np.clip(resize(ink, *(max(1, round(scale * length)) for length in ink.shape)), 0, 1)
