"""The package as others get it: a wheel, built here from a copy of the project."""

import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from .conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    pytest.importorskip("setuptools", minversion="77", reason="without it nothing can be built")
    folder = tmp_path_factory.mktemp("project")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "mnist_helpers", folder / "mnist_helpers")
    # Not by pip, which would fetch the build's requirements, and isn't everywhere.
    program = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    subprocess.run([sys.executable, "-c", program], cwd=folder, check=True, capture_output=True)
    (path,) = (folder / "dist").glob("*.whl")
    return path


def test_the_wheel_holds_the_whole_package(wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = (ROOT / "mnist_helpers").rglob("*")
    there = {path.relative_to(ROOT).as_posix() for path in files if path.is_file()}
    assert packed == {name for name in there if "__pycache__" not in name}
    assert "mnist_helpers/drawing.js" in packed


def test_the_wheel_says_what_it_needs(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        metadata = Parser().parsestr(archive.read(path).decode())
    needed = [line for line in metadata.get_all("Requires-Dist") if "extra" not in line]
    assert needed == PROJECT["dependencies"]
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"


PROGRAM = """
import json, sys
sys.modules.update(dict.fromkeys(MISSING))
import mnist_helpers
try:
    mnist_helpers.DrawingCanvas(mnist_helpers.DigitClassifier().eval())
except ImportError as error:
    canvas = str(error)
print(json.dumps([mnist_helpers.__file__, len(mnist_helpers.gallery()), canvas]))
"""


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> tuple[Path, list]:
    """A folder with the wheel's content, and what it says where Jupyter isn't installed."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    missing = ["IPython", "ipykernel", "ipywidgets", "anywidget", "traitlets", "jupyter_client"]
    command = [sys.executable, "-c", f"MISSING = {missing}{PROGRAM}"]
    result = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8")
    assert result.returncode == 0, result.stderr
    return folder, json.loads(result.stdout)


def test_it_can_be_imported_without_jupyter(installed):
    folder, (path, _, _) = installed
    assert Path(path) == folder / "mnist_helpers" / "__init__.py"


def test_the_drawn_digits_come_with_it(installed):
    _, (_, drawings, _) = installed
    assert drawings == 10


def test_without_jupyter_the_canvas_says_what_to_install(installed):
    _, (_, _, canvas) = installed
    assert canvas.endswith("pip install anywidget")
