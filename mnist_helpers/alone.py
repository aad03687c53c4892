"""What the notebook runs where this package can't be imported: in an empty folder, as in Colab,
or started from another one. The set-up cell runs it with nothing but the standard library.
"""

import os
import re
import shutil
import subprocess
import sys
from importlib import invalidate_caches, metadata
from importlib.util import find_spec
from pathlib import Path


def update(project: Path, repository: str) -> None:
    """Check out what `repository` has now: "address", "address#branch" or "address#tag".

    Raises RuntimeError with git's own words if that isn't possible.
    """
    address, _, version = repository.partition("#")
    for command in (
        ["fetch", "--quiet", "--depth=1", address, version or "HEAD"],
        ["checkout", "--quiet", "--detach", "FETCH_HEAD"],
    ):
        git = subprocess.run(
            ["git", "-C", project, *command], capture_output=True, encoding="utf-8"
        )
        if git.returncode:
            raise RuntimeError(
                f"{project.name} could not be brought up to date: {git.stderr.strip()}. "
                'To go on with it as it is, set REPOSITORY = "".'
            )


def install_missing(project: Path) -> None:
    """Install what the package needs and this Python lacks; what is there stays as it is.

    Raises RuntimeError, which says what to type, if there is no installer, or it fails.
    """
    import tomllib  # not at the top: Python 3.10 has none, and should be told below, not here

    settings = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    missing = [line for line in settings["project"]["dependencies"] if not _is_installed(line)]
    if not missing:
        return
    if find_spec("pip"):
        command = [sys.executable, "-m", "pip", "install", "--quiet", *missing]
    elif shutil.which("uv"):  # whose virtual environments have no pip
        command = ["uv", "pip", "install", "--quiet", "--python", sys.executable, *missing]
    else:
        raise RuntimeError(
            f"This Python lacks {', '.join(missing)}, and neither pip nor uv is there to install "
            f"it. Type this in a terminal, then run the cell again: {sys.executable} -m ensurepip"
        )
    if subprocess.run(command).returncode:
        raise RuntimeError(f"This could not be installed: {', '.join(missing)}. See above why.")


def _is_installed(requirement: str) -> bool:
    try:
        metadata.version(re.match(r"[\w.-]+", requirement)[0])
    except metadata.PackageNotFoundError:
        return False
    return True


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
