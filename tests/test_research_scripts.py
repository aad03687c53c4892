"""That the benchmark measures what it says, and that each script explains itself."""

import pytest

from research import digit_detector, own_digits, speed, study

from .conftest import ROOT


@pytest.mark.parametrize("script", [digit_detector, own_digits, speed, study])
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
