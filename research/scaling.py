"""Time and peak memory of training against images, epochs, batch size and threads; and how fast
the classifier answers.

    python benchmarks/scaling.py

Each point is a process of its own, and two rounds of all points are run. Images are random ones:
the arithmetic is the same. Memory is what the process takes at its peak, less what it took when
PyTorch was loaded.
"""

import resource
import sys
import time

import torch
from report import in_own_process, write_results

from mnist_helpers import DigitClassifier, Split, TrainingConfig, seed_everything, train

ROUNDS = 2
BASE = {"images": 12_288, "epochs": 1, "batch_size": 96, "threads": 2}
VARIED = {
    "images": [3_000, 7_500, 15_000, 30_000, 60_000],
    "epochs": [1, 2, 4, 8],
    "batch_size": [32, 96, 384, 1_536],
    "threads": [1, 2],
}
ANSWERED = [1, 96, 1_000]  # images at a time


def peak_megabytes() -> float:
    unit = 1 if sys.platform == "darwin" else 1_024  # getrusage(2) counts bytes there, and KB here
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def random_split(count: int) -> Split:
    images = torch.randint(0, 256, (count, 28, 28), dtype=torch.uint8)
    return Split(images, torch.randint(0, 10, (count,)))


def train_point(images: int, epochs: int, batch_size: int, threads: int) -> dict:
    torch.set_num_threads(threads)
    before = peak_megabytes()
    seed_everything(0)
    training, validation = random_split(images), random_split(96)
    config = TrainingConfig(epochs=epochs, batch_size=batch_size)
    start = time.perf_counter()
    train(DigitClassifier(), training, validation, config)
    seconds = time.perf_counter() - start
    return {
        "seconds": round(seconds, 3),
        "images_per_second": round(epochs * images / seconds),
        "peak_megabytes": round(peak_megabytes() - before),
    }


def answer_point(count: int) -> dict:
    seed_everything(0)
    model, images = DigitClassifier(), random_split(count).images
    repeats = max(20, 2_000 // count)
    for _ in range(5):
        model.predict_proba(images)
    start = time.perf_counter()
    for _ in range(repeats):
        model.predict_proba(images)
    seconds = (time.perf_counter() - start) / repeats
    return {"seconds": round(seconds, 6), "images_per_second": round(count / seconds)}


def main() -> None:
    rows = []
    for number in range(1, ROUNDS + 1):
        for varied, values in VARIED.items():
            for value in values:
                point = BASE | {varied: value}
                row = {"varied": varied, "value": value, "round": number} | point
                rows.append(row | in_own_process(train_point, *point.values()))
                print(rows[-1], flush=True)
        for count in ANSWERED:
            row = {"varied": "answered at a time", "value": count, "round": number}
            row |= {"images": count, "threads": torch.get_num_threads()}
            rows.append(row | in_own_process(answer_point, count))
            print(rows[-1], flush=True)
    table = write_results("scaling", rows)
    medians = table.groupby(["varied", "value"], sort=False)[
        ["seconds", "images_per_second", "peak_megabytes"]
    ].median()
    print(medians.to_string())


if __name__ == "__main__":
    main()
