"""The committed notebook as a reader meets it. That it runs, and gives what it shows, is nbval's
part of `pytest`."""

import json
import re
import subprocess
import sys

import pytest

from .conftest import ROOT

NOTEBOOK = json.loads((ROOT / "MNISTModelTraining.ipynb").read_text(encoding="utf-8"))
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
PROSE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "markdown"]
OUTPUTS = [output for cell in CODE for output in cell["outputs"]]
SETUP = next(cell for cell in CODE if "REPOSITORY:" in "".join(cell["source"]))


def text_outputs() -> list[str]:
    """All that the outputs say, without the pictures."""
    texts = ["".join(output.get("text", "")) for output in OUTPUTS]
    for output in OUTPUTS:
        data = output.get("data", {})
        texts += ["".join(data[kind]) for kind in data if kind.startswith("text/")]
    return texts


def test_it_was_executed_once_from_top_to_bottom():
    counts = [cell["execution_count"] for cell in CODE]
    assert counts == list(range(1, len(CODE) + 1))


def test_no_cell_failed_or_complained():
    assert [output for output in OUTPUTS if output["output_type"] == "error"] == []
    assert [output for output in OUTPUTS if output.get("name") == "stderr"] == []


def test_no_progress_is_left():
    assert not any(
        "left" in text and "batch" in text for text in text_outputs() if "def " not in text
    )


def test_no_widget_state_is_kept():
    assert "widgets" not in NOTEBOOK["metadata"]
    assert not any("widget" in kind for output in OUTPUTS for kind in output.get("data", {}))


def test_no_output_shows_a_path_of_a_machine():
    for text in text_outputs():
        assert not re.search(r"(/root|/work|/home|/tmp|/Users|/content|[A-Z]:\\)", text), text


def test_nothing_tells_the_time():
    for cell in NOTEBOOK["cells"]:
        assert "execution" not in cell["metadata"] and "papermill" not in cell["metadata"]
    for text in text_outputs():
        assert not re.search(r"\d\d:\d\d|\b20\d\d-\d\d|\d\s?(s|ms|sec|seconds|minutes)\b", text), (
            text
        )


def test_the_sections_come_in_their_order():
    headings = re.findall(r"^## (.+)$", "\n\n".join("".join(c["source"]) for c in PROSE), re.M)
    assert headings == [
        "Overview",
        "Setup",
        "The data",
        "Model architecture",
        "Training process",
        "Results",
        "Discussion",
        "Conclusion",
    ]


def test_the_parameters_can_be_set_from_outside():
    (cell,) = [cell for cell in CODE if "parameters" in cell["metadata"].get("tags", [])]
    names = re.findall(r"^(\w+) = ", "".join(cell["source"]), re.M)
    assert names == ["EPOCHS", "BATCH_SIZE", "SEED", "DATA_ROOT", "DEVICE", "REPOSITORY"]


def test_cells_are_short_and_no_output_is_hidden_by_a_missing_check():
    for cell in CODE:
        assert len([line for line in "".join(cell["source"]).splitlines() if line]) <= 17
    checked = [cell for cell in CODE if "# NBVAL_CHECK_OUTPUT" in "".join(cell["source"])]
    assert len(checked) >= 6 and all(cell["outputs"] for cell in checked)


def test_the_accuracy_has_its_form():
    form = r"Test accuracy: 99\.\d\d % \(95 % interval 99\.\d\d to 99\.\d\d, \d+ errors in 10,000\)"
    assert [text for text in text_outputs() if re.fullmatch(form, text)]


def run_setup(folder, repository: str) -> subprocess.CompletedProcess:
    """Run the setup cell alone in a folder without mnist_helpers, as Colab does."""
    source = "".join(SETUP["source"]).replace("%matplotlib inline\n", "")
    program = f"REPOSITORY = {repository!r}\n{source}\nimport mnist_helpers; print(mnist_helpers)"
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_alone_and_without_an_address_it_says_what_to_set(tmp_path):
    result = run_setup(tmp_path, "")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("ModuleNotFoundError: Set REPOSITORY, ")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def repository(tmp_path):
    """A git repository with the package as it stands here, committed or not."""
    origin = tmp_path / "origin"
    (origin / "mnist_helpers").mkdir(parents=True)
    for path in [*ROOT.glob("mnist_helpers/*.py"), ROOT / "pyproject.toml"]:
        (origin / path.relative_to(ROOT)).write_bytes(path.read_bytes())
    for command in (["init"], ["add", "."], ["commit", "-m", "All"]):
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        subprocess.run(["git", *identity, *command], cwd=origin, check=True, capture_output=True)
    return origin


def test_alone_it_fetches_the_helpers_from_the_repository(repository, tmp_path):
    folder = tmp_path / "alone"
    folder.mkdir()
    for _ in range(2):  # the second time, the clone is there already
        result = run_setup(folder, repository.as_uri())
        assert result.returncode == 0, result.stderr
        assert str(folder / "mnist-notebook" / "mnist_helpers") in result.stdout
