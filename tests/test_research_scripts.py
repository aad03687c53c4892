"""That the benchmarks measure what they say, and how research uses the machine's cores; and that
each script explains itself."""

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.data import TensorDataset

from mnist_helpers import evaluate
from research import own_digits, robustness, speed, study
from research.recipes import Recipe, hidden_layer
from research.runner import current_commit

from .conftest import ROOT


@pytest.mark.parametrize("script", [own_digits, robustness, speed, study])
def test_each_script_explains_its_options(script, capsys):
    with pytest.raises(SystemExit) as stopped:
        script.main(["--help"])
    text = capsys.readouterr().out
    assert stopped.value.code == 0 and "--output" in text and "--data" in text


@pytest.mark.parametrize("name", speed.CONTENDERS)
def test_every_way_to_train_has_the_speed_of_its_second_epoch(name, data, monkeypatch):
    times, steps = iter([10.0, 12.0]), []
    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: next(times)))
    hook = register_optimizer_step_post_hook(lambda *_: steps.append(1))
    assert speed.images_per_second(name, str(ROOT / "data"), batches=2) == 96
    hook.remove()
    assert len(steps) == 4


def test_boxed_digits_fill_20_pixels_around_their_centre_of_mass_whatever_their_polarity(data):
    for digit in data.test.tensors[0][:10, 0].numpy():
        small = np.pad(digit, 30) // 2
        for picture in (small, 255 - small):
            image = np.asarray(own_digits.box_and_centre(Image.fromarray(picture)))
            rows, columns = np.nonzero(image)
            assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
            assert np.abs(np.subtract(ndimage.center_of_mass(image), 14)).max() <= 0.51


def test_digits_from_elsewhere_have_a_row_for_each_preparation_and_seed(
    monkeypatch, tmp_path, splits, one_thread
):
    digits = [Image.fromarray(image) for image in splits.test.tensors[0][:20, 0].numpy()]
    blank = Image.new("L", (64, 64), 128)
    pictures = {"digits": (digits, np.arange(20) % 10), "blank": ([blank] * 10, np.arange(10))}
    monkeypatch.setattr(own_digits, "load", lambda root: splits)
    monkeypatch.setattr(own_digits, "make_sets", lambda data: pictures)
    tiny = Recipe(hidden_layer, epochs=2, images=300, held_out=50)
    monkeypatch.setattr(own_digits, "RECIPES", {"+ local normalisation": tiny})
    own_digits.main(["--output", str(tmp_path / "own_digits.csv")])
    right = pd.read_csv(tmp_path / "own_digits.csv").pivot_table(
        "right", "data set", ["preparation", "seed"]
    )
    assert right.shape == (2, 12)
    assert right.loc["blank", "resized"].tolist() == [1, 1, 1]
    assert right.loc["blank", "to_mnist"].tolist() == [0, 0, 0]  # it refuses it
    subset = TensorDataset(*splits.test[:20])
    expected = [evaluate(tiny.train(seed, splits)[0], subset).correct.sum() for seed in range(3)]
    assert right.loc["digits", "resized"].tolist() == expected


def test_without_git_the_commit_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert current_commit() == "unknown"


def test_on_a_quota_of_one_core_torch_has_one_thread_which_does_not_spin_for_long():
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    environment |= {"OMP_NUM_THREADS": "4", "LOKY_MAX_CPU_COUNT": "1", "OMP_DISPLAY_ENV": "VERBOSE"}
    command = [sys.executable, "-c", "import research, torch; print(torch.get_num_threads())"]
    options = {"cwd": ROOT, "capture_output": True, "encoding": "utf-8", "check": True}
    done = subprocess.run(command, env=environment, **options)
    spins = re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)  # of GNU's OpenMP alone
    assert done.stdout.splitlines()[-1] == "1" and set(spins) <= {"10000"}
