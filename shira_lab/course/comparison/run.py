"""One run of a comparison: fine-tune a fresh model as the protocol says, and keep the numbers."""

from collections.abc import Callable, Iterable

from shira_lab.course.comparison.records import Cell, LayerRank, Protocol, Run, RunPoint
from shira_lab.models.hub import load_model
from shira_lab.training.evaluate import sample
from shira_lab.training.finetune import finetune
from shira_lab.training.finetuned import Finetuned
from shira_lab.training.history import History, RankPoint
from shira_lab.training.methods import make_trainable
from shira_lab.training.probe import Probe
from shira_lab.training.stories import Stories
from shira_lab.training.threads import threads_for
from shira_lab.training.worlds import get_world

SAMPLE_SEED = 0  # one seed for all texts: they differ by what was learned


def run_cell(
    cell: Cell,
    protocol: Protocol,
    learning_rate: float,
    seed: int,
    on_event: Callable[[History], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Run:
    """Run ``cell`` once; the same arguments give the same numbers on the same machine.

    Args:
        on_event, should_stop: as for :func:`shira_lab.training.finetune.finetune`.

    Raises:
        ShiraError: when the cell does not fit the model.
    """
    model, tokenizer = load_model(protocol.model)
    with threads_for(model):
        tuned = finetune(model, tokenizer, protocol.settings(cell, learning_rate, seed), on_event, should_stop)
        history = tuned.history
        reported = seed != protocol.tuning_seed and history.status == "finished"
        return Run(
            cell,
            learning_rate,
            seed,
            history.status,
            history.trainable,
            _points(history),
            ranks=_layer_ranks(history.last_ranks) if reported else (),
            consistency=_consistency(tuned, protocol) if reported else {},
            seconds=round(history.seconds, 1),
        )


def control_ranks(cell: Cell, protocol: Protocol, seed: int) -> tuple[LayerRank, ...]:
    """The ranks of :func:`run_cell` for random values in place of the trained ones, at the positions of that seed."""
    model, tokenizer = load_model(protocol.model)
    settings = protocol.settings(cell, learning_rate=1.0, seed=seed)  # nothing is trained
    trained = make_trainable(model, settings, Stories(settings, tokenizer).samples(settings.calibration_samples))
    return _layer_ranks(Probe(trained, model, tokenizer, settings).controls())


def _points(history: History) -> tuple[RunPoint, ...]:
    reference = {point.step: round(point.excess, 4) for point in history.reference}
    return tuple(RunPoint(point.step, round(point.excess, 4), reference.get(point.step)) for point in history.evals)


def _layer_ranks(points: Iterable[RankPoint]) -> tuple[LayerRank, ...]:
    return tuple(
        LayerRank(point.layer, point.rank, round(point.stable_rank, 2), round(point.effective_rank, 2))
        for point in points
    )


def _consistency(tuned: Finetuned, protocol: Protocol) -> dict[str, tuple[int, int]]:
    texts = sample(tuned.model, tuned.tokenizer, protocol.samples, temperature=protocol.temperature, seed=SAMPLE_SEED)
    tallies = get_world(protocol.world).tally(texts)
    return {check: (tally.right, tally.checked) for check, tally in tallies.items()}
