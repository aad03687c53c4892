"""A network as the graph that a browser runs, with network.js, and the page that shows it."""

import base64
import functools
import json
import math
import os
import re
import string
import tempfile
from operator import getitem
from pathlib import Path

import torch
from torch import fx, nn
from torch._decomp import get_decompositions
from torch.export.graph_signature import InputKind, OutputKind

from .detector import _load_detector
from .evaluation import place_of

HERE = Path(__file__).parent
TABLE = (HERE / "network.js").read_text(encoding="utf-8").partition("const torch = {\n")[2]
KNOWN = sorted(re.findall(r"^  (\w+): ", TABLE.partition("\n};")[0], re.MULTILINE))  # operations
NAMES = {  # PyTorch's own names for some of them
    "_adaptive_avg_pool2d": "adaptive_avg_pool2d", "_log_softmax": "log_softmax",
    "_native_batch_norm_legit_no_training": "batch_norm", "_softmax": "softmax",
    "_unsafe_view": "view", "bmm": "matmul", "hardtanh": "clamp",
    "max_pool2d_with_indices": "max_pool2d", "mm": "matmul", "squeeze": "view", "unsqueeze": "view",
}  # fmt: skip
COPIES = {"_to_copy", "alias", "clone", "detach", "expand", "lift_fresh_copy", "view"}
aten = torch.ops.aten
SPLIT_UP = get_decompositions([  # beside those that PyTorch takes apart of its own accord
    aten.elu, aten.gelu, aten.leaky_relu, aten.linalg_vector_norm, aten.native_group_norm,
    aten.native_layer_norm, aten._native_batch_norm_legit, aten.repeat,
]) | {
    aten._cdist_forward.default: lambda x, y, p, mode: (
        ((x.unsqueeze(-2) - y.unsqueeze(-3)).abs() ** p).sum(-1) ** (1 / p)
    ),
    aten.full_like.default: lambda x, value, **_: x.new_full(x.shape, value),
    aten.max.default: lambda x: x.amax(),
    aten.max.dim: lambda x, *dims: (x.amax(*dims), x.argmax(*dims)),
    aten.min.default: lambda x: x.amin(),
    aten.min.dim: lambda x, *dims: (x.amin(*dims), x.argmin(*dims)),
    aten.select.int: lambda x, dim, index: x.narrow(dim, index % x.shape[dim], 1).squeeze(dim),
    aten.split_with_sizes.default: lambda x, sizes, dim=0: [
        x.narrow(dim, sum(sizes[:i]), size) for i, size in enumerate(sizes)
    ],
    aten.var.correction: lambda *arguments, **named: _var_mean(*arguments, **named)[0],
    aten.var_mean.correction: lambda *arguments, **named: _var_mean(*arguments, **named),
}  # fmt: skip


def _var_mean(x, dim=None, *, correction=None, keepdim=False) -> tuple:
    mean, sums = x.mean(dim, True), (x - x.mean(dim, True)).square().sum(dim, keepdim)
    count = x.numel() // sums.numel() - (1 if correction is None else correction)
    return sums / count, mean if keepdim else x.mean(dim)


def describe(model: nn.Module) -> dict:
    """Return a network, as it is in evaluation mode, as what network.js runs, ready for JSON.

    It maps float [1, 1, 28, 28] in [0, 1] to logits [1, 10], and isn't changed. Weights are rounded
    to half precision. Raises ValueError where PyTorch can't export it, where it returns something
    else, and at an operation that network.js doesn't have.
    """
    model = getattr(model, "_orig_mod", model)  # what torch.compile was given
    program, modules = _export(model), dict(model.named_modules(remove_duplicate=False))
    fixed = _fixed(program)
    output = _output(program, fixed)
    nodes, places = [], {}
    constants, found, weights = [], {}, bytearray()

    def store(tensor: torch.Tensor) -> dict:
        exact = tensor.detach().cpu().float().contiguous()
        half = exact.half()
        best = half if half.float().equal(exact) else exact
        content, shape = best.numpy().tobytes(), list(exact.shape)
        index = found.setdefault((content, *shape), len(constants))  # weights may be shared
        if index == len(constants):
            bits = 8 * best.element_size()
            constants.append({"shape": shape, "offset": len(weights), "bits": bits})
            weights.extend(content)
        return {"constant": index}

    def encode(value: object) -> object:
        if isinstance(value, (list, tuple)):
            return [encode(each) for each in value]
        if isinstance(value, fx.Node):
            return {"node": places[value]} if value in places else store(fixed[value])
        if isinstance(value, float) and not math.isfinite(value):  # JSON has no infinity
            return store(torch.tensor(value))
        return value if isinstance(value, (bool, int, float, str)) else None

    for node in program.graph.nodes:
        value = node.meta.get("val")
        if node in fixed or not isinstance(value, torch.Tensor):
            continue
        if _is_copy(node):
            places[node] = places[node.all_input_nodes[0]]
            continue
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        layer = stack[-1][0].partition("@")[0] if stack else ""  # as in named_modules()
        module = modules.get(layer, model)
        kind = type(module).__name__ if any(module.children()) else " ".join(repr(module).split())
        operation, arguments = _call(node)
        if operation not in [*KNOWN, "input"]:
            raise ValueError(
                f"The canvas can't show this network: it doesn't know the operation {operation!r} "
                f"(in {kind}, layer {layer!r}). Take another one instead; it knows "
                f"{', '.join(KNOWN)}, and what PyTorch makes of these."
            )
        places[node] = len(nodes)
        entry = {"op": operation, "name": node.name, "layer": layer, "type": kind}
        nodes.append(entry | {"args": encode(arguments), "shape": list(value.shape)})
    return {
        "name": type(model).__name__,
        "nodes": nodes,
        "constants": constants,
        "weights": base64.b64encode(weights).decode(),
        "input": [node["op"] for node in nodes].index("input"),
        "output": places[output],
    }


def _export(model: nn.Module) -> torch.export.ExportedProgram:
    """Return PyTorch's graph of the network, with what network.js lacks taken apart."""
    modes = {module: module.training for module in model.modules()}
    device, dtype = place_of(model)
    image = torch.zeros(1, 1, 28, 28, device=device, dtype=dtype)
    table = dict(torch.export.default_decompositions().items()) | SPLIT_UP
    table = {each: parts for each, parts in table.items() if _name(each) not in KNOWN}
    try:
        for module in modes:
            module.training = False
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            program = torch.export.export(model, (image,), strict=False)
        return program.run_decompositions(table)
    except Exception as error:  # of the network's own, too
        raise ValueError(
            "The canvas can't show this network, since PyTorch can't export it "
            f"(torch.export.export, for one image of [1, 1, 28, 28]): {error}"
        ) from error
    finally:
        for module, training in modes.items():
            module.training = training


def _output(program: torch.export.ExportedProgram, fixed: dict) -> fx.Node:
    specs = program.graph_signature.output_specs
    nodes = {node.name: node for node in program.graph.nodes if node not in fixed}
    names = [spec.arg.name for spec in specs if spec.kind == OutputKind.USER_OUTPUT]
    outputs = [nodes[name] for name in names if name in nodes]
    shapes = [list(node.meta["val"].shape) for node in outputs]
    if shapes != [[1, 10]]:
        raise ValueError(
            "The network must return logits [1, 10] for one image, but it returned "
            f"{' and '.join(map(str, shapes)) or 'nothing that depends on the image'}. "
            "Look at its last layer."
        )
    return outputs[0]


def _fixed(program: torch.export.ExportedProgram) -> dict[fx.Node, torch.Tensor]:
    """Return the values of the nodes that don't depend on the image."""
    held = program.state_dict | program.constants
    specs = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
    fixed = {}
    for node in program.graph.nodes:
        spec = specs.get(node.name)
        is_known = all(each in fixed for each in node.all_input_nodes)
        is_random = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
        if spec and isinstance(value := held.get(spec.target), torch.Tensor):
            rounded = value.half().to(value.dtype)
            is_weight = spec.kind != InputKind.CONSTANT_TENSOR and value.is_floating_point()
            is_close = is_weight and torch.allclose(rounded, value, rtol=1e-3, atol=1e-7)
            fixed[node] = rounded if is_close else value
        elif node.op == "call_function" and is_known and not is_random:
            arguments, named = fx.map_arg((node.args, node.kwargs), fixed.get)
            fixed[node] = node.target(*arguments, **named)
    return fixed


def _name(operation: object) -> str:
    name = getattr(operation, "_opname", str(operation))
    return NAMES.get(name, name)


def _call(node: fx.Node) -> tuple[str, list]:
    """Return the operation's name and all its arguments, in the order of the documentation."""
    if node.op == "placeholder":
        return "input", []
    result, number = node.meta["val"], 0
    if node.target is getitem:  # of an operation that returns several tensors
        node, number = node.args
    arguments = [
        node.args[i] if i < len(node.args) else node.kwargs.get(each.name, each.default_value)
        for i, each in enumerate(node.target._schema.arguments)
    ]
    name = _name(node.target) + (f"[{number}]" if number else "")
    if name == "as_strided" and arguments[0].meta["val"].is_contiguous() and result.is_contiguous():
        name = "view" if arguments[0].meta["val"].numel() == result.numel() else name
    if name in ("view", "expand"):
        arguments[1:] = [list(result.shape)]
    if name == "batch_norm":
        x, weight, bias, mean, variance, momentum, epsilon = arguments
        arguments = [x, mean, variance, weight, bias, False, momentum, epsilon]
    return name, arguments


def _is_copy(node: fx.Node) -> bool:
    """Return whether the operation changes no value and no shape."""
    if _name(node.target) not in COPIES:
        return False
    before, after = node.all_input_nodes[0].meta["val"], node.meta["val"]
    return before.shape == after.shape and after.is_floating_point()


@functools.cache
def _detector() -> dict:
    return describe(_load_detector())


def front_end() -> str:
    """Return network.js and canvas.js as one module of JavaScript."""
    return _read("network.js") + _read("canvas.js")


def page_html(model: nn.Module, detector: bool = True) -> str:
    """Return a page that shows the canvas and the network, and needs nothing else.

    The detector, which tells what is no digit, is half of it. Raises ValueError as `describe` does.
    """
    networks = {"classifier": describe(model)} | ({"detector": _detector()} if detector else {})
    data = {"networks": networks, "gallery": json.loads(_read("gallery.json"))["drawings"]}
    text = json.dumps(data, allow_nan=False).replace("<", r"\u003c")  # names are no markup
    page = string.Template(_read("page.html"))
    return page.substitute(style=_read("canvas.css"), script=front_end(), data=text)


def save_page(model: nn.Module, path: str | Path) -> None:
    """Write the page that shows this network as one file: it opens on any computer or phone,
    without Python and without the internet. Raises ValueError where the network can't be shown."""
    write_whole(path, page_html(model))


def write_whole(path: str | Path, text: str) -> None:
    """Write a file whole or not at all; make its folder where there is none."""
    path = Path(path).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as part:
        (whole := Path(part, path.name)).write_text(text, encoding="utf-8")
        os.replace(whole, path)


def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
