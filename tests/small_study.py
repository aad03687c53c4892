"""Studies of numbers and their squares, for processes of their own.

`python -m tests.small_study wait TABLE` runs one with two processes that finish two trials, leave
their process numbers beside the table, and wait for ever. With `kill` in place of `wait`, it is
killed in the middle of the third row.
"""

import csv
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


class KilledWriter(csv.DictWriter):
    def __init__(self, file, *arguments, **options):
        super().__init__(file, *arguments, **options)
        self.file = file

    def writerow(self, row: dict) -> None:
        if row["number"] == 2:
            self.file.write("2,")
            self.file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        super().writerow(row)


if __name__ == "__main__":
    # A shell that starts the tests in its background has them ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    how, output = sys.argv[1], Path(sys.argv[2])
    if how == "kill":
        csv.DictWriter = KilledWriter
        run_missing(output, TRIALS, square, ["square"])
    else:
        wait = partial(square_two_then_wait, folder=output.parent)
        with parallel_config(n_jobs=2):
            run_missing(output, TRIALS, wait, ["square"])
