"""The committed notebooks as a reader meets them. That they run, and give what they show, is
nbval's part of `pytest`."""

import json
import re
from html.parser import HTMLParser

import pytest
from nbconvert import HTMLExporter

from .conftest import ROOT

PATHS = [ROOT / "MNISTModelTraining.ipynb", ROOT / "research" / "Research.ipynb"]


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def cells(path) -> list[dict]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_it_was_executed_once_from_top_to_bottom(cells):
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))


def test_no_cell_failed_or_complained(cells):
    for output in (output for cell in cells for output in cell["outputs"]):
        assert output["output_type"] != "error", output
        assert output.get("name") != "stderr", output


def test_no_output_shows_a_path_of_a_machine(cells):
    shown = json.dumps([cell["outputs"] for cell in cells])
    found = re.search(r"(/root|/work|/home|/tmp|/Users|/content|[A-Z]:\\\\)/?[^\"]{0,40}", shown)
    assert not found, found


def test_each_picture_of_the_page_has_a_text_of_its_own(path):
    page, _ = HTMLExporter().from_filename(str(path))
    pictures = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag, attributes):
            if tag == "img":
                pictures.append(dict(attributes).get("alt") or "")

    Parser().feed(page)
    texts = [text for text in pictures if text and not text.startswith("No description")]
    assert pictures and texts == pictures
