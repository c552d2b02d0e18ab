"""Masks: which entries of a weight train. ``mask_fn(base_layer, r, **kwargs)`` gives a binary mask of r(m + n) ones."""

from shira_lab.masks.builtin import gradient_mask, magnitude_mask, random_mask, snip_mask
from shira_lab.masks.check import check_mask
from shira_lab.masks.function import (
    MaskFn,
    MaskFunction,
    find_mask,
    mask_positions,
    mask_types,
    register_mask,
)
from shira_lab.masks.published import columns_mask, gradient_block_mask, lift_mask, smallest_mask, wanda_mask
from shira_lab.masks.structured import block_mask, row_col_mask, struct_mask

__all__ = [
    "MaskFn",
    "MaskFunction",
    "block_mask",
    "check_mask",
    "columns_mask",
    "find_mask",
    "gradient_block_mask",
    "gradient_mask",
    "lift_mask",
    "magnitude_mask",
    "mask_positions",
    "mask_types",
    "random_mask",
    "register_mask",
    "row_col_mask",
    "smallest_mask",
    "snip_mask",
    "struct_mask",
    "wanda_mask",
]
