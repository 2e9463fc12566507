"""The built-in sample and backbone, end to end and offline."""

from pathlib import Path

from graft.core.files import make_directory
from graft.core.progress import Progress
from graft.data.sample import write_digits_sample
from graft.pipeline.options import TrainOptions
from graft.pipeline.train import TrainResult, train


def demo(folder: Path, *, progress: Progress) -> TrainResult:
    """Write scikit-learn's handwritten digits as photos into FOLDER/digits and train on them into FOLDER/digits-run."""
    photos = folder / "digits"
    if not photos.is_dir():
        make_directory(folder)
        write_digits_sample(photos)
    options = TrainOptions(data=str(photos), output=str(folder / "digits-run"), backbone="sprout", command="graft demo")
    return train(options, progress=progress)
