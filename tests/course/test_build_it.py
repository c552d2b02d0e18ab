"""The steps of "Build it": what a beginner writes first is called by its name, and what is given up can be taken."""

import copy
import json
import linecache
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from shira_lab import ShiraError
from shira_lab.course.exercises import EXERCISES, check, mine_or_solution
from shira_lab.course.exercises.build.beside import Beside, source_of
from shira_lab.course.exercises.build.files import save as right_save
from shira_lab.course.exercises.build.gradient import SparseWeightGrad as RightGrad
from shira_lab.course.exercises.build.layer import ShiraLinear, add_sparse
from shira_lab.course.exercises.build.positions import mask_positions
from shira_lab.course.exercises.build.training import inject as right_inject

RightLinear = ShiraLinear
STEPS = {
    1: ("mask_positions",),
    2: ("add_sparse", "ShiraLinear"),
    3: ("SparseWeightGrad",),
    4: ("inject", "train"),
    5: ("unload",),
    6: ("save",),
    7: ("LoraLinear",),
}
MISTAKES: dict[str, tuple[Any, str]] = {}


def told(message: str) -> Callable[[Any], Any]:
    """The decorated wrong answer should be told this."""

    def keep(answer: Any) -> Any:
        MISTAKES[answer.__qualname__] = (answer, message)
        return answer

    return keep


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class TheRowsAlone:
    @told("You give 24 positions. The budget is k = r(m + n) = 2 * (12 + 18) = 60. That is r * m: the columns count")
    def mask_positions(weight, r, seed):
        m, n = weight.shape
        return torch.randperm(m * n, generator=seeded(seed))[: r * m].sort().values


class TheBudgetForEachSide:
    @told("You give 120 positions. The budget is k = r(m + n) = 2 * (12 + 18) = 60. That is r(m + n) for each side;")
    def mask_positions(weight, r, seed):
        m, n = weight.shape
        return torch.randperm(m * n, generator=seeded(seed))[: 2 * r * (m + n)].sort().values


class AllOfThem:
    @told("Those are all entries, in a new order: keep the first k.")
    def mask_positions(weight, r, seed):
        return torch.randperm(weight.numel(), generator=seeded(seed)).sort().values


class DrawnWithReplacement:
    @told("4 of 60 positions come a second time, so fewer than k entries train. `randint` draws with replacement;")
    def mask_positions(weight, r, seed):
        m, n = weight.shape
        return torch.randint(m * n, (r * (m + n),), generator=seeded(seed)).sort().values


class DrawnAnewAtEachCall:
    @told("Two calls with one seed give two masks: a new generator with this seed belongs in each call.")
    def mask_positions(weight, r, seed, generator=torch.Generator()):  # noqa: B008  as beginners write it
        m, n = weight.shape
        return torch.randperm(m * n, generator=generator)[: r * (m + n)].sort().values


class TheGlobalDice:
    @told("Your function turns torch's global dice, which other code uses")
    def mask_positions(weight, r, seed):
        torch.manual_seed(seed)
        m, n = weight.shape
        return torch.randperm(m * n)[: r * (m + n)].sort().values


class SeedForgotten:
    @told("The seeds 3 and 4 give the same positions: does `seed` reach the generator?")
    def mask_positions(weight, r, seed):
        m, n = weight.shape
        return torch.randperm(m * n, generator=seeded(0))[: r * (m + n)].sort().values


class TheLastOfTheOrder:
    @told("A mask of the right size, but not the one that PEFT draws from seed 0: shuffle all positions")
    def mask_positions(weight, r, seed):
        m, n = weight.shape
        return torch.randperm(m * n, generator=seeded(seed))[-r * (m + n) :].sort().values


class NotSorted:
    @told("The right positions, in the order in which they were drawn: sort them, as a file stores them.")
    def mask_positions(weight, r, seed):
        m, n = weight.shape
        return torch.randperm(m * n, generator=seeded(seed))[: r * (m + n)]


class SortReturnsTwo:
    @told("Return a tensor of positions; yours is of type sort. `sort()` gives values and places: take its `.values`.")
    def mask_positions(weight, r, seed):
        m, n = weight.shape
        return torch.randperm(m * n, generator=seeded(seed))[: r * (m + n)].sort()


class DenseMask:
    @told("This is a mask of shape (12, 18). Return the places of its ones, k flat positions")
    def mask_positions(weight, r, seed):
        mask = torch.zeros(weight.numel())
        mask[mask_positions(weight, r, seed)] = 1
        return mask.view(weight.shape)


class RowsAndColumns:
    @told("Return flat positions of shape (k,), one number each: row * n + column. Yours have shape (2, 60).")
    def mask_positions(weight, r, seed):
        positions = mask_positions(weight, r, seed)
        return torch.stack([positions // weight.shape[1], positions % weight.shape[1]])


class Int32:
    @told("Positions are indices, torch.int64 in PyTorch; yours are torch.int32.")
    def mask_positions(weight, r, seed):
        return mask_positions(weight, r, seed).int()


class DownTheColumns:
    @told("Your positions count down the columns. In PyTorch row i, column j of an (m, n) weight is at i * n + j")
    def mask_positions(weight, r, seed):
        m, n = weight.shape
        positions = mask_positions(weight, r, seed)
        return (positions % n * m + positions // n).sort().values


class CountedFromOne:
    @told("is outside of the weight: its 216 entries are counted from 0 to 215.")
    def mask_positions(weight, r, seed):
        return 1 + torch.arange(weight.numel())[-r * sum(weight.shape) :]


class TheFirstRows:
    @told("Your positions are the first rows of the weight: shuffle all m * n positions, seeded.")
    def mask_positions(weight, r, seed):
        return torch.arange(r * sum(weight.shape))


class WritesIntoW:
    @told("Your function writes into W, and the base model is lost. `put` makes a copy, `put_` does not.")
    def add_sparse(weight, positions, v):
        weight.view(-1)[positions] += v.detach()
        return weight


class PutsV:
    @told("At the positions stands v in the place of W + v: take what stands there, and add v.")
    def add_sparse(weight, positions, v):
        return weight.put(positions, v)


class SAlone:
    @told("This is S alone: add it to W.")
    def add_sparse(weight, positions, v):
        return torch.zeros_like(weight).put(positions, v)


class FlatSum:
    @told("W + S has the shape of W, (8, 18); yours has (144,).")
    def add_sparse(weight, positions, v):
        return weight.flatten().index_add(0, positions, v)


class SumInFloat32:
    @told("W + S comes out as torch.float32: a sum with float32 numbers is float32. Bring it back with")
    def add_sparse(weight, positions, v):
        wide = torch.promote_types(weight.dtype, v.dtype)
        return add_sparse(weight.to(wide), positions, v)


class Detached:
    @told("No gradient can reach v: `detach()`, `.data` and `torch.no_grad()` cut the way.")
    def add_sparse(weight, positions, v):
        return add_sparse(weight, positions, v.detach())


class OtherPlaces:
    @told("Other entries than those at the positions have changed: position p is row p // n, column p % n.")
    def add_sparse(weight, positions, v):
        m, n = weight.shape
        return add_sparse(weight, positions % n * m + positions // n, v)


class WholeRows:
    @told("Positions are flat, p = row * n + column, and `w[positions]` asks for whole rows: `take` and `put` go by")
    def add_sparse(weight, positions, v):
        changed = weight.clone()
        changed[positions] += v
        return changed


class OfTwoSizes:
    @told("v has k numbers and W mn: they meet at the positions, `weight.take(positions)`.")
    def add_sparse(weight, positions, v):
        return weight + v


class Minus:
    @told("This is W - S.")
    def add_sparse(weight, positions, v):
        return add_sparse(weight, positions, -v)


class SumNotReturned:
    @told("Return W + S; yours is of type NoneType.")
    def add_sparse(weight, positions, v):
        add_sparse(weight, positions, v)


class RandomAtFirst:
    @told("Before any training the layer should be the base layer: begin with zeros in `shira_weight`")
    class ShiraLinear(RightLinear):
        def __init__(self, base_layer, positions):
            super().__init__(base_layer, positions)
            self.shira_weight = nn.Parameter(torch.randn(len(positions)))


class AColumn:
    @told("`shira_weight` should have shape (48,), one number for each position; yours has shape (48, 1).")
    class ShiraLinear(RightLinear):
        def __init__(self, base_layer, positions):
            super().__init__(base_layer, positions)
            self.shira_weight = nn.Parameter(torch.zeros(len(positions), 1))


class BiasTwiceInTheLayer:
    @told("The bias is added twice: the base layer's output has it already.")
    class ShiraLinear(RightLinear):
        def forward(self, x):
            return super().forward(x) + self.base_layer.bias


class OutputNotReturned:
    @told("None stands where a tensor or a layer should: is a `return` missing?")
    class ShiraLinear(RightLinear):
        def forward(self, x):
            super().forward(x)


class BaseLeftTrainable:
    @told("The base layer's weight and bias would train, too: `base_layer.requires_grad_(False)` freezes both.")
    class ShiraLinear(RightLinear):
        def __init__(self, base_layer, positions):
            super().__init__(base_layer, positions)
            self.base_layer.requires_grad_(True)


class BiasLeftTrainable:
    @told("The base layer's bias would train, too")
    class ShiraLinear(RightLinear):
        def __init__(self, base_layer, positions):
            super().__init__(base_layer, positions)
            self.base_layer.bias.requires_grad_(True)


class PlainPositions:
    @told("`positions` is no buffer: `model.to(device)` would move the weight and leave them behind.")
    class ShiraLinear(RightLinear):
        def __init__(self, base_layer, positions):
            super().__init__(base_layer, positions)
            del self.positions
            self.positions = positions


class PlainTensor:
    @told("`shira_weight` is no nn.Parameter: an optimizer asks the model for its parameters, and would never find it.")
    class ShiraLinear(RightLinear):
        def __init__(self, base_layer, positions):
            super().__init__(base_layer, positions)
            del self.shira_weight
            self.shira_weight = torch.zeros(len(positions), requires_grad=True)


class AWholeMatrix:
    @told("one number for each position; yours has shape (12, 12). As many as W has: then nothing is saved.")
    class ShiraLinear(RightLinear):
        def __init__(self, base_layer, positions):
            super().__init__(base_layer, positions)
            self.shira_weight = nn.Parameter(torch.zeros_like(base_layer.weight))


class NothingKept:
    @told("The layer has no `positions`: keep `base_layer`, `positions` and `shira_weight` on `self`.")
    class ShiraLinear(RightLinear):
        def __init__(self, base_layer, positions):
            super().__init__(base_layer, positions)
            del self.positions


class ValuesInHalfPrecision:
    @told("`shira_weight` is torch.bfloat16: in half precision, a small step of training is lost in rounding.")
    class ShiraLinear(RightLinear):
        def __init__(self, base_layer, positions):
            super().__init__(base_layer, positions)
            self.shira_weight = nn.Parameter(torch.zeros(len(positions), dtype=base_layer.weight.dtype))


class TheBaseLayerAlone:
    @told("`shira_weight` has changed, and y has not: W + S must be made in `forward`, at each call.")
    class ShiraLinear(RightLinear):
        def forward(self, x):
            return self.base_layer(x)


class SumAddedTwice:
    @told("y is not x (W + S)^T + b, with v at the layer's positions.")
    class ShiraLinear(RightLinear):
        def forward(self, x):
            weight = add_sparse(self.base_layer.weight, self.positions, 2 * self.shira_weight)
            return nn.functional.linear(x, weight, self.base_layer.bias)


class SumMadeOnce:
    @told("`shira_weight` has changed, and y has not: W + S must be made in `forward`, at each call.")
    class ShiraLinear(RightLinear):
        def __init__(self, base_layer, positions):
            super().__init__(base_layer, positions)
            self.sum = add_sparse(base_layer.weight, positions, self.shira_weight)

        def forward(self, x):
            return nn.functional.linear(x, self.sum, self.base_layer.bias)


class BiasForgotten:
    @told("The bias is missing: y = x (W + S)^T + b.")
    class ShiraLinear(RightLinear):
        def forward(self, x):
            return x @ add_sparse(self.base_layer.weight, self.positions, self.shira_weight).T


class NotTransposed:
    @told("This is x W: the weight of a linear layer is (outputs, inputs), so y = x W^T.")
    class ShiraLinear(RightLinear):
        def forward(self, x):
            weight = add_sparse(self.base_layer.weight, self.positions, self.shira_weight)
            return x @ weight + self.base_layer.bias


class NoSuper:
    @told(
        "cannot assign module before Module.__init__() call. A module begins its `__init__` with `super().__init__()`."
    )
    class ShiraLinear(nn.Module):
        def __init__(self, base_layer, positions):
            self.base_layer = base_layer


class TrainedPositions:
    @told("Positions are whole numbers, which no step can move: `nn.Buffer`, not `nn.Parameter`.")
    class ShiraLinear(nn.Module):
        def __init__(self, base_layer, positions):
            super().__init__()
            self.positions = nn.Parameter(positions)


class SparseProductInTwoPrecisions:
    @told("W may be in half precision, and v is float32: bring both to one dtype before they meet.")
    class ShiraLinear(RightLinear):
        def forward(self, x):
            update = torch.zeros_like(self.base_layer.weight).put(self.positions, self.shira_weight)
            return self.base_layer(x) + x @ update.T


class MergedAtEachCall:
    @told("`forward` writes into W: each call would add S once more. Make W + S as a new tensor.")
    class ShiraLinear(RightLinear):
        def forward(self, x):
            self.base_layer.weight.data = add_sparse(self.base_layer.weight, self.positions, self.shira_weight).data
            return self.base_layer(x)


class DetachedLayer:
    @told("No gradient can reach `shira_weight`: something in `forward` detaches it.")
    class ShiraLinear(RightLinear):
        def forward(self, x):
            return super().forward(x).detach()


def backward_of(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor]:
    """The right dx and dv."""
    dx, dv, *_ = RightGrad.backward(ctx, dy)
    return dx, dv


class Dense:
    @told("The numbers are right, but all 45 entries of G = dy^T x were made on the way, and 14 are needed.")
    class SparseWeightGrad(RightGrad):
        @staticmethod
        def backward(ctx, dy):
            x, _, weight, positions = ctx.saved_tensors
            m, n = weight.shape
            dv = (dy.reshape(-1, m).T @ x.reshape(-1, n)).flatten()[positions]
            return backward_of(ctx, dy)[0], dv, None, None, None


class DenseTransposed:
    @told("all 45 entries of G = dy^T x were made on the way")
    class SparseWeightGrad(RightGrad):
        @staticmethod
        def backward(ctx, dy):
            x, _, weight, positions = ctx.saved_tensors
            m, n = weight.shape
            dv = (x.reshape(-1, n).T @ dy.reshape(-1, m)).T.flatten()[positions]
            return backward_of(ctx, dy)[0], dv, None, None, None


class AColumnForEachPosition:
    @told("G was not made, but a tensor of 560 numbers was, larger than x, dy and W: a column for each position.")
    class SparseWeightGrad(RightGrad):
        @staticmethod
        def backward(ctx, dy):
            x, _, weight, positions = ctx.saved_tensors
            m, n = weight.shape
            rows, columns = positions // n, positions % n
            dv = (dy.reshape(-1, m)[:, rows] * x.reshape(-1, n)[:, columns]).sum(0)
            return backward_of(ctx, dy)[0], dv, None, None, None


class TwoGradients:
    @told("`backward` returns one gradient for each input of `forward`, in the same order: x, v,")
    class SparseWeightGrad(RightGrad):
        @staticmethod
        def backward(ctx, dy):
            return backward_of(ctx, dy)


class GradientOfTheWeight:
    @told("A gradient has the shape of what it is the gradient of: dx that of x, (40, 5), and dv that of v, (14,).")
    class SparseWeightGrad(RightGrad):
        @staticmethod
        def backward(ctx, dy):
            x, *_ = ctx.saved_tensors
            return backward_of(ctx, dy)[0], dy.T @ x, None, None, None


class WithoutDx:
    @told("`backward` returns None for x, so nothing before it can learn.")
    class SparseWeightGrad(RightGrad):
        @staticmethod
        def backward(ctx, dy):
            return None, backward_of(ctx, dy)[1], None, None, None


class DxIsZero:
    @told("dx is zero: the layers below would learn nothing. y = x (W + S)^T gives dx = dy (W + S).")
    class SparseWeightGrad(RightGrad):
        @staticmethod
        def backward(ctx, dy):
            dx, dv = backward_of(ctx, dy)
            return torch.zeros_like(dx), dv, None, None, None


class DvWithoutSigns:
    @told("dv differs from dense autograd's entries of G = dy^T x at the positions.")
    class SparseWeightGrad(RightGrad):
        @staticmethod
        def backward(ctx, dy):
            dx, dv = backward_of(ctx, dy)
            return dx, dv.abs(), None, None, None


class DxWithoutS:
    @told("dx = dy W leaves S out, and x was multiplied with W + S.")
    class SparseWeightGrad(RightGrad):
        @staticmethod
        def backward(ctx, dy):
            return dy @ ctx.saved_tensors[2], backward_of(ctx, dy)[1], None, None, None


class DxOfOneKind:
    @told("dx is not dy (W + S).")
    class SparseWeightGrad(RightGrad):
        @staticmethod
        def backward(ctx, dy):
            dx, dv = backward_of(ctx, dy)
            return dx.flip(0), dv, None, None, None


class DxOfTheTransposed:
    @told("shapes cannot be multiplied (40x9 and 5x9). The weight of a linear layer is (outputs, inputs)")
    class SparseWeightGrad(RightGrad):
        @staticmethod
        def backward(ctx, dy):
            return dy @ ctx.saved_tensors[2].T, backward_of(ctx, dy)[1], None, None, None


class RowsAreStacked:
    @told("Rows of W have different numbers of entries: `torch.cat` joins them.")
    class SparseWeightGrad(RightGrad):
        @staticmethod
        def backward(ctx, dy):
            x, _, weight, positions = ctx.saved_tensors
            m, n = weight.shape
            rows, columns, dy_, x_ = positions // n, positions % n, dy.reshape(-1, m), x.reshape(-1, n)
            dv = torch.stack([dy_[:, i] @ x_[:, columns[rows == i]] for i in range(m)])
            return backward_of(ctx, dy)[0], dv, None, None, None


class RowsByTheOtherSide:
    @told("The row is p // n, the column p % n.")
    class SparseWeightGrad(RightGrad):
        @staticmethod
        def backward(ctx, dy):
            x, _, weight, positions = ctx.saved_tensors
            m, n = weight.shape
            columns, x_ = positions % m, x.reshape(-1, n)
            return backward_of(ctx, dy)[0], x_[:, columns].sum(0), None, None, None


class DvIsZero:
    @told("dv is zero: the layer would never learn. It holds k entries of G = dy^T x.")
    class SparseWeightGrad(RightGrad):
        @staticmethod
        def backward(ctx, dy):
            dx, dv = backward_of(ctx, dy)
            return dx, torch.zeros_like(dv), None, None, None


class MeanOverTokens:
    @told("dv is the mean over the tokens, and y depends on v through each of them: add them up.")
    class SparseWeightGrad(RightGrad):
        @staticmethod
        def backward(ctx, dy):
            dx, dv = backward_of(ctx, dy)
            return dx, dv / (dy.numel() // dy.shape[-1]), None, None, None


class WrongScale:
    @told("dv is 2 times what it should be: the same factor in each entry.")
    class SparseWeightGrad(RightGrad):
        @staticmethod
        def backward(ctx, dy):
            dx, dv = backward_of(ctx, dy)
            return dx, 2 * dv, None, None, None


class AnotherOrder:
    @told("The right entries of G in another order: entry number p of dv belongs to positions[p].")
    class SparseWeightGrad(RightGrad):
        @staticmethod
        def backward(ctx, dy):
            x, _, weight, positions = ctx.saved_tensors
            m, n = weight.shape
            dy, x, dx = dy.reshape(-1, m), x.reshape(-1, n), backward_of(ctx, dy)[0]
            dv = torch.cat([dy[:, positions[positions % n == j] // n].T @ x[:, j] for j in range(n)])
            return dx, dv, None, None, None


class TransposedPositions:
    @told("These are entries of x^T dy: a position counts the rows of W, outputs, and its columns, inputs.")
    class SparseWeightGrad(RightGrad):
        @staticmethod
        def backward(ctx, dy):
            x, _, _, positions = ctx.saved_tensors
            dx, _ = backward_of(ctx, dy)
            return dx, (x.T @ dy).flatten()[positions], None, None, None


class ABatchForgotten:
    @told("It stopped with RuntimeError: The size of tensor a")
    class SparseWeightGrad(RightGrad):
        @staticmethod
        def backward(ctx, dy):
            x, _, weight, positions = ctx.saved_tensors
            n = weight.shape[1]
            dv = torch.stack([(dy[:, p // n] * x[:, p % n]).sum() for p in positions])
            return backward_of(ctx, dy)[0], dv, None, None, None


class DxTransposed:
    @told("The weight of a linear layer is (outputs, inputs), so y = x W^T, and dx = dy W.")
    class SparseWeightGrad(RightGrad):
        @staticmethod
        def forward(ctx, x, v, weight, positions, bias):
            return x @ add_sparse(weight, positions, v) + bias


class ForwardWithoutBias:
    @told("`forward` does not give x (W + S)^T + b.")
    class SparseWeightGrad(RightGrad):
        @staticmethod
        def forward(ctx, x, v, weight, positions, bias):
            return RightGrad.forward(ctx, x, v, weight, positions, None)


class NoFreezing:
    @told("embed.weight is not frozen. `model.requires_grad_(False)` freezes all there is.")
    def inject(model, names, r, seed):
        right_inject(model, names, r, seed)
        model.embed.requires_grad_(True)


class FrozenAfterwards:
    @told("Nothing trains: the model was frozen after the layers had come in. Freeze it first.")
    def inject(model, names, r, seed):
        right_inject(model, names, r, seed)
        model.requires_grad_(False)


class EveryLinearLayer:
    @told("blocks.0.qk was replaced, too. The names are q, up: compare each with the whole last part of the path")
    def inject(model, names, r, seed):
        right_inject(model, ["q", "up", "qk", "seq"], r, seed)


class NameSomewhereInThePath:
    @told("blocks.0.qk was replaced, too.")
    def inject(model, names, r, seed):
        linear = [path.split(".")[-1] for path, layer in model.named_modules() if isinstance(layer, nn.Linear)]
        right_inject(model, [name for name in linear if any(part in name for part in names)], r, seed)


class OneNameOnly:
    @told("blocks.0.up, blocks.1.up are still nn.Linear; the names are q, up.")
    def inject(model, names, r, seed):
        right_inject(model, names[:1], r, seed)


class ACopy:
    @told("No layer of the model was replaced. Put a ShiraLinear at each path, in the model that was given")
    def inject(model, names, r, seed):
        model = deepcopy(model)
        right_inject(model, names, r, seed)
        return model


class SeedsOfItsOwn:
    @told("The positions in blocks.0.q are not those of its own weight, r and seed")
    def inject(model, names, r, seed):
        right_inject(model, names, r, seed + 1)


class ANewLayer:
    @told("The adapted model does not begin as the base model: is each layer built on the layer it replaces?")
    def inject(model, names, r, seed):
        model.requires_grad_(False)
        for path, layer in list(model.named_modules()):
            if isinstance(layer, nn.Linear) and path.split(".")[-1] in names:
                torch.manual_seed(0)
                new = nn.Linear(layer.in_features, layer.out_features)
                model.set_submodule(path, ShiraLinear(new, mask_positions(layer.weight, r, seed)))


class SetAttribute:
    @told("`setattr` knows no paths with dots: `model.set_submodule(path, new)` does.")
    def inject(model, names, r, seed):
        for path, layer in model.named_modules():
            if path.split(".")[-1] in names:
                setattr(model, path, ShiraLinear(layer, mask_positions(layer.weight, r, seed)))


class SetAttributeOfAList:
    @told("No layer of the model was replaced. Put a ShiraLinear at each path, in the model that was given")
    def inject(model, names, r, seed):
        for path, layer in list(model.named_modules()):
            if path.split(".")[-1] in names:
                setattr(model, path, ShiraLinear(layer, mask_positions(layer.weight, r, seed)))


def loop(model: Any, batches: Any, learning_rate: float, step: Any, kind: Any = torch.optim.AdamW) -> list[Any]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = kind(trained, lr=learning_rate)
    return [step(model, batch, optimizer) for batch in batches]


def usual(model: nn.Module, batch: Any, optimizer: Any) -> float:
    optimizer.zero_grad()
    loss = model(**batch).loss
    loss.backward()
    optimizer.step()
    return loss.item()


class GradientsAddUp:
    @told("Each step goes along the gradients of all steps so far: they add up until `optimizer.zero_grad()`.")
    def train(model, batches, learning_rate):
        def step(model, batch, optimizer):
            loss = model(**batch).loss
            loss.backward()
            optimizer.step()
            return loss.item()

        return loop(model, batches, learning_rate, step)


class GradientsThrownAway:
    @told("Nothing has moved: a step is `loss.backward()`, and then `optimizer.step()`.")
    def train(model, batches, learning_rate):
        def step(model, batch, optimizer):
            loss = model(**batch).loss
            loss.backward()
            optimizer.zero_grad()
            optimizer.step()
            return loss.item()

        return loop(model, batches, learning_rate, step)


class GraphsKept:
    @told("A loss in your list is a tensor and keeps the whole graph of its step in memory: keep the number alone")
    def train(model, batches, learning_rate):
        def step(model, batch, optimizer):
            optimizer.zero_grad()
            loss = model(**batch).loss
            loss.backward()
            optimizer.step()
            return loss

        return loop(model, batches, learning_rate, step)


class DetachedLosses:
    @told("A loss in your list is a tensor: keep the number alone, `loss.item()`.")
    def train(model, batches, learning_rate):
        def step(model, batch, optimizer):
            return torch.tensor(usual(model, batch, optimizer))

        return loop(model, batches, learning_rate, step)


class OneLoss:
    @told("Return a list with the loss of each step: 5 batches were given, and you return float.")
    def train(model, batches, learning_rate):
        return loop(model, batches, learning_rate, usual)[-1]


class AnOptimizerForEachStep:
    @told("The optimizer is made anew for each step, and forgets what it has seen: make it once, before the loop.")
    def train(model, batches, learning_rate):
        return [loop(model, [batch], learning_rate, usual)[0] for batch in batches]


class Sgd:
    @told("This is the path of SGD: take `torch.optim.AdamW`, as the library does.")
    def train(model, batches, learning_rate):
        return loop(model, batches, learning_rate, usual, torch.optim.SGD)


class Adam:
    @told("This is the path of Adam: AdamW also shrinks what it trains a little in each step.")
    def train(model, batches, learning_rate):
        return loop(model, batches, learning_rate, usual, torch.optim.Adam)


class OneBatch:
    @told("Every step is made on the first batch: take the next one each time.")
    def train(model, batches, learning_rate):
        return loop(model, batches[:1] * len(batches), learning_rate, usual)


class AnotherRate:
    @told("The trained entries are not where AdamW with this learning rate brings them")
    def train(model, batches, learning_rate):
        return loop(model, batches, learning_rate / 2, usual)


class LossAfterTheStep:
    @told("The losses are not those of the batches before their steps")
    def train(model, batches, learning_rate):
        def step(model, batch, optimizer):
            usual(model, batch, optimizer)
            return model(**batch).loss.item()

        return loop(model, batches, learning_rate, step)


class TheBatchAsOne:
    @told("A batch is a dict of arguments by name: `model(**batch)`.")
    def train(model, batches, learning_rate):
        return [model(batch).loss for batch in batches]


@torch.no_grad()
def put_back(model: nn.Module, linear_of: Callable[[Any], nn.Module]) -> None:
    for path, layer in list(model.named_modules()):
        if isinstance(layer, ShiraLinear):
            model.set_submodule(path, linear_of(layer))


def with_weight(layer: Any, weight: Tensor) -> nn.Linear:
    base = deepcopy(layer.base_layer)
    base.weight = nn.Parameter(weight, requires_grad=False)
    return base


def sum_of(layer: Any, times: float = 1) -> Tensor:
    return add_sparse(layer.base_layer.weight, layer.positions, times * layer.shira_weight)


class Subtracts:
    @told("The weight holds W - S: W was never written, so there is nothing to subtract.")
    def unload(model, merge=False):
        put_back(model, lambda layer: with_weight(layer, sum_of(layer, -1)))


class AddsAndSubtracts:
    @told("entries came back with another last bit: W + S - S is rounded twice.")
    def unload(model, merge=False):
        def base(layer):
            return with_weight(layer, add_sparse(sum_of(layer), layer.positions, -layer.shira_weight))

        put_back(model, base)


class MergesIntoW:
    @told("Merging wrote into W itself: whoever still holds the adapter's layer would now add S a second time.")
    def unload(model, merge=False):
        def base(layer):
            if merge:
                layer.base_layer.weight.copy_(sum_of(layer))
            return layer.base_layer

        put_back(model, base)


class MergesAlways:
    @told("The weight holds W + S, and W was asked for.")
    def unload(model, merge=False):
        put_back(model, lambda layer: with_weight(layer, sum_of(layer)))


class MergesNever:
    @told("The merged layer holds W: S is not in it. (Tried: `unload(model, merge=True)`.)")
    def unload(model, merge=False):
        put_back(model, lambda layer: layer.base_layer)


class MergesTwice:
    @told("The weight holds W + 2S: S was merged twice.")
    def unload(model, merge=False):
        put_back(model, lambda layer: with_weight(layer, sum_of(layer, 2)) if merge else layer.base_layer)


class LeavesTheLayers:
    @told("blocks.0.q is still a ShiraLinear: put an nn.Linear there")
    def unload(model, merge=False):
        put_back(model, lambda layer: ShiraLinear(with_weight(layer, sum_of(layer)), layer.positions))


class LosesTheBias:
    @told("The bias of blocks.0.q was lost on the way.")
    def unload(model, merge=False):
        def base(layer):
            m, n = layer.base_layer.weight.shape
            new = nn.Linear(n, m, bias=False)
            new.weight.copy_(sum_of(layer) if merge else layer.base_layer.weight)
            return new

        put_back(model, base)


class AnotherKind:
    @told("blocks.0.q is of type Sequential; an nn.Linear was there at first.")
    def unload(model, merge=False):
        put_back(model, lambda layer: nn.Sequential(layer.base_layer))


class AnotherPrecision:
    @told("The weight came back as torch.float64; it was torch.float32.")
    def unload(model, merge=False):
        put_back(model, lambda layer: with_weight(layer, layer.base_layer.weight.double()))


class SumInThePlaceOfAParameter:
    @told("A weight is an nn.Parameter: copy the numbers into it, `weight.copy_(...)`, or make another one.")
    def unload(model, merge=False):
        def base(layer):
            if merge:
                layer.base_layer.weight = sum_of(layer)
            return layer.base_layer

        put_back(model, base)


class NotEvenNear:
    @told("The weight is neither W nor W + S.")
    def unload(model, merge=False):
        put_back(model, lambda layer: with_weight(layer, layer.base_layer.weight.flip(0)))


class ClearsTheRest:
    @told("The model's output is not that of the base model. (Tried: `unload(model, merge=False)`.)")
    def unload(model, merge=False):
        model.norm.reset_parameters()
        put_back(model, lambda layer: with_weight(layer, sum_of(layer)) if merge else layer.base_layer)


def written(model: Any, folder: Path, tensors_of: Callable[[str, Any], dict[str, Tensor]], **config: Any) -> None:
    """Both files, with what ``tensors_of`` gives for each layer."""
    layers = {path: layer for path, layer in model.named_modules() if isinstance(layer, ShiraLinear)}
    tensors = {name: tensor for path, layer in layers.items() for name, tensor in tensors_of(path, layer).items()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "SHIRA", **config}))


def right(path: str, layer: Any) -> tuple[Tensor, Tensor]:
    n = layer.base_layer.weight.shape[1]
    return layer.shira_weight.detach(), torch.stack([layer.positions // n, layer.positions % n]).int()


class InTheFile:
    """Files whose v and indices were changed, or that have another beginning of their names, or another config."""

    def __init__(self, change: Any = lambda v, i: (v, i), before: str = "base_model.model.", **config: Any) -> None:
        self.change, self.before, self.config = change, before, config

    def __call__(self, model: nn.Module, folder: Path, names: list[str], r: int, seed: int) -> None:
        config = {"r": r, "target_modules": names, "random_seed": seed, **self.config}
        written(model, folder, self.tensors_of, **config)

    def tensors_of(self, path: str, layer: Any) -> dict[str, Tensor]:
        values, indices = self.change(*right(path, layer))
        return {f"{self.before}{path}.shira_weight": values, f"{self.before}{path}.shira_indices": indices}


ANOTHER_ORDER = "The values stand in another order than their places"
FILES = {
    "lacks PEFT's beginning: it puts base_model.model. before the path of each layer.": InTheFile(before=""),
    "shira_indices is torch.int64; PEFT has torch.int32": InTheFile(lambda v, i: (v, i.long())),
    "PEFT has all rows first and then all columns, (2, 32).": InTheFile(lambda v, i: (v, i.T)),
    "shira_indices has the columns before the rows": InTheFile(lambda v, i: (v, i.flip(0))),
    "holds a row and a column for each entry, (2, 32); yours has shape (32,).": InTheFile(lambda v, i: (v, i[0])),
    f"{ANOTHER_ORDER}: number p of shira_weight": InTheFile(lambda v, i: (v.sort().values, i)),
    ANOTHER_ORDER: InTheFile(lambda v, i: (v, i.flip(1))),
    "shira_indices of blocks.0.q holds other places than the": InTheFile(lambda v, i: (v, (i + 1) % 8)),
    "holds other numbers than the layer's v: the values alone, not W + S.": InTheFile(lambda v, i: (v + 1, i)),
    "the k = 32 values, shape (32,); yours has shape (32, 1).": InTheFile(lambda v, i: (v[:, None], i)),
    "adapter_config.json has `peft_type` 'LORA'; expected 'SHIRA'.": InTheFile(peft_type="LORA"),
    "The library does not take the files: `mask_type` should be a name such as 'random'": InTheFile(mask_type=3),
    "The files load, and the model with them gives other outputs than yours.": InTheFile(scale=2.0),
    "adapter_config.json lacks `r`: without it nobody can make the adapter.": InTheFile(),
}


def save_as(files: InTheFile, *without: str) -> Any:
    def save(model, folder, names, r, seed):
        files(model, folder, names, r, seed)
        config = json.loads((folder / "adapter_config.json").read_text())
        left = {name: value for name, value in config.items() if name not in without}
        (folder / "adapter_config.json").write_text(json.dumps(left))

    return save


for number, (message, files) in enumerate(FILES.items()):
    MISTAKES[f"InTheFile{number}.save"] = save_as(files, *(["r"] if "lacks `r`" in message else [])), message


class NotJson:
    @told("adapter_config.json is no JSON: write it with `json.dumps`.")
    def save(model, folder, names, r, seed):
        right_save(model, folder, names, r, seed)
        (folder / "adapter_config.json").write_text(str({"r": r}))


class AListInTheConfig:
    @told("adapter_config.json should be one object, from a dict of fields.")
    def save(model, folder, names, r, seed):
        right_save(model, folder, names, r, seed)
        (folder / "adapter_config.json").write_text(json.dumps([r]))


class OtherFileName:
    @told("There is no adapter_config.json in the folder: PEFT looks for this name, and found adapter_model")
    def save(model, folder, names, r, seed):
        right_save(model, folder, names, r, seed)
        (folder / "adapter_config.json").rename(folder / "config.json")


class TheWholeModel:
    @told("The file holds the base layers, too: an adapter's file holds v and its places alone, and is small.")
    def save(model, folder, names, r, seed):
        right_save(model, folder, names, r, seed)
        save_file(model.state_dict(), folder / "adapter_model.safetensors")


class OtherNames:
    @told("and base_model.model.blocks.0.q.v is none of PEFT's names.")
    def save(model, folder, names, r, seed):
        def tensors_of(path, layer):
            values, indices = right(path, layer)
            return {f"base_model.model.{path}.v": values, f"base_model.model.{path}.shira_indices": indices}

        written(model, folder, tensors_of)


class NoPlaces:
    @told("The places are not in the file: write base_model.model.blocks.0.q.shira_indices, rows and columns (2, k).")
    def save(model, folder, names, r, seed):
        written(model, folder, lambda path, layer: {f"base_model.model.{path}.shira_weight": right(path, layer)[0]})


LORA = EXERCISES["LoraLinear"].solution


class BothZero:
    @told("A and B are both zero: the gradient of each is a product with the other")
    class LoraLinear(LORA):
        def __init__(self, base_layer, r):
            super().__init__(base_layer, r)
            nn.init.zeros_(self.A)


class BothRandom:
    @told("Before any training the layer should be the base layer: BA = 0, so one of both begins at zero.")
    class LoraLinear(LORA):
        def __init__(self, base_layer, r):
            super().__init__(base_layer, r)
            nn.init.normal_(self.B)


class ATransposed:
    @told("A has shape (12, 2); expected (2, 12), so that BA is (m, n).")
    class LoraLinear(LORA):
        def __init__(self, base_layer, r):
            super().__init__(base_layer, r)
            self.A = nn.Parameter(self.A.detach().T)


class NoB:
    @told("The layer needs `self.B`, an nn.Parameter of shape (12, 2).")
    class LoraLinear(LORA):
        def __init__(self, base_layer, r):
            super().__init__(base_layer, r)
            del self.B


class BaseTrains:
    @told("204 parameters train where r(m + n) = 48 are to be: A and B alone; freeze the base layer, its bias too.")
    class LoraLinear(LORA):
        def __init__(self, base_layer, r):
            super().__init__(base_layer, r)
            self.base_layer.requires_grad_(True)


class HugeA:
    @told("A is large: its numbers should be of size 1 / sqrt(n), or a first step of B is a leap.")
    class LoraLinear(LORA):
        def __init__(self, base_layer, r):
            super().__init__(base_layer, r)
            nn.init.normal_(self.A, std=30)


class UpdateForgotten:
    @told("A and B have changed, and y has not: add x (BA)^T in `forward`.")
    class LoraLinear(LORA):
        def forward(self, x):
            return self.base_layer(x)


class BiasTwice:
    @told("The bias is added twice: the base layer's output has it already.")
    class LoraLinear(LORA):
        def forward(self, x):
            return super().forward(x) + self.base_layer.bias * self.B.any()


class Scaled:
    @told("The update is 0.5 times BA: leave the scale at 1 here.")
    class LoraLinear(LORA):
        def forward(self, x):
            return self.base_layer(x) + x @ self.A.T @ self.B.T / 2


class UpdateAlone:
    @told("This is x (BA)^T alone: add it to the base layer's output.")
    class LoraLinear(LORA):
        def forward(self, x):
            update = x @ self.A.T @ self.B.T
            return update if self.B.any() else self.base_layer(x)


class BiasLost:
    @told("The bias is missing.")
    class LoraLinear(LORA):
        def forward(self, x):
            return super().forward(x) - self.base_layer.bias * self.B.any()


class BiasTwiceFromTheStart:
    @told("The bias is added twice: the base layer's output has it already.")
    class LoraLinear(LORA):
        def forward(self, x):
            return super().forward(x) + self.base_layer.bias


class BiasForgottenFromTheStart:
    @told("The bias is missing.")
    class LoraLinear(LORA):
        def forward(self, x):
            return super().forward(x) - self.base_layer.bias


class TheProductFromTheStart:
    @told("This is x (BA)^T alone: add it to the base layer's output.")
    class LoraLinear(LORA):
        def forward(self, x):
            return x @ self.A.T @ self.B.T


class NormalAsItComes:
    @told("A is large: its numbers should be of size 1 / sqrt(n), or a first step of B is a leap.")
    class LoraLinear(LORA):
        def __init__(self, base_layer, r):
            super().__init__(base_layer, r)
            self.A = nn.Parameter(torch.randn(self.A.shape))


class AllOnes:
    @told("The rows of A are alike, so the columns of B get one and the same gradient: BA would keep rank 1.")
    class LoraLinear(LORA):
        def __init__(self, base_layer, r):
            super().__init__(base_layer, r)
            self.A = nn.Parameter(torch.ones(self.A.shape))


class Otherwise:
    @told("y is not x (W + BA)^T + b.")
    class LoraLinear(LORA):
        def forward(self, x):
            return self.base_layer(x) + (x @ self.A.T @ self.B.T).flip(-1)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_called_by_its_name(name: str) -> None:
    answer, message = MISTAKES[name]
    verdict = check(answer)
    assert not verdict.passed and message in verdict.message, verdict.message


@pytest.mark.parametrize("step", STEPS)
def test_each_step_knows_five_mistakes_or_more_by_different_sentences(step: int) -> None:
    sentences = {message for name, (_, message) in MISTAKES.items() if name.split(".")[-1] in STEPS[step]}
    assert len(sentences) >= 5


BROKEN = {
    "mask_positions": "def mask_positions(weight, r, seed):\n    return torch.arange(r)",
    "add_sparse": "def add_sparse(weight, positions, v):\n    return weight.scatter(0, positions, v)",
    "ShiraLinear": "class ShiraLinear(nn.Linear):\n    pass",
}


@pytest.mark.parametrize("later", ["ShiraLinear", "SparseWeightGrad", "inject", "unload", "save"])
@pytest.mark.parametrize("earlier", BROKEN)
def test_a_later_step_is_not_blamed_for_an_earlier_one(earlier: str, later: str) -> None:
    names: dict[str, Any] = {"torch": torch, "nn": nn, "copy": copy, "json": json, "save_file": save_file}
    for name in ("mask_positions", "add_sparse", "SparseWeightGrad", "ShiraLinear", later):
        names[name] = EXERCISES[name].made_among(names)
    exec(BROKEN[earlier], names)
    verdict = check(names[later])
    uses = {"ShiraLinear": {"add_sparse"}, "SparseWeightGrad": {"add_sparse"}, "inject": set(BROKEN)}
    if earlier in uses.get(later, {"ShiraLinear", "add_sparse"}):
        assert verdict.message.startswith(f"{earlier}, which {later} uses, does not pass its own check: look at `check")
    else:
        assert verdict.passed or earlier == later


def test_a_file_in_another_order_is_right_where_values_and_places_agree() -> None:
    assert check(save_as(InTheFile(lambda v, i: (v.flip(0), i.flip(1))))).passed


def test_who_gives_up_goes_on_with_the_solution_among_the_names_of_the_other_steps(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names: dict[str, Any] = {"torch": torch, "nn": nn}
    for name in ("mask_positions", "add_sparse", "ShiraLinear", "inject"):
        exec(EXERCISES[name].stub, names)
        names[name] = mine_or_solution(names[name])
        assert check(names[name]).passed and names[name] is not EXERCISES[name].solution
    model = nn.ModuleDict({"q": nn.Linear(6, 6)})
    names["inject"](model, ["q"], 1, 0)
    assert type(model["q"]) is names["ShiraLinear"]
    assert capsys.readouterr().out.splitlines()[0] == (
        "On with the solution of mask_positions; `solution('mask_positions')` shows it."
    )


def test_who_has_solved_a_step_goes_on_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert mine_or_solution(mask_positions) is mask_positions
    assert capsys.readouterr().out == "On with your mask_positions.\n"


CELL = """import functools


@functools.cache
def first():
    return 1


class Second:
    def of(self): ...
"""


def test_code_from_a_cell_is_found_as_code_from_a_file_is() -> None:
    linecache.cache["<a cell>"] = (len(CELL), None, CELL.splitlines(keepends=True), "<a cell>")
    names: dict[str, Any] = {}
    exec(compile(CELL, "<a cell>", "exec"), names)
    assert source_of(names["first"]) == "@functools.cache\ndef first():\n    return 1"
    assert source_of(names["Second"]) == "class Second:\n    def of(self): ..."
    assert source_of(RightGrad).startswith("class SparseWeightGrad(torch.autograd.Function):")


def test_code_that_is_gone_is_asked_for() -> None:
    names: dict[str, Any] = {}
    exec("def gone(): ...", names)
    with pytest.raises(ShiraError, match=r"The code of gone is not to be found: run the cell that defines it once"):
        source_of(names["gone"])


def test_what_only_one_side_has_is_coloured() -> None:
    page = Beside((returns_one, returns_two))
    assert page.lines == 3
    html = page._repr_html_()
    for word in ("one", "two", "returns_one", "returns_two", "1", "2"):
        assert html.count(f'<span style="color:#0072B2">{word}</span>') == (word not in ("one", "two")), word
    assert "() -&gt; int:\n    print(&quot;both&quot;)\n    return <span" in html
    titles, gap, *_, last = repr(page).splitlines()
    assert titles.split() == ["yours", "|", "shira_lab/minimal.py"] and gap.split() == ["|"]
    assert last.split() == ["return", "1", "|", "return", "2"]


def returns_one() -> int:
    print("both")
    return 1


def returns_two() -> int:
    print("both")
    return 2
