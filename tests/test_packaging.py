"""The package as others get it: a wheel, built here from a copy of the project."""

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator

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


PROGRAM = """
import mnist_helpers as mnist
print(mnist.__file__)
network = mnist.pretrained()
mnist.study()
for label, picture in enumerate(mnist.gallery()):
    print(mnist.predict_digits(network, picture)[0].digit == label)
mnist.DrawingCanvas(network)
"""


def test_the_packed_package_classifies_digits_and_has_a_canvas(wheel, tmp_path):
    wheel.extractall(tmp_path)  # which holds nothing else
    command = [sys.executable, "-c", PROGRAM]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert result.stdout.startswith(str(tmp_path)) and result.stdout.count("True") >= 7
    assert result.returncode == 0, result.stderr
