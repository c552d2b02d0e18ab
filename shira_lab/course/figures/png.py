"""PNG files of a few colours, written without an imaging library (PNG specification, ISO/IEC 15948)."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]


def packed(codes: NDArray[np.uint8], depth: int) -> NDArray[np.uint8]:
    """The (height, width) ``codes`` in ``depth`` bits each, the first in the highest bits; a row fills whole bytes."""
    bits = codes[..., None] >> np.arange(depth - 1, -1, -1, dtype=np.uint8) & 1
    return np.packbits(bits.reshape(len(codes), -1), axis=1)


def depth_of(colours: int) -> int:
    """Bits of a pixel that has one of so many colours: 1, 2, 4 or 8, the depths that PNG knows."""
    return next(depth for depth in (1, 2, 4, 8) if colours <= 2**depth)


def enlarged(codes: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Each pixel as a square, the largest with which the longer side has at most ``side`` pixels."""
    scale = max(1, side // max(codes.shape))
    return codes.repeat(scale, axis=0).repeat(scale, axis=1)


def palette_png(codes: NDArray[np.uint8], palette: Sequence[Colour]) -> bytes:
    """A PNG whose pixel (row, column) has the colour ``palette[codes[row, column]]``."""
    return packed_png(packed(codes, depth_of(len(palette))), codes.shape, palette)


def packed_png(data: NDArray[np.uint8], shape: tuple[int, ...], palette: Sequence[Colour]) -> bytes:
    """As :func:`palette_png` for (height, width) codes that are :func:`packed`."""
    height, width = shape
    header = struct.pack(">IIBBBBB", width, height, depth_of(len(palette)), 3, 0, 0, 0)  # colour type 3: a palette
    lines = np.zeros((height, data.shape[1] + 1), dtype=np.uint8)  # each line opens with its filter, 0: none
    lines[:, 1:] = data
    colours = bytes(value for colour in palette for value in colour)
    chunks = ((b"IHDR", header), (b"PLTE", colours), (b"IDAT", zlib.compress(lines.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
