"""The optional kernel: absent without harm, and where it is used, the same numbers to rounding."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from shira_lab.errors import ShiraError
from shira_lab.layers import compiled, sampled
from shira_lab.layers.pattern import Pattern
from shira_lab.layers.sampled import sampled_product
from shira_lab.masks.random import random_positions


@pytest.fixture
def kernel() -> Iterator[None]:
    compiled.use()
    yield
    compiled.remove()


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize(
    "shape, tokens", [((1, 1), 1), ((64, 48), 1), ((48, 64), 256), ((30, 70), 300), ((17, 33), 513), ((200, 130), 67)]
)
def test_the_compiled_kernel_gives_the_entries_of_the_product(shape: tuple[int, int], tokens: int) -> None:
    assert sampled.installed_kernel() is not None
    torch.manual_seed(0)
    m, n = shape
    a, b = torch.randn(tokens, m), torch.randn(tokens, n)
    positions = random_positions(shape, -(-m * n // 10), seed=1)
    expected = (a.double().t() @ b.double()).flatten()[positions]
    found = sampled_product(a, b, Pattern.of(positions, shape))
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-4)


def test_an_installed_kernel_gives_the_sparse_products_in_float32_and_no_others() -> None:
    pattern = Pattern.of(torch.tensor([0, 7, 40]), (8, 6))
    marks = torch.tensor([1.0, 2.0, 3.0])
    sampled.install_kernel(lambda a, b, pattern: marks)
    try:
        for dtype, found in ((torch.float32, True), (torch.bfloat16, True), (torch.float64, False)):
            a, b = torch.ones(5, 8, dtype=dtype), torch.ones(5, 6, dtype=dtype)
            assert torch.equal(sampled_product(a, b, pattern), marks) is found
    finally:
        sampled.install_kernel(None)


def test_a_kernel_that_is_removed_is_gone(kernel: None) -> None:
    compiled.remove()
    assert sampled.installed_kernel() is None


@pytest.mark.usefixtures("kernel")
def test_it_reads_tensors_that_are_not_laid_out_row_by_row() -> None:
    a, b = torch.randn(8, 40).t(), torch.randn(1, 6).expand(40, 6)
    pattern = Pattern.of(torch.tensor([0, 7, 40]), (8, 6))
    torch.testing.assert_close(sampled_product(a, b, pattern), (a.t() @ b).flatten()[pattern.positions])


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_stays_so(broken: float) -> None:
    a, b = torch.ones(70, 8), torch.ones(70, 6)
    a[3, 2] = broken
    pattern = Pattern.of(torch.arange(0, 48, 5), (8, 6))
    found = sampled_product(a, b, pattern)
    assert torch.equal(found.isfinite(), (pattern.positions // 6) != 2)


def test_without_numba_one_sentence_says_so_and_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(ShiraError) as caught:
        compiled.use()
    assert str(caught.value) == (
        "The compiled kernel needs numba (import of numba halted; None in sys.modules): "
        '`pip install "shira-lab[compiled]"`. Without it everything works, a little slower.'
    )
    assert sampled.installed_kernel() is None


def test_nothing_but_the_compiled_kernel_imports_numba() -> None:
    code = "import sys, shira_lab, shira_lab.layers.compiled; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
