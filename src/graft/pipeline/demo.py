"""The built-in sample and backbone, end to end and offline."""

from pathlib import Path

from graft.core.errors import BadInput
from graft.core.files import make_directory
from graft.core.progress import Progress
from graft.data.sample import write_digits_sample
from graft.pipeline.options import TrainOptions
from graft.pipeline.train import TrainResult, train


def demo(folder: Path, *, progress: Progress) -> TrainResult:
    """Write scikit-learn's handwritten digits as photos into FOLDER/digits and train on them into FOLDER/digits-run.

    Where that folder holds something else, it is left alone and the next free number is taken, as for any run.
    """
    photos = folder / "digits"
    if not photos.is_dir():
        make_directory(folder)
        write_digits_sample(photos)
    number = 1
    while True:
        output = str(folder / ("digits-run" if number == 1 else f"digits-run-{number}"))
        options = TrainOptions(data=str(photos), output=output, recipe="probe", backbone="sprout", command="graft demo")
        try:
            return train(options, progress=progress)
        except BadInput as error:
            if error.code not in ("already_exists", "resume_mismatch"):
                raise
        number += 1
