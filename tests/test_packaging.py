"""The package as others get it: a wheel, built here from a copy of the project."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

import pytest

from .conftest import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Iterator[zipfile.ZipFile]:
    pytest.importorskip("setuptools", minversion="77", reason="without it nothing can be built")
    folder = tmp_path_factory.mktemp("project")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "mnist_helpers", folder / "mnist_helpers")
    # Not by pip, which would fetch the build's requirements, and isn't everywhere.
    program = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    subprocess.run([sys.executable, "-c", program], cwd=folder, check=True, capture_output=True)
    (path,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_wheel_holds_the_whole_package(wheel):
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    files = (path for path in (ROOT / "mnist_helpers").rglob("*") if path.is_file())
    there = {path.relative_to(ROOT).as_posix() for path in files}
    assert packed == {name for name in there if "__pycache__" not in name}


def test_the_wheel_needs_what_the_project_needs(wheel):
    (path,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
    metadata = Parser().parsestr(wheel.read(path).decode())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [line for line in metadata.get_all("Requires-Dist") if "extra" not in line]
    assert needed == project["dependencies"]
    assert metadata["Requires-Python"] == project["requires-python"]


CLASSIFY = """
import mnist_helpers as mnist
print(mnist.__file__)
network = mnist.pretrained()
for label, _, picture in mnist.gallery():
    print(mnist.predict_digits(network, picture)[0].digit == label)
"""


def run(program: str, wheel: zipfile.ZipFile, folder: Path) -> subprocess.CompletedProcess:
    """Run a program with the packed package, which alone is in this folder."""
    wheel.extractall(folder)
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8")
    assert Path(result.stdout.splitlines()[0]) == folder / "mnist_helpers" / "__init__.py"
    return result


def test_the_packed_network_classifies_the_gallery(wheel, tmp_path):
    assert run(CLASSIFY, wheel, tmp_path).stdout.count("True") >= 7


PROGRAM = """
import sys
sys.modules.update(dict.fromkeys(
    ["IPython", "ipykernel", "anywidget", "traitlets", "jupyter_client"]
))
import mnist_helpers as mnist
print(mnist.__file__)
mnist.predict_digits(mnist.DigitClassifier(), mnist.gallery()[0].picture)
mnist.study()
mnist.DrawingCanvas(mnist.DigitClassifier())
"""


def test_without_jupyter_all_but_the_canvas_works(wheel, tmp_path):
    result = run(PROGRAM, wheel, tmp_path)
    assert result.stderr.endswith("pip install anywidget\n"), result.stderr
