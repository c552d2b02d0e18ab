"""The mask of any layer as a picture that follows the r slider, with its budget and the ranks it makes possible."""

from typing import Any

import ipywidgets
import traitlets
from torch import Tensor

from shira_lab.adapters.config import ShiraConfig
from shira_lab.course.widgets.controls import dropdown, plain
from shira_lab.course.widgets.layer_app import LayerApp
from shira_lab.course.widgets.model_masks import check_mask_type
from shira_lab.masks import mask_types


class MaskExplorer(LayerApp):
    """Look at masks before training anything: ``MaskExplorer(model)``.

    Args:
        model: any model with linear layers, with or without adapters.
        show: the controls to be seen, out of layer, mask_type, r and random_seed; None for all.
        calibration: batches for the masks that rank positions by data.
        state: initial ``layer``, ``mask_type``, ``r``, ``random_seed``: attributes that can be set at any time.
    """

    controls_offered = ("layer", "mask_type", "r", "random_seed")

    mask_type = traitlets.Unicode("random").tag(state=True)

    def _positions(self) -> Tensor:
        config = ShiraConfig(r=self.r, mask_type=self.mask_type, random_seed=self.random_seed)
        return self._masks.positions(self.layer, config)

    @traitlets.validate("mask_type")
    def _known_mask_type(self, proposal: Any) -> str:
        return check_mask_type(proposal["value"])

    def _make_controls(self) -> dict[str, ipywidgets.Widget]:
        self.after_each_cell(lambda: self.offer("mask_type", *mask_types()))
        menu = dropdown("mask_type", plain(mask_types()), self.mask_type)
        return {"mask_type": menu, **super()._make_controls()}

    def __repr__(self) -> str:
        return f"MaskExplorer(layer={self.layer}, mask_type={self.mask_type}, r={self.r}, {self._budget()})"
