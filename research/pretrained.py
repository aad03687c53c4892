"""Train the network that comes with the package, mnist_helpers/digit_classifier.pt.

It is the last rung of the lesson, from that seed of the study with the best validation accuracy.
"""

import argparse
from pathlib import Path

import torch

import mnist_helpers
from mnist_helpers import evaluate, load, pretrained
from research.recipes import RECIPES
from research.study import read

RUNG = "+ local normalisation"
WEIGHTS = Path(mnist_helpers.__file__).with_name("digit_classifier.pt")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m research.pretrained", description=__doc__)
    parser.add_argument("--data", default="data", help="where MNIST is, or shall be fetched to")
    options = parser.parse_args(arguments)
    data = load(options.data)
    rows = read().query("recipe == @RUNG")
    seed = int(
        rows.sort_values(
            ["validation_accuracy", "validation_loss"], ascending=[False, True]
        ).seed.iloc[0]
    )
    torch.set_num_threads(1)  # as in the study
    model, _ = RECIPES[RUNG].train(seed, data)
    weights = {
        name: each.half() if each.is_floating_point() else each
        for name, each in model.state_dict().items()
    }
    torch.save({name: each.contiguous() for name, each in weights.items()}, WEIGHTS)
    print(f"seed {seed}, validation: {evaluate(pretrained(), data.validation)}")
    print(f"test: {evaluate(pretrained(), data.test)}")


if __name__ == "__main__":
    main()
