"""The command `python -m mnist_helpers`, and the network that comes with the package."""

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
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


def in_format_of_2_6(parts: dict[str, bytes]) -> dict[str, bytes]:
    """Return the parts of a file of torch.export.save as PyTorch 2.6 writes them."""
    tensors = io.BytesIO()
    torch.save(dict(Convolution().named_parameters()), tensors)
    (model,) = (value for name, value in parts.items() if name.endswith("model.json"))
    (inputs,) = (value for name, value in parts.items() if "sample_inputs" in name)
    version = json.loads(model)["schema_version"]
    return {
        "serialized_exported_program.json": model,
        "serialized_state_dict.pt": tensors.getvalue(),
        "serialized_constants.pt": b"",
        "serialized_example_inputs.pt": inputs,
        "version": f"{version['major']}.{version['minor']}".encode(),
    }


def rewrite(saved: Path, change: str, command: str) -> None:
    """Change a network's file so that loading or using it might run a command."""
    with zipfile.ZipFile(saved) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    if "2.6" in change:
        parts = in_format_of_2_6(parts)
    (model,) = (name for name in parts if name.endswith(("model.json", "program.json")))
    (inputs,) = (name for name in parts if "_inputs" in name)
    program = json.loads(parts[model])
    code = f"__import__('os').system({command!r})"
    match change.removesuffix(" of 2.6"):
        case "inputs":
            torch.save(((), {"key": Runs(command)}), file := io.BytesIO())
            parts[inputs] = file.getvalue()
        case "weights":
            (name,) = (name for name in parts if "state_dict" in name)
            torch.save({"weight": Runs(command)}, file := io.BytesIO())
            parts[name] = file.getvalue()
        case "constant":
            (name,) = (name for name in parts if name.endswith("constants_config.json"))
            constant = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True}
            constant |= {"tensor_meta": None}
            parts[name] = json.dumps({"config": {"constant": constant}}).encode()
            opaque = name.replace("model_constants_config.json", "opaque_obj_0")
            parts[opaque] = pickle.dumps(Runs(command))
        case "operation":
            arguments = {"filename": {"as_string": command.split()[-1]}}
            arguments |= {"shared": {"as_bool": True}, "size": {"as_int": 8}}
            inputs = [{"name": name, "arg": arg, "kind": 1} for name, arg in arguments.items()]
            graph = program["graph_module"]["graph"]
            node = graph["nodes"][0] | {"target": "torch.ops.aten.from_file.default"}
            node |= {"inputs": inputs, "outputs": [{"as_tensor": {"name": "file"}}], "name": "file"}
            graph["nodes"].insert(0, node)
            graph["tensor_values"]["file"] = graph["tensor_values"]["images"]
        case "size":
            sizes = program["graph_module"]["graph"]["tensor_values"]["images"]["sizes"]
            sizes[0]["as_expr"]["expr_str"] = code
        case "guard":
            program["guards_code"] = [f"{code} == 0"]
    parts[model] = json.dumps(program).encode()
    with zipfile.ZipFile(saved, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


class Runs:
    """What runs a command when it is unpickled."""

    def __init__(self, command: str):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


CHANGES = ["inputs", "constant", "operation", "size", "guard", "inputs of 2.6", "weights of 2.6"]


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_would_run_something_is_refused(change, saved, photos, tmp_path, capsys):
    rewrite(saved, change, f"echo > {tmp_path / 'ran'}")
    assert run(photos[0], "--model", saved) == 1
    assert not (tmp_path / "ran").exists()
    assert str(saved) in capsys.readouterr().err


@pytest.mark.parametrize("change", ["nothing", "nothing of 2.6"])
def test_a_file_that_runs_nothing_is_taken_in_either_format(change, saved, photos, capsys):
    rewrite(saved, change, "")
    assert run(photos[0], "--model", saved) == 0
    assert capsys.readouterr().out.startswith(f"{photos[0]}: ")


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
