"""That the benchmarks measure what they say, and how research uses the machine's cores; and that
each script explains itself."""

import os
import subprocess
import sys

import pytest

from research import busy, digit_detector, own_digits, robustness, speed, study

from .conftest import ROOT


@pytest.mark.parametrize("script", [busy, digit_detector, own_digits, robustness, speed, study])
def test_each_script_explains_its_options(script, capsys):
    with pytest.raises(SystemExit) as stopped:
        script.main(["--help"])
    text = capsys.readouterr().out
    assert stopped.value.code == 0 and "--output" in text and "--data" in text


@pytest.mark.parametrize("name", speed.contenders())
def test_every_way_to_train_has_its_speed(name, data):
    assert speed.measure(name, 1, str(ROOT / "data"), batches=speed.WARM_UP + 1) > 0


def test_the_speed_is_that_of_the_steps_after_the_warm_up(monkeypatch):
    times = iter([10.0, 12.0])
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(times))
    loader = speed.TimedLoader(range((speed.WARM_UP + 5) * speed.BATCH_SIZE))
    assert len(list(loader)) == speed.WARM_UP + 5
    assert loader.images_per_second == 5 * speed.BATCH_SIZE / 2


def test_a_step_is_timed_beside_a_busy_process(data):
    root = str(ROOT / "data")
    row = busy.run_trial("one busy process", "after", 1, root, steps=1)
    assert float(row["milliseconds"]) > 0 and int(row["threads"]) > 0


def run_with(program: str, **environment: str) -> subprocess.CompletedProcess:
    kept = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"}
    options = {"cwd": ROOT, "capture_output": True, "encoding": "utf-8", "check": True}
    return subprocess.run([sys.executable, "-c", program], env=kept | environment, **options)


def test_torch_uses_no_more_threads_than_a_quota_has_cores():
    program = "import research, torch; print(torch.get_num_threads())"
    many = {"OMP_NUM_THREADS": "4"}
    assert run_with(program, LOKY_MAX_CPU_COUNT="1", **many).stdout == "1\n"


@pytest.mark.skipif(sys.platform != "linux", reason="PyTorch has another OpenMP there")
def test_openmp_learns_how_long_to_spin_before_it_loads_unless_somebody_has_said_so():
    def spins(**environment: str) -> set[str]:
        said = run_with(
            "import research", OMP_DISPLAY_ENV="VERBOSE", **environment
        ).stderr.splitlines()
        return {line.split("'")[1] for line in said if "GOMP_SPINCOUNT" in line}

    assert spins() in ({"10000"}, set())  # none where PyTorch was built with another OpenMP
    assert spins(GOMP_SPINCOUNT="77") in ({"77"}, set())
