"""The trained pair that ships with the package: SHiRA random with two seeds, from the study's first seed."""

from importlib.resources import as_file, files

from transformers import PreTrainedTokenizerBase

from shira_lab.adapters.model import PeftModel
from shira_lab.course.fusion.records import Protocol
from shira_lab.models.hub import load_model

SHIPPED = "adapters"


def shipped_pair() -> tuple[PeftModel, PreTrainedTokenizerBase]:
    """The embedded model with an adapter for each world of the study, named after it; none is active.

    The files hold the values in half precision and no positions, since the seed gives those again.
    """
    model, tokenizer = load_model(Protocol.model)
    both = PeftModel(model)
    with as_file(files("shira_lab.course.fusion") / SHIPPED) as folder:
        for world in Protocol.worlds:
            both.load_adapter(folder / world, world)
    return both, tokenizer
