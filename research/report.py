"""What the benchmarks share: how they run a contender, and where they write."""

import multiprocessing
import os
import platform
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from pathlib import Path

import pandas as pd
import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # so that a script finds mnist_helpers wherever it is started


def in_own_process(function: Callable, *arguments):
    """Return the function's result from a new process, which inherits no allocator, threads or
    memory from a contender before it."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as executor:
        return executor.submit(function, *arguments).result()


def write_results(name: str, rows: list[dict]) -> pd.DataFrame:
    """Write the rows, with machine, versions and date, to results/<name>.csv; return the table."""
    conditions = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.backends.cpu.get_cpu_capability()}",
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "date": date.today().isoformat(),
    }
    table = pd.DataFrame([conditions | row for row in rows])
    table = table[[*rows[0], *(name for name in conditions if name not in rows[0])]]
    (ROOT / "results").mkdir(exist_ok=True)
    table.to_csv(ROOT / "results" / f"{name}.csv", index=False)
    return table


def median_and_range(values: pd.Series) -> str:
    return f"{values.median():.2f} ({values.min():.2f} to {values.max():.2f})"
