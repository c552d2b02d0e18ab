"""Runs of a real pretrained model that ship with the package, so that a lesson can show them where it is missing."""

from importlib.resources import as_file, files

from shira_lab.training.history import History


def recorded(world: str) -> History:
    """The recorded run on this world, "sea" or "python", made by ``scripts/record_real.py``.

    Its update is kept as ranks alone: there are no pictures, and no singular values.
    """
    with as_file(files("shira_lab.course.recorded") / f"{world}.json") as path:
        return History.load(path)
