"""Files that lie: damaged, cut off, of another kind, or made to run something when read."""

import errno
import os
import pickle
import stat

import pytest
import torch
from torch import nn

from mnist_helpers import (
    CheckpointError,
    DigitClassifier,
    load_model,
    predict_proba,
    save_model,
    to_device,
)
from mnist_helpers.checkpoint import read_file, write_file

from .conftest import perceptron, same_weights
from .damage import damaged
from .processes import call

CONTENTS = {"weights": torch.arange(5_000.0), "epoch": 3, "names": ["a", "b"], "nothing": None}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "thing.pt"
    write_file(path, "thing", CONTENTS)
    return path


def is_true(contents: dict) -> bool:
    plain = {name: value for name, value in contents.items() if name != "weights"}
    return plain == {"epoch": 3, "names": ["a", "b"], "nothing": None} and torch.equal(
        contents["weights"], CONTENTS["weights"]
    )


def test_what_was_written_is_read(path):
    assert is_true(read_file(path, "thing"))


def test_of_200_damages_each_is_found_or_harmless(path):
    content, found = path.read_bytes(), 0
    for number in range(200):
        path.write_bytes(damaged(content, number))
        try:
            assert is_true(read_file(path, "thing")), number
        except CheckpointError:
            found += 1
    assert found > 150


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip file at all", bytes(10_000)])
def test_what_is_no_file_of_ours_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="The thing .*thing.pt' can't be used"):
        read_file(path, "thing")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"There is no network at .*gone\.pt"):
        load_model(tmp_path / "gone.pt", perceptron())


def test_another_kind_is_refused(path):
    with pytest.raises(CheckpointError, match="can't be used: it is a thing"):
        load_model(path, perceptron())


def test_another_programs_file_is_refused(tmp_path):
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="can't be used"):
        load_model(tmp_path / "other.pt", perceptron())


class Malice:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def test_nothing_in_a_file_is_executed(path, tmp_path):
    trace = tmp_path / "trace"
    torch.save({"kind": "thing", "contents": Malice(trace)}, path)
    with pytest.raises(CheckpointError):
        read_file(path, "thing")
    path.with_suffix(".pkl").write_bytes(pickle.dumps(Malice(trace)))
    with pytest.raises(CheckpointError):
        read_file(path.with_suffix(".pkl"), "thing")
    assert not trace.exists()
    torch.load(path, weights_only=False)  # it would have run
    assert trace.exists()


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_keeps_the_old_file_alone(step, path, monkeypatch):
    def no_space(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr(os, step, no_space)
    with pytest.raises(CheckpointError, match="No space"):
        write_file(path, "thing", {"epoch": 4})
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="file modes are POSIX's")
@pytest.mark.parametrize("mask", [0o022, 0o027])
def test_a_files_mode_is_the_usual_one(mask, tmp_path):
    before = os.umask(mask)
    try:
        write_file(tmp_path / "thing.pt", "thing", {})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "thing.pt").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("make", [DigitClassifier, perceptron])
def test_a_saved_network_is_the_same_in_every_bit(make, digits, tmp_path):
    torch.manual_seed(1)
    model = make().eval()
    save_model(model, tmp_path / "models" / "network.pt")
    torch.manual_seed(2)
    other = make()
    nn.init.zeros_(next(other.parameters()))
    loaded = load_model(tmp_path / "models" / "network.pt", other)
    assert loaded is other and not loaded.training and same_weights(model, loaded)
    same_layout = to_device(model, torch.device("cpu"))
    expected = predict_proba(same_layout, digits.images)
    assert torch.equal(predict_proba(loaded, digits.images), expected)


def predict_in_child(pipe, path, digits) -> None:
    torch.set_num_threads(1)
    pipe.send(predict_proba(load_model(path, perceptron()), digits.images).tolist())


def test_a_network_is_the_same_in_another_process(digits, tmp_path, one_thread):
    model = perceptron()
    model(digits.images[:, None] / 255)  # so that batch norm has statistics
    save_model(model, tmp_path / "network.pt")
    found = call(predict_in_child, tmp_path / "network.pt", digits)
    assert found == predict_proba(model, digits.images).tolist()


def test_layers_that_learn_their_size_are_loaded(tmp_path, digits):
    def lazy():
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(10))

    model = lazy()
    expected = predict_proba(model, digits.images)
    save_model(model, tmp_path / "network.pt")
    loaded = load_model(tmp_path / "network.pt", lazy())
    assert torch.equal(predict_proba(loaded, digits.images), expected)


class SoftmaxFirst(DigitClassifier):
    """The same weights, another network."""

    def forward(self, images):
        return super().forward(images).softmax(dim=1)


def test_a_subclass_is_not_loaded_as_another_network(tmp_path):
    save_model(SoftmaxFirst(), tmp_path / "network.pt")
    with pytest.raises(CheckpointError, match="holds a SoftmaxFirst, .*is a DigitClassifier"):
        load_model(tmp_path / "network.pt", DigitClassifier())


def test_a_network_of_other_layers_is_refused_by_name(tmp_path):
    save_model(nn.Sequential(nn.Linear(3, 2)), tmp_path / "network.pt")
    with pytest.raises(CheckpointError, match="Sequential of other layers(.|\n)*size mismatch"):
        load_model(tmp_path / "network.pt", nn.Sequential(nn.Linear(4, 2)))


def test_a_network_that_cannot_be_written_is_an_error_of_ours(tmp_path):
    (tmp_path / "models").write_text("a file", encoding="utf-8")
    with pytest.raises(CheckpointError, match="can't be written to"):
        save_model(perceptron(), tmp_path / "models" / "network.pt")
