"""Run all tests with the oldest versions that requirements.txt allows, in a new environment.

It needs uv, loads up to 6 GB, takes a quarter of an hour, and adds a row to results/versions.csv.
"""

import argparse
import csv
import datetime
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "research" / "results" / "versions.csv"
SHOWN = ["torch", "torchvision", "numpy", "pandas", "ipython"]  # the others are in requirements.txt
COLUMNS = ["date", "system", "python", "resolution", *SHOWN, "tests"]


def run(command: list, **keywords) -> subprocess.CompletedProcess:
    print("+", *command, flush=True)
    return subprocess.run(command, cwd=ROOT, encoding="utf-8", **keywords)


def run_tests(python: str, resolution: str, cpu: bool, tests: list[str]) -> dict[str, str]:
    """Make the environment, run the tests in it, and return a row of the table."""
    if not find_spec("uv") and not shutil.which("uv"):
        sys.exit("This needs uv: pip install uv")
    uv = [sys.executable, "-m", "uv"] if find_spec("uv") else ["uv"]
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder) / "environment"
        run([*uv, "venv", "--python", python, environment], check=True)
        name = Path("Scripts", "python.exe") if os.name == "nt" else Path("bin", "python")
        packages = ["-r", "requirements.txt", *(["--torch-backend=cpu"] if cpu else [])]
        install = [*uv, "pip", "install", "--resolution", resolution, *packages]
        python = environment / name
        run([*install, "--python", python], check=True)
        freeze = run([*uv, "pip", "freeze", "--python", python], check=True, stdout=subprocess.PIPE)
        versions = dict(line.split("==") for line in freeze.stdout.splitlines() if "==" in line)
        version = run([python, "--version"], check=True, stdout=subprocess.PIPE).stdout.split()[1]
        report = Path(folder) / "report.txt"
        with report.open("w", encoding="utf-8") as file:
            done = run([python, "-m", "pytest", "-q", *tests], stdout=file, stderr=file)
        text = report.read_text(encoding="utf-8", errors="replace")
    print(text)
    (*_, summary) = re.findall(r"(\d+ (?:passed|failed|error).*?) in ", text) or ["no summary"]
    today = datetime.date.today().isoformat()
    row = [today, f"{platform.system()} {platform.machine()}", version, resolution]
    row += [versions.get(name, "") for name in SHOWN]
    return dict(zip(COLUMNS, [*row, summary], strict=True)) | {"failed": done.returncode}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m research.oldest_versions", description=__doc__)
    parser.add_argument("--python", default="3.11", help="its version; default: %(default)s")
    parser.add_argument(
        "--resolution", default="lowest-direct", choices=["lowest-direct", "highest"]
    )
    parser.add_argument("--cpu", action="store_true", help="PyTorch without CUDA, from pytorch.org")
    parser.add_argument("tests", nargs="*", help="which tests to run; default: all")
    options = parser.parse_args()
    row = run_tests(options.python, options.resolution, options.cpu, options.tests)
    failed = row.pop("failed")
    print(row)
    if not options.tests:
        is_new = not RESULTS.exists()
        with RESULTS.open("a", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            if is_new:
                table.writeheader()
            table.writerow(row)
    return failed


if __name__ == "__main__":
    sys.exit(main())
