"""A study of numbers and their squares. `python -m tests.small_study TABLE` runs it with two
processes that finish two trials, leave their numbers beside the table, and wait for ever."""

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

from joblib import parallel_config

from research.runner import run_missing

TRIALS = [{"number": number} for number in range(5)]


def square(number: int) -> dict:
    return {"square": number**2}


def square_two_then_wait(number: int, folder: Path) -> dict:
    if number >= 2:
        (folder / f"waiting-{os.getpid()}").touch()
        time.sleep(3_600)
    return square(number)


if __name__ == "__main__":
    # A shell that starts the tests in its background has them ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    output = Path(sys.argv[1])
    with parallel_config(n_jobs=2):
        wait = partial(square_two_then_wait, folder=output.parent)
        run_missing(output, TRIALS, wait, ["square"])
