"""The command `python -m mnist_helpers`, and the network that comes with the package."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from mnist_helpers import evaluate, gallery, pretrained
from mnist_helpers.__main__ import main

from .conftest import ROOT


@pytest.fixture
def photos(tmp_path) -> list[str]:
    """Two pictures in a folder, of a 0 and of a 7."""
    paths = [tmp_path / "zero.png", tmp_path / "seven.png"]
    for path, number in zip(paths, (0, 7), strict=True):
        gallery()[number].picture.save(path)
    return list(map(str, paths))


def run(*arguments: object) -> int | None:
    """Run the command, and return its exit code."""
    with pytest.raises(SystemExit) as stopped:
        main(list(map(str, arguments)))
    return int(stopped.value.code or 0)


def test_each_picture_gets_a_line(photos, capsys):
    assert run(*photos) == 0
    zero, seven = capsys.readouterr().out.splitlines()
    assert zero.startswith(f"{photos[0]}: 0 ") and seven.startswith(f"{photos[1]}: 7 ")


def test_a_bad_picture_gets_a_sentence_and_the_others_their_line(photos, tmp_path, capsys):
    text = tmp_path / "notes.png"
    text.write_text("no picture", encoding="utf-8")
    assert run(photos[0], text, "missing.png", photos[1]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert [line.split(":")[0] for line in err.splitlines()] == [str(text), "missing.png"]


def test_without_pictures_it_explains_itself(capsys):
    assert run() == 2
    assert "usage" in capsys.readouterr().err


def test_show_writes_each_picture_in_its_size(photos, tmp_path):
    same_name = tmp_path / "more" / "zero.png"
    same_name.parent.mkdir()
    same_name.write_bytes(Path(photos[0]).read_bytes())
    run(*photos, same_name, "--show", tmp_path / "new" / "shown")
    shown = list((tmp_path / "new" / "shown").iterdir())
    assert [Image.open(path).size for path in shown] == 3 * [(280, 280)]


def test_show_overwrites_no_picture(photos, tmp_path, capsys):
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert run(*photos, "--show", tmp_path) == 2
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert "--show" in capsys.readouterr().err


class Convolution(nn.Module):
    """A network as a learner might build one."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 5, stride=3), nn.ReLU(), nn.Dropout(0.5))
        self.last = nn.Linear(4 * 8 * 8, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.last(self.layers(images).flatten(1))


@pytest.fixture
def saved(tmp_path) -> Path:
    """A learner's network as the lesson saves its own; it takes everything for a 3."""
    network = Convolution().eval()
    with torch.no_grad():
        network.last.bias[3] = 100
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(network, (torch.zeros(2, 1, 28, 28),), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "network.pt2")
    return tmp_path / "network.pt2"


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_network_of_ones_own_takes_any_number_of_digits(saved, count, tmp_path, capsys):
    row = Image.new("L", (280 * count, 280), 255)
    for number in range(count):
        row.paste(gallery()[0].picture, (280 * number, 0))
    row.save(tmp_path / "row.png")
    assert run(tmp_path / "row.png", "--model", saved) == 0
    assert capsys.readouterr().out.count("3 (100.0 %)") == count


@pytest.mark.parametrize("kind", ["missing", "state_dict", "picture", "damaged"])
def test_a_file_without_such_a_network_gets_a_sentence(kind, saved, photos, tmp_path, capsys):
    path = tmp_path / "other.pt2"
    if kind == "state_dict":
        torch.save(Convolution().state_dict(), path)
    elif kind == "picture":
        path.write_bytes(Path(photos[0]).read_bytes())
    elif kind == "damaged":
        path.write_bytes(saved.read_bytes()[:-1_000])
    assert run(photos[0], "--model", path) == 1
    out, err = capsys.readouterr()
    assert out == "" and str(path) in err and len(err.splitlines()) == 1


def test_it_runs_without_a_warning(photos):
    command = [sys.executable, "-W", "error::RuntimeWarning", "-m", "mnist_helpers", *photos]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
    assert (result.returncode, result.stderr) == (0, "")


def test_the_network_that_comes_along_is_accurate(data):
    network = pretrained()
    assert not network.training
    assert evaluate(network, data.validation).accuracy >= 0.994


def test_the_network_that_comes_along_is_small():
    assert (ROOT / "mnist_helpers" / "digit_classifier.pt").stat().st_size <= 400_000
