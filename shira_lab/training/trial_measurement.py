"""The time of a measurement between the steps of a run, tried out on a part of it: a batch of held-out texts, the
spectrum of a weight of each watched shape, and the beginning of a text, each times how often the run does so."""

from collections import Counter
from functools import partial

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from shira_lab.analysis.spectrum import spectrum
from shira_lab.masks.positions import shape_of
from shira_lab.training.corpus import find_corpus
from shira_lab.training.evaluate import row_loss, rows_at_once, sample
from shira_lab.training.methods import trained_layers
from shira_lab.training.probe import watched
from shira_lab.training.settings import Settings
from shira_lab.training.trial import seconds_of

TOKENS = 16


def seconds_per_measurement(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: Settings) -> float:
    """The time of what :class:`~shira_lab.training.probe.Probe` does every ``eval_every`` steps.

    Raises:
        ShiraError: when the settings do not fit the model.
    """
    seconds = 0.0
    for world in filter(None, (settings.world, settings.reference_world)):
        rows = find_corpus(world, tokenizer, settings.max_length).held_out(settings.eval_stories).rows
        first = rows[: rows_at_once(model, rows)]
        seconds += seconds_of(partial(row_loss, model, first, tokenizer.pad_token_id)) * len(rows) / len(first)
    layers = [model.get_submodule(path) for path in watched(trained_layers(model, settings))]
    weights = {shape_of(layer): layer.weight for layer in layers}
    for shape, times in Counter(map(shape_of, layers)).items():
        seconds += seconds_of(partial(spectrum, weights[shape].detach())) * times
    few = min(TOKENS, settings.sample_tokens)
    tell = partial(sample, model, tokenizer, prompt=settings.prompt)
    tell(max_new_tokens=1)  # the first call is longer
    return seconds + seconds_of(partial(tell, max_new_tokens=few)) * settings.sample_tokens / few
