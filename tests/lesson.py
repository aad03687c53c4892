"""The notebook's cells, run in this process or another one, as they are or edited."""

import json
import shutil
from pathlib import Path

from IPython.core.interactiveshell import InteractiveShell

ROOT = Path(__file__).parent.parent
NOTEBOOK = json.loads((ROOT / "MNISTModelTraining.ipynb").read_text(encoding="utf-8"))
CODE = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
SETTINGS = {
    "EPOCHS = 10": "EPOCHS = 1",
    "TRAINING_IMAGES = 55_000": "TRAINING_IMAGES = 2_000",
    'DATA_ROOT = "data"': f"DATA_ROOT = {str(ROOT / 'data')!r}",
    "DEVICE = None": 'DEVICE = "cpu"',
}


class Shell(InteractiveShell):
    """A notebook's shell without a window system."""

    def enable_gui(self, gui=None):
        """Take no notice of `%matplotlib inline`."""


def edited(edits: dict[str, str]) -> list[str]:
    """Return the code cells with parts replaced, each of which must be there."""
    cells = list(CODE)
    for old, new in edits.items():
        assert any(old in cell for cell in cells), f"No cell contains {old!r}"
        cells = [cell.replace(old, new) for cell in cells]
    return cells


def run(cells: list[str], folder: Path) -> dict:
    """Run cells in a notebook's shell, in a folder with the table that they read; return their
    names. The first error is raised."""
    table = "research/results/study.csv"
    (folder / table).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / table, folder / table)
    shell = Shell()
    for cell in cells:
        shell.run_cell(cell).raise_error()
    return shell.user_ns


def until_trained(cells: list[str]) -> list[str]:
    """Return the cells up to the one with the loop over the epochs."""
    (last,) = [number for number, cell in enumerate(cells) if "in mnist.resumable(" in cell]
    return cells[: last + 1]
