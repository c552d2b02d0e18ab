"""The optional kernel: absent without harm, and where it is used, the same numbers to rounding."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from shira_lab import ShiraConfig, get_peft_model
from shira_lab.errors import ShiraError
from shira_lab.layers import compiled, entries, kernel
from shira_lab.layers.pattern import Pattern
from shira_lab.layers.sampled import sampled_product
from shira_lab.masks.positions import random_positions


@pytest.fixture
def loops() -> Iterator[None]:
    compiled.use()
    yield
    compiled.remove()


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize(
    "shape, tokens", [((1, 1), 1), ((64, 48), 1), ((48, 64), 256), ((30, 70), 300), ((17, 33), 513), ((200, 130), 67)]
)
def test_the_compiled_kernel_gives_the_entries_of_the_product(shape: tuple[int, int], tokens: int) -> None:
    assert kernel.installed() is not None
    torch.manual_seed(0)
    m, n = shape
    a, b = torch.randn(tokens, m), torch.randn(tokens, n)
    positions = random_positions(shape, -(-m * n // 10), seed=1)
    expected = (a.double().t() @ b.double()).flatten()[positions]
    found = sampled_product(a, b, Pattern.of(positions, shape))
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-4)


class Marks:
    """A kernel whose answers are not to be mistaken."""

    def add_sampled_product(self, entries: Tensor, a: Tensor, b: Tensor, pattern: Pattern) -> None:
        entries += torch.tensor([1.0, 2.0, 3.0])

    def read(self, weight: Tensor, positions: Tensor) -> Tensor:
        return torch.tensor([4.0, 5.0, 6.0])

    def write(self, weight: Tensor, positions: Tensor, values: Tensor) -> None:
        weight.fill_(7)


@pytest.mark.parametrize(
    "dtype, product, entry", [(torch.float32, True, True), (torch.bfloat16, True, False), (torch.float64, False, False)]
)
def test_an_installed_kernel_takes_float32_and_nothing_else(dtype: torch.dtype, product: bool, entry: bool) -> None:
    pattern = Pattern.of(torch.tensor([0, 7, 40]), (8, 6))
    a, b, weight = (torch.ones(shape, dtype=dtype) for shape in ((5, 8), (5, 6), (8, 6)))
    kernel.install(Marks())
    try:
        found, there = sampled_product(a, b, pattern), entries.read(weight, pattern.positions)
        entries.write(weight, pattern.positions, there)
    finally:
        kernel.install(None)
    assert torch.equal(found, torch.tensor([1.0, 2.0, 3.0])) is product  # half precision is computed in float32
    assert torch.equal(there.float(), torch.tensor([4.0, 5.0, 6.0])) is entry
    assert bool((weight == 7).all()) is entry


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("k", [0, 1, 7, 48])
def test_the_compiled_kernel_reads_and_writes_entries_and_autograd_hears_of_it(k: int) -> None:
    weight = nn.Parameter(torch.randn(8, 6), requires_grad=False)
    positions, before = torch.randperm(48)[:k].sort().values, weight.detach().clone().flatten()
    assert torch.equal(entries.read(weight, positions), before[positions])
    version = weight._version
    entries.write(weight, positions, nn.Parameter(torch.arange(float(k))))
    assert torch.equal(weight.flatten(), before.index_put((positions,), torch.arange(float(k))))
    assert weight._version > version


@pytest.mark.usefixtures("loops")
def test_an_adapter_trains_and_leaves_as_it_does_without() -> None:
    def trained() -> tuple[Tensor, Tensor, Tensor]:
        torch.manual_seed(0)
        layer = nn.Linear(20, 12).requires_grad_(False)
        base = layer.weight.clone()
        model = get_peft_model(nn.Sequential(layer), ShiraConfig(r=2, target_modules=["0"], random_seed=0))
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
        for _ in range(5):
            model(torch.randn(40, 20)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        (values,) = (p.detach().clone() for p in model.parameters() if p.requires_grad)
        return base, values, model.unload()[0].weight.detach()

    base, values, left = trained()
    compiled.remove()
    _, expected, _ = trained()
    torch.testing.assert_close(values, expected)
    assert torch.equal(left, base)


def test_a_kernel_that_is_removed_is_gone(loops: None) -> None:
    compiled.remove()
    assert kernel.installed() is None


@pytest.mark.usefixtures("loops")
def test_it_reads_tensors_that_are_not_laid_out_row_by_row() -> None:
    a, b = torch.randn(8, 40).t(), torch.randn(1, 6).expand(40, 6)
    pattern = Pattern.of(torch.tensor([0, 7, 40]), (8, 6))
    torch.testing.assert_close(sampled_product(a, b, pattern), (a.t() @ b).flatten()[pattern.positions])


@pytest.mark.usefixtures("loops")
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
    assert kernel.installed() is None


def test_nothing_but_the_compiled_kernel_imports_numba() -> None:
    code = "import sys, shira_lab, shira_lab.layers.compiled; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
