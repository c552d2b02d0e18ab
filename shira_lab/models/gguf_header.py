"""What a GGUF file says of itself: its metadata, and where its tensors lie.

A file from anywhere is data, and its numbers decide how much is read and allocated later. So each is held against the
size of the file, or against a limit that real models stay far below, before anything is done with it.
"""

import dataclasses
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from shira_lab.errors import ShiraError

VERSIONS = (2, 3)
STRING, ARRAY = 8, 9
#: How Python's struct writes the numbers that a file marks with these codes.
NUMBERS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

MAX_ENTRIES = 2**16  # of metadata, and of tensors
MAX_ITEMS = 2**21  # of all lists together; the largest vocabularies with their merges are below
MAX_TEXT = 2**20  # bytes
MAX_SIZE = 2**24  # layers, widths, tokens of context


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies, its quantization, and its shape as PyTorch has it."""

    name: str
    kind: GGMLQuantizationType
    shape: tuple[int, ...]
    start: int
    size: int


@dataclass(frozen=True)
class Header:
    """The metadata, where a list is the number of its items, and the tensors."""

    metadata: dict[str, Any]
    tensors: list[StoredTensor]


def read_header(path: Path) -> Header:
    """The header of the GGUF file at ``path``.

    Raises:
        ShiraError: the file cannot be read, is cut off, or says of itself what cannot be.
    """
    try:
        with path.open("rb") as file:
            return _Reader(file, path.stat().st_size).header()
    except OSError as error:
        raise ShiraError(f"Could not read {path}: {error.strerror or error}.") from None
    except _Damage as damage:
        raise ShiraError(f"{path} is damaged, or no GGUF file: {damage}. Fetch it again.") from None


class _Damage(Exception):
    """What is wrong with a file, as the end of a sentence."""


class _Reader:
    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left, self._size, self._items = file, size, size, 0

    def header(self) -> Header:
        if self._take(4) != b"GGUF":
            raise _Damage("it does not begin with GGUF")
        if (version := self._number("I")) not in VERSIONS:
            raise _Damage(f"its version is {version}, and only {VERSIONS} are known")
        tensors, entries = (self._count(self._number("Q"), MAX_ENTRIES, what) for what in ("tensors", "entries"))
        metadata: dict[str, Any] = {}
        for _ in range(entries):
            name = self._text()
            metadata[name] = self._value(self._number("I"))
            _check_size(name, metadata[name])
        stored = [self._tensor() for _ in range(tensors)]
        return Header(metadata, self._placed(stored, metadata.get("general.alignment", 32)))

    def _placed(self, stored: list[StoredTensor], alignment: Any) -> list[StoredTensor]:
        """The tensors with their places counted from the beginning of the file."""
        if not isinstance(alignment, int) or alignment < 1:
            raise _Damage(f"its alignment is {alignment!r}")
        start = math.ceil((self._size - self._left) / alignment) * alignment
        placed = [dataclasses.replace(tensor, start=start + tensor.start) for tensor in stored]
        for tensor in placed:
            if tensor.start + tensor.size > self._size:
                raise _Damage(f"{tensor.name} ends behind the end of the file")
        if sum(tensor.size for tensor in placed) > self._size:
            raise _Damage("its tensors lie one over the other")
        return placed

    def _tensor(self) -> StoredTensor:
        name = self._text()
        dimensions = self._count(self._number("I"), 4, f"dimensions of {name}")
        shape = tuple(self._number("Q") for _ in range(dimensions))
        code, start = self._number("I"), self._number("Q")
        try:
            kind = GGMLQuantizationType(code)
        except ValueError:
            raise _Damage(f"{name} is quantized in a way that is not known ({code})") from None
        block, width = GGML_QUANT_SIZES[kind]
        if not shape or 0 in shape or shape[0] % block:
            raise _Damage(f"{name} cannot have the shape {shape} in blocks of {block}")
        return StoredTensor(name, kind, shape[::-1], start, math.prod(shape) // block * width)

    def _value(self, code: int) -> Any:
        if code == STRING:
            return self._text()
        if code != ARRAY:
            return self._number(self._format(code))
        code, count = self._number("I"), self._number("Q")
        self._items = self._count(self._items + count, MAX_ITEMS, "items of lists")
        if code == STRING:
            for _ in range(count):
                self._text()
        else:
            self._take(count * struct.calcsize("<" + self._format(code)))
        return count

    def _format(self, code: int) -> str:
        if code not in NUMBERS:
            raise _Damage(f"it holds a value of a kind that is not known ({code})")
        return NUMBERS[code]

    def _count(self, count: int, limit: int, what: str) -> int:
        if count > limit:
            raise _Damage(f"it announces {count:,} {what}, and no model has more than {limit:,}")
        return count

    def _text(self) -> str:
        try:
            return self._take(self._count(self._number("Q"), MAX_TEXT, "bytes of text")).decode()
        except UnicodeDecodeError:
            raise _Damage("it holds a text that is not UTF-8") from None

    def _number(self, kind: str) -> Any:
        return struct.unpack("<" + kind, self._take(struct.calcsize("<" + kind)))[0]

    def _take(self, count: int) -> bytes:
        if count > self._left:
            raise _Damage("it ends within its header")
        self._left -= count
        return self._file.read(count)


def _check_size(name: str, value: Any) -> None:
    """Refuse a size of the model that no model has: layers, widths and positions are built by it."""
    if name.startswith(("general.", "tokenizer.")) or isinstance(value, str | bool):
        return
    if not 0 <= value <= MAX_SIZE:
        raise _Damage(f"its {name} is {value}")
