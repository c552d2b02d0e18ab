"""Adapters on linear layers: SHiRA, LoRA and others in one frame."""

from shira_lab.layers.layer import AdapterLayer
from shira_lab.layers.lora import LoraAdapter
from shira_lab.layers.shira import Adapter, ShiraAdapter

__all__ = ["Adapter", "AdapterLayer", "LoraAdapter", "ShiraAdapter"]
