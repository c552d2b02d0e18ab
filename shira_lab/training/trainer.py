"""transformers' Trainer for adapters: a checkpoint holds the adapter alone, and nothing disturbs the base weights."""

from pathlib import Path
from typing import Any

import torch.distributed
import transformers
from torch import nn
from transformers import PrinterCallback, TrainingArguments
from transformers.trainer import TRAINING_ARGS_NAME

from shira_lab.adapters.config import ShiraConfig
from shira_lab.adapters.model import PeftModel
from shira_lab.adapters.storage.files import CONFIG_NAME, find_files, read_json
from shira_lab.adapters.storage.load import read_tensors
from shira_lab.adapters.storage.state_dicts import set_peft_model_state_dict
from shira_lab.training.checkpoints import HISTORY_NAME
from shira_lab.training.history import History
from shira_lab.training.moving.callback import MovingMask


class Trainer(transformers.Trainer):
    """transformers' Trainer, with its arguments, whose checkpoints of a PeftModel hold the adapters alone.

    transformers' own trains a :class:`~shira_lab.adapters.model.PeftModel` as well, but its checkpoints hold the whole
    model: it knows PEFT's class, not this one. Checkpoints here are folders as ``save_pretrained`` writes them.
    """

    def __init__(
        self, model: nn.Module | None = None, args: TrainingArguments | None = None, *rest: Any, **kwargs: Any
    ) -> None:
        args = args or TrainingArguments()
        if isinstance(model, PeftModel):
            args._n_gpu = min(args.n_gpu, 1)  # nn.DataParallel copies models at each step, with what is written in them
        super().__init__(model, args, *rest, **kwargs)
        if args.world_size > 1 and isinstance(self.model, PeftModel):
            share_adapters(self.model)

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
            if self.processing_class is not None:
                self.processing_class.save_pretrained(folder)
            torch.save(self.args, folder / TRAINING_ARGS_NAME)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if isinstance(self.model, PeftModel):
            restore_adapters(self.model, Path(resume_from_checkpoint))
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_best_model(self) -> None:
        if isinstance(self.model, PeftModel):
            restore_adapters(self.model, Path(self.state.best_model_checkpoint))
        else:
            super()._load_best_model()


class AdapterTrainer(Trainer):
    """A :class:`Trainer` whose checkpoints carry the ``history`` up to their step, and the state of a mask that
    moves."""

    def __init__(
        self, model: nn.Module, args: TrainingArguments, history: History, moving: MovingMask | None, **kwargs: Any
    ) -> None:
        args._n_gpu = min(args.n_gpu, 1)  # a whole model too: all methods of a comparison train in the same way
        super().__init__(model=model, args=args, **kwargs)
        self.remove_callback(PrinterCallback)
        self.history, self.moving = history, moving
        if moving is not None:
            self.add_callback(moving)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        super()._save(output_dir, state_dict)
        if self.args.should_save:
            folder = Path(output_dir or self.args.output_dir)
            self.history.save(folder / HISTORY_NAME)
            if self.moving is not None:
                self.moving.save(folder)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        if self.moving is not None:
            self.moving.load(Path(resume_from_checkpoint))


def restore_adapters(model: PeftModel, folder: Path) -> None:
    """Give the adapters of ``model`` the values, positions and seeds that ``save_pretrained`` left in ``folder``.

    The parameters stay the same objects, so an optimizer that holds them goes on working.

    Raises:
        StorageError: when a file is missing or does not fit its adapter.
    """
    for name, config in model.peft_config.items():
        place = folder if name == "default" else folder / name
        set_peft_model_state_dict(model, read_tensors(find_files(place)[1]), name)
        if isinstance(config, ShiraConfig):
            config.random_seed = read_json(place / CONFIG_NAME).get("random_seed")


def share_adapters(model: PeftModel) -> None:
    """Give every process the positions and values of the first: where masks are ranked, a rounding can differ."""
    for _, layer in model.base_model.adapter_layers():
        for tensor in (*layer.adapters.parameters(), *layer.adapters.buffers()):
            torch.distributed.broadcast(tensor.data, 0)
