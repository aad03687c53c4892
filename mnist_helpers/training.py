"""The training loop: Adam, cross-entropy, one learning-rate cycle, and a new distortion of every
image in every epoch."""

import math
from collections.abc import Callable
from dataclasses import astuple, dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.optim import lr_scheduler

from .augmentation import Distortion, distort
from .checkpoint import checkpointed, get_random_states, set_random_states
from .curriculum import choose_images, count_batches, distortion_strength, split_into_batches
from .data import Split
from .model import DigitClassifier, to_float
from .progress import Progress, ProgressMeter
from .runtime import keep_freed_memory


class TrainingDiverged(RuntimeError):
    """The loss became infinite or not a number; the history holds the whole epochs before."""


@dataclass(frozen=True)
class TrainingConfig:
    """The recipe. Raises TypeError or ValueError for a value that no training can use."""

    epochs: int = 10
    batch_size: int = 96
    learning_rate: float = 5e-3  # at the cycle's peak, 30 % of the way
    one_cycle: bool = True  # rise and fall (Smith and Topin 2018); otherwise it stays constant
    hard_images: float = 0.5  # the share of an epoch's images that are drawn by their loss
    distortion: Distortion | None = Distortion()
    seed: int = 0

    def __post_init__(self):
        for name, kind in {"epochs": int, "batch_size": int, "learning_rate": (int, float)}.items():
            value = getattr(self, name)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise TypeError(f"{name} must be a number above 0, but it is {value!r}")
            if not 0 < value < math.inf:  # which a NaN is not either
                raise ValueError(f"{name} must be a finite number above 0, but it is {value!r}")
        if self.batch_size < 2:
            raise ValueError("batch_size must be 2 or more, for batch normalisation, but it is 1")
        if not 0 <= self.hard_images <= 1:
            raise ValueError(f"hard_images must be from 0 to 1, but it is {self.hard_images!r}")


@dataclass(frozen=True)
class EpochResult:
    """One row of the history: mean losses per image in nats, accuracies in [0, 1].

    The training figures are running averages over the epoch, with dropout, of distorted images, the
    hard ones more often than others; the validation figures are taken after the epoch, on the
    images as they are, without dropout.
    """

    epoch: int
    training_loss: float
    training_accuracy: float
    validation_loss: float
    validation_accuracy: float


@dataclass
class TrainingState:
    """All that the rest of a training depends on, besides its configuration and the images."""

    model: DigitClassifier
    optimizer: torch.optim.Optimizer
    schedule: lr_scheduler.LRScheduler
    generator: torch.Generator  # of the order of the images, and of their distortions
    losses: torch.Tensor  # [N], of each training image so far: a moving average
    history: list[EpochResult] = field(default_factory=list)

    def state_dict(self) -> dict:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "generator": self.generator.get_state(),
            "losses": self.losses,
            "random_states": get_random_states(self.model.device),
            "history": [astuple(result) for result in self.history],
        }

    def load_state_dict(self, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.generator.set_state(state["generator"])
        self.losses.copy_(state["losses"])
        set_random_states(state["random_states"], self.model.device)
        self.history = [EpochResult(*values) for values in state["history"]]


def train(
    model: DigitClassifier,
    training: Split,
    validation: Split,
    config: TrainingConfig,
    *,
    history: list[EpochResult] | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    checkpoints: str | Path | None = None,
) -> list[EpochResult]:
    """Train the model where it is, and return the history, one row an epoch.

    Rows are appended to `history`, so that a caller who passes a list still has them when the
    training is interrupted. `report` is called every few seconds and after the last batch. In the
    folder `checkpoints` the state is kept after each epoch: called again with a model made from the
    same seed, an interrupted training goes on there, and ends with the same bits.

    Raises TrainingDiverged if a loss is not finite, and ArchiveError if the folder cannot be
    written or another process is at the same training.
    """
    history = [] if history is None else history
    state = start_training(model, config, len(training))
    with checkpointed(checkpoints, state, (config, training, validation)) as save:
        history += state.history
        batches = count_batches(len(training), config.batch_size)
        meter = ProgressMeter(report, config.epochs, batches, resumed_after=len(state.history))
        training, validation = training.to(model.device), validation.to(model.device)
        for epoch in range(len(state.history) + 1, config.epochs + 1):
            on_training = train_epoch(state, training, config, meter)
            on_validation = measure(model, validation)
            check_finite(epoch, on_training[0], on_validation[0])
            history.append(EpochResult(epoch, *on_training, *on_validation))
            state.history.append(history[-1])
            save()
    return history


def start_training(model: DigitClassifier, config: TrainingConfig, images: int) -> TrainingState:
    """Return the state before the first step on so many images: Adam, its learning rate's one
    cycle, and seeded generators (PyTorch's own, too, since dropout draws from them)."""
    keep_freed_memory()
    torch.manual_seed(config.seed)
    generator = torch.Generator(model.device).manual_seed(config.seed)
    optimizer = make_optimizer(model, config)
    if config.one_cycle:
        steps = config.epochs * count_batches(images, config.batch_size)
        schedule = lr_scheduler.OneCycleLR(
            optimizer, config.learning_rate, total_steps=steps, cycle_momentum=False
        )
    else:
        schedule = lr_scheduler.ConstantLR(optimizer, factor=1.0)
    losses = torch.zeros(images, device=model.device)
    return TrainingState(model, optimizer, schedule, generator, losses)


def make_optimizer(model: DigitClassifier, config: TrainingConfig) -> torch.optim.Adam:
    """Return Adam, in its fused form (one pass over the weights) where the device has it."""
    fused = model.device.type in {"cpu", "cuda", "mps"}
    return torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=fused)


def train_epoch(
    state: TrainingState, training: Split, config: TrainingConfig, meter: ProgressMeter
) -> list[float]:
    """Train on as many images as there are, in a random order; return mean loss and accuracy on the
    way."""
    epoch = len(state.history) + 1
    state.model.train()
    totals = torch.zeros(2, device=state.model.device)  # losses and right answers, summed
    order = choose_images(state.losses, config.hard_images, state.generator)
    batches = split_into_batches(order, config.batch_size)
    shown = 0
    for batch, indices in enumerate(batches, start=1):
        images, labels = to_float(training.images[indices]), training.labels[indices]
        if config.distortion:
            progress = state.schedule.last_epoch / (config.epochs * len(batches))
            strength = distortion_strength(progress)
            images = distort(images, config.distortion, state.generator, strength=strength)
        losses, right = training_step(state.model, state.optimizer, images, labels)
        totals += torch.stack([losses.sum(), right.sum()])
        before = state.losses[indices]
        state.losses[indices] = torch.where(before > 0, 0.7 * before + 0.3 * losses, losses)
        state.schedule.step()
        shown += len(indices)
        meter(epoch, batch, totals, images=shown)
    return (totals / len(training)).tolist()


def training_step(
    model: DigitClassifier,
    optimizer: torch.optim.Optimizer,
    images: torch.Tensor,
    labels: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Change the weights once, for float images [N, 1, 28, 28] and labels [N].

    Returns each image's loss, and whether its answer was right, [N] each, on the device: nothing
    here waits for it.
    """
    logits = model(images)
    losses = F.cross_entropy(logits, labels, reduction="none")
    optimizer.zero_grad()
    losses.mean().backward()
    optimizer.step()
    return losses.detach(), logits.argmax(dim=1) == labels


def measure(model: DigitClassifier, split: Split) -> list[float]:
    """Return the model's mean loss and its accuracy on a split, without dropout."""
    logits = model.predict_logits(split.images)
    accuracy = (logits.argmax(dim=1) == split.labels).float().mean()
    return torch.stack([F.cross_entropy(logits, split.labels), accuracy]).tolist()


def check_finite(epoch: int, *losses: float) -> None:
    for loss in losses:
        if not math.isfinite(loss):
            raise TrainingDiverged(
                f"The loss became {loss} in epoch {epoch}, and the training stopped. The history "
                f"holds the {epoch - 1} whole epochs before it. Try a lower learning rate."
            )
