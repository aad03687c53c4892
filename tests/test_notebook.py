"""The committed notebooks as a reader meets them. That they run, and give what they show, is
nbval's part of `pytest`."""

import json
import re

import pytest

from .conftest import ROOT

PATHS = ["MNISTModelTraining.ipynb", "research/Research.ipynb"]
NOTEBOOKS = {path: json.loads((ROOT / path).read_text(encoding="utf-8")) for path in PATHS}
LESSON = NOTEBOOKS[PATHS[0]]


def cells(notebook: dict, kind: str) -> list[dict]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def source(cell: dict) -> str:
    return "".join(cell["source"])


def outputs(notebook: dict) -> list[dict]:
    return [output for cell in cells(notebook, "code") for output in cell["outputs"]]


def text_outputs(notebook: dict) -> list[str]:
    """All that the outputs say, without the pictures."""
    texts = ["".join(output.get("text", "")) for output in outputs(notebook)]
    for output in outputs(notebook):
        data = output.get("data", {})
        texts += ["".join(data[kind]) for kind in data if kind.startswith("text/")]
    return texts


def words(notebook: dict) -> int:
    return sum(len(re.findall(r"[A-Za-z0-9']+", source(c))) for c in cells(notebook, "markdown"))


@pytest.fixture(params=PATHS)
def notebook(request) -> dict:
    return NOTEBOOKS[request.param]


def test_it_was_executed_once_from_top_to_bottom(notebook):
    counts = [cell["execution_count"] for cell in cells(notebook, "code")]
    assert counts == list(range(1, len(counts) + 1))


def test_no_cell_failed_or_complained(notebook):
    assert [output for output in outputs(notebook) if output["output_type"] == "error"] == []
    assert [output for output in outputs(notebook) if output.get("name") == "stderr"] == []


def test_no_progress_is_left(notebook):
    assert not any(" left" in text and "batch" in text for text in text_outputs(notebook))


def test_no_output_shows_a_path_of_a_machine(notebook):
    for text in text_outputs(notebook):
        assert not re.search(r"(/root|/work|/home|/tmp|/Users|/content|[A-Z]:\\)", text), text


def test_every_figure_has_an_alternative_text(notebook):
    for cell in cells(notebook, "code"):
        if any("image/png" in output.get("data", {}) for output in cell["outputs"]):
            assert len(cell["metadata"].get("alt", "")) > 20, source(cell)


def test_cells_are_short(notebook):
    for cell in cells(notebook, "code"):
        lines = [line for line in source(cell).splitlines() if line.strip()]
        assert len(lines) <= 18, source(cell)


def test_nothing_in_the_lesson_tells_the_time():
    for text in text_outputs(LESSON):
        assert not re.search(r"\d\d:\d\d|\b20\d\d-\d\d|\d\s?(s|ms|sec|seconds|minutes)\b", text)


def test_the_lesson_is_short():
    assert len(LESSON["cells"]) <= 48
    assert words(LESSON) <= 2_000


def test_the_sections_of_the_lesson_come_in_their_order():
    prose = "\n\n".join(source(cell) for cell in cells(LESSON, "markdown"))
    assert re.findall(r"^## (.+)$", prose, re.M) == [
        "Overview",
        "Setup",
        "The data",
        "Model architecture",
        "Training process",
        "Results",
        "Try it yourself",
        "Discussion",
        "Conclusion",
    ]
    assert re.findall(r"\*\*Exercise (\d)\.\*\*", prose) == list("123456")


def test_the_parameters_can_be_set_from_outside():
    (cell,) = [c for c in cells(LESSON, "code") if "parameters" in c["metadata"].get("tags", [])]
    assert re.findall(r"^(\w+) = ", source(cell), re.M) == [
        *("EPOCHS", "BATCH_SIZE", "LEARNING_RATE", "TRAINING_IMAGES", "SEED"),
        *("DATA_ROOT", "DEVICE", "REPOSITORY"),
    ]


def test_a_checked_cell_has_an_output_to_check(notebook):
    for cell in cells(notebook, "code"):
        if "nbval-check-output" in cell["metadata"].get("tags", []):
            assert cell["outputs"], source(cell)
    # Tags don't catch a reader's eye.
    assert not any("NBVAL" in source(cell) for cell in notebook["cells"])


def test_the_committed_run_is_accurate():
    form = r"Test accuracy: (\d\d\.\d\d) % \(95 % interval \d\d\.\d\d to \d\d\.\d\d, \d+ errors in "
    (accuracy,) = [m[1] for text in text_outputs(LESSON) if (m := re.match(form, text))]
    assert float(accuracy) >= 99.5
