"""Which images an epoch shows, and how far it moves them."""

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


def distortion_strength(progress: float) -> float:
    """Return how far images are moved when this share of the training is done: as far as they may
    be for 60 % of it, and then less and less, so that it ends with images as they are."""
    return min(1.0, (1 - progress) / 0.4)
