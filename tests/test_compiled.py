"""The optional kernel: absent without harm, and where it is built, the same numbers to rounding."""

import shutil
from collections.abc import Iterator

import pytest
import torch
from torch.utils import cpp_extension

from shira_lab.errors import ShiraError
from shira_lab.layers import compiled
from shira_lab.layers.sampled import Pattern, sampled_product
from shira_lab.masks.random import random_positions


@pytest.fixture
def kernel() -> Iterator[None]:
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler here")
    compiled.build()
    yield
    compiled.remove()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("shape, tokens", [((64, 48), 1), ((48, 64), 256), ((30, 70), 300), ((17, 33), 513)])
def test_the_compiled_kernel_gives_the_entries_of_the_product(
    kernel: None, shape: tuple[int, int], tokens: int
) -> None:
    torch.manual_seed(0)
    m, n = shape
    a, b = torch.randn(tokens, m), torch.randn(tokens, n)
    positions = random_positions(shape, m * n // 10, seed=1)
    expected = (a.double().t() @ b.double()).flatten()[positions]
    found = sampled_product(a, b, Pattern.of(positions, shape))
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-4)


def test_without_a_compiler_one_sentence_says_so_and_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("Ninja is required to load C++ extensions\nmore")

    monkeypatch.setattr(cpp_extension, "load", fail)
    with pytest.raises(ShiraError) as caught:
        compiled.build()
    assert str(caught.value) == (
        "The compiled kernel could not be built (Ninja is required to load C++ extensions). It needs a C++ compiler "
        "and ninja; without it everything works, a little slower."
    )
    a, b = torch.randn(5, 8), torch.randn(5, 6)
    pattern = Pattern.of(torch.tensor([0, 7, 40]), (8, 6))
    torch.testing.assert_close(sampled_product(a, b, pattern), (a.t() @ b).flatten()[pattern.positions])
