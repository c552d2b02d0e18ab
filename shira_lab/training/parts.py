"""How the batch of a step is shared: by processes, and by each of them in parts that it reads one after the other."""

import os

from accelerate import PartialState
from transformers import PreTrainedModel

from shira_lab.errors import ConfigError
from shira_lab.training.settings import Settings


def processes_for(model: PreTrainedModel) -> PartialState:
    """The processes that train together; one, unless torchrun or accelerate has started more.

    Raises:
        ConfigError: when they shall share the weights, too.
    """
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true":
        raise ConfigError(
            "FSDP was asked for (`--use_fsdp`, or a saved configuration of accelerate), and a run of shira-lab looks "
            "at whole weights, which FSDP cuts into pieces. Start it without FSDP, so that each process holds the "
            "frozen model, or shard the model in a loop of your own, as docs/more-than-one-process.md shows."
        )
    return PartialState(cpu=model.device.type == "cpu")


def processes_here() -> int:
    """Those of them on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def texts_at_once(model: PreTrainedModel, settings: Settings) -> int:
    """Texts that go through the model together in one process.

    Raises:
        ConfigError: when a batch cannot be shared equally by the processes.
    """
    processes, parts = processes_for(model).num_processes, settings.gradient_accumulation_steps
    if settings.batch_size % (processes * parts):
        raise ConfigError(
            f"`batch_size` is {settings.batch_size}, which {processes} processes cannot share equally"
            f"{f' in {parts} parts each' if parts > 1 else ''}; choose a multiple."
        )
    return settings.batch_size // (processes * parts)
