"""Execute notebooks and write them as they are committed: `python -m research.execute [NOTEBOOK]`.

A committed notebook was executed from top to bottom and says nothing of when and where: the same
run, executed twice, gives the same bytes. Notebooks that fail stay as they were.
"""

import argparse
import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOKS = [ROOT / "MNISTModelTraining.ipynb", ROOT / "research" / "Research.ipynb"]
KEPT = {"tags"}  # of a cell's metadata


def execute(path: Path) -> None:
    """Execute the notebook in its own folder, as Jupyter does, and write it in normal form.

    Raises nbclient's CellExecutionError, and leaves the file as it was, if a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(path.parent)}}
    options = {"timeout": None, "record_timing": False, "coalesce_streams": True}
    NotebookClient(notebook, resources=place, kernel_name="python3", **options).execute()
    part = path.with_name(f".{path.name}.part")
    part.write_text(normal_form(notebook), encoding="utf-8", newline="\n")
    os.replace(part, path)


def normal_form(notebook: nbformat.NotebookNode) -> str:
    """Return the notebook's text without times, widgets' states and what other programs noted."""
    language = dict(notebook.metadata.get("language_info", {"name": "python"}))
    language.pop("version", None)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = {"kernelspec": kernel, "language_info": language}
    for cell in notebook.cells:
        cell.metadata = {key: cell.metadata[key] for key in KEPT & cell.metadata.keys()}
        for output in cell.get("outputs", []):
            # A widget lives as long as its kernel; its text or picture is what remains.
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    return nbformat.writes(nbformat.from_dict(notebook)) + "\n"


def is_normal(path: Path) -> bool:
    notebook = nbformat.read(path, as_version=4)
    return path.read_bytes() == normal_form(notebook).encode()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m research.execute", description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, default=NOTEBOOKS, metavar="NOTEBOOK")
    for path in parser.parse_args().notebooks:
        print(path, flush=True)
        execute(path.resolve())
