"""Studies in real processes: stopped, killed and gone on with."""

import csv
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import psutil
import pytest
import torch
from distributed import Client, LocalCluster
from filelock import FileLock
from joblib import parallel_config

from mnist_helpers import Batches, DigitClassifier, runtime, seed_everything
from research import running, study
from research.baselines import SoftmaxFirst, VariedClassifier
from research.tables import MACHINE, RESULTS, Table
from research.variants import COLUMNS, VARIANTS, Variant

from .conftest import ROOT, same_weights
from .small_study import SMALL, TRIALS, KillFirst, load_random

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


def read(output: Path) -> list[dict]:
    with output.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def trials(rows) -> list[tuple]:
    return sorted((row["variant"], int(row["seed"])) for row in rows)


def in_order(rows) -> list[dict]:
    return sorted(rows, key=lambda row: (row["variant"], row["seed"]))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    output = tmp_path_factory.mktemp("study") / "study.csv"
    threads = torch.get_num_threads()
    study.run_study(output, load_random, variants=SMALL)
    torch.set_num_threads(threads)
    return output


@pytest.fixture
def finished(whole, tmp_path, one_thread):
    """A copy of a finished study, to be damaged."""
    output = tmp_path / "study.csv"
    output.write_bytes(whole.read_bytes())
    return output


def test_every_trial_has_its_row(whole):
    assert trials(read(whole)) == TRIALS
    for row in read(whole):
        assert list(row) == COLUMNS + MACHINE
        errors = len(row["test_errors"].split())
        assert float(row["test_accuracy"]) == pytest.approx(100 - 100 * errors / 60, abs=0.01)


def test_who_has_learned_from_the_validation_images_has_no_validation_accuracy(whole):
    accuracies = {row["variant"]: row["validation_accuracy"] for row in read(whole)}
    assert accuracies["final"] == "nan" and float(accuracies["tutorials"]) >= 0


def test_the_same_command_twice_adds_no_row(finished):
    before = finished.read_bytes()
    study.run_study(finished, load_random, variants=SMALL)
    assert finished.read_bytes() == before


def test_a_row_that_was_cut_off_is_done_again(finished, whole):
    finished.write_bytes(finished.read_bytes()[:-30])
    study.run_study(finished, load_random, variants=SMALL)
    assert in_order(read(finished)) == in_order(read(whole))


def test_rows_of_another_recipe_do_not_count(finished):
    longer = {"tutorials": Variant(images=80, config={"epochs": 1}, seeds=2)}
    study.run_study(finished, load_random, variants=longer)
    assert trials(read(finished)) == sorted([*TRIALS, ("tutorials", 0), ("tutorials", 1)])


def test_a_training_that_fails_costs_no_other_its_row(tmp_path, one_thread):
    broken = {"broken": Variant(config={"epochs": 0}, seeds=1), "final": SMALL["final"]}
    with (
        pytest.raises(ExceptionGroup, match="1 of 4 trainings failed"),
        mock.patch.object(Variant, "recipe", lambda variant: "a recipe"),
    ):
        study.run_study(tmp_path / "study.csv", load_random, variants=broken)
    assert trials(read(tmp_path / "study.csv")) == TRIALS[:3]


def test_two_studies_do_not_write_to_one_table(tmp_path):
    with (
        Table(tmp_path / "study.csv", COLUMNS),
        pytest.raises(RuntimeError, match="Another process is writing"),
    ):
        study.run_study(tmp_path / "study.csv", load_random, variants=SMALL)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EROFS])
def test_a_drive_without_locks_is_named(code, tmp_path, monkeypatch):
    def fail(lock, **keywords):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(FileLock, "acquire", fail)
    with pytest.raises(RuntimeError, match="study.csv' can't be kept .* on a local disk"):
        study.run_study(tmp_path / "study.csv", load_random, variants=SMALL)


@pytest.mark.parametrize(("asked", "taken"), [(3, 3), (61, 60), (128, 60)])
def test_no_more_processes_than_windows_can_wait_for(asked, taken, tmp_path, monkeypatch):
    started = []

    def parallel(processes, **keywords):
        started.append(processes)
        return lambda calls: (each for each in [])

    monkeypatch.setattr(running, "Parallel", parallel)
    with Table(tmp_path / "study.csv", COLUMNS) as table:
        running.run_side_by_side(table, [()], dict, asked)
    assert started == [taken]


def test_a_table_with_other_columns_is_left_alone(tmp_path):
    (tmp_path / "study.csv").write_text("seed\n1\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match="Move the file elsewhere"):
        study.run_study(tmp_path / "study.csv", load_random, variants=SMALL)
    assert (tmp_path / "study.csv").read_text(encoding="utf-8") == "seed\n1\n"


def wait_for(condition) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@needs_signals
@pytest.mark.parametrize("send", ["kill", "killpg"], ids=["to the study", "as a terminal does"])
def test_ctrl_c_keeps_what_is_done_and_ends_the_workers(tmp_path, send):
    output, folder = tmp_path / "study.csv", tmp_path / "processes"
    folder.mkdir()
    command = [sys.executable, "-m", "tests.small_study", str(output), str(folder)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, **quiet)
    try:
        wait_for(lambda: len(list(folder.glob("waiting-*"))) == 2 and len(read(output)) == 2)
        getattr(os, send)(process.pid, signal.SIGINT)
        assert process.wait(120) != 0  # on a busy machine
        workers = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
        assert workers
        wait_for(lambda: not any(map(psutil.pid_exists, workers)))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    finished = trials(read(output))  # which two comes from which worker was faster
    assert len(set(finished)) == 2 and set(finished) <= set(TRIALS)


def test_on_a_cluster_a_killed_worker_costs_no_row(whole, tmp_path):
    output = tmp_path / "study.csv"
    small = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    # Dask leaves OMP_NUM_THREADS=1 behind, which would slow other tests.
    with (
        mock.patch.dict(os.environ),
        LocalCluster(**small) as cluster,
        Client(cluster),
        parallel_config("dask"),
    ):
        study.run_study(output, KillFirst(tmp_path / "killed"), -1, SMALL)
    assert (tmp_path / "killed").exists()
    assert in_order(read(output)) == in_order(read(whole))


def test_the_command_runs_the_variants_that_are_named(data, tmp_path, monkeypatch, one_thread):
    monkeypatch.setattr(study, "load_mnist", lambda root: load_random())
    monkeypatch.setattr(study, "VARIANTS", SMALL)
    output, root = tmp_path / "study.csv", str(ROOT / "data")
    arguments = ["--output", str(output), "--data", root, "--processes", "1"]
    study.main([*arguments, "--variants", "tutorials"])
    assert trials(read(output)) == TRIALS[3:]


def test_float32_is_left_out_where_it_is_the_final_recipe_anyhow(monkeypatch):
    both = {"final": Variant(seeds=1), "float32": Variant(float32=True, seeds=1)}
    for has_it, missing in ((True, ["final", "float32"]), (False, ["final"])):
        monkeypatch.setattr(runtime, "has_bfloat16", lambda has_it=has_it: has_it)
        assert [name for name, _ in study.missing_trials([], both)] == missing


def test_each_variant_is_another_recipe():
    recipes = [variant.recipe() for variant in VARIANTS.values()]
    assert len(set(recipes)) == len(recipes)


def test_a_recipe_depends_on_the_code_of_the_training(monkeypatch):
    before = VARIANTS["final"].recipe()
    monkeypatch.setattr(Batches, "_draw_order", lambda batches: None)
    assert VARIANTS["final"].recipe() != before


def test_a_recipe_does_not_depend_on_what_was_drawn_before():
    before = VARIANTS["final"].recipe()
    torch.rand(1)
    assert VARIANTS["final"].recipe() == before


def test_the_table_holds_each_trial_of_a_known_recipe_once():
    rows = read(RESULTS / "study.csv")
    assert all(list(row) == COLUMNS + MACHINE for row in rows)
    recipes = {name: variant.recipe() for name, variant in VARIANTS.items()}
    assert {row["recipe"] for row in rows} <= set(recipes.values())
    assert all(row["recipe"] == recipes[row["variant"]] for row in rows)
    assert len(set(trials(rows))) == len(rows)


def test_the_study_is_complete_and_of_one_machine(monkeypatch):
    rows = read(RESULTS / "study.csv")
    on = {tuple(row[name] for name in MACHINE if name != "precision") for row in rows}
    assert len(on) == 1
    # Its machine, which need not be this one, decides whether float32 is a variant.
    has_bfloat16 = any(row["precision"] == "bfloat16" for row in rows)
    monkeypatch.setattr(runtime, "has_bfloat16", lambda: has_bfloat16)
    assert study.missing_trials(rows) == []


def test_without_arguments_the_varied_network_is_the_packages():
    seed_everything(0)
    own = DigitClassifier()
    seed_everything(0)
    varied = VariedClassifier()
    images = torch.rand(5, 1, 28, 28)
    assert list(own.state_dict()) == list(varied.state_dict()) and same_weights(own, varied)
    assert torch.equal(own.eval()(images), varied.eval()(images))


@pytest.mark.parametrize("padding", [0, 1, 2])
def test_a_padded_network_still_fits_together(padding):
    assert VariedClassifier(padding=padding)(torch.rand(2, 1, 28, 28)).shape == (2, 10)


def test_softmax_first_gives_probabilities():
    sums = SoftmaxFirst()(torch.rand(3, 1, 28, 28)).sum(dim=1)
    assert torch.allclose(sums, torch.ones(3))
