"""The page: what is in the file, and what is said of networks that it can't show."""

import base64
import copy
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mnist_helpers import DigitClassifier
from mnist_helpers.page import describe, describe_networks, page_html, save_page

from .conftest import perceptron


class Layer(nn.Module):
    """A layer that is a function, before logits that depend on all that it returns."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def network(function, size: int = 784) -> nn.Module:
    return nn.Sequential(Layer(function), nn.Flatten(), nn.Linear(size, 10))


def test_the_lessons_network_and_the_detector_take_1_2_megabytes_at_most():
    assert len(page_html(describe_networks(DigitClassifier())).encode()) <= 1_200_000


@pytest.mark.parametrize("name", ["</script><script>alert(1)</script>", "<!-- <script>"])
def test_names_of_the_reader_are_no_markup(name):
    evil = type(name, (nn.Sequential,), {})(nn.Flatten())
    evil.add_module(name, type(name, (nn.Linear,), {"extra_repr": lambda self: name})(784, 10))
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append(tag)
    parser.feed(text := page_html({"classifier": describe(evil)}))
    assert tags.count("script") == 2 and tags[-1] == "script"  # the page's own
    assert name not in text


def test_it_is_written_into_a_folder_that_is_not_there_yet(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    save_page(perceptron(), "~/pages/digits.html")
    text = (tmp_path / "pages" / "digits.html").read_text(encoding="utf-8")
    assert text == page_html(describe_networks(perceptron()))


def test_where_it_cannot_be_written_the_old_file_stays(tmp_path, monkeypatch):
    (path := tmp_path / "digits.html").write_text("old", encoding="utf-8")

    def fill_the_disk(self, text, **_):
        with self.open("w") as file:
            file.write("half")
        raise OSError("No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr("pathlib.Path.write_text", fill_the_disk)
        save_page(perceptron(), path)
    with pytest.raises(ValueError):
        save_page(nn.Flatten(), path)
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_network_and_random_numbers_stay_as_they_are():
    model = DigitClassifier().train()
    model.layers[0].eval()  # frozen, say
    before, state = copy.deepcopy(model), torch.get_rng_state()
    describe(model)
    modes = [[each.training for each in network.modules()] for network in (model, before)]
    assert modes[0] == modes[1]
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(model.state_dict(), before.state_dict(), rtol=0, atol=0)
    describe(lazy := nn.Sequential(nn.Flatten(), nn.LazyLinear(10)))
    assert lazy[1].has_uninitialized_params()


def test_weights_are_kept_in_half_precision_unless_they_are_too_large_for_it():
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    with torch.no_grad():
        model[1].bias.fill_(1e6)
    weight, bias = (base64.b64decode(each["data"]) for each in describe(model)["constants"])
    assert weight == model[1].weight.detach().half().numpy().tobytes()
    np.testing.assert_array_equal(np.frombuffer(bias, "<f4"), 1e6)


def test_shared_weights_are_kept_once():
    first, layer = nn.Linear(784, 10), nn.Linear(10, 10)
    twice = describe(nn.Sequential(nn.Flatten(), first, layer, nn.Tanh(), layer))
    once = describe(nn.Sequential(nn.Flatten(), first, layer))
    assert twice["constants"] == once["constants"]


def test_layers_have_their_names_in_the_network():
    model = DigitClassifier()
    layers = dict(model.named_modules())
    convolutions = [node for node in describe(model)["nodes"] if node["op"] == "conv2d"]
    assert [layers[node["layer"]] for node in convolutions] == [model.layers[1], model.layers[5]]
    assert [node["type"] for node in convolutions] == [repr(model.layers[1]), repr(model.layers[5])]


@pytest.mark.parametrize(
    ("function", "operation"),
    [
        (lambda x: x.sort(dim=-1).values, "sort"),
        (lambda x: F.max_pool2d(x, 1, return_indices=True)[1].float(), "max_pool2d"),
        (lambda x: x + torch.rand_like(x), "rand_like"),
        (lambda x: x + torch.rand(28), "rand"),
    ],
)
def test_an_operation_that_the_page_does_not_know_is_named_with_its_layer(function, operation):
    with pytest.raises(ValueError) as caught:
        describe(network(function))
    message = str(caught.value)
    assert operation in message and "Layer" in message and "'0'" in message and "conv2d" in message


def test_a_network_that_depends_on_the_image_in_python_cannot_be_exported():
    with pytest.raises(ValueError, match="can't export"):
        describe(network(lambda x: x if x.sum() > 0 else -x))


@pytest.mark.parametrize(
    ("model", "found"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(784, 7)), r"\[1, 7\]"),
        (network(lambda x: x.repeat(2, 1, 1, 1)), r"\[2, 10\]"),
        (Layer(lambda x: (x.flatten(1)[:, :10], x)), "tuple"),
        (Layer(lambda x: torch.zeros(1, 10)), "operation 'full'"),
    ],
)
def test_a_network_that_returns_no_logits_is_refused(model, found):
    with pytest.raises(ValueError, match=found):
        describe(model)
