"""A figure in JupyterLab, in a notebook that somebody else has executed: it isn't trusted."""

import nbformat
import torch

from mnist_helpers import plots


def test_a_figure_and_its_text_reach_the_reader_of_a_downloaded_notebook(page, lab):
    figure = plots.image_grid(torch.eye(28)[None], ["a line"], "A diagonal")
    data = figure._repr_mimebundle_()
    output = nbformat.v4.new_output("execute_result", data, execution_count=1)
    cell = nbformat.v4.new_code_cell("plots", outputs=[output], execution_count=1)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), lab.folder / "figure.ipynb")
    reader = page.context.new_page()
    reader.goto(f"{lab.address()}lab/workspaces/reader/tree/figure.ipynb?token={lab.token}")
    image = reader.get_by_role("img", name=figure.alt)
    image.wait_for()
    assert image.evaluate("image => image.naturalWidth") > 0
    reader.close()
