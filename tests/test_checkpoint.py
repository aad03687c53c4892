"""Trainings that are stopped, killed and started again, in real processes."""

import io
import multiprocessing
import os
import resource
import signal
import time
import warnings

import pytest
import torch

from mnist_helpers import (
    ArchiveError,
    DigitClassifier,
    Split,
    TrainingConfig,
    archive,
    load_mnist,
    progress,
    train,
)
from mnist_helpers.archive import digest

from .conftest import ROOT
from .damage import damaged

CONFIG = TrainingConfig(epochs=6, seed=3)
# Children are forked from one process that has PyTorch loaded: they start at once.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])


def a_few_images(root=ROOT / "data") -> tuple[Split, Split]:
    data = load_mnist(root)
    return (
        Split(data.train.images[:300], data.train.labels[:300]),
        Split(data.validation.images[:100], data.validation.labels[:100]),
    )


def run(folder, config=CONFIG, report=lambda now: None) -> tuple[str, list]:
    """Train a small classifier, and return the digest of its weights, and its history."""
    torch.manual_seed(config.seed)
    model = DigitClassifier(channels=(8, 8))
    history = train(model, *a_few_images(), config, report=report, checkpoints=folder)
    return digest(model.state_dict()), history


def run_in_child(folder, pipe, epoch, moment) -> None:
    """Train, and say so and wait when the given moment in the epoch has come."""
    torch.set_num_threads(1)
    progress.REPORT_SECONDS = 0
    here = {"epoch": 0}

    def wait_at(name):
        if (here["epoch"], name) == (epoch, moment):
            pipe.send("now")
            time.sleep(60)  # until the kill

    def report(now):
        here["epoch"] = now.epoch
        wait_at(f"batch {now.batch}")

    def surrounded(function, before, after):
        def call(*arguments):
            wait_at(before)
            result = function(*arguments)
            wait_at(after)
            return result

        return call

    class SlowFile(io.FileIO):
        def write(self, content):
            half = len(content) // 2
            wait_at("before the write")
            super().write(content[:half])
            wait_at("half written")
            super().write(content[half:])

    archive.os.fdopen = SlowFile
    archive.os.replace = surrounded(os.replace, "before the renaming", "after the renaming")
    pipe.send(run(folder, report=report))


def start(folder, epoch=0, moment=""):
    ours, theirs = PROCESSES.Pipe()
    child = PROCESSES.Process(target=run_in_child, args=(folder, theirs, epoch, moment))
    child.start()
    theirs.close()
    return child, ours


@pytest.fixture(scope="module")
def uninterrupted():
    child, pipe = start(None)
    result = pipe.recv()
    child.join()
    return result


@pytest.fixture(autouse=True)
def one_thread():
    """As in the children, for the same bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


IN_A_WRITE = ["before the write", "half written", "before the renaming"]
MOMENTS = [(epoch, moment) for epoch in (1, 3, 5) for moment in IN_A_WRITE]
MOMENTS += [(epoch, "after the renaming") for epoch in (1, 4, 6)]
MOMENTS += [(epoch, f"batch {batch}") for epoch in (1, 2, 4, 6) for batch in (1, 4)]


@pytest.mark.parametrize(("epoch", "moment"), MOMENTS)
def test_a_killed_training_ends_with_the_same_bits(epoch, moment, uninterrupted, tmp_path):
    child, pipe = start(tmp_path, epoch, moment)
    assert pipe.recv() == "now"
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert child.exitcode == -signal.SIGKILL
    saved = list(tmp_path.glob("*.pt"))
    assert len(saved) == (epoch > 1 or moment == "after the renaming")
    assert run(tmp_path) == uninterrupted
    assert {path.suffix for path in tmp_path.iterdir()} <= {".lock"}


def test_there_are_twenty_moments_and_enough_of_them_in_a_write():
    assert len(MOMENTS) == 20
    writes = [(epoch, moment) for epoch, moment in MOMENTS if moment in IN_A_WRITE]
    assert len(writes) >= 5 and len({epoch for epoch, _ in writes}) >= 3


def test_a_stopped_training_goes_on_and_says_so(uninterrupted, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "REPORT_SECONDS", 0)

    def stop(now):
        if (now.epoch, now.batch) == (4, 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, report=stop)
    reports = []
    assert run(tmp_path, report=reports.append) == uninterrupted
    assert [report.epoch for report in reports] == [4] * 4 + [5] * 4 + [6] * 4
    assert str(reports[0]).endswith("left (went on after epoch 3)")


def interrupted(folder, config=CONFIG) -> None:
    def stop(now):
        if now.epoch == 3:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(progress, "REPORT_SECONDS", 0)
        run(folder, config, report=stop)


def test_another_configuration_is_another_run(uninterrupted, tmp_path):
    interrupted(tmp_path, TrainingConfig(epochs=6, seed=3, learning_rate=1e-3))
    (other,) = tmp_path.glob("*.pt")
    assert run(tmp_path) == uninterrupted
    assert list(tmp_path.glob("*.pt")) == [other]


def test_a_finished_run_trains_again(tmp_path):
    run(tmp_path)
    reports = []
    run(tmp_path, report=reports.append)
    assert reports[-1].resumed_after == 0


@pytest.mark.parametrize("number", range(4))
def test_a_damaged_checkpoint_is_set_aside(number, uninterrupted, tmp_path):
    interrupted(tmp_path)
    (path,) = tmp_path.glob("*.pt")
    content = damaged(path.read_bytes(), number)
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="cannot be used.*set aside.*starts anew"):
        assert run(tmp_path) == uninterrupted
    assert path.with_suffix(".damaged").read_bytes() == content


def test_two_processes_at_the_same_training_do_not_meet(tmp_path):
    child, pipe = start(tmp_path, 2, "batch 1")
    assert pipe.recv() == "now"
    with pytest.raises(ArchiveError, match="Another process is at this very training"):
        run(tmp_path)
    child.kill()
    child.join()
    run(tmp_path)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="/proc is Linux's")
def test_a_folder_that_cannot_be_written_is_refused_at_once():
    with pytest.raises(ArchiveError, match="Checkpoints cannot be written to '/proc/runs'"):
        run("/proc/runs")


def train_on_a_full_disk(folder, pipe) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # no file may be larger
    torch.set_num_threads(1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = run(folder)
    pipe.send((result, [str(warning.message) for warning in caught]))


def test_a_full_disk_is_said_and_the_training_goes_on(uninterrupted, tmp_path):
    ours, theirs = PROCESSES.Pipe()
    child = PROCESSES.Process(target=train_on_a_full_disk, args=(tmp_path, theirs))
    child.start()
    theirs.close()
    result, messages = ours.recv()
    child.join()
    assert result == uninterrupted
    assert len(messages) == 6 and "could not be written" in messages[0]
    assert not list(tmp_path.glob("*.p*"))
