"""Time and peak memory of training against images, epochs, batch size and threads; and how fast the
network answers, for images in MNIST's format and for pictures of one's own digits.

Each point is a process of its own, and three rounds of all points are run. The training images are
random: the arithmetic is the same. Memory is what the process takes at its peak, less what it took
when PyTorch was loaded; it isn't known on Windows.
"""

import math
import sys
import time

import torch
from PIL import Image, ImageDraw

from mnist_helpers import (
    MNIST,
    DigitClassifier,
    Split,
    TrainingConfig,
    predict_proba,
    read_digits,
    seed_everything,
    to_device,
    train,
)
from research.running import make_parser, measure_in_turn

ROUNDS = 3
BASE = {"images": 12_288, "epochs": 1, "batch_size": 96, "threads": 2}
VARIED = {
    "images": [3_000, 7_500, 15_000, 30_000, 60_000],
    "epochs": [1, 2, 4, 8],
    "batch_size": [32, 96, 384, 1_536],
    "threads": [1, 2],
    "images predicted at a time": [1, 96, 1_000],
    "own digits in a picture": [1, 10],
}
COLUMNS = ["seconds", "images_per_second", "peak_megabytes"]


def peak_megabytes() -> float:
    if sys.platform == "win32":
        return math.nan
    import resource  # which Windows lacks

    unit = 1 if sys.platform == "darwin" else 1_024  # getrusage(2) counts bytes there, and KB here
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def random_split(count: int) -> Split:
    images = torch.randint(0, 256, (count, 28, 28), dtype=torch.uint8)
    return Split(images, torch.randint(0, 10, (count,)))


def draw_ones(count: int) -> Image.Image:
    """Return a picture of so many handwritten ones in a row, as a phone might take it."""
    picture = Image.new("L", (160 * count + 160, 400), 200)
    pen = ImageDraw.Draw(picture)
    for place in range(count):
        left = 160 * place + 160
        pen.line([(left, 100), (left - 20, 300)], fill=40, width=18)
    return picture


def train_point(images: int, epochs: int, batch_size: int) -> dict:
    before = peak_megabytes()
    data = MNIST(random_split(images), random_split(96), random_split(96))
    config = TrainingConfig(epochs=epochs, batch_size=batch_size)
    model = to_device(DigitClassifier(), torch.device("cpu"))
    start = time.perf_counter()
    train(model, data, config)
    seconds = time.perf_counter() - start
    return {
        "seconds": round(seconds, 3),
        "images_per_second": round(epochs * images / seconds),
        "peak_megabytes": round(peak_megabytes() - before, 1),
    }


def answer_point(varied: str, count: int) -> dict:
    model = to_device(DigitClassifier(), torch.device("cpu"))
    images, picture = random_split(count).images, draw_ones(count)

    def answer() -> None:
        if varied == "own digits in a picture":
            read_digits(model, picture)
        else:
            predict_proba(model, images)

    answer()
    start, repeats = time.perf_counter(), 0
    while repeats < 5 or time.perf_counter() - start < 2:
        answer()
        repeats += 1
    seconds = (time.perf_counter() - start) / repeats
    return {"seconds": round(seconds, 6), "images_per_second": round(count / seconds)}


def measure_point(varied: str, value: int, round: int) -> dict:
    seed_everything(round)
    point = BASE | ({varied: value} if varied in BASE else {})
    torch.set_num_threads(point.pop("threads"))
    return train_point(**point) if varied in BASE else answer_point(varied, value)


def main(arguments: list[str] | None = None) -> None:
    options = make_parser("scaling", __doc__).parse_args(arguments)
    trials = [
        {"varied": varied, "value": value, "round": number}
        for number in range(1, ROUNDS + 1)
        for varied, values in VARIED.items()
        for value in values
    ]
    measure_in_turn(options.output, trials, measure_point, COLUMNS)


if __name__ == "__main__":
    main()
