"""From a config to the adapter of one layer: the mask is drawn, ranked or loaded here, and checked."""

import warnings
from typing import TypeVar

import torch
from torch import Tensor, nn

from shira_lab.adapters.config import STARTS_OF_FILES, AdapterConfig, LoraConfig, ShiraConfig
from shira_lab.budget import check_budget
from shira_lab.errors import ConfigError, MaskError
from shira_lab.layers import LoraAdapter, ShiraAdapter
from shira_lab.masks import MaskFn, mask_positions, mask_types
from shira_lab.masks.function import STATISTICS, accepted, calibrated_by
from shira_lab.masks.positions import draw_seed, is_conv1d, layer_seed, shape_of, weight_of

C = TypeVar("C", bound=AdapterConfig)


def prepare_config(model: nn.Module, config: C, layers: list[nn.Module], new: bool = True) -> C:
    """The config as it will be used and recorded: a seed is drawn where none is given, fan_in_fan_out follows the
    layers, and the model's name is noted unless the config says one.

    The caller's object is left alone, so that using it twice draws twice.

    Args:
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
        made = type(model)
        changes["auto_mapping"] = {"base_model_class": made.__name__, "parent_library": made.__module__}
    stored_as_in_out = any(is_conv1d(layer) for layer in layers)
    if config.fan_in_fan_out != stored_as_in_out:
        kind = "Conv1D, whose weight is stored as (in, out)" if stored_as_in_out else "nn.Linear"
        warnings.warn(f"`fan_in_fan_out` is set to {stored_as_in_out}: the target is {kind}.", stacklevel=4)
        changes["fan_in_fan_out"] = stored_as_in_out
    if new and isinstance(config, ShiraConfig) and config.random_seed is None and _draws(config.mask_fn):
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
) -> ShiraAdapter | LoraAdapter:
    """The adapter that ``config`` gives the layer at ``path``, on the layer's device.

    Values are float32 on a half-precision layer, so that small updates are not rounded away while training; without
    ``autocast_adapter_dtype`` they have the layer's dtype.

    Raises:
        ConfigError: when r is too large for the layer, or the config has no mask function.
        MaskError: when the mask is not a mask.
    """
    weight = weight_of(base_layer)
    if weight.is_meta:
        raise ConfigError(f"Layer '{path}' is on the meta device: it has no numbers to adapt. Load the weights first.")
    if weight.dtype not in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        raise ConfigError(f"Layer '{path}' has dtype {weight.dtype}; only floating-point weights can be adapted.")
    r, shape = config.r_for(path), shape_of(base_layer)
    dtype = torch.promote_types(weight.dtype, torch.float32) if autocast_adapter_dtype else weight.dtype
    if isinstance(config, LoraConfig):
        lora = LoraAdapter(
            r, shape, config.scaling_for(path), config.lora_dropout, config.init_lora_weights,
            is_conv1d(base_layer), weight.device, dtype,
        )  # fmt: skip
        lora.scale = config.scale_for(path)
        return lora
    assert isinstance(config, ShiraConfig)
    k = check_budget(r, shape, f"layer '{path}'")
    if positions is None:
        positions = draw_positions(path, base_layer, config, statistic, avoid)
    positions = positions.to(weight.device)
    values = torch.zeros(k) if config.init_weights else torch.randn(k)
    shira = ShiraAdapter(r, shape, positions, values.to(weight.device, dtype), is_conv1d(base_layer))
    shira.scale = config.scale_for(path)
    return shira


def draw_positions(
    path: str, base_layer: nn.Module, config: ShiraConfig, statistic: Tensor | None, avoid: Tensor | None = None
) -> Tensor:
    """The sorted positions (k,) that ``config`` gives the layer at ``path``; raises as :func:`make_adapter`.

    Args:
        statistic: what :func:`~shira_lab.masks.calibration.calibrate` found for the layer, where the mask wants it.
        avoid: (m, n), not zero at entries that other adapters have taken.
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


def _draws(mask_fn: MaskFn | None) -> bool:
    """Whether the mask depends on a seed."""
    return mask_fn is not None and "random_seed" in accepted(mask_fn, {"random_seed": 0})
