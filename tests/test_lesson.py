"""The lesson is there to be edited: each change that a student makes reaches the last cell."""

import sys

import pytest
import torch
from torchvision import datasets

from mnist_helpers import DigitClassifier, load, train

from . import lesson
from .conftest import ROOT, draw_digits

SMALL = {"EPOCHS": 2, "TRAINING_IMAGES": 1_000}
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
        r"\(1, 32,": "(1, 16,", r"2d\(32\)": "2d(16)", r"\(32, 64,": "(16, 32,",
        r"2d\(64\)": "2d(32)", r"64 \* 4 \* 4": "32 * 4 * 4",
    },
    "a third convolution": {
        r"nn\.BatchNorm2d\(64\),\s*nn\.ReLU\(\),": "nn.BatchNorm2d(64), nn.ReLU(), "
        "nn.Conv2d(64, 64, kernel_size=3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),"
    },
    "an MLP of another name": {
        r"^class DigitClassifier[^\n]*\n(?:[ \n][^\n]*\n?)*": MLP, r"DigitClassifier\(\)": "MLP()"
    },
    "SGD": {r"optim\.Adam\(": "optim.SGD("},
    "a constant learning rate": {
        r"OneCycleLR\(\s*(\w+),.*?=False,?\s*\)": r"ConstantLR(\1, factor=1)"
    },
    "no augmentation": {r"^        \w+ = augment\([^\n]*\n": ""},
    "label smoothing": {
        r"( {8,}\w+ = F\.cross_entropy\([^\n]*)\)$": r"\1, label_smoothing=0.1)"
    },
    "Fashion-MNIST's files": {r"datasets\.MNIST": "datasets.FashionMNIST"},
}  # fmt: skip


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> list[torch.Tensor]:
    """The weights that the lesson gives as it is, but for fewer images and epochs."""
    return list(lesson.run(lesson.CODE, tmp_path_factory.mktemp("original"), **SMALL).values())


@pytest.fixture
def fashion(tmp_path, monkeypatch):
    """Other images in a folder like Fashion-MNIST's, for `datasets.FashionMNIST` to read."""
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    drawn = draw_digits(500).tensors
    for name, count in (("train", 7_000), ("t10k", 10_000)):
        images, labels = (part.repeat(count // 500, *[1] * (part.ndim - 1)) for part in drawn)
        for kind, header, values in (
            ("images-idx3", [2051, count, 28, 28], images),
            ("labels-idx1", [2049, count], labels.byte()),
        ):
            content = b"".join(number.to_bytes(4, "big") for number in header)
            (raw / f"{name}-{kind}-ubyte").write_bytes(content + values.numpy().tobytes())
    monkeypatch.setattr(datasets.FashionMNIST, "raw_folder", str(raw))


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_lesson_reaches_its_last_cell(name, original, tmp_path, fashion):
    weights = list(lesson.run(lesson.edited(EDITS[name]), tmp_path, **SMALL).values())
    same = len(weights) == len(original) and all(map(torch.equal, weights, original))
    assert not same, "The edit made no difference"


def test_every_cell_may_be_run_twice(tmp_path):
    twice = [cell for cell in lesson.CODE for _ in range(2)]
    assert lesson.run(twice, tmp_path, **SMALL)


def test_a_last_batch_of_one_image_trains(tmp_path):
    assert lesson.run(lesson.CODE, tmp_path, EPOCHS=1, TRAINING_IMAGES=97)


def test_the_cells_and_the_package_train_the_same_bits(tmp_path):
    cells = lesson.run(lesson.CODE, tmp_path, EPOCHS=2, TRAINING_IMAGES=500)
    device, layouts = next(iter(cells.values())).device, {"cpu": torch.channels_last}
    torch.manual_seed(0)
    model = DigitClassifier().to(device, memory_format=layouts.get(device.type))
    train(model, load(ROOT / "data", training_images=500), epochs=2, verbose=False)
    for name, weights in model.state_dict().items():
        assert torch.equal(weights, cells[name]), name


def test_without_the_package_it_says_what_to_do_before_it_fetches_anything(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "mnist_helpers", None)  # as if it weren't installed
    with pytest.raises(ModuleNotFoundError):
        lesson.run(lesson.CODE, tmp_path, DATA_ROOT=str(tmp_path / "data"))
    assert "set REPOSITORY" in capsys.readouterr().out
    assert not (tmp_path / "data").exists()
