"""A network as the graph that a browser runs, with network.js, and the page that shows it."""

import base64
import copy
import json
import re
import string
import tempfile
from operator import getitem
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch._decomp import get_decompositions

from .detector import _load_detector
from .drawings import GALLERY
from .evaluation import place_of, predict_logits, to_pixels

HERE = Path(__file__).parent
SCRIPTS = [(HERE / name).read_text("utf-8") for name in ("network.js", "canvas.js")]
FRONT_END = "".join(SCRIPTS)  # one module of JavaScript
KNOWN = sorted(re.findall(r"^  (\w+): ", SCRIPTS[0], re.MULTILINE))
NAMES = {  # PyTorch's own names for some of these operations
    "bmm": "matmul", "clone": "view", "max_pool2d_with_indices": "max_pool2d", "mm": "matmul",
    "squeeze": "view", "unsafe_view": "view", "unsqueeze": "view",
}  # fmt: skip
aten = torch.ops.aten
# What is taken apart, beside what PyTorch takes apart of its own accord
SPLIT_UP = get_decompositions([
    aten._native_batch_norm_legit, aten._native_batch_norm_legit_no_training, aten.elu, aten.gelu,
    aten.hardtanh, aten.leaky_relu, aten.linalg_vector_norm, aten.native_layer_norm, aten.repeat,
]) | {
    aten._safe_softmax.default: lambda x, dim, dtype=None: x.softmax(dim),
    aten.group_norm.default: lambda x, groups, weight=None, bias=None, eps=1e-5, _=1: F.batch_norm(
        F.layer_norm(y := x.unflatten(1, (groups, -1)), y.shape[2:], eps=eps).flatten(1, 2),
        x.new_zeros(x.shape[1]), x.new_ones(x.shape[1]), weight, bias, eps=0,
    ),
    aten.select.int: lambda x, dim, index: x.narrow(dim, index % x.shape[dim], 1).squeeze(dim),
    aten.split_with_sizes.default: lambda x, sizes, dim=0: [
        x.narrow(dim, sum(sizes[:i]), size) for i, size in enumerate(sizes)
    ],
    aten.var_mean.correction: lambda x, dim=None, correction=1, keepdim=False: (
        x.var(dim, correction=correction, keepdim=keepdim), x.mean(dim, keepdim)
    ),
}  # fmt: skip


def describe(model: nn.Module) -> dict:
    """Return a network, as it is in evaluation mode, as what network.js runs, ready for JSON.

    It maps float [1, 1, 28, 28] in [0, 1] to logits [1, 10], and isn't changed. Weights that are
    used as they are, are rounded to half precision. Raises ValueError where PyTorch can't export
    it, where it returns something else, and at an operation that network.js doesn't have.
    """
    model = getattr(model, "_orig_mod", model)  # what torch.compile was given
    modules, program = dict(model.named_modules(remove_duplicate=False)), _export(model)
    signature, held = program.graph_signature, program.state_dict | program.constants
    weights = {s.arg.name: held[s.target] for s in signature.input_specs if s.target in held}
    values = dict(weights)  # what is known without the image
    nodes, places, constants = [], {}, []

    def store(tensor: torch.Tensor, name: str = "") -> dict:
        best = tensor.detach().cpu().float().contiguous()
        if name in weights and ((best.half() - best).abs() <= 1e-3 * best.abs() + 1e-7).all():
            best = best.half()
        data = base64.b64encode(best.numpy()).decode()
        entry = {"shape": list(best.shape), "bits": 8 * best.element_size(), "data": data}
        if entry not in constants:  # weights may be shared
            constants.append(entry)
        return {"constant": constants.index(entry)}

    def encode(value: object) -> object:
        if isinstance(value, fx.Node):
            place = places.get(value.name)
            return store(values[value.name], value.name) if place is None else {"node": place}
        if isinstance(value, (list, tuple)):
            return [encode(each) for each in value]
        if value in (torch.inf, -torch.inf):  # which JSON doesn't know
            return store(torch.tensor(value))
        return value if isinstance(value, (bool, int, float, str)) else None  # no dtype

    for node in program.graph.nodes:
        is_random = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
        is_known = all(each.name in values for each in node.all_input_nodes) and not is_random
        if node.op == "call_function" and is_known and node.name not in signature.user_outputs:
            arguments, named = fx.map_arg((node.args, node.kwargs), lambda each: values[each.name])
            values[node.name] = node.target(*arguments, **named)
        elif node.name not in values and isinstance(value := node.meta.get("val"), torch.Tensor):
            stack = list((node.meta.get("nn_module_stack") or {}).values())
            layer = stack[-1][0].partition("@")[0] if stack else ""  # as in named_modules()
            kind = repr(modules.get(layer, model)).partition("\n")[0].rstrip("(")
            operation, arguments = ("input", []) if node.op == "placeholder" else _call(node)
            if operation not in [*KNOWN, "input"]:
                raise ValueError(
                    f"The canvas can't show this network: it doesn't know the operation "
                    f"{operation!r} (in {kind}, layer {layer!r}). Take another one instead; it "
                    f"knows {', '.join(KNOWN)}, and what PyTorch makes of these."
                )
            places[node.name] = len(nodes)
            entry = {"op": operation, "args": encode(arguments), "shape": list(value.shape)}
            nodes.append(entry | {"layer": layer, "type": kind})
    return {"nodes": nodes, "constants": constants, "output": places[signature.user_outputs[0]]}


def _export(model: nn.Module) -> torch.export.ExportedProgram:
    """Return PyTorch's graph of the network, with what network.js lacks taken apart."""
    image = torch.arange(1, 785).view(1, 1, 28, 28).byte()
    table = dict(torch.export.default_decompositions().items()) | SPLIT_UP
    table = {each: parts for each, parts in table.items() if _name(each) not in KNOWN}
    with torch.no_grad(), torch.compiler.set_stance("force_eager"), torch.random.fork_rng([]):
        predict_logits(model := copy.deepcopy(model).eval(), image)  # raises if it isn't such
        try:
            inputs = (to_pixels(image, *place_of(model)),)
            return torch.export.export(model, inputs, strict=False).run_decompositions(table)
        except Exception as error:
            raise ValueError(
                "The canvas can't show this network, since PyTorch can't export it "
                f"(torch.export.export, for one image of [1, 1, 28, 28]): {error}"
            ) from error


def _name(operation: object) -> str:
    name = operation.__name__.partition(".")[0].lstrip("_")
    return NAMES.get(name, name)


def _call(node: fx.Node) -> tuple[str, list]:
    """Return an operation's name and all its arguments, in the order of PyTorch's schema."""
    result, number = node.meta["val"], 0
    if node.target is getitem:  # of an operation that returns several tensors
        node, number = node.args
    arguments = [
        node.args[i] if i < len(node.args) else node.kwargs.get(each.name, each.default_value)
        for i, each in enumerate(node.target._schema.arguments)
    ]
    name = _name(node.target) + f"[{number}]" * (number > 0)
    if name == "to_copy" and result.is_floating_point():
        name = "view"
    if name in ("view", "expand"):
        arguments[1:] = [list(result.shape)]
    return name, arguments


def fill_in(name: str, **fields: str) -> str:
    """Return the text of a file that lies beside this one, with these fields filled in."""
    return string.Template((HERE / name).read_text("utf-8")).substitute(fields)


def describe_networks(model: nn.Module) -> dict[str, dict]:
    """Return what the canvas runs: the network, and the detector of what is no digit."""
    return {"classifier": describe(model), "detector": describe(_load_detector())}


def page_html(networks: dict[str, dict]) -> str:
    """Return a page that shows the canvas with these networks, and needs nothing else."""
    state = {"networks": networks, "gallery": GALLERY, "drawing": {"strokes": []}, "kept": {}}
    data = json.dumps(state, allow_nan=False).replace("<", r"\u003c")  # names are no markup
    style = (HERE / "canvas.css").read_text("utf-8")
    return fill_in("page.html", style=style, script=FRONT_END, data=data)


def save_page(model: nn.Module, path: str | Path) -> None:
    """Write the page that shows this network as one file, whole or not at all: it opens on any
    computer or phone, without Python and without the internet. Make its folder where there is
    none. Raises ValueError where the network can't be shown."""
    text, path = page_html(describe_networks(model)), Path(path).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as part:
        (whole := Path(part, path.name)).write_text(text, encoding="utf-8")
        whole.replace(path)
