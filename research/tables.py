"""Tables in research/results: a row is on disk as soon as it is known, with what it was run on."""

import csv
import os
import platform
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from mnist_helpers.runtime import has_bfloat16

RESULTS = Path(__file__).parent / "results"
MACHINE = ["machine", "processor", "instructions", "precision", "torch", "python"]


def describe_machine() -> dict[str, str]:
    """Return the columns MACHINE: what a number depends on apart from the code."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    known = ("amx_bf16", "avx512_bf16", "avx512_f", "avx2")
    best = [name for name in known if capabilities.get(name)]
    return {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "processor": capabilities.get("cpu_name") or platform.processor() or "unknown",
        "instructions": best[0] if best else torch.backends.cpu.get_cpu_capability().lower(),
        "precision": "bfloat16" if has_bfloat16() else "float32",
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }


class Table:
    """A CSV file to which one process at a time appends rows, in a `with` statement.

    Raises RuntimeError if another process is writing to it, if its folder can't be written or gives
    no locks, or if it has other columns.
    """

    def __init__(self, path: str | Path, columns: list[str]):
        self.path, self.columns = Path(path), [*columns, *MACHINE]

    def __enter__(self) -> "Table":
        self._lock = FileLock(f"{self.path}.lock", timeout=0)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout as error:
            raise RuntimeError(f"Another process is writing to {str(self.path)!r}") from error
        except (OSError, NotImplementedError) as error:  # as on some network drives
            raise RuntimeError(
                f"{str(self.path)!r} can't be kept for one process: {error}. Name a file on a "
                "local disk by --output."
            ) from error
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        # The last line has no end if the process was killed while it wrote.
        whole = text[: text.rfind("\n") + 1] or ",".join(self.columns) + "\n"
        if whole != text:
            self.path.write_text(whole, encoding="utf-8", newline="\n")
        found = next(csv.reader([whole.split("\n")[0]]))
        if found != self.columns:
            self._lock.release()
            raise RuntimeError(
                f"{str(self.path)!r} has the columns {found}, but they should be {self.columns}. "
                "Move the file elsewhere to begin a new one."
            )
        return self

    def __exit__(self, *exception) -> None:
        self._lock.release()

    def rows(self) -> list[dict[str, str]]:
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def append(self, row: dict) -> None:
        """Write the row, with the machine it was run on, unless it says so itself."""
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, lineterminator="\n")
            writer.writerow(describe_machine() | row)
            file.flush()
            os.fsync(file.fileno())
