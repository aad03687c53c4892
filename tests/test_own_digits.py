"""From a picture of somebody's handwriting to MNIST's format, and to an answer or none."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from scipy import ndimage
from torch import nn

from mnist_helpers import (
    Box,
    PictureError,
    predict_digits,
    predict_proba,
    pretrained,
    to_mnist,
)
from mnist_helpers.drawings import draw

from .conftest import ROOT

NETWORK = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))  # untrained, where only boxes matter


@pytest.fixture(scope="module")
def digits(data) -> np.ndarray:
    """A validation image of each digit from 0 to 9, uint8 [10, 28, 28]."""
    images, labels = data.validation.tensors
    return np.stack([images[labels == digit][1, 0].numpy() for digit in range(10)])


def find_boxes(picture: object) -> list[Box]:
    return [prediction.box for prediction in predict_digits(NETWORK, picture)]


def classify(picture: object) -> str:
    """Return the digits on a picture, with "?" for what is none."""
    digits = [prediction.digit for prediction in predict_digits(pretrained(), picture)]
    return "".join("?" if digit is None else str(digit) for digit in digits)


def enlarged(image: np.ndarray, side: int = 280) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def page(digits: np.ndarray, *rows: str) -> np.ndarray:
    """Return the ink, in [0, 1], of rows of digits that are 40 pixels high, 60 a digit."""
    written = [np.hstack([enlarged(digits[int(digit)], 60) for digit in row]) for row in rows]
    return np.pad(np.vstack(written) / 255, 10)


def on_paper(ink: np.ndarray, dark: float = 0.2, light: float = 0.9) -> np.ndarray:
    return light - (light - dark) * ink


def difference(image: torch.Tensor, other: np.ndarray) -> float:
    """The mean absolute difference, as a share of the ink, where at most one pixel of shift (the
    centre of mass is rounded to pixels) doesn't count."""
    shifts = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    moved = [np.roll(image.numpy().astype(float), shift, (0, 1)) for shift in shifts]
    return min(float(np.abs(values - other).sum() / other.sum()) for values in moved)


def line(width: int = 4, side: int = 200, dark: float = 0.2, light: float = 0.9) -> np.ndarray:
    """A vertical line in a picture of floats."""
    picture = np.full((side, side), light)
    picture[40:160, 100 : 100 + width] = dark
    return picture


LINE = Box(100, 40, 104, 160)  # where it is


def test_mnist_images_stay_as_they_are(digits):
    assert np.mean([difference(to_mnist(image), image) for image in digits]) < 0.25


@pytest.mark.parametrize(
    "change", ["enlarged", "inverted", "padded", "rgb", "16 bit", "shaded", "below a lamp"]
)
def test_a_changed_picture_gives_nearly_the_same_image(digits, change):
    rows, columns = np.mgrid[:280, :280] / 280
    for image in digits:
        large = enlarged(image)
        picture = {
            "enlarged": large,
            "inverted": 255 - large,
            "padded": np.pad(large, ((150, 10), (0, 120))),
            "rgb": np.repeat(large[:, :, None], 3, axis=2),
            "16 bit": large.astype(np.uint16) * 257,
            "shaded": 40 + large * 0.5 + np.linspace(0, 60, 280),
            "below a lamp": (1 - 0.1 * rows**2 - 0.1 * columns**2) * (230 - 190 * (large / 255)),
        }[change]
        assert difference(to_mnist(picture), to_mnist(image).numpy()) < 0.35


def test_the_ink_is_twenty_pixels_long_and_its_centre_of_mass_in_the_middle(digits):
    for image in digits:
        ink = to_mnist(enlarged(image, 500)).numpy()
        assert max(np.ptp(np.nonzero(ink), axis=1)) + 1 == 20
        assert np.allclose(ndimage.center_of_mass(ink), 14, atol=0.75)


def test_a_hairline_becomes_as_wide_as_a_stroke_of_mnist():
    rows, columns = np.ogrid[:400, :400]
    ring = np.abs(np.hypot(rows - 200, columns - 200) - 150) > 2
    ink = to_mnist(np.where(ring, 0.9, 0.2)).numpy().sum() / 255
    # Of a ring that is 20 pixels wide, from its area.
    assert 10 - np.sqrt(100 - ink / np.pi) == pytest.approx(2.2, abs=0.3)


def test_soft_edges_are_ink():
    rows, columns = np.ogrid[:28, :28]
    ink = np.clip((3.5 - np.abs(np.hypot(rows - 14, columns - 14) - 7)) / 2, 0, 1)  # a ring
    assert to_mnist(ink).numpy().sum() / 255 == pytest.approx(ink.sum(), rel=0.03)


def drawn(strokes: list, side: int, pen: int, *, smooth: bool) -> np.ndarray:
    """Draw strokes, given in 280 units, as a paint program does, in black on white."""
    scale = 4 if smooth else 1
    picture = Image.new("L", (scale * side, scale * side), 255)
    brush, radius = ImageDraw.Draw(picture), scale * pen / 2 - 0.5
    for stroke in strokes:
        points = [(x * scale * side / 280, y * scale * side / 280) for x, y in stroke]
        brush.line(points, fill=0, width=scale * pen)
        for x, y in points if pen > 2 else []:
            brush.ellipse((x - radius, y - radius, x + radius, y + radius), fill=0)
    return np.asarray(picture.reduce(scale))


@pytest.mark.parametrize(
    "side, pens", [(64, (1, 6)), (150, (1, 3, 15)), (290, (2, 4, 29)), (1500, (1, 150))]
)
def test_any_pen_is_found_and_classified_as_well_as_a_wide_one(side, pens):
    drawings = json.loads((ROOT / "mnist_helpers" / "gallery.json").read_text())["drawings"]
    right = {}
    for pen in pens:
        pictures = [
            drawn(each["strokes"], side, pen, smooth=i % 4 > 1) for i, each in enumerate(drawings)
        ]
        pictures[1::2] = [255 - picture for picture in pictures[1::2]]
        answers = [classify(picture) for picture in pictures]
        assert all(answers)
        right[pen] = sum(a == str(each["label"]) for a, each in zip(answers, drawings, strict=True))
    assert min(right.values()) >= right[pens[-1]] - 1


@pytest.mark.parametrize(
    "paper, ink", [((255, 255, 255), (255, 255, 60)), ((255, 0, 0), (0, 255, 0))]
)
def test_coloured_ink_is_found_though_it_is_as_light_as_paper(paper, ink):
    colours = np.where(line()[:, :, None] > 0.5, paper, ink).astype(np.uint8)
    assert find_boxes(colours) == [LINE]


def test_a_broken_stroke_among_specks_is_one_digit():
    picture = line()
    picture[10:12, 20:22] = picture[32:34, 101:103] = 0.2
    picture[70:78] = 0.9
    assert find_boxes(picture) == [LINE]


@pytest.mark.parametrize(
    ("paper", "ink", "palette", "options"),
    [
        (40, 42, [], {"transparency": 40}),
        (np.arange(200) * 37 % 200, 255, 765 * [9] + 3 * [99], {}),
    ],
)
def test_colours_count_not_the_numbers_that_stand_for_them(paper, ink, palette, options):
    picture = Image.fromarray(np.uint8(np.where(line() < 0.5, ink, paper)))
    if palette:
        picture.putpalette(palette)
    picture.save(file := io.BytesIO(), "png", **options)
    assert find_boxes(file) == [LINE]


@pytest.mark.parametrize("ink", [0, 255])
def test_transparent_pictures_show_ink_of_either_kind(ink):
    picture = np.full((200, 200, 4), ink, np.uint8)
    picture[:, :, 3] = 255 * (line() < 0.5)
    assert find_boxes(picture) == [LINE]


@pytest.mark.parametrize(
    "kind",
    ["text", "BytesIO", "memoryview", "open file", "[1, H, W]", "[3, H, W]", "mask", "3e38"],
)
def test_a_picture_comes_in_many_ways(kind, tmp_path):
    path = tmp_path / "line.png"
    Image.fromarray(np.uint8(255 * line())).save(path)
    with path.open("rb") as file:
        picture = {
            "text": str(path),
            "BytesIO": io.BytesIO(path.read_bytes()),
            "memoryview": memoryview(path.read_bytes()),
            "open file": file,
            "[1, H, W]": torch.from_numpy(line())[None],
            "[3, H, W]": torch.from_numpy(line()).expand(3, 200, 200),
            "mask": np.uint8(line() < 0.5),  # 0 and 1
            "3e38": np.where(line() > 0.5, np.float32(3e38), np.float32(-3e38)),
        }[kind]
        assert find_boxes(picture) == [LINE]


@pytest.mark.parametrize(
    ("name", "type", "scale"),
    [("photo.jpg", np.uint8, 1), ("scan.tiff", np.uint8, 11), ("scan.png", np.uint16, 1)],
    ids=["photo", "2,200 pixels", "16 bit"],
)
def test_a_picture_is_turned_as_its_camera_was(name, type, scale, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # display it turned clockwise by 90 degrees
    wide = np.pad(line(), [(0, 0), (0, 40)])
    sideways = np.rot90(np.kron(wide, np.ones((scale, scale))))
    values = (np.iinfo(type).max * sideways).astype(type)
    Image.fromarray(values).save(tmp_path / name, exif=exif)
    (box,) = find_boxes(tmp_path / name)
    assert np.allclose(box, scale * np.array(LINE), atol=2 * scale)


@pytest.mark.parametrize("kind", ["array", "file", "image"])
def test_boxes_of_a_large_picture_are_in_its_own_pixels(kind):
    picture = np.kron(line(), np.ones((28, 28)))
    if kind != "array":
        Image.fromarray(np.uint8(255 * picture)).save(file := io.BytesIO(), "jpeg")
        picture = file if kind == "file" else Image.open(file)
    for _ in range(2):  # an image stays as it is
        (box,) = find_boxes(picture)
        assert np.allclose(box, 28 * np.array(LINE), atol=28)


def cut(image: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(image > 50)
    return image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


@pytest.mark.parametrize(
    ("change", "slack"),
    [
        (cut, 0.02),
        (lambda image: 255 - cut(image), 0.02),
        (lambda image: cut(image) > 127, 0.02),
        (lambda image: resized(cut(image), max(3, cut(image).shape[1] // 2), 10), 0.04),
        (lambda image: resized(cut(image), 16, 16), 0.04),
        (lambda image: resized(cut(image), 16, 16) > 110, 0.08),
    ],
    ids=["as it is", "inverted", "binary", "small", "stretched", "stretched and binary"],
)
def test_a_digit_cut_to_its_ink_is_classified_as_well_as_an_untouched_one(data, change, slack):
    images, labels = (each[:300] for each in data.validation.tensors)
    tight = torch.stack([to_mnist(change(image)) for image in images[:, 0].numpy()])
    answers = [predict_proba(pretrained(), each).argmax(dim=1) for each in (images[:, 0], tight)]
    untouched, changed = ((answer == labels).float().mean() for answer in answers)
    assert changed >= untouched - slack


def test_a_dark_corner_leaves_the_ink_dark(digits):
    ink = page(digits, "71926403", "30582164", "94638071")
    rows, columns = np.mgrid[: ink.shape[0], : ink.shape[1]] / max(ink.shape)
    light = 1 - 0.6 * np.exp(-20 * (rows**2 + columns**2))
    assert classify(on_paper(ink) * light).endswith("94638071")


@pytest.mark.parametrize("digit", [0, 3, 7, 9])
def test_a_number_cut_to_its_ink_keeps_the_1_along_its_border(digits, digit):
    ink = np.pad(cut(enlarged(digits[digit], 60)) / 255, ((0, 0), (40, 0)))
    ink[:, :7] = 1
    assert classify(on_paper(ink)) == f"1{digit}"


@pytest.mark.parametrize("depth", [0.05, 0.1])
def test_a_hairline_on_squared_paper_is_the_only_ink(depth):
    picture = np.full((300, 300), 0.9)
    for start in (20, 21):
        picture[start::30] = picture[:, start::30] = 0.9 - depth
    picture[90:210, 150] = 0.2
    assert find_boxes(picture) == [(150, 90, 151, 210)]


@pytest.mark.parametrize("side", [28, 60])
def test_ten_dark_pixels_stand_out_from_grain(side):
    picture = np.random.default_rng(0).normal(0.9, 0.03, (side, side))
    top, left = side // 4, side // 2
    picture[top : top + 10, left] = 0.2
    assert find_boxes(picture) == [(left, top, left + 1, top + 10)]


@pytest.mark.parametrize(("dark", "grain"), [(0.2, 0.2), (0.8, 0.01)])
def test_a_photographs_grain_leaves_the_digits_faint_ones_too(digits, dark, grain):
    paper = on_paper(np.kron(page(digits, "71926"), np.ones((3, 3))), dark)
    paper += np.random.default_rng(0).normal(0, grain, paper.shape)
    assert classify(np.uint8(255 * np.clip(paper, 0, 1))) == "71926"  # floats would be stretched


def test_a_line_under_digits_that_touches_them_is_removed(digits):
    ink = page(digits, "71926")
    bottom = np.flatnonzero(ink.any(axis=1))[-1]
    ink[bottom - 3 : bottom + 1, 5:-5] = 1
    assert classify(on_paper(ink)) == "71926"


def framed(ink: np.ndarray) -> np.ndarray:
    ink = ink.copy()
    ink[:3] = ink[-3:] = ink[:, :3] = ink[:, -3:] = 1
    return ink


def test_the_frame_of_a_tables_cell_leaves_the_digits(digits):
    ink = np.pad(framed(page(digits, "71926")[10:-10]), 20)
    assert classify(on_paper(ink)).strip("1?") == "71926"  # its sides may be taken for ones


@pytest.mark.parametrize("margin", [0, 1])
def test_the_frame_of_a_cell_that_is_cut_out_leaves_the_digit(digits, margin):
    margins = (10 * margin,), (margin,)  # of rows and of columns
    inks = [np.pad(framed(page(digits, str(digit))), margins) for digit in range(10)]
    answers = [classify(on_paper(ink)) for ink in inks]
    # The sides of a frame within the picture may be taken for ones.
    assert sum(answer in (str(i), f"1{i}1") for i, answer in enumerate(answers)) >= 7


@pytest.mark.parametrize("percent", [5, 15, 30])
def test_a_dark_tables_edge_leaves_no_trace(digits, percent):
    ink = np.pad(page(digits, "4"), ((0, 0), (percent, 0)))
    ink[:, :percent] = 1
    assert classify(on_paper(ink)) == "4"


def test_commas_and_brackets_leave_the_digits_apart(digits):
    ink = np.pad(np.kron(page(digits, "719"), np.ones((2, 2))), ((0, 0), (60, 60)))
    for comma in (195, 315):
        ink[110:124, comma : comma + 6] = 1
    ink[15:125, [40, 41, 42, 43, -44, -43, -42, -41]] = 1
    ink[15:19, 40:60] = ink[121:125, 40:60] = ink[15:19, -60:-40] = ink[121:125, -60:-40] = 1
    found = [box for box in find_boxes(on_paper(ink)) if box.left > 60 and box.right < 440]
    assert len(found) == 3


def test_the_digits_of_a_sheet_are_found_in_their_order(data):
    images = data.validation.tensors[0][:100, 0].reshape(10, 10, 28, 28)
    boxes = find_boxes(images.transpose(1, 2).reshape(280, 280))
    places = [((box.top + box.bottom) // 56, (box.left + box.right) // 56) for box in boxes]
    assert places == [(row, column) for row in range(10) for column in range(10)]


def test_lines_that_overlap_a_little_are_read_one_after_the_other():
    picture = np.ones((200, 460))
    for i in range(8):
        top, left = (20, 20 + 100 * i) if i < 4 else (97, 100 * i - 330)
        picture[top : top + 80, left : left + 10] = 0.2
    assert [box.top < 60 for box in find_boxes(picture)] == [True] * 4 + [False] * 4


def test_a_slanted_row_is_one_line(digits):
    boxes = find_boxes(on_paper(ndimage.rotate(page(digits, "7192640358"), 6)))
    assert len(boxes) == 10 and boxes == sorted(boxes)


@pytest.mark.parametrize(("size", "found"), [(44, "71"), (30, "7")])
def test_what_is_half_as_large_as_the_usual_digit_is_a_comma(digits, size, found):
    small = np.pad(enlarged(digits[1], size) / 255, ((60 - size, 0), (0, 60 - size)))
    assert classify(on_paper(np.pad(np.hstack([page(digits, "7")[10:-10], small]), 10))) == found


def on_a_desk(sheet: np.ndarray, angle: float, margins: tuple, desk: float) -> np.ndarray:
    """Return a sheet of paper, turned by some degrees, on a desk with some grain."""
    lying = ndimage.rotate(np.pad(sheet, margins, constant_values=-1), angle, order=0, cval=-1)
    grain = np.random.default_rng(0).normal(0, 0.01, lying.shape)
    return ndimage.gaussian_filter(np.where(lying < 0, desk, lying), 1) + grain


DESKS = [
    (0, ((0, 0), (30, 40)), 0.3),
    (0, ((60, 0), (0, 90)), 0.1),
    (5, ((90, 90), (60, 60)), 0.6),
    (-8, ((40, 40), (40, 40)), 0.2),
]


@pytest.mark.parametrize(("angle", "margins", "desk"), DESKS)
def test_a_desk_around_the_sheet_leaves_the_digits(digits, angle, margins, desk):
    sheet = on_paper(np.pad(page(digits, "71926403", "30582164", "94638071"), 30))
    answer = classify(on_a_desk(sheet, angle, margins, desk))
    assert answer == classify(sheet) == "719264033058216494638071"


def test_the_hole_of_a_0_that_fills_the_picture_is_no_sheet():
    rows, columns = np.ogrid[:400, :300]
    ring = np.abs(np.hypot((rows - 200) / 180, (columns - 150) / 130) - 1) < 0.05
    assert classify(np.where(ring, 0.2, 0.9)) == "0"


def test_a_blank_board_with_or_without_a_frame_shows_no_digit():
    board = np.full((400, 600), 0.9)
    assert classify(board) == classify(np.pad(np.pad(board, 12, constant_values=0.1), 8)) == ""


def test_rules_through_digits_are_taken_out(digits):
    ink = np.pad(np.kron(page(digits, "71926"), np.ones((3, 3))), ((40, 40), (60, 60)))
    rows, columns = np.indices(ink.shape)
    for top in (10, 85, 175, 280):
        ink[np.abs(rows - top - 0.03 * columns) < 2.5] = 1
    assert classify(on_paper(ink)) == "71926"


def test_the_lifted_bar_of_a_5_belongs_to_it():
    picture = np.full((280, 280), 0.9)
    rows, columns = np.indices(picture.shape)
    picture[60:76, 110:190] = 0.2  # the bar
    picture[84:140, 100:114] = 0.2
    bow = np.hypot((rows - 170) / 1.0, (columns - 125) / 1.2)
    picture[(np.abs(bow - 40) < 7) & ((columns > 118) | (rows > 195))] = 0.2
    assert len(find_boxes(picture)) == 1


def test_a_large_digit_above_smaller_ones_hides_none_of_them(digits):
    small = page(digits, "719264")
    large = np.kron(page(digits, "8"), np.ones((4, 4)))
    large = np.pad(large, ((0, 0), (0, small.shape[1] - large.shape[1])))
    assert classify(on_paper(np.vstack([large, small]))) == "8719264"


def test_digits_that_jump_by_half_their_height_stay_in_their_line(digits):
    ink = np.zeros((320, 200))
    for digit, top, left in ((9, 55, 10), (6, 15, 100), (8, 175, 10), (7, 215, 100)):
        ink[top : top + 90, left : left + 90] = enlarged(digits[digit], 90) / 255
    assert classify(on_paper(ink)) == "9687"


def test_a_blot_is_no_digit():
    rows, columns = np.ogrid[:200, :200]
    picture = np.where(np.hypot(rows - 100, columns - 100) < 35, 0.2, 0.9)
    assert classify(picture).strip("?") == ""


def test_where_most_marks_are_letters_none_is_a_digit(data):
    """A word of three letters and what may be an l and an o."""
    text = (ROOT / "research" / "pen_digits.json").read_text(encoding="utf-8")
    drawings = json.loads(text)["drawings"]
    word = [each for each in drawings if not each["label"].isdigit()][:5]
    word += [next(each for each in drawings if each["label"] == digit) for digit in "10"]
    picture = np.hstack([np.asarray(draw(each["strokes"], 14)) for each in word])
    assert set(classify(picture)) == {"?"}


def test_a_tiff_of_several_pages_gets_a_sentence(tmp_path):
    blank, page = (Image.fromarray(np.uint8(255 * each)) for each in (line() * 0 + 1, line()))
    blank.save(tmp_path / "scan.tiff", save_all=True, append_images=[page])
    with pytest.raises(PictureError, match="2 pages"):
        predict_digits(NETWORK, tmp_path / "scan.tiff")


@pytest.mark.parametrize("kind", ["eps", "ico", "heic"])
def test_other_formats_are_not_opened(kind):
    file = io.BytesIO(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500))
    if kind != "heic":  # which Pillow can't write
        Image.fromarray(np.uint8(255 * line())).save(file, kind)
    with pytest.raises(PictureError, match="JPEG or PNG"):
        predict_digits(NETWORK, file)


@pytest.mark.parametrize("shape", [(2003, 1001), (1001, 2003), (1499, 1500)])
def test_no_box_ends_beyond_the_picture(shape):
    picture = np.full(shape, 255, np.uint8)
    picture[:, shape[1] // 2 : shape[1] // 2 + 40] = picture[-40:, 100:-1] = 0
    for box in find_boxes(picture):
        assert box.right <= shape[1] and box.bottom <= shape[0]


def test_thousands_of_specks_get_a_sentence():
    specks = np.random.default_rng(0).random((500, 500)) < 0.015
    picture = on_paper(ndimage.binary_dilation(specks, np.ones((2, 2))))
    with pytest.raises(PictureError, match="marks"):
        predict_digits(NETWORK, picture)


@pytest.mark.parametrize("width", [0.01, 0.05])
def test_blank_paper_with_a_shadow_shows_no_digit(width):
    rows, columns = np.mgrid[:300, :400] / 300
    shadow = 1 / (1 + np.exp((0.6 - 0.8 * columns - 0.3 * rows) / width))
    grain = np.random.default_rng(1).normal(0, 0.01, shadow.shape)
    assert classify(0.85 - 0.35 * shadow + grain).strip("?") == ""


def test_a_prediction_holds_the_image_that_was_classified(digits):
    (prediction,) = predict_digits(NETWORK, digits[3])
    assert torch.equal(prediction.image, to_mnist(digits[3]))


@pytest.mark.parametrize(
    "picture",
    [
        "missing.png",
        np.zeros((0, 5)),
        np.full((9, 9), np.nan),
        np.full((9, 9), 7),
        np.zeros((3, 3, 3, 3)),
        np.array("text"),
        np.random.default_rng(0).normal(size=(90, 90)),
    ],
    ids=["missing", "empty", "not a number", "one colour", "4 dimensions", "text", "noise"],
)
def test_what_shows_no_digit_gets_a_sentence(picture):
    with pytest.raises(PictureError):
        to_mnist(picture)


@pytest.mark.parametrize("side", [10_000, 40_000])
def test_a_huge_picture_is_refused_before_it_is_unpacked(side):
    with pytest.raises(PictureError, match="pixels"):
        to_mnist(b"P6 %d %d 255 " % (side, side))  # a PPM's header


def odd_files():
    """Yield the content of 500 picture files, a quarter of them whole; always the same ones."""
    random = np.random.default_rng(0)
    grey = Image.fromarray(np.uint8(255 * line(side=160)))
    kinds = [
        ("png", "L"), ("png", "1"), ("png", "P"), ("png", "RGBA"), ("png", "I;16"),
        ("jpeg", "CMYK"), ("jpeg", "RGB"), ("bmp", "RGB"), ("gif", "P"), ("tiff", "F"),
        ("webp", "RGB"), ("ppm", "RGB"),
    ]  # fmt: skip
    for number in range(500):
        kind, mode = kinds[number % len(kinds)]
        frames = {"append_images": [grey.rotate(90)], "save_all": True} if kind == "gif" else {}
        file = io.BytesIO()
        grey.convert(mode).save(file, kind, **frames)
        content = bytearray(file.getvalue())
        damage = number // len(kinds) % 4
        if damage == 1:
            content = content[: random.integers(len(content))]
        elif damage == 2:
            for place in random.integers(len(content), size=random.integers(1, 20)):
                content[place] ^= 1 << random.integers(8)
        elif damage == 3:  # in the header, where sizes and types stand
            content[random.integers(min(64, len(content)))] = random.integers(256)
        yield content


def test_500_damaged_or_odd_files_give_an_answer_or_a_sentence():
    answers = 0
    for content in odd_files():
        try:
            answers += to_mnist(content).shape == (28, 28)
        except PictureError as error:
            assert str(error)
    assert answers >= 125  # the undamaged ones


MEASURE = """
import resource, sys
from mnist_helpers import to_mnist

def peak():
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit

before = peak()
to_mnist(sys.argv[1])
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a process can't tell its peak of memory there")
def test_the_largest_picture_takes_less_than_a_gigabyte(tmp_path):
    largest = Image.new("RGBA", (8_000, 8_000), "white")
    largest.paste("black", (3_900, 2_000, 4_100, 6_000))
    largest.save(tmp_path / "largest.png", compress_level=1)
    command = [sys.executable, "-c", MEASURE, tmp_path / "largest.png"]
    megabytes = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    assert 0 <= float(megabytes) < 1_000  # 0 where the imports took more


IN_FLOAT64 = """
import numpy as np, torch
import mnist_helpers as mnist

picture = np.pad(np.zeros((120, 10), np.uint8), 60, constant_values=255)  # a 1
for dtype in (torch.float64, torch.float32):
    torch.set_default_dtype(dtype)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
    (prediction,) = mnist.predict_digits(network, picture)
    assert prediction.digit is not None
"""


def test_digits_are_classified_where_float64_is_the_default_and_afterwards():
    subprocess.run([sys.executable, "-c", IN_FLOAT64], cwd=ROOT, check=True)
