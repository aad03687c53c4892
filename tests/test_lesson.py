"""The lesson is to be edited: each change that a student makes reaches the last cell."""

import ast
import os
import signal
import subprocess
import sys

import pytest
import torch
from torch import nn

from mnist_helpers import DigitClassifier, TrainingConfig, load_mnist, train

from . import lesson
from .conftest import ROOT

SCHEDULE = next(cell for cell in lesson.CODE if "schedule = " in cell)
SCHEDULE = SCHEDULE[SCHEDULE.index("schedule = ") :]
NETWORK = next(cell for cell in lesson.CODE if cell.startswith("class DigitClassifier"))
MLP = """\
class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.output = nn.Linear(784, 64), nn.Linear(64, 10)

    def forward(self, images):
        return self.output(F.relu(self.hidden(images.flatten(1))))
"""
EDITS = {
    "16 and 32 channels": {
        "(1, 32,": "(1, 16,", "2d(32)": "2d(16)", "(32, 64,": "(16, 32,", "2d(64)": "2d(32)",
        "64 * 4 * 4": "32 * 4 * 4",
    },
    "a third convolution": {
        "nn.BatchNorm2d(64), nn.ReLU(),": "nn.BatchNorm2d(64), nn.ReLU(),\n"
        "nn.Conv2d(64, 64, kernel_size=3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),"
    },
    "an MLP": {NETWORK: MLP, "DigitClassifier()": "MLP()"},
    "SGD": {"torch.optim.Adam(": "torch.optim.SGD("},
    "a constant learning rate": {
        SCHEDULE: "schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1)"
    },
    "no distortion": {"distortion=mnist.Distortion()": "distortion=None"},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> list[torch.Tensor]:
    """The weights that the lesson gives as it is, but for fewer images and epochs."""
    cells = lesson.until_trained(lesson.edited(lesson.SETTINGS))
    return weights(lesson.run(cells, tmp_path_factory.mktemp("original")))


def weights(names: dict) -> list[torch.Tensor]:
    return list(names["model"].state_dict().values())


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_lesson_reaches_its_last_cell(name, original, folder, capsys):
    names = lesson.run(lesson.edited(lesson.SETTINGS | EDITS[name]), folder)
    assert 0.1 < names["evaluation"].accuracy < names["bound"] / 100
    assert "This run does: False" in capsys.readouterr().out  # and says that it is another one
    assert (folder / "models" / "mnist.pt").exists()
    same = len(weights(names)) == len(original) and all(map(torch.equal, weights(names), original))
    assert not same, "The edit made no difference"


def test_the_cells_and_the_package_train_the_same_bits(folder):
    cells = lesson.edited(lesson.SETTINGS | {"EPOCHS = 1": "EPOCHS = 2", "2_000": "300"})
    names = lesson.run(lesson.until_trained(cells), folder)
    data = load_mnist(ROOT / "data", training_images=300)
    model = names["new_model"]()
    history = train(model, data, TrainingConfig(epochs=2))
    assert history == names["history"]
    assert all(map(torch.equal, model.state_dict().values(), weights(names)))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no kill -9")
def test_the_cells_killed_and_run_again_train_the_same_bits(tmp_path):
    settings = lesson.SETTINGS | {"EPOCHS = 1": "EPOCHS = 3", "2_000": "300"}
    kill = "import os, signal; epoch == 2 and os.kill(os.getpid(), signal.SIGKILL)"
    loop = "    training_loss, training_accuracy = train_epoch("
    program = (
        "import sys, torch; from pathlib import Path; from tests import lesson\n"
        "torch.set_num_threads(1)\n"
        "cells = lesson.until_trained(lesson.edited({edits!r}))\n"
        "names = lesson.run(cells, Path.cwd())\n"
        "torch.save([names['model'].state_dict(), names['history']], 'end.pt')\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def start(name: str, edits: dict) -> subprocess.Popen:
        (tmp_path / name).mkdir(exist_ok=True)
        command = [sys.executable, "-c", program.format(edits=settings | edits)]
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "encoding": "utf-8"}
        return subprocess.Popen(command, cwd=tmp_path / name, env=environment, **pipes)

    def end(process: subprocess.Popen, expected: int) -> None:
        _, errors = process.communicate()
        assert process.returncode == expected, errors

    whole = start("whole", {})
    end(start("killed", {loop: f"    {kill}\n{loop}"}), -signal.SIGKILL)
    assert list((tmp_path / "killed" / "checkpoints").glob("*.pt"))
    end(start("killed", {}), 0)
    end(whole, 0)
    weights, history = torch.load(tmp_path / "killed" / "end.pt")
    expected_weights, expected_history = torch.load(tmp_path / "whole" / "end.pt")
    assert history == expected_history
    assert all(torch.equal(weights[name], expected_weights[name]) for name in expected_weights)


@pytest.mark.parametrize(
    ("module", "name"), [("model", "DigitClassifier"), ("training", "train_epoch")]
)
def test_a_cell_that_is_reused_stands_word_for_word_in_the_package(module, name):
    source = (ROOT / "mnist_helpers" / f"{module}.py").read_text(encoding="utf-8")
    (node,) = [each for each in ast.parse(source).body if getattr(each, "name", None) == name]
    assert ast.get_source_segment(source, node) in lesson.CODE


def test_the_network_of_the_cells_is_the_package_s(folder):
    namespace = lesson.run(lesson.edited(lesson.SETTINGS)[:3] + [NETWORK], folder)
    ours, theirs = namespace["DigitClassifier"](), DigitClassifier()
    assert issubclass(type(ours), nn.Module) and type(ours) is not type(theirs)
    assert repr(ours) == repr(theirs)
