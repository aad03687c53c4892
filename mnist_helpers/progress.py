"""How far a training is, in a line of text, without making the device wait for every answer."""

import time
from collections.abc import Callable

import torch

REPORT_SECONDS = 2.0  # between two reports


def show_progress(line: str) -> None:
    """Print the line in place of what the cell printed before; an empty one leaves nothing."""
    from IPython.display import clear_output  # a training outside of notebooks does without

    clear_output(wait=bool(line))
    if line:
        print(line, flush=True)


class ProgressMeter:
    """Counts batches, and calls `report` every few seconds with a line, at the end with ""."""

    def __init__(self, report: Callable[[str], None], epochs: int, batches: int):
        self.report, self.epochs, self.batches = report, epochs, batches
        self.start_after(0)

    def start_after(self, epoch: int) -> None:
        """Note that the training goes on after this epoch."""
        self.resumed_after = epoch
        self.start = self.last = time.monotonic()
        self.loss_sum = self.images = 0

    def add(self, losses: torch.Tensor) -> None:
        """Take note of the losses [B] of a batch."""
        self.loss_sum, self.images = self.loss_sum + losses.sum(), self.images + len(losses)

    def __call__(self, epoch: int, batch: int) -> None:
        """Report, if it is time, that so many batches of this epoch are done."""
        now = time.monotonic()
        done = (epoch - 1 - self.resumed_after) * self.batches + batch
        left = (self.epochs - self.resumed_after) * self.batches - done
        if left <= 0:
            self.report("")
        elif now - self.last >= REPORT_SECONDS:
            self.last = now
            minutes, seconds = divmod(round((now - self.start) / done * left), 60)
            loss = float(self.loss_sum / max(1, self.images))
            resumed = f" (went on after epoch {self.resumed_after})" if self.resumed_after else ""
            self.report(
                f"Epoch {epoch}/{self.epochs}, batch {batch}/{self.batches}: "
                f"loss {loss:.4f}, {minutes}:{seconds:02} left{resumed}"
            )
        if batch == self.batches:
            self.loss_sum = self.images = 0
