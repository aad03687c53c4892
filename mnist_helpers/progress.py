"""How far a training is, without making the device wait for every answer."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

REPORT_SECONDS = 2.0  # between two reports


@dataclass(frozen=True)
class Progress:
    """How far a training is, with the running averages of the present epoch."""

    epoch: int
    epochs: int
    batch: int
    batches: int  # in an epoch
    loss: float
    accuracy: float
    seconds_left: float
    resumed_after: int  # the epochs that an interrupted run had finished

    def __str__(self) -> str:
        minutes, seconds = divmod(round(self.seconds_left), 60)
        resumed = f" (went on after epoch {self.resumed_after})" if self.resumed_after else ""
        return (
            f"Epoch {self.epoch}/{self.epochs}, batch {self.batch}/{self.batches}: "
            f"loss {self.loss:.4f}, accuracy {100 * self.accuracy:.2f} %, "
            f"{minutes}:{seconds:02} left{resumed}"
        )


class ProgressMeter:
    """Counts batches, and calls `report` every few seconds and after the very last batch."""

    def __init__(
        self, report: Callable[[Progress], None], epochs: int, batches: int, resumed_after: int = 0
    ):
        self.report, self.epochs, self.batches = report, epochs, batches
        self.resumed_after = resumed_after
        self.start = self.last = time.monotonic()

    def __call__(self, epoch: int, batch: int, totals: torch.Tensor, images: int) -> None:
        """Take note of a batch: `totals` are losses and right answers so far, of so many images."""
        now = time.monotonic()
        done = (epoch - 1 - self.resumed_after) * self.batches + batch
        left = (self.epochs - self.resumed_after) * self.batches - done
        if left and now - self.last < REPORT_SECONDS:
            return
        self.last = now
        loss, accuracy = (totals / images).tolist()
        seconds_left = (now - self.start) / done * left
        self.report(
            Progress(
                epoch,
                self.epochs,
                batch,
                self.batches,
                loss,
                accuracy,
                seconds_left,
                self.resumed_after,
            )
        )
