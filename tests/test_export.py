"""The network for other programs: exported, it gives the numbers that it gives in PyTorch."""

import pytest
import torch

from mnist_helpers import DigitClassifier


@pytest.mark.parametrize("count", [1, 2, 64])
def test_the_exported_network_takes_any_number_of_images(count, tmp_path):
    torch.manual_seed(0)
    model, images = DigitClassifier(), torch.rand(64, 1, 28, 28)
    model(images)  # so that the batch norm's averages are not those that it begins with
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(model.eval(), (images[:2],), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "mnist.pt2")
    loaded = torch.export.load(tmp_path / "mnist.pt2").module()
    torch.testing.assert_close(loaded(images[:count]), model(images[:count]))
