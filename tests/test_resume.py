"""Trainings that are stopped, killed and started again, in real processes."""

import errno
import hashlib
import os
import warnings
from collections.abc import Callable
from io import BytesIO

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mnist_helpers import (
    MNIST,
    Batches,
    CheckpointError,
    DigitClassifier,
    Distortion,
    TrainingConfig,
    TrainingDiverged,
    resumable,
    save_model,
    train,
    train_epoch,
)

from .conftest import draw_digits, perceptron, same_weights
from .damage import damaged
from .processes import call, start

CONFIG = TrainingConfig(epochs=4, batch_size=40, seed=3)
BATCHES = 3  # an epoch
pytestmark = pytest.mark.usefixtures("one_thread")


def run(folder, config=CONFIG, at_batch: Callable[[int], None] = lambda batch: None):
    """Train on a few drawn digits; return a digest of the weights, and the history. `at_batch` is
    called with the number of each training batch, from 1 on, when the network gets it."""
    torch.manual_seed(config.seed)
    model, seen = DigitClassifier(), []

    def count(model, inputs):
        if model.training:
            seen.append(1)
            at_batch(len(seen))

    model.register_forward_pre_hook(count)
    digits = draw_digits(120)
    history = train(model, MNIST(digits, digits[:40], digits[:40]), config, checkpoints=folder)
    weights = b"".join(each.contiguous().numpy().tobytes() for each in model.state_dict().values())
    return hashlib.sha256(weights).hexdigest(), history


def run_in_child(pipe, folder, moment: tuple | None = None) -> None:
    """Train, and at the moment say so and wait: `("batch", 5)`, or `(part, 2)` of the second of
    the writes, of which there is one before the first epoch and one after each."""
    torch.set_num_threads(1)
    writes = []

    def wait_at(name, number):
        if (name, number) == moment:
            pipe.send("now")
            pipe.recv()  # which never comes

    def save_slowly(contents, file):
        writes.append(1)
        wait_at("before the write", len(writes))
        whole = BytesIO()
        save(contents, whole)
        half = len(whole.getvalue()) // 2
        file.write(whole.getvalue()[:half])
        file.flush()
        wait_at("half written", len(writes))
        file.write(whole.getvalue()[half:])

    def replace_slowly(source, target):
        wait_at("before the renaming", len(writes))
        replace(source, target)
        wait_at("after the renaming", len(writes))

    save, replace = torch.save, os.replace
    torch.save, os.replace = save_slowly, replace_slowly
    pipe.send(run(folder, at_batch=lambda batch: wait_at("batch", batch)))


@pytest.fixture(scope="module")
def uninterrupted():
    return call(run_in_child, None)


@pytest.mark.parametrize(
    "moment",
    [
        ("half written", 1),
        ("before the renaming", 1),
        ("after the renaming", 1),
        ("batch", 2),
        ("before the write", 2),
        ("half written", 3),
        ("before the renaming", 4),
        ("after the renaming", 4),
        ("batch", 3 * BATCHES + 1),
        ("half written", 5),
        ("after the renaming", 5),
    ],
    ids=lambda moment: f"{moment[0]} {moment[1]}",
)
def test_a_killed_training_ends_with_the_same_bits(moment, uninterrupted, tmp_path):
    child, pipe = start(run_in_child, tmp_path, moment)
    assert pipe.recv() == "now"
    child.kill()
    child.join()
    assert child.exitcode != 0
    seen = []
    assert run(tmp_path, at_batch=seen.append) == uninterrupted
    name, number = moment
    finished = (number - 1) // BATCHES if name == "batch" else number - 1
    finished -= name != "batch" and name != "after the renaming" and finished > 0
    assert len(seen) == (CONFIG.epochs - finished) * BATCHES
    assert not list(tmp_path.iterdir())


class Stop(KeyboardInterrupt):
    """As a reader stops a cell."""


def stop_at(last: int) -> Callable[[int], None]:
    def at_batch(batch):
        if batch == last:
            raise Stop

    return at_batch


def interrupt(folder, config=CONFIG):
    """Stop a training in its third epoch, and return its checkpoint."""
    before = set(folder.glob("*.pt"))
    with pytest.raises(Stop):
        run(folder, config, stop_at(2 * BATCHES + 2))
    (path,) = set(folder.glob("*.pt")) - before
    return path


def test_a_stopped_training_goes_on(uninterrupted, tmp_path):
    interrupt(tmp_path)
    assert run(tmp_path) == uninterrupted


def test_another_learning_rate_or_distortion_is_another_run(uninterrupted, tmp_path):
    others = {
        interrupt(tmp_path, TrainingConfig(epochs=4, batch_size=40, seed=3, **change))
        for change in ({"learning_rate": 1e-3}, {"distortion": Distortion(rotation=13)})
    }
    assert len(others) == 2
    assert run(tmp_path) == uninterrupted
    assert set(tmp_path.glob("*.pt")) == others


@pytest.mark.parametrize("number", range(4))
def test_a_damaged_checkpoint_is_set_aside(number, uninterrupted, tmp_path):
    path = interrupt(tmp_path)
    content = damaged(path.read_bytes(), number)
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="can't be used.*set aside.*starts anew"):
        assert run(tmp_path) == uninterrupted
    assert path.with_suffix(".damaged").read_bytes() == content


def test_a_file_of_another_kind_is_set_aside(uninterrupted, tmp_path):
    save_model(DigitClassifier(), interrupt(tmp_path))
    with pytest.warns(UserWarning, match="it is a network.*set aside"):
        assert run(tmp_path) == uninterrupted


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path):
    (tmp_path / "file").touch()
    seen = []
    with pytest.raises(CheckpointError, match="checkpoint can't be written to .*Name a folder"):
        run(tmp_path / "file" / "runs", at_batch=seen.append)
    assert not seen


def train_on_a_full_disk(pipe, folder) -> None:
    import resource

    def fill(batch):
        if batch == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # no file may be larger

    torch.set_num_threads(1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = run(folder, at_batch=fill)
    pipe.send((result, [str(warning.message) for warning in caught]))


def test_a_full_disk_is_said_and_the_training_goes_on(uninterrupted, tmp_path):
    pytest.importorskip("resource", reason="Limits of a file's size are POSIX's")
    result, messages = call(train_on_a_full_disk, tmp_path)
    assert result == uninterrupted
    assert len(messages) == CONFIG.epochs
    assert all("can't be written" in message for message in messages)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_for_a_while_costs_nothing_else(uninterrupted, tmp_path, monkeypatch):
    real = os.fsync

    def no_space(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    def at_batch(batch):
        monkeypatch.setattr(os, "fsync", no_space if 4 <= batch <= 6 else real)
        if batch == 8:  # the checkpoint of the second epoch is missing
            raise Stop

    with pytest.warns(UserWarning, match="No space left.*goes on without"), pytest.raises(Stop):
        run(tmp_path, at_batch=at_batch)
    monkeypatch.undo()
    seen = []
    assert run(tmp_path, at_batch=seen.append) == uninterrupted
    assert len(seen) == 3 * BATCHES


class Lesson:
    """Cells of a notebook, each of which can be run again: what a training needs, and the loop."""

    def __init__(self, folder):
        self.folder, self.digits, self.train_epoch = folder, draw_digits(60), train_epoch

    def make(self, learning_rate=1e-3):
        self.model, self.history = perceptron(), []
        self.batches = Batches(self.digits, 30, 3, hard_images=0.5, distortion=Distortion())
        self.make_optimizer(learning_rate)
        return self

    def make_optimizer(self, learning_rate=1e-3):
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=learning_rate)
        self.schedule = torch.optim.lr_scheduler.ConstantLR(self.optimizer, factor=1.0)

    def loop(self, stop_after: int | None = None):
        parts = [self.model, self.optimizer, self.schedule, self.train_epoch]
        epochs = []
        for epoch in resumable(self.batches, self.history, parts, folder=self.folder):
            epochs.append(epoch)
            loss, _ = self.train_epoch(self.model, self.batches, self.optimizer, self.schedule)
            if epoch == stop_after:
                raise Stop
            self.history.append({"epoch": epoch, "loss": loss})
        return epochs

    def interrupt(self):
        with pytest.raises(Stop):
            self.loop(stop_after=2)
        return self


@pytest.fixture
def lesson(tmp_path):
    return Lesson(tmp_path).make()


@pytest.mark.parametrize("again", [lambda lesson: lesson, Lesson.make], ids=["loop", "both"])
def test_an_interrupted_loop_goes_on_with_the_cell_before_and_without(again, lesson, tmp_path):
    complete = Lesson(tmp_path / "complete").make()
    torch.manual_seed(7)  # of dropout, which others' draws must not disturb
    assert complete.loop() == [1, 2, 3]
    torch.manual_seed(7)
    again(lesson.interrupt())
    torch.rand(100)
    assert lesson.loop() == [2, 3]
    assert lesson.history == complete.history
    assert same_weights(lesson.model, complete.model)


def test_a_finished_training_trains_again_from_new_parts(lesson):
    assert lesson.loop() == lesson.make().loop() == [1, 2, 3]


def test_a_finished_training_says_what_to_make_anew(lesson):
    lesson.loop()
    history = list(lesson.history)
    with pytest.raises(ValueError, match="is finished.* make network, batches, .* anew"):
        lesson.loop()
    assert lesson.history == history  # the curves are not lost by that


def test_without_a_folder_an_interrupted_training_says_what_to_make_anew():
    lesson = Lesson(None).make().interrupt()
    with pytest.raises(ValueError, match="begun already.* make network, batches, .* anew"):
        lesson.loop()
    assert lesson.make().loop() == [1, 2, 3]


def clipped_epoch(model, batches, optimizer, schedule):
    for images, labels in batches:
        losses = F.cross_entropy(model(images), labels, reduction="none")
        optimizer.zero_grad()
        losses.mean().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return losses.mean().item(), 0.0


def test_an_edited_loop_does_not_go_on_from_the_other_ones_checkpoint(lesson):
    lesson.interrupt().train_epoch = clipped_epoch
    with pytest.raises(ValueError, match="make network, batches, .* anew"):
        lesson.loop()
    assert lesson.make().loop() == [1, 2, 3]


def test_a_new_optimizer_does_not_get_the_old_ones_learning_rate(lesson):
    lesson.interrupt().make_optimizer(learning_rate=1e-4)
    with pytest.raises(ValueError, match="make network, batches, .* anew"):
        lesson.loop()


def test_another_network_does_not_get_the_checkpoint_of_the_first(lesson):
    lesson.interrupt().model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    lesson.make_optimizer()
    with pytest.raises(ValueError, match="make network, batches, .* anew"):
        lesson.loop()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_stops_the_loop(value, lesson):
    parts = [lesson.model, lesson.optimizer, lesson.schedule]
    with pytest.raises(TrainingDiverged, match=f"test loss became {value} in epoch 3.* 2 whole"):
        for epoch in resumable(lesson.batches, lesson.history, parts, folder=lesson.folder):
            loss = value if epoch == 3 else 1.0
            lesson.history.append({"epoch": epoch, "test_loss": loss, "note": "words are fine"})
    assert [row["epoch"] for row in lesson.history] == [1, 2]


def test_what_is_no_network_is_refused_before_it_is_trained(lesson):
    lesson.model = nn.Sequential(nn.Flatten(), nn.Linear(784, 9))
    lesson.make_optimizer()
    with pytest.raises(ValueError, match="ten logits"):
        lesson.loop()
