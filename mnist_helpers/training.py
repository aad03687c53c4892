"""The training loop: Adam, cross-entropy, one learning-rate cycle, a new distortion of every image
in every epoch."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .augmentation import Distortion, distort
from .data import Split
from .model import DigitClassifier, to_float

REPORT_SECONDS = 2.0  # between two reports of progress


class TrainingDiverged(RuntimeError):
    """The loss became infinite or not a number; the history holds the whole epochs before."""


@dataclass(frozen=True)
class TrainingConfig:
    """The recipe. Raises TypeError or ValueError for a value that no training can use."""

    epochs: int = 10
    batch_size: int = 96
    learning_rate: float = 5e-3  # at its peak, 30 % of the way (Smith and Topin 2018)
    distortion: Distortion | None = Distortion()
    seed: int = 0

    def __post_init__(self):
        for name, kind in {"epochs": int, "batch_size": int, "learning_rate": (int, float)}.items():
            value = getattr(self, name)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise TypeError(f"{name} must be a number above 0, but it is {value!r}")
            if not 0 < value < math.inf:  # which a NaN is not either
                raise ValueError(f"{name} must be a finite number above 0, but it is {value!r}")


@dataclass(frozen=True)
class EpochResult:
    """One row of the history: mean losses per image in nats, accuracies in [0, 1].

    The training figures are running averages over the epoch, of distorted images, with dropout;
    the validation figures are taken after the epoch, on the images as they are, without dropout.
    """

    epoch: int
    training_loss: float
    training_accuracy: float
    validation_loss: float
    validation_accuracy: float


@dataclass(frozen=True)
class Progress:
    """How far a training is: batches done of all, and the running averages of this epoch."""

    epoch: int
    epochs: int
    batch: int
    batches: int  # in an epoch
    loss: float
    accuracy: float
    seconds_left: float

    def __str__(self) -> str:
        minutes, seconds = divmod(round(self.seconds_left), 60)
        return (
            f"Epoch {self.epoch}/{self.epochs}, batch {self.batch}/{self.batches}: "
            f"loss {self.loss:.4f}, accuracy {100 * self.accuracy:.2f} %, "
            f"{minutes}:{seconds:02} left"
        )


def train(
    model: DigitClassifier,
    training: Split,
    validation: Split,
    config: TrainingConfig,
    *,
    history: list[EpochResult] | None = None,
    report: Callable[[Progress], None] | None = None,
) -> list[EpochResult]:
    """Train the model where it is, and return the history, one row an epoch.

    Rows are appended to `history`, so that a caller who passes a list still has them when the
    training is interrupted. `report` is called every few seconds and after the last batch. Torch's
    own generators are seeded with `config.seed`, since dropout draws from them.
    Raises TrainingDiverged as soon as a loss that is not finite is seen.
    """
    history = [] if history is None else history
    device = model.device
    training, validation = training.to(device), validation.to(device)
    torch.manual_seed(config.seed)
    generator = torch.Generator(device).manual_seed(config.seed)
    optimizer = make_optimizer(model, config)
    batches = math.ceil(len(training) / config.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.epochs * batches, cycle_momentum=False
    )
    meter = _ProgressMeter(report, config.epochs, batches)
    for epoch in range(1, config.epochs + 1):
        model.train()
        totals = torch.zeros(2, device=device)  # the losses and the right answers of the epoch
        seen = 0
        order = torch.randperm(len(training), generator=generator, device=device)
        for indices in order.split(config.batch_size):
            images, labels = to_float(training.images[indices]), training.labels[indices]
            totals += training_step(model, optimizer, images, labels, config.distortion, generator)
            schedule.step()
            seen += len(indices)
            meter.tick(epoch, totals, seen)
        on_training = _finite(totals / len(training), epoch)
        on_validation = _finite(_measure(model, validation), epoch)
        history.append(EpochResult(epoch, *on_training, *on_validation))
    return history


def training_step(
    model: DigitClassifier,
    optimizer: torch.optim.Optimizer,
    images: torch.Tensor,
    labels: torch.Tensor,
    distortion: Distortion | None,
    generator: torch.Generator | None,
) -> torch.Tensor:
    """Change the weights once, for float images [N, 1, 28, 28] and labels [N].

    Returns the sum of the losses and the number of right answers, [2], on the device: nothing here
    waits for it.
    """
    if distortion is not None:
        images = distort(images, distortion, generator)
    logits = model(images)
    loss = F.cross_entropy(logits, labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    right = (logits.argmax(dim=1) == labels).sum()
    return torch.stack([loss.detach() * len(labels), right.float()])


def make_optimizer(model: DigitClassifier, config: TrainingConfig) -> torch.optim.Adam:
    """Return Adam, in its fused form (one pass over the weights) where the device has it."""
    fused = model.device.type in {"cpu", "cuda", "mps"}
    return torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=fused)


class _ProgressMeter:
    """Counts batches, and reports now and then: reading the totals makes a GPU wait."""

    def __init__(self, report: Callable[[Progress], None] | None, epochs: int, batches: int):
        self.report, self.epochs, self.batches = report, epochs, batches
        self.done = 0
        self.start = self.last = time.monotonic()

    def tick(self, epoch: int, totals: torch.Tensor, seen: int) -> None:
        self.done += 1
        left = self.epochs * self.batches - self.done
        now = time.monotonic()
        if self.report is None or (left and now - self.last < REPORT_SECONDS):
            return
        self.last = now
        loss, accuracy = _finite(totals / seen, epoch)
        batch = self.done - (epoch - 1) * self.batches
        seconds_left = (now - self.start) / self.done * left
        self.report(Progress(epoch, self.epochs, batch, self.batches, loss, accuracy, seconds_left))


def _measure(model: DigitClassifier, split: Split) -> torch.Tensor:
    logits = model.predict_logits(split.images)
    right = (logits.argmax(dim=1) == split.labels).float().mean()
    return torch.stack([F.cross_entropy(logits, split.labels), right])


def _finite(loss_and_accuracy: torch.Tensor, epoch: int) -> list[float]:
    loss, accuracy = loss_and_accuracy.tolist()
    if not math.isfinite(loss):
        raise TrainingDiverged(
            f"The loss became {loss} in epoch {epoch}, and the training stopped. The history holds "
            f"the {epoch - 1} whole epochs before it. Try a lower learning rate."
        )
    return [loss, accuracy]
