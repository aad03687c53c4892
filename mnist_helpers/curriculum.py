"""Which images an epoch shows, in which batches, and how far it moves them."""

import math

import torch


def choose_images(
    losses: torch.Tensor, hard_images: float, generator: torch.Generator
) -> torch.Tensor:
    """Return the indices [N] of an epoch's images in random order; `losses` [N] are all 0 before
    the first epoch, which shows every image once.

    Later, a share of them is drawn, each image at most once, with a probability in proportion to
    the square root of its loss, so that what is still hard is practised more often (by rank
    instead of loss: Loshchilov and Hutter 2015, section 3). The others are any images.
    """
    order = torch.randperm(len(losses), generator=generator, device=losses.device)
    count = int(hard_images * len(losses))
    if not count or not losses.any():
        return order
    hard = torch.multinomial((losses + 1e-3).sqrt(), count, generator=generator)
    chosen = torch.cat([hard, order[count:]])
    return chosen[torch.randperm(len(losses), generator=generator, device=losses.device)]


def count_batches(images: int, batch_size: int) -> int:
    """Return the number of batches in an epoch: the last one may be shorter, but a lone last image
    joins the batch before, since batch normalisation needs two. Raises ValueError for one image."""
    if images < 2:
        raise ValueError(f"A training needs at least two images, but there is {images}")
    return math.ceil((images - 1) / batch_size)


def split_into_batches(order: torch.Tensor, batch_size: int) -> tuple[torch.Tensor, ...]:
    """Split indices [N] into the batches that `count_batches` counts."""
    bounds = [batch * batch_size for batch in range(1, count_batches(len(order), batch_size))]
    return order.tensor_split(bounds)


def distortion_strength(progress: float) -> float:
    """Return how far images are moved when this share of the training is done: as far as they may
    be for 60 % of it, and then less and less, so that it ends with images as they are."""
    return min(1.0, (1 - progress) / 0.4)
