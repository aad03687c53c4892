"""Milliseconds of a training step, by the lesson's loop, where others use the machine too: idle,
beside one and two busy processes, and under a quota of one core as a container may have.

"before" is what PyTorch does alone. "after" is with what importing mnist_helpers and research sets:
how long OpenMP's threads spin, and how many they are. Under the quota, PyTorch is told to take 16,
as on a computer with so many cores. A quota needs Linux and root: elsewhere its rows fail, and the
others stay. All take turns for five rounds, each in a process of its own.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from mnist_helpers import has_bfloat16, load
from research.recipes import BATCH_SIZE
from research.runner import ROOT, make_parser, run_missing
from research.speed import train_lesson

QUOTA, THREADS = "a quota of one core", 16
BUSY = {"idle": 0, "one busy process": 1, "two busy processes": 2, QUOTA: 0}


def measure(situation: str, setting: str, root: str, steps: int) -> None:
    """Print the number of threads and the milliseconds of a step."""
    if (situation, setting) == (QUOTA, "before"):
        torch.set_num_threads(THREADS)  # which importing research has capped
    speed = train_lesson(root, steps, bfloat16=has_bfloat16())
    print(torch.get_num_threads(), 1_000 * BATCH_SIZE / speed)


@contextmanager
def one_core() -> Iterator[list[str]]:
    """Make a control group with a quota of one core, of version 2 or 1; yield what to put before a
    command so that it runs there, and finds the quota where containers have theirs."""
    root, file = Path("/sys/fs/cgroup"), "cpu.max"
    if not (root / "cgroup.procs").exists():
        root, file = root / "cpu", "cpu.cfs_quota_us"
    group = root / f"busy-{os.getpid()}"
    group.mkdir()
    try:
        (group / file).write_text("100000", encoding="utf-8")  # of each 100,000 microseconds
        enter = f'echo $$ > {group}/cgroup.procs; mount --bind {group} {root}; exec "$@"'
        yield ["unshare", "--mount", "sh", "-ec", enter, "sh"]
    finally:
        group.rmdir()


def run_trial(situation: str, setting: str, round: int, root: str, steps: int = 200) -> dict:
    before = {"GOMP_SPINCOUNT": "300000"} if setting == "before" else {}  # OpenMP's own number
    many = {"OMP_NUM_THREADS": str(THREADS)} if situation == QUOTA else {}
    steps = max(1, steps // 10) if situation == QUOTA else steps  # for one may take seconds
    call = f"from research import busy; busy.measure{situation, setting, root, steps}"
    with ExitStack() as stack:
        start = stack.enter_context(one_core()) if situation == QUOTA else []
        for _ in range(BUSY[situation]):
            loop = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(loop.kill)
        command, environment = [*start, sys.executable, "-c", call], os.environ | before | many
        answer = subprocess.check_output(command, cwd=ROOT, env=environment, encoding="utf-8")
    threads, milliseconds = answer.split()
    return {"threads": threads, "milliseconds": f"{float(milliseconds):.2f}"}


def summarise(path: Path) -> pd.DataFrame:
    """Return the medians, and how many times as long as an idle machine's before they are."""
    rows = pd.read_csv(path)
    table = rows.pivot_table("milliseconds", "situation", "setting", "median", sort=False)
    return table.join((table / table.loc["idle", "before"]).add_suffix(" / idle")).round(2)


def main(arguments: list[str] | None = None) -> None:
    options = make_parser("busy", __doc__).parse_args(arguments)
    load(options.data)  # fetches the files
    trials = [
        {"situation": situation, "setting": setting, "round": round}
        for round in range(1, 6)
        for situation in BUSY
        for setting in ("before", "after")
    ]
    run = partial(run_trial, root=str(Path(options.data).absolute()))
    try:
        run_missing(options.output, trials, run, ["milliseconds"])
    finally:
        print(summarise(options.output).to_string())


if __name__ == "__main__":
    main()
