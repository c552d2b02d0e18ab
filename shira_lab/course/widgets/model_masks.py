"""The masks of one model: any type on any linear layer, calibrated when a mask first asks for it."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from shira_lab.adapters.config import ShiraConfig
from shira_lab.adapters.model import PeftModel
from shira_lab.adapters.new_adapter import draw_positions
from shira_lab.adapters.targets import find_targets
from shira_lab.budget import Shape
from shira_lab.errors import ConfigError
from shira_lab.masks import mask_types
from shira_lab.masks.calibration import calibrate
from shira_lab.masks.function import STATISTICS, Statistic, calibrated_by
from shira_lab.masks.positions import shape_of


class ModelMasks:
    """Draws masks for a model.

    Args:
        model: any model with linear layers, with or without adapters.
        calibration: batches for the masks that rank positions by data.

    Attributes:
        layers: the linear layers by path, adapted ones as their base, the output layer left out.
    """

    def __init__(self, model: nn.Module, calibration: Iterable[Any] | None = None) -> None:
        self._model = model.get_base_model() if isinstance(model, PeftModel) else model
        self._calibration = calibration
        self._statistics: dict[Statistic, dict[str, Tensor]] = {}
        self.layers = adaptable_layers(model)

    @property
    def menu(self) -> list[tuple[str, str]]:
        """The layers for a menu, each with its shape."""
        shapes = ((path, *self.shape(path)) for path in self.layers)
        return [(f"{path} ({m} x {n})", path) for path, m, n in shapes]

    def shape(self, layer: str) -> Shape:
        """(m, n) of the layer's weight."""
        return shape_of(self.layers[layer])

    def positions(self, layer: str, config: ShiraConfig) -> Tensor:
        """The sorted positions (k,) that ``config`` gives the layer.

        Raises:
            ConfigError: when the mask ranks positions by data, and there are no batches for it.
            ShiraError: when the mask cannot be made.
        """
        wanted = calibrated_by(config.mask_fn)
        if wanted and self._calibration is None:
            raise ConfigError(
                f"The {config.mask_type} mask ranks positions by {STATISTICS[wanted]}: give batches, as in "
                "MaskExplorer(model, calibration=batches)."
            )
        return draw_positions(layer, self.layers[layer], config, self._found(wanted)[layer] if wanted else None)

    def _found(self, wanted: Statistic) -> dict[str, Tensor]:
        if wanted not in self._statistics:
            assert self._calibration is not None
            self._statistics[wanted] = calibrate(self._model, self.layers, self._calibration, collect=wanted)
        return self._statistics[wanted]

    def check_layer(self, layer: str, field: str = "layer") -> str:
        """Return the path if it is one of a linear layer; else a ConfigError names those that are."""
        if layer not in self.layers:
            raise ConfigError(f"`{field}={layer!r}` is no linear layer; there are {', '.join(self.layers)}.")
        return layer


def check_mask_type(mask_type: str, field: str = "mask_type") -> str:
    """Return the name if a mask function has it; else a ConfigError names those that there are."""
    if mask_type not in mask_types():
        raise ConfigError(f"`{field}={mask_type!r}` is unknown; there are {', '.join(mask_types())}.")
    return mask_type


def adaptable_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The linear layers of a model by path, adapted ones shown as their base, its output layer left out."""
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    return find_targets(base, ShiraConfig(target_modules="all-linear"))
