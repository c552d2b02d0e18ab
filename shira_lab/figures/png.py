"""Two-colour PNG files, one bit a pixel, written without an imaging library (PNG specification, ISO/IEC 15948)."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]


def two_colour_png(pixels: NDArray[np.bool_], on: Colour, off: Colour) -> bytes:
    """The (height, width) ``pixels`` as a PNG: ``on`` where they are True, ``off`` elsewhere."""
    height, width = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0)  # 1 bit, colour type 3: a palette
    packed = np.packbits(pixels, axis=1)
    lines = np.zeros((height, packed.shape[1] + 1), dtype=np.uint8)  # each line opens with its filter, 0: none
    lines[:, 1:] = packed
    chunks = ((b"IHDR", header), (b"PLTE", bytes(off + on)), (b"IDAT", zlib.compress(lines.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
