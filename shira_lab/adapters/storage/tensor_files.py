"""The tensors of an adapter's file, by name, whatever form the file has.

PEFT's safetensors, this package's compact form in safetensors, and PyTorch's older ``.bin``. The last is a pickle, a
format that can run code when it is read; PyTorch's reader for tensors alone reads it, which cannot.
"""

import io
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from shira_lab.adapters.storage.files import read_bytes
from shira_lab.adapters.storage.folder import PICKLE_NAME
from shira_lab.errors import StorageError


def read_tensors(file: Path) -> dict[str, Tensor]:
    """All tensors of the file by name, on the CPU.

    Raises:
        StorageError: when it is missing, or not such a file, or holds anything else than tensors by name.
    """
    content = read_bytes(file)
    if file.name == PICKLE_NAME:
        return _unpickle(file, content)
    try:
        return safetensors.torch.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError, OverflowError) as error:
        raise StorageError(f"{file} is not a valid safetensors file ({error}); it may be cut off.") from None


def _unpickle(file: Path, content: bytes) -> dict[str, Tensor]:
    try:
        tensors = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a broken pickle can raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise StorageError(
            f"{file} could not be read as tensors alone ({reason}). Nothing else is read from a pickle, because it "
            "could run code; ask for a safetensors file."
        ) from None
    if not isinstance(tensors, dict) or not all(isinstance(key, str) for key in tensors):
        raise StorageError(f"{file} should hold tensors by name; it holds a {type(tensors).__name__}.")
    for key, tensor in tensors.items():
        if type(tensor) not in (Tensor, torch.nn.Parameter) or tensor.layout != torch.strided or tensor.is_meta:
            raise StorageError(f"{file}: '{key}' is no plain tensor.")
    return {key: tensor.detach() for key, tensor in tensors.items()}
