"""How notebooks are executed before they are committed."""

import json

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from research.execute import execute


def write(path, *sources: str) -> None:
    cells = [nbformat.v4.new_code_cell(source, id=f"cell-{n}") for n, source in enumerate(sources)]
    cells[0].metadata = {"tags": ["parameters"]}
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


def test_executed_twice_it_is_the_same_to_the_byte(tmp_path):
    path = tmp_path / "small.ipynb"
    slider = "import ipywidgets; ipywidgets.IntSlider()"
    table = "import os, pandas; pandas.DataFrame([os.listdir('.')]).style.set_uuid('one')"
    write(path, "print(1)", "print(2, flush=True); print(3)", slider, table)
    execute(path)
    first = path.read_bytes()
    execute(path)
    assert path.read_bytes() == first and b"widget-" not in first
    cells = json.loads(first)["cells"]
    assert [cell["execution_count"] for cell in cells] == [1, 2, 3, 4]
    shown = cells[3]["outputs"][0]["data"]
    assert "small.ipynb" in "".join(shown["text/html"])  # its own folder


def test_a_notebook_that_fails_stays_as_it_was(tmp_path):
    path = tmp_path / "small.ipynb"
    write(path, "1 / 0")
    before = path.read_bytes()
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        execute(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
