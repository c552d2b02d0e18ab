"""transformers' Trainer for adapters: a checkpoint holds the adapter alone, and nothing disturbs the base weights."""

from pathlib import Path
from typing import Any

import torch.distributed
from torch import nn
from transformers import PrinterCallback, Trainer, TrainingArguments

from shira_lab.adapters.model import PeftModel
from shira_lab.training.checkpoints import HISTORY_NAME
from shira_lab.training.history import History


class AdapterTrainer(Trainer):
    """A Trainer for a :class:`~shira_lab.adapters.model.PeftModel`, or for a whole model.

    A checkpoint of a PeftModel has the adapter in PEFT's layout in the place of the model's weights; each checkpoint
    carries the ``history`` up to its step.
    """

    def __init__(self, model: nn.Module, args: TrainingArguments, history: History, **kwargs: Any) -> None:
        args._n_gpu = min(args.n_gpu, 1)  # nn.DataParallel copies models at each step, and with them what is written
        super().__init__(model=model, args=args, **kwargs)
        self.remove_callback(PrinterCallback)
        self.history = history
        if args.world_size > 1 and isinstance(model, PeftModel):
            share_adapters(model)

    def _wrap_model(self, model: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
        if isinstance(model, PeftModel):
            model.unmerge_adapter()  # DistributedDataParallel begins by overwriting weights: they must be the base's
        return super()._wrap_model(model, *args, **kwargs)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        if not isinstance(self.model, PeftModel):
            super()._save(str(folder), state_dict)
        elif self.args.should_save:
            self.model.save_pretrained(folder)
        if self.args.should_save:
            self.history.save(folder / HISTORY_NAME)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if not isinstance(self.model, PeftModel):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        name = self.model.active_adapter
        self.model.delete_adapter(name)
        self.model.load_adapter(resume_from_checkpoint, name, is_trainable=True)
        self.model.set_adapter(name)


def share_adapters(model: PeftModel) -> None:
    """Give every process the positions and values of the first: where masks are ranked, a rounding can differ."""
    for _, layer in model.base_model.adapter_layers():
        for tensor in (*layer.adapters.parameters(), *layer.adapters.buffers()):
            torch.distributed.broadcast(tensor.data, 0)
