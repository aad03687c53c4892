"""Execute notebooks from top to bottom, as they are committed: `python -m research.execute`.

A notebook that fails stays as it was. What is shown says nothing of when it was run.
"""

import argparse
import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOKS = [ROOT / "MNISTModelTraining.ipynb", ROOT / "research" / "Research.ipynb"]


def execute(path: Path) -> None:
    """Execute the notebook in its own folder, as Jupyter does.

    Raises nbclient's CellExecutionError, and leaves the file as it was, if a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(path.parent)}}
    options = {"timeout": None, "record_timing": False, "coalesce_streams": True}
    NotebookClient(notebook, resources=place, kernel_name="python3", **options).execute()
    # A widget lives as long as its kernel; its text or picture is what remains.
    notebook.metadata.pop("widgets", None)
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        data = output.get("data", {})
        data.pop("application/vnd.jupyter.widget-view+json", None)
        if "text/html" in data:  # a table with shades is, in plain text, its place in memory
            data["text/plain"] = re.sub(" at 0x[0-9a-f]+", "", data["text/plain"])
    nbformat.write(notebook, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m research.execute", description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, default=NOTEBOOKS, metavar="NOTEBOOK")
    for path in parser.parse_args().notebooks:
        print(path, flush=True)
        execute(path.resolve())
