"""What the notebook runs where this package can't be imported: in an empty folder, as in Colab,
or started from another one. The set-up cell runs it with nothing but the standard library.
"""

import os
import re
import subprocess
import sys
from importlib import invalidate_caches, metadata
from importlib.util import find_spec
from pathlib import Path


def update(project: Path, repository: str) -> None:
    """Check out what `repository` has now: "address", "address#branch" or "address#tag"."""
    address, _, version = repository.partition("#")
    git = ["git", "-C", str(project)]
    advice = f'{project.name} is not up to date. To go on with it as it is, set REPOSITORY = "".'
    run([*git, "fetch", "--quiet", "--depth=1", address, version or "HEAD"], advice)
    run([*git, "checkout", "--quiet", "--detach", "FETCH_HEAD"], advice)


def install_missing(project: Path) -> None:
    """Install what the package needs and this Python lacks; what is there stays as it is."""
    import tomllib  # not at the top: Python 3.10 has none, and should be told below, not here

    settings = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    names = {line: re.match(r"[\w.-]+", line)[0] for line in settings["project"]["dependencies"]}
    missing = [line for line, name in names.items() if not list(metadata.distributions(name=name))]
    if not missing:
        return
    advice = f"This notebook needs {', '.join(missing)}."
    if find_spec("pip"):
        pip = [sys.executable, "-m", "pip", "install"]
    else:  # as in the virtual environments that uv makes
        pip = ["uv", "pip", "install", "--python", sys.executable]
        advice += f" To get pip, type this in a terminal: {sys.executable} -m ensurepip"
    run([*pip, "--quiet", *missing], advice)


def run(command: list[str], advice: str) -> None:
    """Run a program; raise RuntimeError with its own words and the advice if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise RuntimeError(f"{command[0]} is not installed. {advice}") from None
    if done.returncode:
        raise RuntimeError(f"{done.stderr.strip()}\n{advice}")


def main(repository: str) -> None:
    if sys.version_info < (3, 11):  # noqa: UP036
        raise RuntimeError("This notebook needs Python 3.11 or newer: choose another kernel.")
    project = Path(__file__).resolve().parent.parent
    if repository:
        update(project, repository)
    install_missing(project)
    os.chdir(project)  # last, so that what fails here is tried again when the cell is run again
    sys.path.insert(0, str(project))
    invalidate_caches()  # else Python may not see what was installed in this second


if __name__ == "__main__":
    main(globals()["REPOSITORY"])  # which the set-up cell hands over
