"""A lesson about a package that may be missing ends, at its first cell, with a sentence instead of a traceback."""

from importlib.metadata import PackageNotFoundError, version

from packaging.version import Version

from shira_lab.errors import ShiraError


class MissingPackage(ShiraError):
    """A package that a lesson is about is not installed, or too old."""

    def _render_traceback_(self) -> list[str]:
        """IPython shows this in the place of a traceback."""
        return [str(self)]


def needs(package: str, at_least: str) -> None:
    """Stop the notebook here, unless ``package`` is installed in this version or a newer one.

    Raises:
        MissingPackage: its message says what to do.
    """
    try:
        installed = version(package)
    except PackageNotFoundError:
        said, command = "is not installed here", f"%pip install {package}"
    else:
        if Version(installed) >= Version(at_least):
            return
        said, command = f"is installed as {installed}", f"%pip install --upgrade {package}"
    raise MissingPackage(
        f"This lesson needs {package} {at_least} or newer, which {said}. Run `{command}` in a cell of its own, restart "
        "the kernel, and run the lesson again; until then it can be read as it is stored."
    )
