"""What each choice in the training step is worth: the time of a step when one is taken back, next
to the step as it is.

    python benchmarks/step_choices.py

Each is measured in a process of its own, in turn, for several rounds; the ratios within a round
count. `without ...` is another recipe, and says what that part of it costs.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch
from report import ROOT, in_own_process, median_and_range, write_results
from torch import nn

from mnist_helpers import (
    DigitClassifier,
    Split,
    TrainingConfig,
    load_mnist,
    seed_everything,
    train_epoch,
    training,
)

ROUNDS = 5
WARM_UP, BATCHES, BATCH_SIZE = 10, 100, 96


def as_it_is() -> DigitClassifier:
    return DigitClassifier()


def memory_returned() -> DigitClassifier:
    training.keep_freed_memory = lambda: None
    return DigitClassifier()


def direct_convolution() -> DigitClassifier:
    model = DigitClassifier()
    model.layers[5].forward = partial(nn.Conv2d.forward, model.layers[5])
    return model


def default_layout() -> DigitClassifier:
    return DigitClassifier().to(memory_format=torch.contiguous_format)


def reordered(*order: int) -> DigitClassifier:
    """With pooling (0), batch normalisation (1) and ReLU (2) in this order after convolutions."""
    model = DigitClassifier()
    layers = list(model.layers)
    for start in (2, 6):
        layers[start : start + 3] = [layers[start + place] for place in order]
    model.layers = nn.Sequential(*layers)
    return model


def relu_before_pooling() -> DigitClassifier:
    return reordered(2, 0, 1)


def normalised_before_pooling() -> DigitClassifier:
    return reordered(1, 2, 0)


def unfused_adam() -> DigitClassifier:
    training.make_optimizer = lambda model, config: torch.optim.Adam(model.parameters())
    return DigitClassifier()


def dropout_by_element() -> DigitClassifier:
    model = DigitClassifier()
    model.layers[9] = nn.Dropout(0.1)
    return model


def loss_read_each_step() -> DigitClassifier:
    step = training.training_step

    def step_and_read(*arguments) -> tuple[torch.Tensor, torch.Tensor]:
        losses, right = step(*arguments)
        losses.mean().item()
        return losses, right

    training.training_step = step_and_read
    return DigitClassifier()


def denormals_flushed() -> DigitClassifier:
    torch.set_flush_denormal(True)
    return DigitClassifier()


def distorted_beside() -> DigitClassifier:
    """Distort a batch in a second thread while the one before is trained on. For the time alone:
    images are handed on one batch late, and so come with the wrong labels."""
    distort, waiting = training.distort, []
    second = ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,))

    def distort_beside(images, *arguments, strength) -> torch.Tensor:
        waiting.append(second.submit(distort, images, *arguments, strength=strength))
        return waiting.pop(0).result() if len(waiting) > 1 else images

    training.distort = distort_beside
    return DigitClassifier()


def compiled() -> DigitClassifier:
    model = DigitClassifier()
    model.compile()
    return model


def without_distortion() -> DigitClassifier:
    training.distort = lambda images, *_, strength: images
    return DigitClassifier()


def without_dropout() -> DigitClassifier:
    return DigitClassifier(dropout=(0, 0))


def without_batch_normalisation() -> DigitClassifier:
    return DigitClassifier(batch_normalisation=False)


def without_local_normalisation() -> DigitClassifier:
    model = DigitClassifier()
    model.layers[0] = nn.Identity()
    return model


CHOICES = {
    choice.__name__.replace("_", " "): choice
    for choice in [
        as_it_is,
        direct_convolution,
        memory_returned,
        default_layout,
        relu_before_pooling,
        normalised_before_pooling,
        unfused_adam,
        dropout_by_element,
        loss_read_each_step,
        denormals_flushed,
        distorted_beside,
        compiled,
        without_distortion,
        without_dropout,
        without_batch_normalisation,
        without_local_normalisation,
    ]
}


def milliseconds_a_step(name: str) -> float:
    seed_everything(0)
    model = CHOICES[name]()
    images = load_mnist(ROOT / "data").train
    config = TrainingConfig(batch_size=BATCH_SIZE)
    count = (WARM_UP + BATCHES) * BATCH_SIZE
    state = training.start_training(model, config, count)
    some = Split(images.images[:count], images.labels[:count])
    times = []
    train_epoch(state, some, config, lambda *progress, images: times.append(time.perf_counter()))
    return 1_000 * (times[-1] - times[WARM_UP - 1]) / BATCHES


def main() -> None:
    rows = []
    for number in range(1, ROUNDS + 1):
        for name in CHOICES:
            milliseconds = round(in_own_process(milliseconds_a_step, name), 2)
            rows.append({"choice": name, "round": number, "milliseconds": milliseconds})
            print(rows[-1], flush=True)
    table = write_results("step_choices", rows)
    times = table.pivot(index="round", columns="choice", values="milliseconds")
    for name in CHOICES:
        print(f"{name}: {median_and_range(times[name] / times['as it is'])} of the step as it is")


if __name__ == "__main__":
    main()
