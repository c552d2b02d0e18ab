"""From a config to the adapter of one layer: its positions, chosen by the mask function or loaded, and its values."""

import functools
import warnings
from typing import TypeVar

import torch
from torch import Tensor, nn

from shira_lab.adapters.config import AdapterConfig, ShiraConfig
from shira_lab.adapters.lora_config import STARTS_OF_FILES, LoraConfig
from shira_lab.budget import check_budget
from shira_lab.errors import ConfigError, MaskError
from shira_lab.layers import Adapter, LoraAdapter, ShiraAdapter
from shira_lab.masks import mask_positions, mask_types
from shira_lab.masks.function import STATISTICS, accepted, calibrated_by
from shira_lab.masks.positions import draw_seed, is_conv1d, layer_seed, shape_of, weight_of

C = TypeVar("C", bound=AdapterConfig)


def prepare_config(model: nn.Module, config: C, layers: list[nn.Module], new: bool = True) -> C:
    """A copy of the config with what it leaves open: a seed, how the layers store their weights, the model's name.

    Args:
        model: the user's model.
        config: the caller's config; it does not change, so that each use of it draws a seed of its own.
        layers: the target layers.
        new: whether values and masks come from this config; those of a loaded adapter do not, and it gets no seed.

    Raises:
        ConfigError: when values of a new adapter cannot start as the config says.
    """
    changes: dict[str, object] = {}
    if new and isinstance(config, LoraConfig) and config.init_lora_weights in STARTS_OF_FILES:
        raise ConfigError(
            f"`init_lora_weights='{config.init_lora_weights}'` can be loaded, but a new adapter cannot start with it: "
            "set True, False or 'gaussian'."
        )
    name = getattr(model, "name_or_path", None)
    if config.base_model_name_or_path is None and isinstance(name, str) and name:
        changes["base_model_name_or_path"] = name
    if config.task_type is None and config.auto_mapping is None:
        kind = type(model)
        changes["auto_mapping"] = {"base_model_class": kind.__name__, "parent_library": kind.__module__}
    stored_as_in_out = any(is_conv1d(layer) for layer in layers)
    if config.fan_in_fan_out != stored_as_in_out:
        found = "Conv1D, whose weight is stored as (in, out)" if stored_as_in_out else "nn.Linear"
        warnings.warn(f"`fan_in_fan_out` is set to {stored_as_in_out}: the target is {found}.", stacklevel=4)
        changes["fan_in_fan_out"] = stored_as_in_out
    unseeded = isinstance(config, ShiraConfig) and config.random_seed is None and config.mask_fn
    if new and unseeded and accepted(unseeded, {"random_seed": 0}):
        changes["random_seed"] = draw_seed()
    return config.copy(**changes)


def make_adapter(
    path: str,
    base_layer: nn.Module,
    config: AdapterConfig,
    statistic: Tensor | None,
    positions: Tensor | None,
    avoid: Tensor | None = None,
    autocast_adapter_dtype: bool = True,
) -> Adapter:
    """The adapter that ``config`` gives the layer at ``path``, on the layer's device.

    Args:
        path: the layer's path in the model.
        base_layer: the layer, with a weight of shape (m, n).
        config: as :func:`prepare_config` returns it.
        statistic: what :func:`~shira_lab.masks.calibration.calibrate` found for the layer, where the mask wants it.
        positions: (k,), those of a loaded adapter; None asks the mask function.
        avoid: (m, n), not zero at entries that other adapters have taken.
        autocast_adapter_dtype: make the values float32 on a half-precision layer, so that small updates are not rounded
            away in training; False gives them the layer's dtype.

    Raises:
        ConfigError: when r is too large for the layer, or the config has no mask function.
        MaskError: when the mask is not a mask.
    """
    weight = weight_of(base_layer)
    if weight.is_meta:
        raise ConfigError(f"Layer '{path}' is on the meta device: it has no numbers to adapt. Load the weights first.")
    if weight.dtype not in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        raise ConfigError(f"Layer '{path}' has dtype {weight.dtype}; only floating-point weights can be adapted.")
    dtype = torch.promote_types(weight.dtype, torch.float32) if autocast_adapter_dtype else weight.dtype
    if isinstance(config, ShiraConfig):
        r, shape = config.r_for(path), shape_of(base_layer)
        k = check_budget(r, shape, f"layer '{path}'")
        if positions is None:
            positions = draw_positions(path, base_layer, config, statistic, avoid)
        positions = positions.to(weight.device)
        values = torch.zeros(k) if config.init_weights else torch.randn(k)
        made: Adapter = ShiraAdapter(r, shape, positions, values.to(weight.device, dtype), is_conv1d(base_layer))
    else:
        made = new_of_kind(config, path, base_layer, dtype)
    made.scale = config.scale_for(path)
    return made


@functools.singledispatch
def new_of_kind(config: AdapterConfig, path: str, base_layer: nn.Module, dtype: torch.dtype) -> Adapter:
    """A new adapter without a mask for the layer at ``path``, on its device; each kind registers how it is made."""
    raise NotImplementedError(type(config).__name__)


@new_of_kind.register
def _(config: LoraConfig, path: str, base_layer: nn.Module, dtype: torch.dtype) -> Adapter:
    return LoraAdapter(
        config.r_for(path), shape_of(base_layer), config.scaling_for(path), config.lora_dropout,
        config.init_lora_weights, is_conv1d(base_layer), weight_of(base_layer).device, dtype,
    )  # fmt: skip


def draw_positions(
    path: str, base_layer: nn.Module, config: ShiraConfig, statistic: Tensor | None, avoid: Tensor | None = None
) -> Tensor:
    """The sorted positions (k,) that the mask of ``config`` gives the layer at ``path``.

    Arguments and errors are those of :func:`make_adapter`.
    """
    mask_fn = config.mask_fn
    if mask_fn is None:
        raise ConfigError(
            f"`mask_type='{config.mask_type}'` has no function: known are {', '.join(mask_types())}. Set "
            "`config.mask_fn = my_mask_fn`, or register yours with `shira_lab.masks.register_mask`."
        )
    wanted = calibrated_by(mask_fn)
    if wanted and statistic is None and (wanted != "gradient" or base_layer.weight.grad is None):
        raise MaskError(
            f"`mask_type='{config.mask_type}'` ranks positions by {STATISTICS[wanted]}: pass `calibration=batches` to "
            "`get_peft_model` or `add_adapter`."
        )
    offered: dict[str, object] = {}
    if config.random_seed is not None:
        seed = layer_seed(config.random_seed, path) if config.seed_per_layer else config.random_seed
        offered["random_seed"] = seed
    if wanted and statistic is not None:
        offered[wanted] = statistic
    if avoid is not None:
        offered["avoid"] = avoid
        if not accepted(mask_fn, {"avoid": avoid}):
            raise MaskError(
                f"`avoid={config.avoid}`: the mask '{config.mask_type}' avoids nothing. Give its function a parameter "
                "`avoid`, a mask of the weight's shape whose ones are taken, and leave those entries out."
            )
    known = accepted(mask_fn, offered)
    unknown = set(config.mask_kwargs) - set(accepted(mask_fn, config.mask_kwargs))
    if unknown:
        raise ConfigError(f"`mask_kwargs` has {sorted(unknown)}, which the mask '{config.mask_type}' does not take.")
    return mask_positions(mask_fn, base_layer, config.r_for(path), f"layer '{path}'", **known, **config.mask_kwargs)
