"""What a budget costs in memory and on disk: SHiRA, LoRA and full fine-tuning of the same model, side by side.

What trains is float32 and costs 16 bytes a number: 4 for its value, 4 for its gradient, 8 for AdamW's two moments. What
is frozen costs what it is loaded in, 2 bytes a number in half precision. Full fine-tuning therefore costs 16 bytes a
number of the model, as mixed precision does in the account of ZeRO (arXiv 1910.02054, section 3.1).
"""

from collections.abc import Collection
from dataclasses import dataclass

from shira_lab.budget import Shape, density, num_params

FLOAT32 = 4
GRADIENT = FLOAT32
ADAMW = 2 * FLOAT32  # first and second moment
#: A SHiRA number in training, beside its value: its flat position (int64), its column (int32), and a copy of the value
#: as it was in the forward pass, which the backward pass needs.
SHIRA_PLACE = 8 + 4 + FLOAT32
#: On disk, PEFT's layout: a float32 value, an int32 row and an int32 column.
SHIRA_FILE = FLOAT32 + 4 + 4
LORA_FILE = FLOAT32


@dataclass(frozen=True)
class Cost:
    """The cost of training a model by one method. Everything but ``trained`` is in bytes.

    Attributes:
        trained: trainable parameters.
        weights: the numbers of the model itself.
        adapter: the adapter's values; for SHiRA also their places, and a copy for the backward pass.
        gradients: one float32 for each trained number.
        optimizer: AdamW's two float32 moments for each trained number.
        activations: what the forward pass keeps for the backward pass.
        file: what is saved in PEFT's layout, without the file's header.
        compact_file: the same in the form of :mod:`shira_lab.adapters.storage.compact`.
    """

    trained: int
    weights: int
    adapter: int
    gradients: int
    optimizer: int
    activations: int
    file: int
    compact_file: int

    @property
    def memory(self) -> int:
        """Memory to train: all of it together. Buffers that live for a moment come on top."""
        return self.weights + self.adapter + self.gradients + self.optimizer + self.activations


def shira_cost(r: int, shapes: Collection[Shape], parameters: int, width: int, activations: int = 0) -> Cost:
    """SHiRA with r(m + n) entries in each weight of ``shapes``.

    >>> cost = shira_cost(8, [(768, 768)], parameters=125_000_000, width=2)
    >>> cost.trained, in_units(cost.memory), in_units(cost.file)
    (12288, '250.4 MB', '147.5 kB')

    Args:
        r, shapes: the size of the adapter, and (m, n) of each weight that it is on.
        parameters: numbers of the whole model.
        width: bytes of a frozen number, 2 or 4.
        activations: bytes kept for the backward pass.
    """
    k = _trained(r, shapes)
    adapter = k * (FLOAT32 + SHIRA_PLACE)
    compact = round(sum(compact_bytes(r, shape) for shape in shapes))
    return _cost(k, parameters * width, adapter, activations, SHIRA_FILE * k, compact)


def lora_cost(r: int, shapes: Collection[Shape], parameters: int, width: int, activations: int = 0) -> Cost:
    """LoRA of rank ``r`` on the same weights.

    >>> lora_cost(8, [(768, 768)], parameters=125_000_000, width=2).file
    49152

    Args:
        r, shapes, parameters, width, activations: as for :func:`shira_cost`.
    """
    k = _trained(r, shapes)
    return _cost(k, parameters * width, FLOAT32 * k, activations, LORA_FILE * k, LORA_FILE * k)


def full_cost(parameters: int, width: int, activations: int = 0) -> Cost:
    """All numbers of the model; what is saved is the model, in ``width`` bytes a number.

    >>> in_units(full_cost(parameters=125_000_000, width=2).memory)
    '2.0 GB'
    """
    return _cost(parameters, FLOAT32 * parameters, 0, activations, width * parameters, width * parameters)


def compact_bytes(r: int, shape: Shape) -> float:
    """Bytes that a random mask's values and positions take in the compact form, on average.

    A position is stored as the gap before it, seven bits to a byte. At density p a gap reaches g with probability
    (1 - p)^g, so a position takes 1 + (1 - p)^(2^7) + (1 - p)^(2^14) + ... bytes.

    >>> round(compact_bytes(8, (768, 768)))
    62270
    """
    empty = 1 - density(r, shape)
    position = sum(empty ** (2 ** (7 * byte) if byte else 0) for byte in range(5))
    return num_params(r, shape) * (FLOAT32 + position)


def in_units(size: float) -> str:
    """A number of bytes for people, in powers of 1000: "402.7 MB".

    >>> in_units(402_653_184)
    '402.7 MB'
    """
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 999.5 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"


def _trained(r: int, shapes: Collection[Shape]) -> int:
    return sum(num_params(r, shape) for shape in shapes)


def _cost(trained: int, weights: int, adapter: int, activations: int, file: int, compact_file: int) -> Cost:
    """Gradient and moments follow from the trainable parameters."""
    return Cost(trained, weights, adapter, GRADIENT * trained, ADAMW * trained, activations, file, compact_file)
