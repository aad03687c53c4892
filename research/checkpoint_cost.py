"""What writing a checkpoint costs, next to the epoch after which it is written.

    python benchmarks/checkpoint_cost.py

trains five epochs of the notebook's recipe, writes the checkpoint after each, prints the share, and
writes the seconds to results/checkpoint_cost.csv. The share counts, not the seconds.
"""

import tempfile
import time
from pathlib import Path

from report import ROOT, write_results

from mnist_helpers import DigitClassifier, TrainingConfig, load_mnist, seed_everything, train_epoch
from mnist_helpers.archive import write_archive
from mnist_helpers.training import start_training

ROUNDS = 5


def main() -> None:
    training = load_mnist(ROOT / "data").train
    config = TrainingConfig()
    seed_everything(config.seed)
    state = start_training(DigitClassifier(), config, len(training))
    rows = []
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:  # on the disk where it would be written
        for number in range(1, ROUNDS + 1):
            start = time.perf_counter()
            train_epoch(state, training, config, lambda *progress, images: None)
            trained = time.perf_counter()
            write_archive(Path(folder) / "checkpoint.pt", "checkpoint", state.state_dict())
            written = time.perf_counter()
            rows.append(
                {
                    "round": number,
                    "epoch_seconds": round(trained - start, 3),
                    "checkpoint_seconds": round(written - trained, 4),
                    "share_percent": round(100 * (written - trained) / (trained - start), 3),
                }
            )
    table = write_results("checkpoint_cost", rows)
    print(table.to_string(index=False))
    share = table["share_percent"]
    print(f"A checkpoint costs {share.median():.2f} % of an epoch ({share.min()} to {share.max()})")


if __name__ == "__main__":
    main()
