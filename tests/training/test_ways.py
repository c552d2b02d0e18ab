"""Other ways to a high rank: equations, budgets, rank laws, and what each adapter of this package can do."""

import copy
import math
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D

from shira_lab import LoraConfig, PeftModel, ShiraConfig, get_peft_model
from shira_lab.analysis.spectrum import spectrum
from shira_lab.errors import ConfigError, ShiraError, StorageError
from shira_lab.layers import AdapterLayer
from shira_lab.masks.positions import random_positions
from shira_lab.training.ways import WAYS, Way, WayConfig, bases, register_way
from shira_lab.training.ways.hira import Hira
from tests.tiny import mlp, run

EVERY = tuple(WAYS)
every_way = pytest.mark.parametrize("name", EVERY)
#: The shapes of both factors may be odd for all but the one that is cut into blocks.
SIZES = {"gralora": 2}


def on_layer(name: str, m: int = 12, n: int = 8, r: int = 2, **options: object) -> tuple[PeftModel, AdapterLayer, Way]:
    """A float64 layer with a way on it whose parameters are random."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(n, m)).double()
    adapted = get_peft_model(model, WayConfig(way=name, r=r, target_modules=["0"], options=dict(options)))
    layer = adapted.get_base_model().get_submodule("0")
    assert isinstance(layer, AdapterLayer)
    way = layer.get_adapter("default")
    assert isinstance(way, Way)
    with torch.no_grad():
        for parameter in way.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return adapted, layer, way


# ---- the equations, entry by entry ----------------------------------------------------------------------------------


def _placed(values: Tensor, positions: Tensor, m: int, n: int) -> Tensor:
    return torch.stack([values[positions == p].sum() for p in range(m * n)]).view(m, n)


def _rescaled(way: Way, weight: Tensor, added: Tensor) -> Tensor:
    norm = (weight + added).detach().square().sum(1).sqrt()
    return torch.diag(way.magnitude / norm) @ (weight + added) - weight


def _gralora(way: Way, weight: Tensor) -> Tensor:
    q, s = way.q, way.r // way.q
    rows = []
    for c in range(q):
        a_of = [way.gralora_A[a][:, c * s : (c + 1) * s] for a in range(q)]
        b_of = [way.gralora_B[c][a * s : (a + 1) * s] for a in range(q)]
        rows.append(torch.cat([(a @ b).T for a, b in zip(a_of, b_of, strict=True)], dim=1))
    return torch.cat(rows)


def _fourier(way: Way, weight: Tensor) -> Tensor:
    m, n = weight.shape
    i, j = torch.arange(m).double()[:, None], torch.arange(n).double()[None]
    waves = [torch.cos(2 * math.pi * (i * (p // n) / m + j * (p % n) / n)) for p in way.positions]
    return sum(c * wave for c, wave in zip(way.coefficients, waves, strict=True)) / math.sqrt(m * n)


def _haar(way: Way, weight: Tensor) -> Tensor:
    m, n = weight.shape
    total = torch.zeros_like(weight)
    for c, p in zip(way.coefficients, way.positions.tolist(), strict=True):
        (down, i), (right, j) = divmod(p // n, m // 2), divmod(p % n, n // 2)
        block = torch.ones(2, 2, dtype=weight.dtype) / 2
        if right:
            block[1] *= -1
        if down:
            block[:, 1] *= -1
        total = total + c * F.pad(block, (2 * j, n - 2 * j - 2, 2 * i, m - 2 * i - 2))
    return total


def _orthogonal(way: Way, weight: Tensor) -> Tensor:
    size = weight.numel()
    angles = 2 * math.pi * torch.outer(torch.arange(size), way.positions).double() / size
    waves = (angles.cos() + angles.sin()) / math.sqrt(size)
    return way.signs * (waves @ way.coefficients).view(weight.shape)


EQUATIONS: dict[str, Callable[[Way, Tensor], Tensor]] = {
    "dora": lambda way, w: _rescaled(way, w, way.lora_B @ way.lora_A),
    "shira_dora": lambda way, w: _rescaled(way, w, _placed(way.entries, way.positions, *w.shape)),
    "hira": lambda way, w: w * torch.einsum("mr,rn->mn", way.hira_B, way.hira_A),
    "gralora": _gralora,
    "fourier": _fourier,
    "haar": _haar,
    "orthogonal": _orthogonal,
    "rosa": lambda way, w: way.rosa_B @ way.rosa_A + _placed(way.entries, way.positions, *w.shape),
}


@every_way
def test_output_and_gradients_are_those_of_the_dense_equation(name: str) -> None:
    _, layer, way = on_layer(name)
    x = torch.randn(5, 8, dtype=torch.float64, requires_grad=True)
    (layer(x).sin().sum()).backward()
    found = [x.grad, *(parameter.grad for parameter in way.parameters())]
    x.grad = None
    way.zero_grad()
    weight = layer.base_weight()
    (F.linear(x, weight + EQUATIONS[name](way, weight), layer.bias).sin().sum()).backward()
    expected = [x.grad, *(parameter.grad for parameter in way.parameters())]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@every_way
def test_a_new_way_changes_nothing(name: str) -> None:
    model = mlp()
    before = run(model)
    assert torch.equal(run(get_peft_model(model, WayConfig(way=name, r=2, target_modules="all-linear"))), before)


def test_a_row_of_zeros_has_a_direction_once_it_moves() -> None:
    layer = nn.Linear(4, 4)
    layer.weight.data[1] = 0
    way = WAYS["dora"](layer, 1)
    assert torch.equal(way(layer.weight.detach()), torch.zeros(4, 4))


def test_the_identity_is_shira_with_a_random_mask() -> None:
    base = nn.Linear(8, 12)
    way, k = bases.Coefficients(base, 2, seed=5), 40
    shira = get_peft_model(nn.Sequential(base), ShiraConfig(r=2, target_modules=["0"], random_seed=5))
    shira.get_submodule("base_model.model.0").get_adapter("default").shira_weight.data.copy_(torch.arange(k))
    way.coefficients.data.copy_(torch.arange(k))
    assert torch.equal(way(base.weight), shira.get_submodule("base_model.model.0").get_delta_weight("default"))


# ---- budgets and ranks ----------------------------------------------------------------------------------------------


@given(name=st.sampled_from(EVERY), half=st.tuples(*[st.integers(2, 9)] * 2), odd=st.booleans(), data=st.data())
def test_budget_is_exact_and_no_update_has_a_larger_rank_than_its_law(
    name: str, half: tuple[int, int], odd: bool, data: st.DataObject
) -> None:
    step = SIZES.get(name, 1)
    m, n = (2 * size + (odd and step == 1) for size in half)
    r = step * data.draw(st.integers(1, max(1, m * n // (m + n) // step)))
    layer = nn.Linear(n, m).double()
    config = WayConfig(way=name, r=r, target_modules=["0"])
    if r * (m + n) > m * n:  # the smallest of the blocks' sizes may be too large
        with pytest.raises(ConfigError, match="too large"):
            config.make("0", layer, torch.float64)
        return
    way = config.make("0", layer, torch.float64)
    extra = m if name in ("dora", "shira_dora") else 0
    assert sum(parameter.numel() for parameter in way.parameters()) == r * (m + n) + extra
    assert spectrum(way.random_update()).rank <= way.rank_bound <= min(m, n)


@pytest.mark.parametrize(
    ("name", "options", "rank"),
    [
        ("hira", {}, 6),  # r times the rank of W
        ("gralora", {"q": 1}, 3),
        ("gralora", {"q": 3}, 9),
        ("rosa", {"share": 1}, 3),
        ("rosa", {"share": 0.5}, 24),
        ("dora", {}, 24),
        ("shira_dora", {}, 24),
        ("fourier", {}, 24),
        ("haar", {}, 24),
        ("orthogonal", {}, 24),
    ],
)
def test_random_parameters_attain_the_law(name: str, options: dict[str, object], rank: int) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(24, 36)
    if name == "hira":
        layer.weight.data = torch.randn(36, 2) @ torch.randn(2, 24)
    way = WAYS[name](layer, 3, **options)
    assert spectrum(way.random_update()).rank == way.rank_bound == rank


def test_one_coefficient_is_a_unit_whose_rank_tells_the_basis() -> None:
    layer, ranks, lengths = nn.Linear(16, 12), {}, {}
    for way in (bases.Coefficients(layer, 1), *(WAYS[name](layer, 1) for name in ("fourier", "haar", "orthogonal"))):
        with torch.no_grad():
            way.coefficients[5] = 1
        update = way(layer.weight).detach()
        ranks[way.kind], lengths[way.kind] = spectrum(update).rank, float(update.norm())
    assert ranks == {"identity": 1, "FourierFT": 2, "WaveFT": 1, "random basis": 12}
    assert lengths.pop("FourierFT") == pytest.approx(0.5**0.5)
    assert list(lengths.values()) == pytest.approx([1, 1, 1])


@pytest.mark.parametrize("kind", [WAYS["haar"], WAYS["orthogonal"], bases.Coefficients])
def test_the_bases_are_orthonormal(kind: type[bases.Coefficients]) -> None:
    way = kind(nn.Linear(6, 4).double(), 1)
    rows = torch.stack([way.transform(c.view(4, 6)).flatten() for c in torch.eye(24, dtype=torch.float64)])
    torch.testing.assert_close(rows @ rows.T, torch.eye(24, dtype=torch.float64))


def test_waves_of_opposite_frequency_are_one() -> None:
    way = WAYS["fourier"](nn.Linear(6, 4).double(), 1)
    one, other = torch.zeros(2, 4, 6, dtype=torch.float64)
    one[1, 2], other[3, 4] = 1, 1
    torch.testing.assert_close(way.transform(one), way.transform(other))


# ---- what every adapter can do --------------------------------------------------------------------------------------


@every_way
def test_merging_gives_the_same_outputs_and_leaves_bit_for_bit(name: str) -> None:
    adapted, layer, _ = on_layer(name)
    x, before = torch.randn(5, 8).double(), layer.weight.clone()
    unmerged = layer(x)
    adapted.merge_adapter()
    torch.testing.assert_close(layer(x), unmerged)
    layer.set_scale("default", 2.0)  # is made of the base weight again, not of the merged one
    doubled = layer.weight - before
    adapted.unmerge_adapter()
    assert torch.equal(layer.weight, before)
    torch.testing.assert_close(doubled, layer.get_delta_weight("default"))


@every_way
def test_what_is_loaded_is_what_was_saved(name: str, tmp_path: Path) -> None:
    model = mlp()
    adapted = get_peft_model(model, WayConfig(way=name, r=2, target_modules="all-linear", random_seed=3))
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter))
    adapted.save_pretrained(tmp_path)
    assert torch.equal(run(PeftModel.from_pretrained(mlp(), tmp_path)), run(adapted))
    assert torch.equal(run(pickle.loads(pickle.dumps(adapted))), run(adapted))
    assert torch.equal(run(copy.deepcopy(adapted)), run(adapted))
    assert "PEFT has no such kind" in (tmp_path / "README.md").read_text("utf-8")


def test_a_mixed_set_is_saved_and_loaded(tmp_path: Path) -> None:
    model = PeftModel(mlp())
    kinds = {
        "sparse": ShiraConfig(r=1, target_modules=["lin0"], init_weights=False),
        "low": LoraConfig(r=1, target_modules=["lin0", "lin2"], init_lora_weights=False),
        "waves": WayConfig(way="fourier", r=2, target_modules=["lin1"]),
        "blocks": WayConfig(way="gralora", r=2, target_modules=["lin1", "lin2"]),
        "product": WayConfig(way="hira", r=1, target_modules=["lin0"]),
    }
    for name, config in kinds.items():
        model.add_adapter(name, config)
    for _, layer in model.base_model.adapter_layers():
        for _, adapter in layer.named_adapters():
            for parameter in adapter.parameters():
                parameter.data.add_(torch.randn_like(parameter) / 4)
    model.set_adapter(list(kinds))
    model.save_pretrained(tmp_path)
    again = PeftModel(mlp())
    for name in kinds:
        again.load_adapter(tmp_path / name, name)
    again.set_adapter(list(kinds))
    assert torch.equal(run(again), run(model))
    outputs, weights = run(model), {path: layer.weight.clone() for path, layer in model.base_model.adapter_layers()}
    model.merge_adapter()
    torch.testing.assert_close(run(model), outputs)
    model.unmerge_adapter()
    assert all(torch.equal(layer.weight, weights[path]) for path, layer in model.base_model.adapter_layers())


def test_positions_from_a_file_are_checked(tmp_path: Path) -> None:
    adapted = get_peft_model(mlp(), WayConfig(way="shira_dora", r=1, target_modules=["lin1"]))
    for wrong in (-1, 400):
        adapted.get_submodule("base_model.model.lin1").get_adapter("default").positions[[0, -1][wrong > 0]] = wrong
        adapted.save_pretrained(tmp_path)
        with pytest.raises(StorageError, match=r"should hold sorted positions in a weight of shape \(20, 20\)"):
            PeftModel.from_pretrained(mlp(), tmp_path)
        adapted = get_peft_model(mlp(), WayConfig(way="shira_dora", r=1, target_modules=["lin1"]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@every_way
def test_parameters_are_float32_on_a_half_precision_layer(name: str, dtype: torch.dtype) -> None:
    adapted = get_peft_model(mlp(dtype), WayConfig(way=name, r=2, target_modules="all-linear"))
    assert {parameter.dtype for parameter in adapted.parameters() if parameter.requires_grad} == {torch.float32}
    assert run(adapted).dtype == dtype


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"way": "lohira"}, "`way` should be one of fourier, haar, "),
        ({"way": "hira", "options": {"q": 2}}, "`options` has q; the way 'hira' takes none."),
        ({"way": "gralora", "options": {"Q": 2}}, "`options` has Q; the way 'gralora' takes q."),
        ({"way": "gralora", "r": 3}, "GraLoRA's `q` should divide m, n and r, which are 20, 10 and 3; got 2."),
        ({"way": "gralora", "options": {"q": True}}, "GraLoRA's `q` should divide m, n and r"),
        ({"way": "rosa", "options": {"share": 1.5}}, r"RoSA's `share` of the low rank should be in \[0, 1\]; got 1.5."),
        ({"way": "haar", "r": 9}, "r=9 is too large for layer 'lin0'"),
        ({"way": "haar", "random_seed": -1}, "`random_seed` should be"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence_and_changes_nothing(
    config: dict[str, object], sentence: str
) -> None:
    model = mlp()
    parts = dict(model.named_modules())
    with pytest.raises(ConfigError, match=sentence):
        get_peft_model(model, WayConfig(**{"r": 2, "target_modules": "all-linear"} | config))  # type: ignore[arg-type]
    assert dict(model.named_modules()) == parts


def test_only_linear_layers_are_changed() -> None:
    config = WayConfig(way="hira", r=1, target_modules=["0"], fan_in_fan_out=True)
    with pytest.raises(ConfigError, match=r"Layer '0' is a Conv1D; a way changes nn.Linear alone. Use SHiRA or LoRA."):
        get_peft_model(nn.Sequential(Conv1D(8, 8)), config)


def test_a_way_of_ones_own_has_to_keep_the_budget() -> None:
    @register_way("twice")
    class Twice(Hira):
        def __init__(self, base_layer: nn.Linear, r: int, seed: int = 0) -> None:
            super().__init__(base_layer, r, seed)
            self.more = nn.Parameter(torch.zeros(1))

    try:
        assert WAYS["twice"].kind == "Twice"
        sentence = (
            r"'twice' has 31 parameters for layer 'lin0' of shape \(20, 10\) and r = 1; expected r\(m \+ n\) = 30"
        )
        with pytest.raises(ConfigError, match=sentence):
            get_peft_model(mlp(), WayConfig(way="twice", r=1, target_modules=["lin0"]))
    finally:
        del WAYS["twice"]


@pytest.mark.parametrize("name", ["lora", "hira", "two words", 3])
def test_names_that_are_taken_stay_what_they_are(name: str) -> None:
    before = dict(WAYS)
    with pytest.raises(ConfigError, match="cannot be the name of a way: use a word of letters"):
        register_way(name)(type("Mine", (Way,), {}))
    assert before == WAYS


def test_a_way_has_no_mask_to_move() -> None:
    _, layer, _ = on_layer("haar")
    with pytest.raises(ShiraError, match="Adapter 'default' is a WaveFT adapter; only SHiRA adapters have a mask"):
        layer.set_positions("default", random_positions((12, 8), 40, 0))
