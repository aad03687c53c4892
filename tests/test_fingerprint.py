"""What makes another run: code and values that matter, and nothing else."""

import textwrap

import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from torch import nn

from mnist_helpers import Batches, Distortion, train_epoch
from mnist_helpers.fingerprint import fingerprint

from .conftest import draw_digits, perceptron
from .processes import call

CELL = '''
import torch
from torch import nn

SMOOTHING = 0.1

def mean(losses):
    return losses.mean()

def train_epoch(losses, smoothing=None):
    """Train."""
    # a comment
    return mean(losses) * SMOOTHING

class Network(nn.Module):
    slope = 0.1

    def __init__(self, noise=0.2):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.noise = nn.Linear(4, 10), noise

    def forward(self, images):
        """Return logits."""
        return self.layer(images).relu()  # of ten digits

noise = 0.2
model = Network(noise)
'''
OTHERS = {
    "a constant that is used": ("SMOOTHING = 0.1", "SMOOTHING = 0.2"),
    "a function that is used": ("losses.mean()", "losses.sum()"),
    "the code": ("mean(losses) * SMOOTHING", "mean(losses) + SMOOTHING"),
    "the forward": (".relu()", ".tanh()"),
    "a number of the class": ("slope = 0.1", "slope = 0.2"),
    "a number of the layer": ("noise = 0.2\nmodel", "noise = 0.3\nmodel"),
    "the weights": ("manual_seed(0)", "manual_seed(1)"),
}
SAME = {
    "a comment": ("# a comment", "# another comment"),
    "a docstring": ('"""Return logits."""', '"""Return ten logits."""'),
    "a line break": ("return mean(losses) *", "return mean(\n        losses) *"),
    "something else": ("import torch\n", "import torch\nepoch = 3\n"),
}


def in_notebook(source: str) -> dict:
    shell = InteractiveShell()
    shell.run_cell(source).raise_error()
    return shell.user_ns


def without_source(source: str) -> dict:
    names = {"__name__": "__main__"}
    exec(source, names)  # as typed into Python's own command line
    return names


def print_of(names: dict) -> str:
    return fingerprint(names["model"], names["train_epoch"])


@pytest.mark.parametrize("edit", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("run", [in_notebook, without_source])
def test_an_edit_that_matters_is_another_run(edit, run):
    edited = CELL.replace(*edit)
    assert edited != CELL
    assert print_of(run(edited)) != print_of(run(CELL))


@pytest.mark.parametrize("edit", SAME.values(), ids=SAME)
def test_an_edit_that_does_not_matter_is_the_same_run(edit):
    edited = CELL.replace(*edit)
    assert edited != CELL
    assert print_of(in_notebook(edited)) == print_of(in_notebook(CELL))


def test_a_function_without_source_is_the_same_each_time():
    assert print_of(without_source(CELL)) == print_of(without_source(CELL))


def test_a_function_within_a_line_counts_by_what_it_does():
    functions = [lambda x: x + 1, lambda x: x + 1, lambda x: x + 2]
    prints = [fingerprint(function) for function in functions]
    assert prints[0] == prints[1] != prints[2]


def test_values_around_a_function_count():
    def scaled_by(factor):
        return lambda x: factor * x

    assert fingerprint(scaled_by(2)) == fingerprint(scaled_by(2)) != fingerprint(scaled_by(3))


def test_a_function_may_call_itself():
    def factorial(number):
        return number * factorial(number - 1) if number else 1

    assert fingerprint(factorial) == fingerprint(factorial)


def test_inherited_code_counts():
    def inherited(value: str) -> nn.Module:
        base = f"""
            from torch import nn
            class Base(nn.Module):
                def forward(self, x):
                    return x * {value}
            class Network(Base):
                pass
        """
        return in_notebook(textwrap.dedent(base))["Network"]()

    assert fingerprint(inherited("2")) == fingerprint(inherited("2")) != fingerprint(inherited("3"))


def parts(learning_rate=0.01, **changes):
    model = perceptron()
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=learning_rate, total_steps=12, cycle_momentum=False
    )
    arguments = {"distortion": Distortion(), "hard_images": 0.5, "seed": 0} | changes
    count = arguments.pop("count", 40)
    return Batches(draw_digits(count), 20, 3, **arguments), model, optimizer, schedule, train_epoch


def print_in_child(pipe) -> None:
    pipe.send(fingerprint(*parts()))


def test_the_name_is_the_same_in_another_process():
    assert call(print_in_child) == fingerprint(*parts())


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 0.02},
        {"distortion": Distortion(noise=0.3)},
        {"distortion": None},
        {"hard_images": 0.4},
        {"seed": 1},
        {"count": 41},
    ],
    ids=str,
)
def test_values_of_the_training_are_another_run(change):
    assert fingerprint(*parts(**change)) != fingerprint(*parts())


def test_values_that_look_alike_are_told_apart():
    things = [
        1, 1.0, True, "1", None, [1], {"1": 1}, [[1], 1], [[1, 1]],
        torch.tensor([1, 2]), torch.tensor([1, 2.0]), torch.tensor([[1, 2]]), torch.tensor([2, 1]),
    ]  # fmt: skip
    assert len({fingerprint(thing) for thing in things}) == len(things)
