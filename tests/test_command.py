"""The command `python -m mnist_helpers`, and the network that comes with the package."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mnist_helpers import DigitClassifier, evaluate, gallery, pretrained
from mnist_helpers.__main__ import main

from .conftest import ROOT, perceptron


@pytest.fixture
def photos(tmp_path) -> list[str]:
    """Two pictures in a folder, of a 0 and of a 7."""
    paths = [tmp_path / "zero.png", tmp_path / "seven.png"]
    for path, number in zip(paths, (0, 7), strict=True):
        gallery()[number].save(path)
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


def test_show_writes_each_picture_in_its_size(photos, tmp_path):
    same_name = tmp_path / "more" / "zero.png"
    same_name.parent.mkdir()
    same_name.write_bytes(Path(photos[0]).read_bytes())
    run(*photos, same_name, "--show", tmp_path / "new" / "shown")
    shown = list((tmp_path / "new" / "shown").iterdir())
    assert [Image.open(path).size for path in shown] == 3 * [(280, 280)]


def test_show_overwrites_nothing(photos, tmp_path, capsys):
    run(photos[0], "--show", tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert run(photos[0], "--show", tmp_path) == 1
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert "--show" in capsys.readouterr().err


def test_show_draws_boxes_around_the_digits_of_a_large_picture(tmp_path):
    picture = Image.new("L", (3_000, 2_000), 255)
    picture.paste(0, (1_500, 500, 1_600, 1_500))
    picture.save(tmp_path / "one.png")
    run(tmp_path / "one.png", "--show", tmp_path / "shown")
    shown = np.asarray(Image.open(tmp_path / "shown" / "001-one.png")).astype(int)
    is_red = shown[:, :, 0] - shown[:, :, 1] > 128
    is_red[:166] = False  # the answer's text above the box
    rows, columns = np.nonzero(is_red)
    edges = [columns.min(), rows.min(), columns.max(), rows.max()]
    assert np.allclose(edges, np.array([1_500, 500, 1_600, 1_500]) / 3, atol=4)


def test_it_takes_one_thread(photos, one_thread):
    torch.set_num_threads(2)
    run(*photos)
    assert torch.get_num_threads() == 1


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are Unicode")
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_name_in_no_encoding_is_no_obstacle(photos, tmp_path, encoding):
    odd = os.fsencode(tmp_path) + b"/\xe9\xc3\xa9.png"  # in Latin-1, then in UTF-8
    os.rename(photos[0], odd)
    command = [sys.executable, "-m", "mnist_helpers", odd, photos[1], "--show", tmp_path / "out"]
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True)
    assert (result.returncode, result.stderr) == (0, b"")
    assert len(result.stdout.splitlines()) == 2


def test_a_network_of_the_lesson_is_taken(photos, tmp_path, capsys):
    network = DigitClassifier()
    with torch.no_grad():
        network.layers[-1].bias[3] = 100  # it takes everything for a 3
    torch.save(network.state_dict(), tmp_path / "mnist.pt")
    assert run(photos[0], "--model", tmp_path / "mnist.pt") == 0
    assert capsys.readouterr().out.startswith(f"{photos[0]}: 3 ")


class Runs:
    """What makes a folder when it is unpickled."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("kind", ["missing", "another network", "picture", "what would be run"])
def test_a_file_without_such_weights_gets_a_sentence(kind, photos, tmp_path, capsys):
    path = tmp_path / "other.pt"
    if kind == "another network":
        torch.save(perceptron().state_dict(), path)
    elif kind == "picture":
        path.write_bytes(Path(photos[0]).read_bytes())
    elif kind == "what would be run":
        torch.save({"layers.1.weight": Runs(tmp_path / "ran")}, path)
    assert run(photos[0], "--model", path) == 1
    out, err = capsys.readouterr()
    assert out == "" and str(path) in err and len(err.splitlines()) == 1
    assert not (tmp_path / "ran").exists()


def test_the_network_that_comes_along_is_accurate(data):
    network = pretrained()
    assert not network.training
    assert evaluate(network, data.validation).accuracy >= 0.994


def test_the_network_that_comes_along_is_small():
    assert (ROOT / "mnist_helpers" / "digit_classifier.pt").stat().st_size <= 400_000
