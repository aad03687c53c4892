"""The notebook's cells, run in this process, as they are or edited."""

import json
import re
from pathlib import Path

import torch
from IPython.core.interactiveshell import InteractiveShell

ROOT = Path(__file__).parent.parent
NOTEBOOK = json.loads((ROOT / "MNISTModelTraining.ipynb").read_text(encoding="utf-8"))
CODE = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def edited(edits: dict[str, str]) -> list[str]:
    """Return the code cells with each pattern replaced, which must occur."""
    cells = CODE
    for pattern, new in edits.items():
        before = cells
        cells = [re.sub(pattern, new, cell, flags=re.M | re.S) for cell in cells]
        assert cells != before, f"No cell holds {pattern!r}: this test is to be adapted"
    return cells


def settings(**values: object) -> dict[str, str]:
    """Return the edits that set these names of the notebook's first cell."""
    return {rf"^{name} = [^\n]*": f"{name} = {value!r}" for name, value in values.items()}


def run(cells: list[str], folder: Path, **values: object) -> dict[str, torch.Tensor]:
    """Run cells to the last one, in a notebook's shell, with other settings; return the
    weights that the lesson saves. The first error is raised."""
    values = {"DATA_ROOT": str(ROOT / "data"), "OUTPUT_ROOT": str(folder)} | values
    shell = InteractiveShell()
    fewer = {  # validation and test images, so that the tests take minutes
        r"\[-5000:\]": "[-500:]",
        r"official_test\.data\[:, None\]": "official_test.data[:1000, None]",
        r"official_test\.targets\)": "official_test.targets[:1000])",
    }
    for pattern, new in (settings(**values) | fewer).items():
        before = cells
        cells = [re.sub(pattern, lambda _, new=new: new, cell, flags=re.M) for cell in cells]
        assert cells != before, f"No cell sets {pattern!r}"
    for cell in cells:
        shell.run_cell(cell).raise_error()
    return torch.load(folder / "mnist.pt")
