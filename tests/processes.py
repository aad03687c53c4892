"""Processes of their own, for what has to be killed or must not know what this one knows."""

import multiprocessing
from collections.abc import Callable

# Where they can, children are forked from one process that has PyTorch loaded: they start at once.
HOW = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
PROCESSES = multiprocessing.get_context(HOW)
if HOW == "forkserver":
    PROCESSES.set_forkserver_preload(["tests.conftest"])


def start(function: Callable, *arguments):
    """Call the function with one end of a pipe and the arguments, elsewhere; return the process and
    the other end."""
    ours, theirs = PROCESSES.Pipe()
    child = PROCESSES.Process(target=function, args=(theirs, *arguments), daemon=True)
    child.start()
    theirs.close()
    return child, ours


def call(function: Callable, *arguments) -> object:
    """Return what the function sends."""
    child, pipe = start(function, *arguments)
    result = pipe.recv()
    child.join()
    return result
