import pytest
import torch

from mnist_helpers import Batches, progress, show_progress
from mnist_helpers.progress import ProgressMeter

from .conftest import draw_digits


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on when it is told to."""

    class Clock:
        now = 100.0

        def __call__(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    return clock


def work(meter, clock, epoch, batches, seconds):
    for batch in batches:
        clock.now += seconds
        meter.add(torch.tensor([1.0, 2.0]))
        meter(epoch, batch)


def test_the_line_says_where_the_training_is_and_how_long_it_takes(clock):
    lines = []
    meter = ProgressMeter(lines.append, epochs=2, batches=40)
    work(meter, clock, 1, range(1, 11), seconds=1)
    assert lines[-1] == "Epoch 1/2, batch 10/40: loss 1.5000, 1:10 left"


def test_there_is_a_line_every_few_seconds_only(clock):
    lines = []
    work(ProgressMeter(lines.append, 2, 1_000), clock, 1, range(1, 101), seconds=0.1)
    assert 4 <= len(lines) <= 5


def test_the_end_empties_the_line(clock):
    lines = []
    work(ProgressMeter(lines.append, 1, 2), clock, 1, [1, 2], seconds=0.1)
    assert lines == [""]


def test_a_training_that_went_on_says_so_and_counts_from_there(clock):
    lines = []
    meter = ProgressMeter(lines.append, epochs=4, batches=10)
    meter.start_after(2)
    work(meter, clock, 3, range(1, 6), seconds=3)
    line = "Epoch 3/4, batch 5/10: loss 1.5000, 0:45 left (went on after epoch 2)"
    assert lines[-1] == line


def test_the_loss_is_that_of_the_epoch(clock):
    lines = []
    meter = ProgressMeter(lines.append, epochs=3, batches=2)
    work(meter, clock, 1, [1, 2], seconds=5)
    clock.now += 5
    meter.add(torch.tensor([0.25]))
    meter(2, 1)
    assert "loss 0.2500" in lines[-1]


def test_batches_report_and_go_on_from_a_state(monkeypatch):
    monkeypatch.setattr(progress, "REPORT_SECONDS", 0)
    lines = []
    first, second = (Batches(draw_digits(40), 20, 3, report=lines.append) for _ in range(2))
    list(first)
    assert lines[-1].startswith("Epoch 1/3, batch 2/2")
    second.load_state_dict(first.state_dict())
    list(second)
    assert lines[-1].startswith("Epoch 2/3, batch 2/2") and "went on after epoch 1" in lines[-1]
    list(second)
    assert lines[-1] == ""


def test_a_line_is_printed_at_once(capsys):
    show_progress("half way")
    assert "half way" in capsys.readouterr().out
