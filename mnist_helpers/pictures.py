"""Pictures of handwriting: opening what people bring, removing the paper, and MNIST's format."""

import io
import os

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
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

    `picture` is a path, an open file or its bytes, a PIL image, or an array or tensor [H, W],
    [H, W, C] or [C, H, W] of 1, 3 or 4 channels and any range. What is transparent shows paper.
    Raises PictureError.
    """
    try:
        if isinstance(picture, (bytes, bytearray, memoryview)):
            picture = io.BytesIO(picture)
        if isinstance(picture, Image.Image):
            values, size = _unpack(picture.copy())
        elif isinstance(picture, (str, os.PathLike)) or hasattr(picture, "read"):
            with Image.open(picture, formats=FORMATS) as image:
                image.filename = ""  # else Pillow maps a TIFF into memory, and doesn't turn it
                values, size = _unpack(image)
        else:
            values = np.asarray(picture)
            if values.ndim == 3 and values.shape[0] in (1, 3, 4) and values.shape[2] > 4:
                values = np.moveaxis(values, 0, 2)
            size = values.shape[1::-1]
    except UnidentifiedImageError:
        raise PictureError(
            f"This is no picture that can be read here ({', '.join(FORMATS)}): save it as JPEG or "
            "PNG, also if it is in a phone's HEIC."
        ) from None
    except Exception as error:  # a damaged file makes Pillow raise nearly anything
        raise PictureError(f"This cannot be read as a picture: {error}") from error
    return _in_colour(values), size


def _unpack(image: Image.Image) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the first frame's values, upright and shrunk, and its width and height before that.
    The image itself is shrunk, too."""
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"it has more than {MAX_PIXELS:,} pixels; please shrink it.")
    if image.format == "TIFF" and image.n_frames > 1:  # the first may be blank
        raise ValueError(f"the file has {image.n_frames} pages; please save each as a picture.")
    size = image.size
    if image.mode.startswith("I"):  # 16 or 32 bits
        image = image.convert("I").convert("F")
    elif image.has_transparency_data or image.mode not in {"L", "RGB", "F"}:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    # No sharper filter: see _shrink. A JPEG isn't unpacked at more than twice that size.
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.BILINEAR)
    image = ImageOps.exif_transpose(image)
    is_turned = (image.width > image.height) != (size[0] > size[1])
    return np.asarray(image), size[::-1] if is_turned else size


def _in_colour(values: np.ndarray) -> np.ndarray:
    """Return values of any range and type as float32 [H, W, 3] in [0, 1]."""
    values = values[:, :, None] if values.ndim == 2 else values
    has_pixels = values.ndim == 3 and values.shape[2] in (1, 3, 4) and values.size > 0
    if not has_pixels or values.dtype.kind not in "buif" or not np.isfinite(values).all():
        raise PictureError(
            "A picture must be a path, a file, an image, or finite numbers of the shape [H, W], "
            f"[H, W, 3] or [H, W, 4], but this is {values.dtype} {list(values.shape)}."
        )
    is_byte = values.dtype == np.uint8 and values.max() > 1  # else it may be a mask of 0 and 1
    if not is_byte:
        low, high = float(values.min()), float(values.max())
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
    """Resample [H, W] or [H, W, C], with anti-aliasing."""
    channels = np.moveaxis(np.atleast_3d(np.float32(values)), 2, 0)
    resized = [Image.fromarray(each).resize((width, height), filter) for each in channels]
    return np.stack(resized, axis=2).reshape(height, width, *values.shape[2:])


def _scale_to(values: np.ndarray, side: int, filter: int = Image.Resampling.LANCZOS) -> np.ndarray:
    """Return [H, W] or [H, W, C] with so many pixels on its longer side, in its own range."""
    scale = side / max(values.shape[:2])
    size = [max(1, round(scale * length)) for length in values.shape[:2]]
    return np.clip(resize(values, *size, filter), values.min(), values.max())


def _shrink(values: np.ndarray, side: int) -> np.ndarray:
    """Return [H, W] or [H, W, C] with at most so many pixels on its longer side.

    No sharper filter: beside a stroke it makes paper brighter than paper nearby is."""
    return _scale_to(values, min(side, max(values.shape[:2])), Image.Resampling.BILINEAR)


def find_sheet(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where the sheet of paper is, bool [H, W], and the picture [H, W, 3] with nothing but
    paper around it. Where nothing is sure to be a sheet, it is all of the picture.

    A sheet is the largest and lightest region without sharp edges, when strokes are left out, and
    it is convex.
    """
    whole = np.ones(colours.shape[:2], bool)
    plain = ndimage.median_filter(_shrink(colours, 128), (9, 9, 1), mode="nearest")  # no strokes
    slopes = [ndimage.gaussian_gradient_magnitude(each, 1) for each in np.log(plain.T + 0.05)]
    is_even = ndimage.binary_erosion(np.max(slopes, axis=0).T < 0.03, SQUARE, border_value=1)
    if max(whole.shape) < 100 or not is_even.any():
        return whole, colours
    regions = measure.label(is_even, connectivity=1)
    # A desk may be larger than the sheet, but is darker.
    light = plain.mean(axis=2)
    sizes = np.bincount(regions[is_even], (light[is_even] + 0.05) ** 2)
    is_paper = ndimage.binary_dilation(regions == sizes.argmax(), SQUARE)
    sheet = morphology.convex_hull_image(is_paper)
    covered = ndimage.binary_fill_holes(is_paper).sum() / sheet.sum()
    if covered < 0.93 or not 0.15 < sheet.mean() < 0.98:
        return whole, colours
    if np.percentile(light[~sheet], 70) > 0.95 * light[is_paper].mean():  # the hole of a large 0
        return whole, colours
    nearest = ndimage.distance_transform_edt(~is_paper, return_distances=False, return_indices=True)
    around = resize(plain[tuple(nearest)], *whole.shape, Image.Resampling.BILINEAR)
    sheet = resize(sheet, *whole.shape) > 0.5
    return sheet, np.where(sheet[:, :, None], colours, around)


def remove_paper(colours: np.ndarray) -> np.ndarray:
    """Return the ink's contrast against the paper around it, [H, W], of a picture [H, W, 3].

    It is about 0 on paper and above 0 on ink. The paper is what a grey closing leaves (of dark
    ink): strokes, which are narrower than its window, vanish; shadows stay. Whether the ink is dark
    or light is tried: it is what covers less of the picture and of its border.
    """
    small = _shrink(colours, 64)
    # The mixture of red, green and blue in which ink and paper differ most.
    spread = (small - np.median(small, axis=(0, 1))).reshape(-1, 3)
    weights = np.linalg.eigh(spread.T @ spread).eigenvectors[:, -1]
    sign = min((1, -1), key=lambda sign: _covered(sign * small @ weights))
    grey = sign * (colours @ weights)
    grey = ndimage.gaussian_filter(grey, max(grey.shape) / 1000, mode="nearest")
    return resize(_find_paper(_shrink(grey, 128)), *grey.shape) - grey


def _find_paper(grey: np.ndarray) -> np.ndarray:
    """Return the brightness of the paper under dark ink, [H, W]."""
    window = max(5, round(WINDOW / 2 * max(grey.shape)))
    # Beyond the border everything is light, so that a stroke along the border vanishes, too.
    paper = ndimage.grey_closing(grey, 2 * window + 1, mode="constant", cval=grey.max())
    return ndimage.gaussian_filter(paper, window / 4, mode="nearest")


def _covered(grey: np.ndarray) -> float:
    """Return how much of a picture and its border is ink if it is dark ink."""
    contrast = _find_paper(grey) - grey
    full = max(np.percentile(contrast, 99), contrast.max() / 2, 1e-6)  # a hairline has few pixels
    ink = np.clip(contrast / full, 0, 1)
    i = min(ink.shape) // 21  # within a frame, but for small pictures
    border = np.concatenate([ink[i], ink[-1 - i], ink[:, i], ink[:, -1 - i]])
    return ink.mean() + 2 * border.mean()


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
