"""An adapter that is there gets another mask: the method ``set_mask`` of a PeftModel."""

from typing import TYPE_CHECKING

from shira_lab.adapters.config import ShiraConfig
from shira_lab.adapters.new_adapter import draw_positions, prepare_config
from shira_lab.adapters.taken import taken_entries
from shira_lab.adapters.tree import ask_all, check_known
from shira_lab.errors import expect
from shira_lab.layers import AdapterLayer
from shira_lab.masks.calibration import Calibration

if TYPE_CHECKING:
    from shira_lab.adapters.model import PeftModel

#: The fields of a config that say which positions train.
_MASK_FIELDS = ("mask_type", "custom_mask_fn", "random_seed", "seed_per_layer", "avoid", "mask_kwargs")


def set_mask(
    self: "PeftModel", adapter_name: str, peft_config: ShiraConfig, calibration: Calibration | None = None
) -> None:
    """Move a SHiRA adapter to the masks of another config; values at positions in both masks stay.

    So do gradients, and what an optimizer that has made a step remembers of these values, such as Adam's moments.
    A new entry starts at zero and without a past.

    Raises:
        AdapterError: when the number of values would change; nothing has changed then.
    """
    expect(peft_config, ShiraConfig, "peft_config", "a ShiraConfig, which says where the new mask lies")
    check_known(self.peft_config, [adapter_name])
    layers = {path: layer for path, layer in self.base_model.adapter_layers() if adapter_name in layer.adapters}
    gradients = self.calibrated(peft_config, calibration, list(layers)) or {}
    base = {path: layer.clean_base_layer() for path, layer in layers.items()}
    config = prepare_config(self.base_model.model, peft_config, list(base.values()))
    taken = taken_entries(self.base_model.model, config.avoid, self.peft_config)
    positions = {
        path: draw_positions(path, base[path], config, gradients.get(path), taken.get(path)) for path in layers
    }
    sizes = {layer: positions[path].numel() for path, layer in layers.items()}
    ask_all(self.base_model.model, AdapterLayer.check_untouched)
    ask_all(self.base_model.model, lambda n: n.check_positions(adapter_name, sizes[n]) if n in sizes else None)
    for path, layer in layers.items():
        layer.set_positions(adapter_name, positions[path])
    mask = {field: getattr(config, field) for field in _MASK_FIELDS}
    self.peft_config[adapter_name] = self.peft_config[adapter_name].copy(**mask)
