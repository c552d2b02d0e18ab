"""An optional compiled kernel for sampled products: built only when asked for, missed by nobody where it cannot be.

It computes what :func:`shira_lab.layers.sampled.sampled_product` computes, to rounding. It needs a C++ compiler and
ninja (``pip install "shira-lab[compiled]"``).
"""

import os
import sysconfig
from pathlib import Path

from torch import Tensor
from torch.utils import cpp_extension

from shira_lab.errors import ShiraError
from shira_lab.layers import sampled


def build() -> None:
    """Compile the kernel (about a minute, once; later calls find it in PyTorch's cache) and use it from now on.

    Raises:
        ShiraError: when there is no compiler or it fails; everything goes on with PyTorch's own kernel.
    """
    source = Path(__file__).with_name("sampled.cpp")
    scripts = sysconfig.get_path("scripts")  # ninja's place, also when the environment is not activated
    os.environ["PATH"] = os.pathsep.join(dict.fromkeys([*os.environ.get("PATH", "").split(os.pathsep), scripts]))
    try:
        extension = cpp_extension.load(
            "shira_lab_sampled",
            [str(source)],
            extra_cflags=["-O3", "-march=native", "-fopenmp"],
            extra_ldflags=["-fopenmp"],
        )
    except (RuntimeError, OSError, ImportError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ShiraError(
            f"The compiled kernel could not be built ({reason}). It needs a C++ compiler and ninja; without it "
            "everything works, a little slower."
        ) from None

    def kernel(a: Tensor, b: Tensor, pattern: sampled.Pattern) -> Tensor:
        entries: Tensor = extension.sampled_product(a, b, pattern.row_starts, pattern.columns)
        return entries

    sampled.install_kernel(kernel)


def remove() -> None:
    """Go back to PyTorch's own kernel."""
    sampled.install_kernel(None)
