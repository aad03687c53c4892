"""A name for what a training depends on: its values and the code that matters."""

import ast
import dis
import hashlib
import inspect
import textwrap
from collections.abc import Mapping
from types import CodeType, FunctionType

import torch
from torch import nn

from . import augmentation
from .batches import Batches

LIBRARIES = {"builtins", "torch", "torchvision"}  # PyTorch's version stands for their code


def fingerprint(*values: object) -> str:
    """Return a short digest of values and of the code behind them, without comments.

    A function counts by its code and by the numbers, texts and functions of its module that it
    uses; a network by its weights and by its layers' code and settings; batches by their recipe;
    other objects by their `state_dict` or their `repr`.
    """
    sha256, functions = hashlib.sha256(), set()

    def add(value: object) -> None:
        if isinstance(value, torch.Tensor):
            sha256.update(f"{value.dtype} {list(value.shape)}".encode())
            sha256.update(value.detach().cpu().contiguous().numpy().tobytes())
        elif isinstance(value, dict):
            add(list(value.items()))
        elif isinstance(value, list | tuple):
            sha256.update(f"{len(value)} values".encode())
            for item in value:
                add(item)
        elif inspect.isfunction(value):
            if value not in functions:  # which may call itself
                functions.add(value)
                add([_code(value), _used_by(value)])
        elif inspect.ismodule(value):
            add(_code(value))
        elif inspect.isclass(value):
            add([value.__name__, _settings(vars(value))])
        elif isinstance(value, Batches):
            add([value.recipe(), Batches, augmentation])
        elif isinstance(value, nn.Module):
            classes = dict.fromkeys(each for layer in value.modules() for each in type(layer).mro())
            add([each for each in classes if each.__module__.split(".")[0] not in LIBRARIES])
            add([repr(value), *(_settings(vars(layer)) for layer in value.modules())])
            add(value.state_dict())
        elif hasattr(value, "state_dict"):
            add([type(value).__name__, value.state_dict()])
        else:
            sha256.update(repr(value).encode())

    add(values)
    return sha256.hexdigest()[:16]


def _code(value: object) -> str | list:
    """Return a function's or a module's source without comments and docstrings; for a function
    whose source isn't known (as one of a shell's command line), what Python compiled it to."""
    if value.__name__ == "<lambda>":  # its source would be the whole line
        return _bytecode(value.__code__)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(value)))
    except (OSError, SyntaxError):
        return _bytecode(value.__code__)
    for node in ast.walk(tree):
        match getattr(node, "body", None):
            case [ast.Expr(ast.Constant()), *_]:
                node.body[0] = ast.Pass()
    return ast.unparse(tree)


def _bytecode(code: CodeType) -> list:
    constants = [_bytecode(each) if inspect.iscode(each) else each for each in code.co_consts]
    return [code.co_code, code.co_names, constants]


def _used_by(function: FunctionType) -> dict:
    """Return the numbers, texts and functions around a function that it uses."""
    names = {each.argval for each in dis.get_instructions(function) if each.opname == "LOAD_GLOBAL"}
    around = {name: function.__globals__.get(name) for name in sorted(names)}
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    around |= zip(function.__code__.co_freevars, cells, strict=True)
    return {
        name: value
        for name, value in _settings(around).items()
        if getattr(value, "__module__", function.__module__) == function.__module__
    }


def _settings(values: Mapping[str, object]) -> dict:
    """Return the numbers, texts and functions among the values."""
    return {
        name: value
        for name, value in values.items()
        if inspect.isfunction(value)
        or (
            isinstance(value, str | int | float) and not name.startswith("_") and name != "training"
        )
    }
