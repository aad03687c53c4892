"""The lesson's augmentation and training, for those who import them."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from .data import MNIST
from .evaluation import evaluate, place_of, to_pixels


def augment(images: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
    """Rotate, scale, slant and shift each image, float [N, C, S, S], by its own random amount.

    At strength 1 they are rotated by up to 12 degrees, scaled by 12 %, slanted by 15 % of the
    height and shifted by 2 of 28 pixels, each in both directions. What comes in from outside is 0.
    `train` sets the strength.
    """
    amounts = strength * (2 * torch.rand(5, len(images), device=images.device) - 1)
    angle, scale, slant = 0.21 * amounts[0], torch.exp(0.12 * amounts[1]), 0.15 * amounts[2]
    x, y = amounts[3:] / 7  # a width is 2 units
    cos, sin = angle.cos() / scale, angle.sin() / scale
    maps = torch.stack([cos, cos * slant - sin, x, sin, sin * slant + cos, y], dim=1)
    grid = F.affine_grid(maps.view(-1, 2, 3).to(images), images.shape, align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def has_bfloat16(device: torch.device | str | None = None) -> bool:
    """Return whether the processor multiplies matrices in bfloat16 itself (AVX512-BF16 or AMX).

    A training step is then faster in bfloat16; without such instructions it is slower. False for
    a `device` other than the CPU, and for versions of PyTorch that can't tell.
    """
    if device is not None and torch.device(device).type != "cpu":
        return False
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def train_epoch(model, loader, optimizer, schedule=None, change=None, bfloat16=False):
    """Train the model on every batch of uint8 images [B, 1, 28, 28] and labels [B] once; return
    the mean loss, in nats. `change` maps float images in [0, 1] to those that it learns from."""
    model.train()
    device, dtype = place_of(model)
    total, count = 0.0, 0
    for images, labels in loader:
        images, labels = to_pixels(images, device, dtype), labels.to(device)
        if change:
            images = change(images)
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if schedule:
            schedule.step()
        total, count = total + len(labels) * loss.detach(), count + len(labels)
    return float(total) / count


def train(
    model: nn.Module,
    data: MNIST,
    *,
    epochs: int = 10,
    batch_size: int = 96,
    optimizer: torch.optim.Optimizer | None = None,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
    augmentation=augment,
    generator: torch.Generator | None = None,
    bfloat16: bool | None = None,
    verbose: bool = True,
) -> list[dict]:
    """Train the model on `data.training` where it is; return the history, a row for each epoch.

    `model` maps float images [N, 1, 28, 28] in [0, 1] to logits [N, 10]; it is left in evaluation
    mode. Without an optimizer, Adam's learning rate takes one cycle up to 5e-3; with one, it is
    the optimizer's own, or as `schedule` says, which takes a step after each batch.
    `augmentation(images, strength)` makes other training images; its strength is 1 at first and
    falls to 0 in the last 40 % of the epochs (a single epoch has 0). A transform of torchvision
    takes images alone: `augmentation=lambda images, strength: transform(images)`. `bfloat16` is by
    default what `has_bfloat16` says. Raises ValueError for images that aren't uint8, a schedule
    without an optimizer, an optimizer of another model, and a loss that is no finite number.

    A row has epoch, training_loss, validation_loss (in nats) and validation_accuracy, in [0, 1].
    The weights at the start, dropout, the order of the images and their augmentation come from
    PyTorch's generator: call `torch.manual_seed` before you make the model. With a `generator`,
    as `DataLoader` takes it, several networks get the images in the same order.
    """
    device, _ = place_of(model)
    if bfloat16 is None:
        bfloat16 = has_bfloat16(device)
    loader = DataLoader(
        data.training,
        batch_size,
        shuffle=True,
        generator=generator,
        drop_last=len(data.training) % batch_size == 1,  # batch normalisation needs two images
    )
    own = set(model.parameters())
    if optimizer and not any(own & set(group["params"]) for group in optimizer.param_groups):
        raise ValueError(
            "The optimizer holds none of this model's parameters, so the model would not learn. "
            "Make the optimizer after the model: optim.Adam(model.parameters())."
        )
    if optimizer is None:
        if schedule:
            raise ValueError("A schedule belongs to an optimizer: give train both, or neither.")
        optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=5e-3, total_steps=epochs * len(loader), cycle_momentum=False
        )
    history = []
    for epoch in range(1, epochs + 1):
        strength = min(1, 2.5 * (1 - epoch / epochs))
        change = augmentation and (lambda images, s=strength: augmentation(images, s))
        training_loss = train_epoch(model, loader, optimizer, schedule, change, bfloat16)
        if not math.isfinite(training_loss):
            raise ValueError(
                f"The training loss is {training_loss} in epoch {epoch}: the weights have grown "
                "without bound, or an image gave no finite number. Try a lower learning rate."
            )
        row = {"epoch": epoch, "training_loss": training_loss}
        if data.validation is not None:
            validation = evaluate(model, data.validation)
            row |= {"validation_loss": validation.loss, "validation_accuracy": validation.accuracy}
        history.append(row)
        if verbose:
            print(*(f"{name} {value:.4g}" for name, value in row.items()), sep="   ")
    model.eval()
    return history
