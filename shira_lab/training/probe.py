"""What is looked at while a model trains: held-out loss, the spectrum and the picture of a few updates, a text."""

import re
from base64 import b64encode
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from shira_lab.analysis.spectrum import spectrum
from shira_lab.training.control import control_weight
from shira_lab.training.corpus import HeldOut, find_corpus
from shira_lab.training.evaluate import row_loss, sample
from shira_lab.training.history import EvalPoint, PicturePoint, RankPoint, SamplePoint
from shira_lab.training.methods import Trainable, delta_weight, trained_layers
from shira_lab.training.overview import overview
from shira_lab.training.settings import Settings

SAMPLE_SEED = 0  # one seed for all texts of all runs: they differ by what was learned


class Probe:
    """Measures a model in training. Held-out texts, layers and the sample's seed are fixed when it is made."""

    def __init__(
        self, trained: Trainable, base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: Settings
    ) -> None:
        self.trained, self.base, self.tokenizer, self.settings = trained, base, tokenizer, settings
        self.held_out = self._held_out(settings.world)
        self.reference = self._held_out(settings.reference_world) if settings.reference_world else None
        self.layers = watched(trained_layers(trained, settings))

    def loss(self, step: int) -> EvalPoint:
        """Loss and floor on the held-out texts."""
        return self._loss(step, self.held_out)

    def reference_loss(self, step: int) -> EvalPoint | None:
        """Loss and floor on the held-out texts of the reference world, if there is one."""
        return self._loss(step, self.reference) if self.reference else None

    def updates(self, step: int) -> tuple[list[RankPoint], list[PicturePoint]]:
        """The spectrum and a picture of the update of each watched layer."""
        ranks, pictures = [], []
        for path in self.layers:  # one after the other: of a large model, each is megabytes
            delta = delta_weight(self.trained, self.base, path)
            ranks.append(_rank(step, path, delta))
            pictures.append(_picture(step, path, delta))
        return ranks, pictures

    def controls(self, step: int = 0) -> list[RankPoint]:
        """The spectrum that each watched layer's update would have with random values."""
        return [_rank(step, path, control_weight(self.trained, path)) for path in self.layers]

    def text(self, step: int) -> SamplePoint:
        """A text after the settings' prompt."""
        prompt, length = self.settings.prompt, self.settings.sample_tokens
        texts = sample(self.trained, self.tokenizer, prompt=prompt, seed=SAMPLE_SEED, max_new_tokens=length)
        return SamplePoint(step, prompt, texts[0])

    def _held_out(self, world: str) -> HeldOut:
        return find_corpus(world, self.tokenizer, self.settings.max_length).held_out(self.settings.eval_stories)

    def _loss(self, step: int, held_out: HeldOut) -> EvalPoint:
        loss, tokens = row_loss(self.trained, held_out.rows, self.tokenizer.pad_token_id)
        return EvalPoint(step, loss, held_out.nats / tokens)


def _rank(step: int, path: str, delta: Tensor) -> RankPoint:
    found = spectrum(delta)
    # float32 has about seven digits; more would only fill the file.
    values = tuple(float(f"{value:.6g}") for value in found.values.tolist())
    return RankPoint(step, path, found.rank, found.stable_rank, found.effective_rank, values, found.shape)


def _picture(step: int, path: str, delta: Tensor) -> PicturePoint:
    tiles = overview(delta)
    largest = float(tiles.max())
    levels = (tiles * (255 / largest if largest > 0 else 0)).round().to(torch.uint8)
    rows, columns = tiles.shape
    return PicturePoint(step, path, (rows, columns), largest, b64encode(levels.cpu().numpy().tobytes()).decode())


def watched(paths: Sequence[str]) -> list[str]:
    """Of the first, the middle and the last transformer block the first attention layer and the first other one.

    Layers outside any numbered block are left out, unless there are no blocks.
    """
    blocks: dict[int, list[str]] = {}
    for path in paths:
        index = re.search(r"\.(\d+)\.", path)
        if index:
            blocks.setdefault(int(index[1]), []).append(path)
    if not blocks:
        return list(paths[:2])
    numbers = sorted(blocks)
    chosen = []
    for number in dict.fromkeys((numbers[0], numbers[len(numbers) // 2], numbers[-1])):
        attention = [path for path in blocks[number] if "attn" in path or "attention" in path]
        others = [path for path in blocks[number] if path not in attention]
        chosen += attention[:1] + others[:1]
    return chosen
