"""A pattern finds its rectangles, and the entries of a product are the same with and without them."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shira_lab.layers import pattern as pattern_module
from shira_lab.layers.pattern import Pattern
from shira_lab.layers.sampled import piece_size, sampled_product, turned
from shira_lab.masks import block_mask, row_col_mask
from shira_lab.masks.positions import random_positions


@pytest.fixture(autouse=True)
def small_rectangles_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern_module, "SMALLEST_RECTANGLE", 16)


def product_and_reference(mask: torch.Tensor, tokens: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    m, n = mask.shape
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(tokens, side, generator=generator, dtype=torch.float64) for side in (m, n))
    positions = mask.flatten().nonzero().flatten()
    return sampled_product(a, b, Pattern.of(positions, (m, n))), (a.t() @ b).flatten()[positions]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_entries_in_rectangles_and_outside_are_those_of_the_dense_product(data: st.DataObject) -> None:
    m, n = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 60))
    mask = torch.zeros(m, n, dtype=torch.bool)
    for _ in range(data.draw(st.integers(0, 3))):
        rows = torch.randperm(m, generator=torch.Generator().manual_seed(data.draw(st.integers(0, 9))))
        columns = torch.randperm(n, generator=torch.Generator().manual_seed(data.draw(st.integers(0, 9))))
        rows, columns = rows[: data.draw(st.integers(0, m))], columns[: data.draw(st.integers(0, n))]
        mask[rows[:, None], columns] = True
    mask |= torch.rand(m, n, generator=torch.Generator().manual_seed(1)) < data.draw(st.sampled_from([0.0, 0.1]))
    found, expected = product_and_reference(mask)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("left, right", [(torch.float32, torch.bfloat16), (torch.bfloat16, torch.float32)], ids=str)
def test_rectangles_take_half_precision(left: torch.dtype, right: torch.dtype) -> None:
    torch.manual_seed(0)
    a, b = torch.randn(20, 12).to(left), torch.randn(20, 9).to(right)
    mask = torch.zeros(12, 9, dtype=torch.bool)
    mask[:6, :5], mask[11, 8] = True, True
    pattern = Pattern.of(mask.flatten().nonzero().flatten(), (12, 9))
    assert pattern.rectangles
    torch.testing.assert_close(sampled_product(a, b, pattern), (a.float().t() @ b.float())[mask])


def test_whole_rows_and_whole_columns_are_two_rectangles() -> None:
    layer = torch.nn.Linear(100, 120, bias=False)
    pattern = Pattern.of(row_col_mask.positions(layer, 20), (120, 100))
    inside = sum(rectangle.places.numel() for rectangle in pattern.rectangles)
    assert len(pattern.rectangles) == 2 and inside >= 0.9 * pattern.positions.numel()


def test_blocks_are_rectangles() -> None:
    layer = torch.nn.Linear(256, 256, bias=False)
    pattern = Pattern.of(block_mask.positions(layer, 4, block_size=32), (256, 256))
    assert pattern.rectangles and all(len(found.rows) % 32 == 0 for found in pattern.rectangles)


@pytest.mark.parametrize("r", [1, 8])
def test_random_positions_have_none(r: int) -> None:
    assert Pattern.of(random_positions((96, 192), r * 288, seed=0), (96, 192)).rectangles == ()


def test_a_pattern_is_compressed_sparse_rows_in_the_types_that_kernels_want() -> None:
    pattern = Pattern.of(torch.tensor([1, 2, 11]), (4, 4))
    assert (pattern.row_starts.dtype, pattern.columns.dtype) == (torch.int32, torch.int32)
    assert (pattern.row_starts.tolist(), pattern.columns.tolist()) == ([0, 2, 2, 3, 3], [1, 2, 3])
    assert pattern.density == 3 / 16


def test_where_pytorch_cannot_sample_the_dense_product_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    found, expected = product_and_reference(torch.eye(30, 40, dtype=torch.bool))
    monkeypatch.setattr("shira_lab.layers.sampled.SAMPLED_ON", set())
    monkeypatch.setattr(torch.sparse, "sampled_addmm", None)
    dense, _ = product_and_reference(torch.eye(30, 40, dtype=torch.bool))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(dense, expected)


@pytest.mark.parametrize("left, right", [(torch.float64, torch.float64), (torch.float32, torch.bfloat16)], ids=str)
def test_more_tokens_than_are_sampled_at_a_time_all_count(left: torch.dtype, right: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(1300, 30, generator=generator, dtype=torch.float64).to(left)
    b = torch.randn(1300, 40, generator=generator, dtype=torch.float64).to(right)
    positions = random_positions((30, 40), 70, seed=0)
    expected = (a.double().t() @ b.double()).flatten()[positions]
    found = sampled_product(a, b, Pattern.of(positions, (30, 40)))
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("tokens", [0, 1, 127, 128, 129, 640])
@pytest.mark.parametrize("width", [1, 3, 33])
def test_a_matrix_is_turned_round_in_stacks_of_pieces(tokens: int, width: int, dtype: torch.dtype) -> None:
    padded = torch.randn(tokens, width + 2, dtype=dtype)
    for matrix in (padded[:, 1:-1], padded[:, 1:-1].contiguous()):
        pieces = [piece for stack in turned(matrix, 128, torch.float32) for piece in stack]
        expected = matrix.float().t()
        assert torch.equal(torch.cat([expected[:, :0], *pieces], dim=1), expected)
        assert [piece.shape[1] for piece in pieces] == [len(part) for part in matrix.split(128) if len(part)]
        assert all(piece.is_contiguous() for piece in pieces)


def test_a_piece_of_a_narrow_matrix_has_more_tokens() -> None:
    widths = (1, 192, 256, 768, 11008, 2**17, 2**17 + 1, 10**6)  # some inputs are wider than the cache
    assert [piece_size(width) for width in widths] == [2**17, 512, 512, *5 * [128]]
