"""From a picture of somebody's handwriting to MNIST's format, and to an answer or none."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch.utils.data import TensorDataset

from mnist_helpers import (
    MNIST,
    DigitClassifier,
    PictureError,
    find_digits,
    predict_digits,
    to_mnist,
    train,
)
from mnist_helpers.own_digits import main

from .conftest import ROOT


@pytest.fixture(scope="module")
def digits(data) -> np.ndarray:
    """A validation image of each digit from 0 to 9, uint8 [10, 28, 28]."""
    images, labels = data.validation.tensors
    return np.stack([images[labels == digit][1, 0].numpy() for digit in range(10)])


@pytest.fixture(scope="module")
def model(data) -> DigitClassifier:
    """A network that had one look at 8,000 images."""
    torch.manual_seed(0)
    network = DigitClassifier()
    few = TensorDataset(*(each[:8_000] for each in data.training.tensors))
    train(network, MNIST(few, None, data.test), epochs=1, verbose=False)
    return network


def enlarged(image: np.ndarray, side: int = 280) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


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


def test_mnist_images_stay_as_they_are(digits):
    assert np.mean([difference(to_mnist(image), image) for image in digits]) < 0.25


@pytest.mark.parametrize("change", ["enlarged", "inverted", "padded", "rgb", "16 bit", "shaded"])
def test_a_changed_picture_gives_nearly_the_same_image(digits, change):
    for image in digits:
        large = enlarged(image)
        picture = {
            "enlarged": large,
            "inverted": 255 - large,
            "padded": np.pad(large, ((150, 10), (0, 120))),
            "rgb": np.repeat(large[:, :, None], 3, axis=2),
            "16 bit": large.astype(np.uint16) * 257,
            "shaded": 40 + large * 0.5 + np.linspace(0, 60, 280),
        }[change]
        assert difference(to_mnist(picture), to_mnist(image).numpy()) < 0.35


def test_the_ink_is_twenty_pixels_long_and_its_centre_of_mass_in_the_middle(digits):
    for image in digits:
        ink = to_mnist(enlarged(image, 500)).numpy()
        assert max(np.ptp(np.nonzero(ink), axis=1)) + 1 == 20
        assert np.allclose(ndimage.center_of_mass(ink), 14, atol=0.75)


def test_a_hairline_becomes_as_wide_as_a_stroke_of_mnist():
    image = to_mnist(line(width=2, side=800)).numpy() / 255
    widths = image.sum(axis=1)
    assert 1.7 < np.median(widths[widths > 0]) < 3


def test_yellow_ink_is_found_though_it_is_as_light_as_paper():
    colours = np.full((200, 200, 3), 255, np.uint8)
    colours[40:160, 95:105] = (255, 255, 60)
    assert to_mnist(colours).max() > 200


def test_slanted_squares_almost_a_third_as_dark_as_the_ink_leave_no_trace():
    rows, columns = np.mgrid[:200, :200]
    lines = ((rows + 0.04 * columns) % 23 < 2) | ((columns - 0.04 * rows) % 23 < 2)
    (box,) = find_digits(line() - 0.2 * (lines & (line() > 0.5)))
    assert np.allclose(box, (100, 40, 104, 160), atol=4)


def test_a_stroke_from_border_to_border_is_no_ruling():
    picture = np.full((200, 60), 0.9)
    picture[2:198, 25:35] = 0.2
    assert find_digits(picture) == [(25, 2, 35, 198)]


def test_a_dark_tables_edge_leaves_no_trace():
    picture = line()
    picture[:, :30] = 0.1
    assert find_digits(picture) == find_digits(line())


def test_specks_are_dropped():
    picture = line()
    picture[10:12, 20:22] = 0.2
    assert find_digits(picture) == [(100, 40, 104, 160)]


def test_a_broken_stroke_is_one_digit():
    picture = line()
    picture[95:103] = 0.9
    assert find_digits(picture) == [(100, 40, 104, 160)]


@pytest.mark.parametrize("ink", [0, 255])
def test_transparent_pictures_show_ink_of_either_kind(ink):
    picture = np.full((200, 200, 4), ink, np.uint8)
    picture[:, :, 3] = 255 * (line() < 0.5)
    assert find_digits(picture) == [(100, 40, 104, 160)]


def test_a_palettes_colours_count_not_its_numbers(tmp_path):
    picture = Image.fromarray(np.uint8(line() > 0.5), mode="P")
    picture.putpalette([0, 0, 0, 255, 255, 255])
    picture.save(tmp_path / "line.png")
    assert find_digits(tmp_path / "line.png") == [(100, 40, 104, 160)]


def test_a_photo_is_turned_as_its_camera_was(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # display it turned clockwise by 90 degrees
    sideways = np.uint8(255 * np.rot90(line()))
    Image.fromarray(sideways).save(tmp_path / "line.jpg", exif=exif, quality=95)
    box = find_digits(tmp_path / "line.jpg")[0]
    assert np.allclose(box, (100, 40, 104, 160), atol=2)


def test_boxes_of_a_large_picture_are_in_its_own_pixels():
    large = np.kron(line(), np.ones((8, 8)))
    assert np.allclose(find_digits(large)[0], (800, 320, 832, 1280), atol=8)


def test_digits_are_found_line_by_line_from_left_to_right(digits):
    rows = [np.hstack([enlarged(digits[i], 140) for i in row]) for row in ((7, 1, 0), (5, 4, 2))]
    boxes = find_digits(255 - np.vstack(rows))
    cells = [(box.left // 140, box.top // 140) for box in boxes]
    assert cells == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]


def test_digits_are_classified(model, digits):
    pages = [predict_digits(model, 255 - enlarged(image)) for image in digits]
    answers = [predictions[0].digit for predictions in pages]
    assert sum(answer == label for label, answer in enumerate(answers)) >= 8


def test_a_reading_holds_the_image_that_was_classified(model, digits):
    prediction = predict_digits(model, digits[3])[0]
    assert torch.equal(prediction.image, to_mnist(digits[3]))
    assert prediction.probabilities.sum().item() == pytest.approx(1, abs=1e-5)


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


def png_without_pixels(width: int, height: int) -> bytes:
    def chunk(body: bytes) -> bytes:
        return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))

    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(header) + chunk(b"IDAT" + zlib.compress(b"\0"))


@pytest.mark.parametrize("side", [10_000, 40_000])
def test_a_huge_picture_is_refused_before_it_is_unpacked(tmp_path, side):
    (tmp_path / "huge.png").write_bytes(png_without_pixels(side, side))
    with pytest.raises(PictureError, match="pixels"):
        to_mnist(tmp_path / "huge.png")


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


def test_500_damaged_or_odd_files_give_an_answer_or_a_sentence(tmp_path):
    answers = 0
    for content in odd_files():
        (tmp_path / "file").write_bytes(content)
        try:
            answers += to_mnist(tmp_path / "file").shape == (28, 28)
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


READ_IN_FLOAT64 = """
import numpy as np, torch
import mnist_helpers as mnist

picture = np.full((200, 200), 255, np.uint8)
picture[40:160, 95:105] = 0  # a 1
for dtype in (torch.float64, torch.float32):
    torch.set_default_dtype(dtype)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
    (prediction,) = mnist.predict_digits(network, picture)
    assert prediction.digit is not None
"""


def test_digits_are_read_where_float64_is_the_default_and_afterwards():
    subprocess.run([sys.executable, "-c", READ_IN_FLOAT64], cwd=ROOT, check=True)


def test_the_command_prints_each_digit_and_shows_where_it_is(model, digits, tmp_path, capsys):
    torch.save(model.state_dict(), tmp_path / "mnist.pt")
    Image.fromarray(255 - enlarged(digits[0])).save(tmp_path / "photo.png")
    shown = tmp_path / "shown.png"
    photo, saved = str(tmp_path / "photo.png"), str(tmp_path / "mnist.pt")
    main([photo, "--model", saved, "--show", str(shown)])
    assert capsys.readouterr().out.startswith("0 ")
    assert Image.open(shown).size == (280, 280)


@pytest.mark.parametrize("kind", ["missing", "another network", "no network", "cut"])
def test_the_command_names_a_file_that_holds_no_such_network(kind, digits, tmp_path, capsys):
    saved, photo = tmp_path / "mnist.pt", tmp_path / "photo.png"
    Image.fromarray(255 - enlarged(digits[0])).save(photo)
    if kind == "another network":
        torch.save(torch.nn.Linear(784, 10).state_dict(), saved)
    elif kind == "no network":
        saved.write_bytes(photo.read_bytes())
    elif kind == "cut":
        torch.save(DigitClassifier().state_dict(), saved)
        saved.write_bytes(saved.read_bytes()[:-1_000])
    with pytest.raises(SystemExit) as stopped:
        main([str(photo), "--model", str(saved)])
    assert stopped.value.code == 1 and str(saved) in capsys.readouterr().err
