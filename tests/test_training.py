import pytest
import torch
from sklearn import metrics

from mnist_helpers import (
    DigitClassifier,
    Split,
    TrainingConfig,
    TrainingDiverged,
    progress,
    train,
    training,
)


def new_model() -> DigitClassifier:
    torch.manual_seed(0)
    return DigitClassifier()


def same(first: DigitClassifier, second: DigitClassifier) -> bool:
    states = first.state_dict(), second.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_same_seed_gives_the_same_bits(few):
    models = [new_model(), new_model()]
    histories = []
    for model in models:
        histories.append(train(model, few, few, TrainingConfig(epochs=2, seed=5)))
        torch.rand(1)  # what is drawn elsewhere in between must not matter
    assert histories[0] == histories[1]
    assert same(*models)


def test_another_seed_gives_another_network(few):
    models = [new_model(), new_model()]
    for seed, model in enumerate(models):
        train(model, few, few, TrainingConfig(epochs=1, seed=seed))
    assert not same(*models)


def test_two_epochs_on_two_thousand_images_teach_a_lot(data):
    some = Split(data.train.images[:2_000], data.train.labels[:2_000])
    history = train(new_model(), some, data.validation, TrainingConfig(epochs=2))
    assert history[-1].validation_accuracy > 0.9
    assert history[-1].training_loss < history[0].training_loss


def test_without_a_choice_every_image_is_trained_on_once_an_epoch(few, monkeypatch):
    seen = []

    def step(model, optimizer, images, labels):
        optimizer.step()
        seen.append(images[:, 0].mul(255).round().byte())
        losses = torch.full((len(labels),), 3.0)
        return losses, losses.cumsum(0) == 3  # the first of each batch is right

    monkeypatch.setattr(training, "training_step", step)
    config = TrainingConfig(epochs=2, distortion=None, hard_images=0)
    history = train(new_model(), few, few, config)
    assert [len(batch) for batch in seen] == [96, 96, 58] * 2
    for epoch in (seen[:3], seen[3:]):
        rows = torch.cat(epoch).flatten(1).tolist()
        assert sorted(rows) == sorted(few.images.flatten(1).tolist())
    assert not torch.equal(seen[0], seen[3])  # in another order
    assert history[0].training_loss == pytest.approx(3.0)  # weighted: three unequal batches
    assert history[0].training_accuracy == pytest.approx(3 / 250)


def test_the_validation_figures_are_those_of_the_finished_epoch(data, few):
    held_out = Split(data.validation.images[:700], data.validation.labels[:700])
    model = new_model()
    history = train(model, few, held_out, TrainingConfig(epochs=2))
    probabilities = model.predict_logits(held_out.images).double().softmax(dim=1).numpy()
    loss = metrics.log_loss(held_out.labels, probabilities, labels=range(10))
    accuracy = metrics.accuracy_score(held_out.labels, probabilities.argmax(axis=1))
    assert history[-1].validation_loss == pytest.approx(loss, rel=1e-4)
    assert history[-1].validation_accuracy == pytest.approx(accuracy)


def test_the_learning_rate_rises_and_falls(few, monkeypatch):
    rates = []
    real = training.training_step

    def step(model, optimizer, *rest):
        rates.append(optimizer.param_groups[0]["lr"])
        return real(model, optimizer, *rest)

    monkeypatch.setattr(training, "training_step", step)
    train(new_model(), few, few, TrainingConfig(epochs=4, batch_size=25, learning_rate=0.01))
    top = rates.index(max(rates))
    assert len(rates) == 40 and max(rates) == pytest.approx(0.01, rel=0.01)
    assert rates[:top] == sorted(rates[:top]) and rates[top:] == sorted(rates[top:], reverse=True)
    assert top == pytest.approx(0.3 * 40, abs=1) and rates[-1] < 1e-5


def test_a_single_step_is_a_training_too(few):
    one = Split(few.images[:8], few.labels[:8])
    assert len(train(new_model(), one, one, TrainingConfig(epochs=1))) == 1


@pytest.mark.parametrize("count", [2, 97, 193])
def test_any_number_of_images_above_one_can_be_trained_on(data, count):
    some = Split(data.train.images[:count], data.train.labels[:count])
    assert len(train(new_model(), some, some, TrainingConfig(epochs=2))) == 2


def test_without_distortion_the_images_stay_as_they_are(few, monkeypatch):
    monkeypatch.setattr(training, "distort", None)  # calling it would raise
    train(new_model(), few, few, TrainingConfig(epochs=1, distortion=None))


def test_the_training_ends_with_images_as_they_are(few, monkeypatch):
    strengths = []

    def note(images, distortion, generator, *, strength):
        strengths.append(strength)
        return images

    monkeypatch.setattr(training, "distort", note)
    train(new_model(), few, few, TrainingConfig(epochs=10))  # of three batches
    assert strengths[:19] == [1.0] * 19
    falling = [strengths[18], *strengths[19:]]
    assert all(later < earlier for earlier, later in zip(falling, falling[1:], strict=False))
    assert strengths[24] == pytest.approx(0.5) and strengths[-1] == pytest.approx(1 / 12)


@pytest.mark.parametrize("value", [0, -1, 1.5, "10", None, True, float("nan")])
@pytest.mark.parametrize("name", ["epochs", "batch_size"])
def test_a_count_that_is_none_is_refused(name, value):
    with pytest.raises((TypeError, ValueError), match=f"{name} must be .*{value!r}"):
        TrainingConfig(**{name: value})


@pytest.mark.parametrize("value", [0, -1e-3, "fast", None, float("nan"), float("inf")])
def test_a_learning_rate_that_is_none_is_refused(value):
    with pytest.raises((TypeError, ValueError), match=f"learning_rate must be .*{value!r}"):
        TrainingConfig(learning_rate=value)


def test_batches_of_one_image_are_refused():
    with pytest.raises(ValueError, match="batch_size must be 2 or more"):
        TrainingConfig(batch_size=1)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match=f"hard_images must be from 0 to 1, .*{value!r}"):
        TrainingConfig(hard_images=value)


def test_each_image_keeps_its_own_loss(few, monkeypatch):
    """A moving average: of its brightness in the first epoch, and of twice that in the second."""
    brightness = few.images.float().mean(dim=(1, 2)) / 255
    epochs = iter([1.0] * 3 + [2.0] * 3)

    def step(model, optimizer, images, labels):
        losses = next(epochs) * images.mean(dim=(1, 2, 3))
        optimizer.step()
        return losses, losses > 0

    monkeypatch.setattr(training, "training_step", step)
    config = TrainingConfig(epochs=2, distortion=None, hard_images=0)
    state = training.start_training(new_model(), config, len(few))
    for expected in (brightness, 0.7 * brightness + 0.3 * 2 * brightness):
        training.train_epoch(state, few, config, lambda *progress, images: None)
        assert torch.allclose(state.losses, expected, rtol=1e-4)


def test_a_learning_rate_that_is_much_too_high_stops_the_training(few):
    history = []
    with pytest.raises(TrainingDiverged, match="in epoch 1.*lower learning rate"):
        train(new_model(), few, few, TrainingConfig(learning_rate=1e38), history=history)
    assert history == []


def test_a_loss_that_becomes_nan_keeps_the_epochs_before(few, monkeypatch):
    monkeypatch.setattr(progress, "REPORT_SECONDS", 0)
    model, history = new_model(), []

    def poison(now):
        if now.epoch == 3:
            model.layers[-1].bias.data.fill_(float("nan"))

    with pytest.raises(TrainingDiverged, match="nan in epoch 3.* 2 whole epochs"):
        train(model, few, few, TrainingConfig(epochs=5), history=history, report=poison)
    assert [result.epoch for result in history] == [1, 2]


def test_an_interruption_is_seen_and_keeps_the_epochs_before(few, monkeypatch):
    monkeypatch.setattr(progress, "REPORT_SECONDS", 0)
    history = []

    def stop(now):
        if (now.epoch, now.batch) == (2, 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(new_model(), few, few, TrainingConfig(), history=history, report=stop)
    assert [result.epoch for result in history] == [1]


def test_progress_is_reported_up_to_the_last_batch(few, monkeypatch):
    monkeypatch.setattr(progress, "REPORT_SECONDS", 0)
    reports = []
    history = train(new_model(), few, few, TrainingConfig(epochs=2), report=reports.append)
    last = reports[-1]
    assert (last.epoch, last.batch, last.batches, last.seconds_left) == (2, 3, 3, 0)
    assert last.loss == history[-1].training_loss
    assert last.accuracy == history[-1].training_accuracy
    assert str(last).startswith("Epoch 2/2, batch 3/3: loss ")
    assert str(last).endswith(" %, 0:00 left")


def test_even_a_short_training_reports_its_end(few):
    reports = []
    train(new_model(), few, few, TrainingConfig(epochs=1), report=reports.append)
    assert reports[-1].batch == 3
