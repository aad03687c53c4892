"""Studies on a few hundred images, in real processes, stopped and gone on with."""

import csv
import math
import os
import signal
import time
from concurrent.futures import Executor, Future
from unittest.mock import patch

import pytest
import torch
from distributed import Client, LocalCluster
from filelock import FileLock

from mnist_helpers import MNIST, Split, load_mnist, study
from mnist_helpers.baselines import TutorialClassifier
from mnist_helpers.study import VARIANTS, Variant, main, run_study

from .conftest import ROOT

DATA = str(ROOT / "data")
SMALL = {
    "final": Variant(images=300, config={"epochs": 1}, seeds=3),
    "tutorials": Variant(
        images=300, config=VARIANTS["tutorials"].config | {"epochs": 1},
        classifier=TutorialClassifier, seeds=2,
    ),
}  # fmt: skip
TRIALS = [("final", 0), ("final", 1), ("final", 2), ("tutorials", 0), ("tutorials", 1)]


class Here(Executor):
    """Runs at once what it is given; a `limit` stops it as a crash would."""

    def __init__(self, limit=99):
        self.limit = limit

    def submit(self, function, *arguments):
        future = Future()
        self.limit -= 1
        if self.limit < 0:
            future.set_exception(KeyboardInterrupt())
        else:
            future.set_result(function(*arguments))
        return future


def load_few(root) -> MNIST:
    data = load_mnist(root)
    splits = (data.train, data.validation, data.test)
    return MNIST(*(Split(split.images[:320], split.labels[:320]) for split in splits))


@pytest.fixture(autouse=True)
def small(data, monkeypatch):
    """Two variants, few images; and no change to the threads of the other tests."""
    monkeypatch.setattr(study, "VARIANTS", SMALL)
    monkeypatch.setattr(study, "load_mnist", load_few)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def read(output) -> list[dict]:
    with output.open(newline="") as file:
        return list(csv.DictReader(file))


def trials(rows) -> list[tuple]:
    return sorted((row["variant"], int(row["seed"])) for row in rows)


def without_seconds(rows) -> list:
    keep = [{key: row[key] for key in row if key != "train_seconds"} for row in rows]
    return sorted(keep, key=lambda row: (row["variant"], row["seed"]))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    output = tmp_path_factory.mktemp("study") / "study.csv"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(study, "VARIANTS", SMALL)
        monkeypatch.setattr(study, "load_mnist", load_few)
        run_study(output, Here(), DATA, SMALL)
    return read(output)


def test_every_trial_has_its_row(whole):
    assert trials(whole) == TRIALS
    for row in whole:
        assert list(row) == study.COLUMNS
        assert 10 < float(row["test_accuracy"]) < 100 and float(row["train_seconds"]) > 0
        errors = row["test_errors"].split()
        right = 100 - 100 * len(errors) / 320
        assert float(row["test_accuracy"]) == pytest.approx(right, abs=0.005)


def test_all_60000_images_leave_no_validation_accuracy(data, monkeypatch):
    lengths = []

    def train(model, training, *rest):
        lengths.append(len(training))
        return [study.train_result]

    class Result:
        validation_accuracy = 0.5

    monkeypatch.setattr(study, "train_result", Result, raising=False)
    monkeypatch.setattr(study, "train", train)
    whole = load_mnist(DATA)
    little = MNIST(whole.train, whole.validation, load_few(DATA).test)
    monkeypatch.setattr(study, "load_mnist", lambda root: little)
    monkeypatch.setattr(study, "VARIANTS", {"all": Variant(), "fewer": Variant(images=55_000)})
    assert math.isnan(study.run_trial("all", 0, DATA)["validation_accuracy"])
    assert study.run_trial("fewer", 0, DATA)["validation_accuracy"] == 50
    assert lengths == [60_000, 55_000]


def test_a_stopped_study_goes_on_where_it_was(whole, tmp_path):
    output = tmp_path / "study.csv"
    with pytest.raises(KeyboardInterrupt):
        run_study(output, Here(limit=2), DATA, SMALL)
    assert len(read(output)) == 2
    run_study(output, Here(), DATA, SMALL)
    assert without_seconds(read(output)) == without_seconds(whole)
    run_study(output, Here(limit=0), DATA, SMALL)  # nothing is left to do
    assert len(read(output)) == 5


def test_a_row_that_was_cut_off_is_done_again(whole, tmp_path):
    output = tmp_path / "study.csv"
    run_study(output, Here(), DATA, SMALL)
    output.write_bytes(output.read_bytes()[:-30])
    run_study(output, Here(), DATA, SMALL)
    assert without_seconds(read(output)) == without_seconds(whole)


def test_rows_of_another_recipe_do_not_count(whole, tmp_path, monkeypatch):
    output = tmp_path / "study.csv"
    run_study(output, Here(), DATA, ["tutorials"])
    changed = Variant(images=310, config={"epochs": 1}, seeds=2)
    monkeypatch.setitem(SMALL, "tutorials", changed)
    run_study(output, Here(), DATA, ["tutorials"])
    assert trials(read(output)) == [("tutorials", 0)] * 2 + [("tutorials", 1)] * 2


def test_two_studies_do_not_write_to_one_file(tmp_path):
    output = tmp_path / "study.csv"
    with FileLock(f"{output}.lock"), pytest.raises(RuntimeError, match="Another study is writing"):
        run_study(output, Here(), DATA, SMALL)


def small_trial(name, seed, data):
    """In a worker process, where the variants must be made small anew."""
    time.sleep(1)  # so that the kill comes in the middle
    study.VARIANTS, study.load_mnist = SMALL, load_few
    return study.run_trial(name, seed, data)


def test_on_a_cluster_a_killed_worker_costs_no_row(whole, tmp_path, monkeypatch):
    output = tmp_path / "study.csv"

    class Killing:
        """Dask's executor; one of its workers is killed when everything is under way."""

        def __init__(self, client):
            self.client, self.executor, self.left = client, client.get_executor(), len(TRIALS)

        def submit(self, function, *arguments):
            future = self.executor.submit(small_trial, *arguments)
            self.left -= 1
            if not self.left:
                time.sleep(1)
                workers = self.client.run(os.getpid)
                os.kill(next(iter(workers.values())), signal.SIGKILL)
            return future

    two = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    # Dask leaves OMP_NUM_THREADS=1 behind, which would slow the notebook's kernel.
    with patch.dict(os.environ), LocalCluster(**two) as cluster, Client(cluster) as client:
        run_study(output, Killing(client), DATA, SMALL)
    assert without_seconds(read(output)) == without_seconds(whole)


def test_the_command_explains_itself(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for word in ["--output", "--variants", "--processes", "--dask", "tcp://scheduler:8786"]:
        assert word in text


def test_the_command_runs_what_is_missing(whole, tmp_path, monkeypatch):
    output = tmp_path / "study.csv"
    monkeypatch.setattr(study, "ProcessPoolExecutor", lambda *arguments, **context: Pool())
    main(["--output", str(output), "--data", DATA, "--variants", "final"])
    assert trials(read(output)) == TRIALS[:3]


class Pool(Here):
    def __exit__(self, *exception):
        return None
