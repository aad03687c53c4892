"""Notebooks as they are committed."""

import json

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from research.execute import NOTEBOOKS, execute, is_normal, normal_form


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_committed_notebooks_are_in_normal_form(path):
    assert is_normal(path), f"Run: python -m research.execute {path.name}"


def write(path, *sources: str) -> None:
    cells = [nbformat.v4.new_code_cell(source, id=f"cell-{n}") for n, source in enumerate(sources)]
    cells[0].metadata = {"tags": ["parameters"], "ExecuteTime": {"end_time": "2026"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


def test_executed_twice_it_is_the_same_to_the_byte(tmp_path):
    path = tmp_path / "small.ipynb"
    write(path, "print(1)", "print(2, flush=True); print(3)", "import os; os.listdir('.')")
    execute(path)
    first = path.read_bytes()
    execute(path)
    assert path.read_bytes() == first and is_normal(path)
    cells = json.loads(first)["cells"]
    assert [cell["execution_count"] for cell in cells] == [1, 2, 3]
    assert [cell["metadata"] for cell in cells] == [{"tags": ["parameters"]}, {}, {}]
    assert cells[2]["outputs"][0]["data"]["text/plain"] == ["['small.ipynb']"]  # its own folder


def test_a_notebook_that_fails_stays_as_it_was(tmp_path):
    path = tmp_path / "small.ipynb"
    write(path, "1 / 0")
    before = path.read_bytes()
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        execute(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_nothing_of_a_widget_or_a_clock_is_kept():
    data = {"text/plain": "a slider", "application/vnd.jupyter.widget-view+json": {"model_id": 1}}
    output = nbformat.v4.new_output("display_data", data)
    cell = nbformat.v4.new_code_cell(
        "slider", outputs=[output], metadata={"execution": {"iopub.status.busy": "2026"}}
    )
    metadata = {"widgets": {"state": 1}, "papermill": {"duration": 2.0}}
    metadata["language_info"] = {"name": "python", "version": "3.11.7"}
    text = normal_form(nbformat.v4.new_notebook(cells=[cell], metadata=metadata))
    for word in ("widget", "papermill", 'execution"', "3.11.7"):
        assert word not in text
    assert "a slider" in text
