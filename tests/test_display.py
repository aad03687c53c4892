from mnist_helpers import DigitClassifier, Progress, show_progress, show_source, train


def test_source_is_shown_as_it_stands_in_the_module():
    text = show_source(train, show_progress).data
    assert "```python\ndef train(" in text
    assert "\n\ndef show_progress(" in text


def test_the_source_of_a_method_is_not_indented():
    assert "```python\ndef forward(" in show_source(DigitClassifier.forward).data


def test_progress_is_printed(capsys):
    show_progress(Progress(1, 10, 20, 573, 0.5, 0.875, 61.0, 0))
    assert (
        "Epoch 1/10, batch 20/573: loss 0.5000, accuracy 87.50 %, 1:01 left"
        in capsys.readouterr().out
    )
