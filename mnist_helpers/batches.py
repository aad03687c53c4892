"""What an epoch shows: which images, in which order and batches, and how far distorted."""

import math
from collections.abc import Callable, Iterator

import torch

from .augmentation import Distortion, distort
from .checks import check_count, check_number
from .data import Split, to_float
from .progress import ProgressMeter


class Batches:
    """The batches of a training: to iterate once over them is an epoch.

    Each yields images, float [B, 1, 28, 28], distorted and in [0, 1] but for noise, and labels
    [B], on the device. The last batch may be shorter; a lone last image joins the batch before,
    since batch normalisation needs two.

    The first epoch shows every image once. From the second one on, the share `hard_images` of an
    epoch is drawn without replacement, with weights that are the square roots of the images' losses
    (by rank instead of loss: Loshchilov and Hutter 2015, section 3). The others come from a random
    order of all images. So an epoch has as many images as the split, some of them twice and others
    not at all. With a share of 0 or 1, it shows every image once.

    Images are moved by up to `distortion` in the first 60 % of the epochs, then less and less, so
    that the training ends with digits as they are in the files.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        epochs: int,
        *,
        distortion: Distortion | None = None,
        hard_images: float = 0.0,
        seed: int = 0,
        device: torch.device | str = "cpu",
        report: Callable[[str], None] | None = None,
    ):
        """`report` is called with a line of text, every few seconds and after the last batch."""
        if len(split) < 2:
            raise ValueError("A training needs at least two images, but there is one")
        check_count("batch_size", batch_size, least=2)  # batch normalisation needs two
        check_count("epochs", epochs)
        check_number("hard_images", hard_images, most=1)
        self.split, self.batch_size, self.epochs = split.to(device), int(batch_size), int(epochs)
        self.distortion, self.hard_images, self.seed = distortion, hard_images, int(seed)
        self.epoch = 0  # how many are finished
        self.losses = torch.zeros(len(split), device=device)  # of each image: a moving average
        # The order is drawn on the CPU, where `multinomial` is reliable; distortions on the device.
        self.order_generator = torch.Generator().manual_seed(self.seed)
        self.distortion_generator = torch.Generator(device).manual_seed(self.seed)
        self.meter = ProgressMeter(report, self.epochs, len(self)) if report else None
        self.run = None  # which one they belong to: see resume.resumable

    def __len__(self) -> int:
        return math.ceil((len(self.split) - 1) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        bounds = [batch * self.batch_size for batch in range(1, len(self))]
        order = self._draw_order().to(self.losses.device)
        for batch, self._indices in enumerate(order.tensor_split(bounds), start=1):
            images, labels = to_float(self.split.images[self._indices]), self.split.labels
            if self.distortion:
                done = (self.epoch + (batch - 1) / len(self)) / self.epochs
                strength = max(0.0, min(1.0, (1 - done) / 0.4))
                images = distort(
                    images, self.distortion, self.distortion_generator, strength=strength
                )
            yield images, labels[self._indices]
            if self.meter:
                self.meter(self.epoch + 1, batch)
        self.epoch += 1

    def _draw_order(self) -> torch.Tensor:
        """Return the indices of an epoch's images, as many as there are."""
        count = len(self.split)
        order = torch.randperm(count, generator=self.order_generator)
        hard = int(self.hard_images * count)
        if self.epoch == 0 or not hard:
            return order
        weights = (self.losses.cpu() + 1e-3).sqrt()
        drawn = torch.multinomial(weights, hard, generator=self.order_generator)
        chosen = torch.cat([drawn, order[hard:]])
        return chosen[torch.randperm(count, generator=self.order_generator)]

    def note_losses(self, losses: torch.Tensor) -> None:
        """Remember the losses [B] of the batch that came last, for the draw of hard images."""
        losses = losses.detach().float()
        if self.meter:
            self.meter.add(losses)
        before = self.losses[self._indices]
        losses = torch.where(before > 0, 0.7 * before + 0.3 * losses, losses)
        # An image may come twice in a batch. The larger loss is kept: unlike "the last one", that
        # doesn't depend on the order in which a GPU writes.
        self.losses.scatter_reduce_(0, self._indices, losses, "amax", include_self=False)

    def recipe(self) -> tuple:
        """What the batches depend on, apart from the code: the name of a run comes from it."""
        constants = self.batch_size, self.epochs, self.distortion, self.hard_images, self.seed
        return *constants, self.split.images, self.split.labels

    def state_dict(self) -> dict:
        return {
            "epoch": self.epoch,
            "losses": self.losses,
            "order": self.order_generator.get_state(),
            "distortion": self.distortion_generator.get_state(),
        }

    def load_state_dict(self, state: dict) -> None:
        self.epoch = state["epoch"]
        self.losses.copy_(state["losses"])
        self.order_generator.set_state(state["order"])
        self.distortion_generator.set_state(state["distortion"])
        if self.meter:
            self.meter.start_after(self.epoch)
