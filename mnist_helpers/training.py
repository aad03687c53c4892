"""The loop that the notebook builds cell by cell, and the same loop in one call."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from .augmentation import Distortion
from .batches import Batches
from .checks import check_count, check_number
from .data import MNIST
from .evaluation import evaluate
from .model import device_of
from .resume import resumable
from .runtime import autocast


@dataclass(frozen=True)
class TrainingConfig:
    """How to train. Raises TypeError or ValueError for a value that no training can use."""

    epochs: int = 10
    batch_size: int = 96
    learning_rate: float = 5e-3  # at the cycle's peak, 30 % of the way
    one_cycle: bool = True  # rise and fall (Smith and Topin 2018); otherwise it stays constant
    hard_images: float = 0.5  # see Batches
    distortion: Distortion | None = Distortion()
    seed: int = 0  # of the order of the images, and of their distortions

    def __post_init__(self):
        check_count("epochs", self.epochs)
        check_count("batch_size", self.batch_size, least=2)
        check_number("hard_images", self.hard_images, most=1)
        check_number("learning_rate", self.learning_rate, positive=True)


def train_epoch(model, batches, optimizer, schedule):
    """Train the model on one epoch of batches; return the mean loss and the accuracy meanwhile."""
    model.train()
    loss_sum = correct = count = 0
    for images, labels in batches:
        with autocast(images.device):  # half precision, where the processor is faster with it
            logits = model(images)
        losses = F.cross_entropy(logits.float(), labels, reduction="none")
        optimizer.zero_grad()
        losses.mean().backward()
        optimizer.step()
        schedule.step()
        batches.note_losses(losses)  # so that hard images come more often
        loss_sum += losses.detach().sum()
        correct += (logits.argmax(dim=1) == labels).sum()
        count += len(labels)
    return loss_sum.item() / count, correct.item() / count


def train(
    model: nn.Module,
    data: MNIST,
    config: TrainingConfig | None = None,
    *,
    checkpoints: str | Path | None = None,
    report: Callable[[str], None] | None = None,
    history: list[dict] | None = None,
) -> list[dict]:
    """Train the model where it is, and return the history, a row for each epoch.

    `model` maps float images [N, 1, 28, 28] to logits [N, 10]. A row has the epoch, the mean losses
    per image in nats and the accuracies in [0, 1], as in the notebook. `checkpoints` and `history`
    are those of `resumable`, `report` is that of `Batches`. Dropout draws from PyTorch's own
    generator: call `seed_everything` before you make the model.

    Raises TrainingDiverged if a loss is not finite, and what `resumable` raises.
    """
    config = config or TrainingConfig()
    history = [] if history is None else history
    batches = Batches(
        data.train, config.batch_size, config.epochs, distortion=config.distortion,
        hard_images=config.hard_images, seed=config.seed, device=device_of(model), report=report,
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    if config.one_cycle:
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=config.learning_rate,
            total_steps=batches.epochs * len(batches),
            cycle_momentum=False,
        )
    else:
        schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    parts = [model, optimizer, schedule, train_epoch]
    for epoch in resumable(batches, history, parts, folder=checkpoints):
        training_loss, training_accuracy = train_epoch(model, batches, optimizer, schedule)
        validation = evaluate(model, data.validation)
        history.append(
            {
                "epoch": epoch,
                "training_loss": training_loss,
                "training_accuracy": training_accuracy,
                "validation_loss": validation.loss,
                "validation_accuracy": validation.accuracy,
            }
        )
    return history
