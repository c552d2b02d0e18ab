"""Adapters on linear layers: SHiRA and LoRA in one frame."""

from shira_lab.layers.layer import AdapterLayer
from shira_lab.layers.lora import LoraAdapter
from shira_lab.layers.shira import ShiraAdapter

__all__ = ["AdapterLayer", "LoraAdapter", "ShiraAdapter"]
