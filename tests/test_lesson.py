"""The lesson is there to be edited: each change that a student makes reaches the last cell."""

import sys

import pytest
import torch
from torchvision import datasets

from mnist_helpers import DigitClassifier, load, train

from . import lesson
from .conftest import ROOT, draw_digits

SMALL = {"EPOCHS": 1, "TRAINING_IMAGES": 700, "EXPERIMENT_IMAGES": 500}
MLP = """\
class MLP(nn.Module):
    def __init__(self, normalise):
        super().__init__()
        self.normalise = normalise
        self.hidden, self.output = nn.Linear(784, 64), nn.Linear(64, 10)

    def forward(self, images):
        return self.output(F.relu(self.hidden(self.normalise(images).flatten(1))))
"""
EDITS = {
    "16 and 32 channels": {
        r"\(1, 32,": "(1, 16,", r"2d\(32\)": "2d(16)", r"\(32, 64,": "(16, 32,",
        r"2d\(64\)": "2d(32)", r"64 \* (\d) \*": r"32 * \1 *",
    },
    "a third convolution": {
        r"nn\.MaxPool2d\(2\),( nn\.BatchNorm2d\(64\),)? nn\.ReLU\(\),\s*nn\.(Dropout2d|Flatten)":
        r"nn.MaxPool2d(2),\1 nn.ReLU(), nn.Conv2d(64, 64, kernel_size=3, padding=1), nn.\2"
    },
    "an MLP of another name": {
        r"^class DigitClassifier[^\n]*\n(?:[ \n][^\n]*\n?)*": MLP, r"DigitClassifier\(": "MLP("
    },
    "another hidden layer": {
        r"nn\.Linear\(28 \* 28, 128\), nn\.ReLU\(\), nn\.Linear\(128, 10\)":
        "nn.Linear(784, 50), nn.GELU(), nn.Linear(50, 10)",
        r"lr=1e-3": "lr=2e-3, weight_decay=0.01", r"change = partial": "change = None or partial",
        r"max_lr=LEARNING_RATE": "max_lr=3e-3",
    },
    "SGD": {r"optim\.Adam\(": "optim.SGD("},
    "a constant learning rate": {
        r"OneCycleLR\(\s*(\w+),.*?=False,?\s*\)": r"ConstantLR(\1, factor=1)"
    },
    "no augmentation": {r"change = partial\([^\n]*": "change = None"},
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
    assert lesson.run(lesson.CODE, tmp_path, EPOCHS=1, TRAINING_IMAGES=193, EXPERIMENT_IMAGES=97)


def test_the_cells_and_the_package_train_the_same_bits(original):
    images, device = SMALL["TRAINING_IMAGES"], original[0].device
    torch.manual_seed(0)
    layout = torch.channels_last if device.type == "cpu" else torch.contiguous_format
    model = DigitClassifier().to(device, memory_format=layout)
    train(model, load(ROOT / "data", images), epochs=SMALL["EPOCHS"], verbose=False)
    for weights, found in zip(model.state_dict().values(), original, strict=True):
        assert torch.equal(weights, found)


def test_without_the_package_it_says_what_to_do_before_it_fetches_anything(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "mnist_helpers", None)  # as if it weren't installed
    with pytest.raises(ModuleNotFoundError):
        lesson.run(lesson.CODE, tmp_path, DATA_ROOT=str(tmp_path / "data"))
    assert "set REPOSITORY" in capsys.readouterr().out
    assert not (tmp_path / "data").exists()
