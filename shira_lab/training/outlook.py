"""What a run will be, told before it starts: its texts, its memory at the peak, and its time."""

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from shira_lab.training.corpus import find_corpus
from shira_lab.training.forecast import check_fits
from shira_lab.training.settings import Settings
from shira_lab.training.trial import seconds_per_step
from shira_lab.training.trial_measurement import seconds_per_measurement


def outlook(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: Settings) -> str:
    """A few sentences; some steps are tried out for them, and the model stays as it is.

    Raises:
        ShiraError: when the settings do not fit the model, or the memory.
    """
    told = check_fits(model, tokenizer, settings)
    texts = find_corpus(settings.world, tokenizer, settings.max_length).about
    memory = "" if told is None else f" Estimated {told}."
    step = seconds_per_step(model, tokenizer, settings)
    measurement = seconds_per_measurement(model, tokenizer, settings)
    measurements = 1 + -(-settings.steps // settings.eval_every)
    return (
        f"Texts: {texts}.{memory} About {in_words(step)} a step and {in_words(measurement)} for each of {measurements} "
        f"measurements, {in_words(settings.steps * step + measurements * measurement)} in all."
    )


def in_words(seconds: float) -> str:
    """A time for people."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"
