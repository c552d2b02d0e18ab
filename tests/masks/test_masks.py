"""Masks have exactly r(m + n) ones, in every shape, dtype and type, and the random one has PEFT's bits."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft.tuners.shira.mask_functions import random_mask as peft_random_mask
from tiny import FLOATS
from torch import Tensor, nn

from shira_lab import masks
from shira_lab.budget import max_r, num_params
from shira_lab.course.masks.choices import SCORES
from shira_lab.errors import ConfigError, MaskError
from shira_lab.masks import positions as positions_module
from shira_lab.masks import shuffle
from shira_lab.masks.positions import from_indices
from shira_lab.masks.scores import _probable_lower_bound

TYPES = masks.mask_types()
NESTED = ("random", "magnitude", "gradient", "snip", "struct", "smallest", "wanda", "columns", "gradient_block")


def linear(m: int, n: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> nn.Linear:
    """A layer with a random weight and a random gradient."""
    layer = nn.Linear(n, m, bias=False, dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed)
    layer.weight.data = torch.randn(m, n, generator=generator).to(dtype)
    layer.weight.grad = torch.randn(m, n, generator=generator).to(dtype)
    return layer


def mask(name: str, layer: nn.Module, r: int, seed: int = 3) -> Tensor:
    mask_fn = masks.find_mask(name)
    assert mask_fn is not None
    return mask_fn(layer, r, random_seed=seed, input_norm=torch.linspace(0.5, 2, getattr(layer, "in_features", 0)))


@st.composite
def sizes(draw: st.DrawFn) -> tuple[int, int, int]:
    """(m, n, r) with a legal r, often the largest."""
    m, n = draw(st.integers(2, 40)), draw(st.integers(2, 40))
    largest = max_r((m, n))
    return m, n, draw(st.sampled_from([1, largest]) | st.integers(1, largest))


@given(sizes(), st.sampled_from(TYPES), st.sampled_from(FLOATS), st.integers(0, 2**31))
def test_every_mask_is_binary_with_exactly_the_budget(
    size: tuple[int, int, int], name: str, dtype: torch.dtype, seed: int
) -> None:
    m, n, r = size
    layer = linear(m, n, dtype, seed % 7)
    found = mask(name, layer, r, seed)
    assert (found.shape, found.dtype, found.device) == (layer.weight.shape, dtype, layer.weight.device)
    assert bool(((found == 0) | (found == 1)).all())
    assert int(found.count_nonzero()) == num_params(r, (m, n))


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("shape", [(6, 6), (3, 40), (40, 3), (2, 2)])
def test_one_more_than_the_largest_r_is_refused_with_the_largest_named(name: str, shape: tuple[int, int]) -> None:
    largest = max_r(shape)
    with pytest.raises(
        ConfigError, match=rf"r={largest + 1} is too large .* The largest r for this shape is {largest}\."
    ):
        mask(name, linear(*shape), largest + 1)


@given(sizes(), st.integers(0, 2**63 - 1))
def test_a_seeded_random_mask_is_pefts_bit_for_bit(size: tuple[int, int, int], seed: int) -> None:
    m, n, r = size
    layer = linear(m, n)
    assert torch.equal(mask("random", layer, r, seed), peft_random_mask(layer, r, random_seed=seed))


@pytest.mark.parametrize("shape, r", [((64, 64), 1), ((64, 64), 4), ((64, 64), 32), ((300, 200), 3), ((17, 1000), 1)])
def test_the_short_way_and_the_full_shuffle_give_the_same_positions(
    shape: tuple[int, int], r: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    k = num_params(r, shape)
    short = positions_module.random_positions(shape, k, 11)
    monkeypatch.setattr(positions_module, "torch_shuffles_forward", lambda: False)
    assert torch.equal(short, positions_module.random_positions(shape, k, 11))


@given(st.integers(2, 3000), st.integers(0, 2**63 - 1), st.data())
def test_the_short_way_is_torchs_shuffle_and_no_help_of_the_full_one_is_needed(
    numel: int, seed: int, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, numel - 1))
    full = torch.randperm(numel, generator=torch.Generator().manual_seed(seed))
    assert shuffle.shuffle_prefix(numel, k, torch.Generator().manual_seed(seed)).tolist() == full[:k].tolist()
    assert shuffle.torch_shuffles_forward.__wrapped__()  # asked anew, not the answer that is kept


def test_a_layers_own_seed_is_the_same_on_every_machine() -> None:
    seeds = [positions_module.layer_seed(seed, path) for seed, path in ((0, "q_proj"), (0, "k_proj"), (1, "q_proj"))]
    assert seeds == [160321541, 1905106914, 1139432852]


def test_drawn_seeds_differ_and_fit_into_31_bits() -> None:
    seeds = [positions_module.draw_seed() for _ in range(40)]
    assert len(set(seeds)) == 40 and 2**30 < max(seeds) < 2**31 - 1 and min(seeds) >= 0


@pytest.mark.parametrize("name", ("random", "block", "row_col"))
def test_a_seeded_mask_leaves_the_global_generator_alone(name: str) -> None:
    layer = linear(90, 20)
    shuffle.torch_shuffles_forward.cache_clear()
    before = torch.get_rng_state()
    mask(name, layer, 1, 5)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_short_way_is_the_one_taken_for_a_sparse_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "randperm", lambda *_, **__: pytest.fail("all positions were shuffled"))
    monkeypatch.setattr(positions_module, "torch_shuffles_forward", lambda: True)
    assert positions_module.random_positions((200, 200), 400, 5).numel() == 400


@pytest.mark.parametrize(
    "shape, way", [((1, 214_748_363), "short"), ((4, 53_687_091), "full"), ((2**14, 2**14), "full")]
)
def test_from_214748364_entries_on_the_full_shuffle_is_taken_because_torchs_is_another_one(
    shape: tuple[int, int], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    monkeypatch.setattr(positions_module, "torch_shuffles_forward", lambda: True)
    monkeypatch.setattr(positions_module, "shuffle_prefix", lambda _, k, seed: taken.append("short") or torch.arange(k))
    monkeypatch.setattr(torch, "randperm", lambda numel, generator: taken.append("full") or torch.arange(9))
    positions_module.random_positions(shape, 2, 0)
    assert taken == [way]


def test_a_torch_that_shuffles_otherwise_is_noticed_and_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    randperm = torch.randperm
    monkeypatch.setattr(torch, "randperm", lambda n, generator: randperm(n, generator=generator).flip(0))
    shuffle.torch_shuffles_forward.cache_clear()
    try:
        assert not shuffle.torch_shuffles_forward()
        expected = torch.randperm(40_000, generator=torch.Generator().manual_seed(5))[:400].sort().values
        assert torch.equal(positions_module.random_positions((200, 200), 400, 5), expected)
    finally:
        shuffle.torch_shuffles_forward.cache_clear()


@pytest.mark.parametrize("name", ("random", "block", "row_col"))
def test_a_seed_reproduces_and_another_seed_differs(name: str) -> None:
    layer = linear(30, 20)
    assert torch.equal(mask(name, layer, 2, 5), mask(name, layer, 2, 5))
    assert not torch.equal(mask(name, layer, 2, 5), mask(name, layer, 2, 6))


@pytest.mark.parametrize("mask_fn", [masks.random_mask, masks.block_mask, masks.row_col_mask])
def test_without_a_seed_torchs_global_generator_draws(mask_fn: Callable[..., Tensor]) -> None:
    layer = linear(30, 20)
    torch.manual_seed(4)
    first, second = mask_fn(layer, 2), mask_fn(layer, 2)
    torch.manual_seed(4)
    assert torch.equal(first, mask_fn(layer, 2))
    assert not torch.equal(first, second)


@given(sizes(), st.sampled_from(NESTED), st.data())
def test_the_mask_of_a_smaller_r_lies_inside_that_of_a_larger(
    size: tuple[int, int, int], name: str, data: st.DataObject
) -> None:
    m, n, large = size
    small = data.draw(st.integers(1, large))
    layer = linear(m, n)
    assert bool((mask(name, layer, small) <= mask(name, layer, large)).all())


@given(sizes(), st.sampled_from(("magnitude", "gradient", "snip")), st.sampled_from(FLOATS), st.integers(1, 4))
def test_ranked_masks_are_a_stable_descending_sort_with_ties(
    size: tuple[int, int, int], name: str, dtype: torch.dtype, levels: int
) -> None:
    m, n, r = size
    layer = linear(m, n)
    layer.weight.data = (layer.weight.detach() * levels).round().to(dtype)  # a few values only: ties everywhere
    gradient = (layer.weight.grad * levels).round().to(dtype)
    layer.weight.grad = gradient
    weight = layer.weight.detach()
    score = {"magnitude": weight, "gradient": gradient, "snip": weight * gradient}[name].abs().flatten()
    first = score.sort(descending=True, stable=True).indices[: num_params(r, (m, n))]
    assert torch.equal(mask(name, layer, r).flatten().nonzero().flatten(), first.sort().values)


def test_ties_beyond_the_sampled_bound_are_still_taken_from_the_left() -> None:
    layer = linear(300, 300)
    layer.weight.data = torch.ones(300, 300, dtype=torch.bfloat16)
    layer.weight.data[:, ::5] = 2  # every sampled entry is large, most others are ties
    expected = layer.weight.detach().flatten().float().sort(descending=True, stable=True).indices[: 120 * 600]
    assert torch.equal(masks.magnitude_mask.positions(layer, 120), expected.sort().values)


def test_snip_does_not_underflow_in_half_precision() -> None:
    layer = linear(20, 20, torch.float16)
    layer.weight.data *= 1e-3
    layer.weight.grad = layer.weight.grad * 1e-4
    score = (layer.weight.detach().double() * layer.weight.grad.double()).abs().flatten()
    assert torch.equal(masks.snip_mask.positions(layer, 2), score.topk(80).indices.sort().values)


def test_a_given_gradient_goes_before_the_layers_own() -> None:
    layer = linear(20, 20)
    given_gradient = torch.randn(20, 20)
    found = masks.gradient_mask(layer, 2, gradient=given_gradient).flatten().nonzero().flatten()
    assert torch.equal(found, given_gradient.abs().flatten().topk(80).indices.sort().values)


def test_struct_holds_the_whole_diagonal_and_spreads_its_lines() -> None:
    found = masks.struct_mask(linear(64, 64), 8)
    assert bool(found.diagonal().all())
    full_rows = (found.sum(1) == 64).nonzero().flatten()
    assert int(torch.linalg.matrix_rank(found * torch.randn(64, 64))) == 64
    assert full_rows.diff().max() <= 16


@given(sizes())
def test_struct_is_the_diagonal_then_rows_and_columns_in_bit_reversed_order(size: tuple[int, int, int]) -> None:
    m, n, r = size

    def spread(count: int) -> list[int]:
        bits = max(m, n).bit_length()
        return sorted(range(count), key=lambda i: f"{i:0{bits}b}"[::-1])

    lines = [(i, i) for i in range(min(m, n))]
    for row, column in zip(spread(m), spread(n), strict=False):
        lines += [(row, j) for j in range(n)] + [(i, column) for i in range(m)]
    expected = list(dict.fromkeys(i * n + j for i, j in lines))[: num_params(r, (m, n))]
    assert masks.struct_mask.positions(linear(m, n), r).tolist() == sorted(expected)


def test_blocks_are_of_16_unless_told_and_may_be_single_entries() -> None:
    layer = linear(64, 64)
    assert torch.equal(
        masks.block_mask(layer, 4, random_seed=0), masks.block_mask(layer, 4, random_seed=0, block_size=16)
    )
    assert int(masks.block_mask(layer, 4, block_size=1, random_seed=0).sum()) == num_params(4, (64, 64))


def test_scores_are_plain_numbers_without_a_history() -> None:
    layer = linear(6, 4)
    layer.weight.grad.requires_grad_()
    for score in SCORES.values():
        assert not score(layer, None).requires_grad


@pytest.mark.parametrize("shape, k", [((300, 300), 100), ((300, 300), 9_000), ((700, 900), 40_000), ((20, 30), 50)])
def test_the_sampled_bound_lies_below_the_kth_largest_and_not_far(shape: tuple[int, int], k: int) -> None:
    for seed in range(20):
        flat = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).flatten()
        found = int((flat >= _probable_lower_bound(flat, k)).sum())
        sample = min(flat.numel(), 1 << 14)  # at least half of it is drawn
        slack = (14 * (k * sample / flat.numel()) ** 0.5 + 20) * flat.numel() / sample
        assert k <= found <= k + slack


def test_positions_from_a_file_are_read_and_not_changed() -> None:
    indices = torch.tensor([[0, 1], [2, 0]])
    assert from_indices(indices, (2, 3)).tolist() == [2, 3]
    assert indices.tolist() == [[0, 1], [2, 0]]


def test_row_col_takes_whole_lines_and_block_whole_blocks() -> None:
    rows = masks.row_col_mask(linear(32, 32), 2, random_seed=0)
    assert int((rows.sum(1) == 32).sum()) >= 2 and int((rows.sum(0) == 32).sum()) >= 2
    blocks = masks.block_mask(linear(32, 32), 2, block_size=8, random_seed=0)
    assert blocks.view(4, 8, 4, 8).sum((1, 3)).unique().tolist() == [0, 64]


# ---- what a mask function must return ------------------------------------------------------------------------------


def ones(count: int, shape: tuple[int, int] = (6, 4), dtype: torch.dtype = torch.float32) -> Tensor:
    out = torch.zeros(shape, dtype=dtype)
    out.view(-1)[:count] = 1
    return out


BROKEN = {
    "is a list; a mask function returns one torch.Tensor": lambda: [1, 0],
    r"has shape \(4, 6\); expected the weight's, \(6, 4\)": lambda: ones(10, (4, 6)),
    "is on device meta; expected the weight's, cpu": lambda: ones(10).to("meta"),
    "has dtype torch.int64; expected the weight's, torch.float32, or torch.bool": lambda: ones(10, dtype=torch.int64),
    "is not binary: it holds 0.5. Use 1 for an entry that trains, 0 for any other": lambda: ones(10) * 0.5,
    "is not binary: it holds nan": lambda: ones(10) * float("nan"),
    r"has 11 ones; r\(m \+ n\) = 10 are expected: leave out 1": lambda: ones(11),
    r"has 8 ones; r\(m \+ n\) = 10 are expected: add 2": lambda: ones(8),
}


@pytest.mark.parametrize("message", BROKEN)
def test_each_broken_promise_of_a_mask_function_has_its_own_message(message: str) -> None:
    with pytest.raises(MaskError, match=f"The mask for layer 'x' {message}"):
        masks.mask_positions(lambda *_, **__: BROKEN[message](), linear(6, 4), 1, "layer 'x'")


def test_the_first_strange_value_of_a_mask_is_named() -> None:
    strange = ones(2)
    strange[3, 0], strange[4, 0] = 0.25, 2
    with pytest.raises(MaskError, match=r"The mask for layer is not binary: it holds 0\.25"):
        masks.mask_positions(lambda *_, **__: strange, linear(6, 4), 1)
    with pytest.raises(MaskError, match=r"The mask for layer is not binary: it holds 0\.25"):
        masks.check_mask(strange, linear(6, 4).weight, 10)


def test_a_boolean_mask_is_welcome() -> None:
    found = masks.mask_positions(lambda *_, **__: ones(10, dtype=torch.bool), linear(6, 4), 1)
    assert found.tolist() == list(range(10))


@pytest.mark.parametrize(
    "layer", [nn.ReLU(), nn.LayerNorm(4), nn.Conv2d(2, 3, 1)], ids=lambda layer: type(layer).__name__
)
@pytest.mark.parametrize("name", TYPES)
def test_only_a_linear_layer_has_a_mask(name: str, layer: nn.Module) -> None:
    expected = f"`base_layer` should be a linear layer, with a weight of shape (m, n); got a {type(layer).__name__}."
    with pytest.raises(MaskError) as caught:
        mask(name, layer, 1)
    assert str(caught.value) == expected


@pytest.mark.parametrize("name, what", [("magnitude", r"\|W\|"), ("gradient", "`gradient`"), ("snip", r"\|W \* G\|")])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_cannot_be_ranked(name: str, what: str, bad: float) -> None:
    layer = linear(6, 4)
    (layer.weight.grad if name == "gradient" else layer.weight.data)[2, 2] = bad
    with pytest.raises(MaskError, match=f"{what} holds NaN or infinite values; positions cannot be ranked by it"):
        mask(name, layer, 1)


def test_a_ranked_mask_without_a_gradient_says_how_to_give_one() -> None:
    with pytest.raises(MaskError) as caught:
        masks.gradient_mask(nn.Linear(4, 6), 1)
    assert str(caught.value) == (
        "A gradient or SNIP mask needs a gradient: pass `calibration=` batches to `get_peft_model`, give `gradient=` "
        "to the mask function, or run a backward pass with `base_layer.weight.requires_grad_()` first."
    )
    with pytest.raises(MaskError, match=r"`gradient` has shape \(2, 2\); expected the weight's, \(6, 4\)"):
        masks.snip_mask(nn.Linear(4, 6), 1, gradient=torch.ones(2, 2))


@pytest.mark.parametrize("size", [0, -1, 2.5, True, "8"])
def test_a_block_size_is_a_positive_integer(size: object) -> None:
    with pytest.raises(MaskError, match="`block_size` should be a positive integer; got"):
        masks.block_mask(linear(6, 4), 1, block_size=size)


# ---- names ----------------------------------------------------------------------------------------------------------


def test_a_registered_function_is_a_mask_type_and_running_the_cell_again_replaces_it() -> None:
    assert masks.mask_types() == TYPES
    for _ in range(2):

        @masks.register_mask("mine")
        def mine(base_layer: nn.Module, r: int) -> Tensor:
            return ones(10)

    assert masks.mask_types() == (*TYPES, "mine")
    assert masks.find_mask("mine") is mine
    assert masks.find_mask("yours") is None


@pytest.mark.parametrize("name", ["", "my mask", "1st", 3])
def test_a_mask_types_name_is_an_identifier(name: object) -> None:
    with pytest.raises(MaskError, match="should be a Python identifier such as 'my_mask'"):
        masks.register_mask(name)


def test_built_in_names_are_taken_and_only_functions_are_masks() -> None:
    with pytest.raises(MaskError, match="The mask type 'random' is built in; choose another name"):
        masks.register_mask("random")
    with pytest.raises(MaskError, match="The mask type 'mine' should be a function"):
        masks.register_mask("mine")(torch.ones(2, 2))
