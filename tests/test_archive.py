"""Files that lie: damaged, cut off, of another kind, or made to run something when read."""

import os
import pickle
import subprocess
import sys

import pytest
import torch

from mnist_helpers import (
    ArchiveError,
    DigitClassifier,
    Split,
    TrainingConfig,
    archive,
    load_model,
    save_model,
    train_epoch,
)
from mnist_helpers.archive import digest, read_archive, write_archive
from mnist_helpers.training import start_training

from .damage import damaged

CONTENTS = {"weights": torch.arange(5_000.0), "epoch": 3, "names": ["a", "b"], "nothing": None}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "thing.pt"
    write_archive(path, "thing", CONTENTS)
    return path


def test_what_was_written_is_read(path):
    assert digest(read_archive(path, "thing")) == digest(CONTENTS)


def save_checkpoint(path):
    model = DigitClassifier(channels=(4, 4))
    state = start_training(model, TrainingConfig(), len(tiny_split()))
    train_epoch(state, tiny_split(), TrainingConfig(), lambda *progress, images: None)
    write_archive(path, "checkpoint", state.state_dict())


def save_classifier(path):
    save_model(DigitClassifier(channels=(4, 4)), path, validation_accuracy=0.5)


def tiny_split() -> Split:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (40, 28, 28), dtype=torch.uint8, generator=generator)
    return Split(images, torch.arange(40) % 10)


@pytest.mark.parametrize("kind", ["checkpoint", "classifier"])
def test_of_200_damages_each_is_found_or_harmless(kind, tmp_path):
    path = tmp_path / "file.pt"
    {"checkpoint": save_checkpoint, "classifier": save_classifier}[kind](path)
    truth, content = digest(read_archive(path, kind)), path.read_bytes()
    found = 0
    for number in range(200):
        path.write_bytes(damaged(content, number))
        try:
            assert digest(read_archive(path, kind)) == truth, number
        except ArchiveError:
            found += 1
    assert found > 150


def test_flipped_numbers_are_found_even_where_the_checksums_agree(tmp_path):
    """As from a program that wrote the wrong thing rightly."""
    path = tmp_path / "thing.pt"
    envelope = {"kind": "thing", "format": archive.FORMAT, "contents": {"epoch": 4}}
    torch.save(envelope | {"digest": digest({"epoch": 3})}, path)
    with pytest.raises(ArchiveError, match="not those that were written"):
        read_archive(path, "thing")


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip file at all", bytes(10_000)])
def test_what_is_no_archive_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match="cannot be used"):
        read_archive(path, "thing")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ArchiveError, match=r"There is no classifier at .*gone\.pt"):
        load_model(tmp_path / "gone.pt")


def test_another_kind_is_refused(path):
    with pytest.raises(ArchiveError, match="a thing of format 1, but a classifier of format 1"):
        load_model(path)


def test_a_format_of_the_future_is_refused(path, monkeypatch):
    monkeypatch.setattr(archive, "FORMAT", 2)
    write_archive(path, "thing", CONTENTS)
    monkeypatch.undo()
    with pytest.raises(ArchiveError, match="of format 2, but a thing of format 1 is expected"):
        read_archive(path, "thing")


class Malice:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def test_nothing_in_a_file_is_executed(path, tmp_path):
    trace = tmp_path / "trace"
    envelope = {"kind": "thing", "format": 1, "contents": Malice(trace), "digest": ""}
    torch.save(envelope, path)
    with pytest.raises(ArchiveError):
        read_archive(path, "thing")
    path.with_suffix(".pkl").write_bytes(pickle.dumps(Malice(trace)))
    with pytest.raises(ArchiveError):
        read_archive(path.with_suffix(".pkl"), "thing")
    assert not trace.exists()
    torch.load(path, weights_only=False)  # it would have run
    assert trace.exists()


def test_a_write_that_fails_keeps_the_old_file(path, monkeypatch):
    before = path.read_bytes()

    def no_space(file_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive.os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        write_archive(path, "thing", {"epoch": 4})
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_digests_tell_apart_what_differs():
    things = [
        1, 1.0, True, "1", None, [1], (1,), {"1": 1}, [[1], 1], [[1, 1]],
        torch.tensor([1, 2]), torch.tensor([1, 2.0]), torch.tensor([[1, 2]]), torch.tensor([2, 1]),
    ]  # fmt: skip
    assert len({digest(thing) for thing in things}) == len(things)


def test_a_classifier_is_the_same_in_a_new_process(data, tmp_path):
    torch.manual_seed(1)
    model = DigitClassifier(channels=(8, 16), dropout=(0.0, 0.3))
    save_model(model, tmp_path / "models" / "mnist.pt", validation_accuracy=0.1)
    images = data.test.images[:40]
    torch.save(images, tmp_path / "images.pt")
    program = (
        "import torch; from mnist_helpers import load_model\n"
        "model = load_model('models/mnist.pt')\n"
        "torch.save(model.predict_proba(torch.load('images.pt')), 'probabilities.pt')\n"
    )
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-c", program]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    assert torch.equal(torch.load(tmp_path / "probabilities.pt"), model.predict_proba(images))


def test_a_classifier_that_cannot_be_written_is_an_error_of_ours(tmp_path):
    (tmp_path / "models").write_text("a file")
    with pytest.raises(ArchiveError, match="cannot be written to"):
        save_model(DigitClassifier(), tmp_path / "models" / "mnist.pt", validation_accuracy=0.5)
