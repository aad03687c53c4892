"""A network as the graph that a browser runs (network.js), and the page that shows it."""

import base64
import functools
import html
import json
import math
import os
import re
import tempfile
from operator import getitem
from pathlib import Path

import torch
from torch import fx, nn
from torch.export.graph_signature import InputKind, OutputKind

from .detector import _load_detector
from .evaluation import place_of

HERE = Path(__file__).parent
COPIES = {"_to_copy", "alias", "clone", "detach", "expand", "lift_fresh_copy", "to", "view"}
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data: blob:; \
script-src 'unsafe-inline'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}
</style>
<body class="mnist-page">
<main id="canvas"></main>
<script type="application/json" id="data">{data}</script>
<script type="module">
{script}
const data = JSON.parse(document.getElementById("data").textContent);
const networks = Object.entries(data.networks).map(([name, each]) => [name, loadNetwork(each)]);
mount(document.getElementById("canvas"), {{
  networks: Object.fromEntries(networks),
  gallery: data.gallery,
}});
</script>
</html>
"""


def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def front_end() -> str:
    """Return network.js and canvas.js as one JavaScript module."""
    return _read("network.js") + _read("canvas.js")


@functools.cache
def operations() -> list[str]:
    """Return the names of the operations that network.js has."""
    table = _read("network.js").partition("\nconst operations = {")[2].partition("\n};")[0]
    return sorted(re.findall(r"^  (\w+)[:(]", table, re.MULTILINE))


def describe(model: nn.Module) -> dict:
    """Return a network, as it is in evaluation mode, as what network.js runs, ready for JSON.

    It maps float [1, 1, 28, 28] in [0, 1] to logits [1, 10], and isn't changed. Weights are rounded
    to half precision. Raises ValueError where PyTorch can't export it, where it returns something
    else, and at an operation that network.js doesn't have.
    """
    model = getattr(model, "_orig_mod", model)  # what torch.compile was given
    program, modules = _export(model), dict(model.named_modules())
    output, tensors = _output(program), _fold(program)
    nodes, places = [], {}  # the places of PyTorch's nodes among ours
    constants, found, weights = [], {}, bytearray()

    def store(tensor: torch.Tensor) -> dict:
        exact = tensor.detach().cpu().float().contiguous()
        half = exact.half()
        best = half if torch.equal(half.float(), exact) else exact
        content = best.numpy().tobytes()
        if (content, exact.shape) not in found:  # weights may be shared
            found[content, exact.shape] = len(constants)
            bits = 8 * best.element_size()
            constants.append({"shape": [*exact.shape], "offset": len(weights), "bits": bits})
            weights.extend(content)
        return {"constant": found[content, exact.shape]}

    def encode(value: object) -> object:
        if isinstance(value, (list, tuple)):
            return [encode(each) for each in value]
        if isinstance(value, fx.Node):
            return {"node": places[value]} if value in places else store(tensors[value])
        if isinstance(value, float) and not math.isfinite(value):  # JSON has no infinity
            return store(torch.tensor(value))
        return value if isinstance(value, (bool, int, float, str)) else None

    for node in program.graph.nodes:
        value = node.meta.get("val")
        if node in tensors or not isinstance(value, torch.Tensor):
            continue
        layer = _layer(node)
        module = modules.get(layer)
        kind = "" if module is None else type(module).__name__
        if module is not None and not any(module.children()):
            kind = " ".join(repr(module).split())
        if node.op == "placeholder":
            name, arguments = "input", []
        elif _is_copy(node):
            places[node] = places[node.all_input_nodes[0]]
            continue
        else:
            name, arguments = _call(node)
            if name not in operations():
                place = f" in the layer {layer!r}, {kind}" if layer else ""
                raise ValueError(
                    f"The canvas doesn't know the operation {name!r}{place}. Use others instead, "
                    f"of those that it knows: {', '.join(operations())}."
                )
        places[node] = len(nodes)
        entry = {"op": name, "name": node.name, "layer": layer, "type": kind}
        nodes.append(entry | {"args": encode(arguments), "shape": list(value.shape)})
    return {
        "name": type(model).__name__,
        "nodes": nodes,
        "constants": constants,
        "weights": base64.b64encode(weights).decode(),
        "input": next(i for i, node in enumerate(nodes) if node["op"] == "input"),
        "output": places[output],
    }


def _export(model: nn.Module) -> torch.export.ExportedProgram:
    """Export the network in evaluation mode; decompose the operations that network.js lacks."""
    modes = {module: module.training for module in model.modules()}
    device, dtype = place_of(model)
    image = torch.zeros(1, 1, 28, 28, device=device, dtype=dtype)
    table = torch.export.default_decompositions()
    for operation in [each for each in table if _name(each) in operations()]:
        del table[operation]
    try:
        for module in modes:
            module.training = False
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            program = torch.export.export(model, (image,), strict=False)
        return program.run_decompositions(table)
    except Exception as error:
        raise ValueError(
            f"PyTorch can't export this network, so the canvas can't show it: {error}"
        ) from error
    finally:
        for module, training in modes.items():
            module.training = training


def _output(program: torch.export.ExportedProgram) -> fx.Node:
    specs = program.graph_signature.output_specs
    names = [spec.arg.name for spec in specs if spec.kind == OutputKind.USER_OUTPUT]
    found = [node for node in program.graph.nodes if node.name in names]
    shapes = [list(node.meta["val"].shape) for node in found]
    if shapes != [[1, 10]]:
        raise ValueError(
            "The network must return logits [1, 10] for one image, but it returned "
            f"{' and '.join(map(str, shapes)) or 'no tensor'}. Look at its last layer."
        )
    return found[0]


def _fold(program: torch.export.ExportedProgram) -> dict[fx.Node, torch.Tensor]:
    """Return what doesn't depend on the image; weights are rounded to half precision."""
    held = program.state_dict | program.constants
    specs = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
    tensors = {}
    for node in program.graph.nodes:
        if node.op == "placeholder" and specs[node.name].target is not None:
            value = held[specs[node.name].target].detach()
            rounded = value.half().to(value)
            is_weight = specs[node.name].kind != InputKind.CONSTANT_TENSOR
            if is_weight and torch.allclose(rounded, value, rtol=1e-3, atol=1e-7):
                value = rounded
            tensors[node] = value
        elif node.op == "call_function" and all(each in tensors for each in node.all_input_nodes):
            tags = getattr(node.target, "tags", ())
            if torch.Tag.nondeterministic_seeded not in tags:
                arguments = fx.map_arg((node.args, node.kwargs), tensors.get)
                tensors[node] = node.target(*arguments[0], **arguments[1])
    return tensors


def _name(operation: object) -> str:
    return getattr(operation, "_opname", getattr(operation, "__name__", str(operation)))


def _layer(node: fx.Node) -> str:
    """Return the path of the module that calls the operation, as in named_modules()."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return stack[-1][0].partition("@")[0] if stack else ""


def _is_copy(node: fx.Node) -> bool:
    """Return whether the operation does nothing to its one tensor, apart from its memory."""
    if _name(node.target) not in COPIES:
        return False
    before, after = node.all_input_nodes[0].meta["val"], node.meta["val"]
    return before.shape == after.shape and after.is_floating_point()


def _call(node: fx.Node) -> tuple[str, list]:
    """Return the operation's name and all its arguments, in the documentation's order. One that
    returns several tensors has the number of the one that is meant as its last argument."""
    number = [] if node.target is not getitem else [node.args[1]]
    node = node if node.target is not getitem else node.args[0]
    arguments = [
        node.args[i] if i < len(node.args) else node.kwargs.get(each.name, each.default_value)
        for i, each in enumerate(node.target._schema.arguments)
    ]
    name = _name(node.target)
    if name == "_native_batch_norm_legit_no_training":
        x, weight, bias, mean, variance, momentum, epsilon = arguments
        return "batch_norm", [x, mean, variance, weight, bias, False, momentum, epsilon]
    return name, arguments + number


@functools.cache
def _detector() -> dict:
    return describe(_load_detector())


def page_html(model: nn.Module, detector: bool = True) -> str:
    """Return a page of HTML that holds a canvas and the network, and needs nothing else; with the
    detector of non-digits, which is half of it, if wanted. Raises ValueError as `describe` does."""
    networks = {"classifier": describe(model)} | ({"detector": _detector()} if detector else {})
    gallery = json.loads(_read("gallery.json"))["drawings"]
    data = json.dumps({"networks": networks, "gallery": gallery}, allow_nan=False)
    return PAGE.format(
        title=html.escape(f"{networks['classifier']['name']}: draw a digit"),
        style=_read("canvas.css"),
        data=data.replace("<", "\\u003c"),  # what the reader's names hold is no markup
        script=front_end(),
    )


def save_page(model: nn.Module, path: str | Path) -> None:
    """Write one file of HTML that holds a canvas and the network: it opens on any computer or
    phone, without Python and without the internet. Raises ValueError as `describe` does."""
    path, text = Path(path).expanduser(), page_html(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as part:
        (whole := Path(part, path.name)).write_text(text, encoding="utf-8")
        os.replace(whole, path)
