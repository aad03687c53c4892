"""What a cell shows besides figures and tables: source code, and how far a training is."""

import inspect
import textwrap

from IPython.display import Markdown, clear_output

from .progress import Progress


def show_source(*objects) -> Markdown:
    """Return the source code of functions or classes, as it stands in their module."""
    # Markdown rather than IPython's Code, whose colours code hosts drop. The font is named since
    # nbconvert's pages forget it for code in outputs.
    source = "\n\n".join(textwrap.dedent(inspect.getsource(each)) for each in objects)
    return Markdown(f'<div style="font-family: monospace">\n\n```python\n{source}```\n\n</div>')


def show_progress(progress: Progress) -> None:
    """Print the progress in place of what the cell printed before; leave nothing at the end."""
    clear_output(wait=True)
    print(progress, flush=True)
    if (progress.epoch, progress.batch) == (progress.epochs, progress.batches):
        clear_output()
