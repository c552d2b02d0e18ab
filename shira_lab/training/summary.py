"""A run in a dozen lines: what was asked for, what it cost, and what it brought."""

from statistics import fmean

from shira_lab.training.history import History, RankPoint
from shira_lab.training.methods import hyperparameters
from shira_lab.training.ways import WAYS


def summary(history: History, saved_bytes: int) -> list[tuple[str, str]]:
    """(name, value) rows for people.

    Args:
        saved_bytes: size of the file that holds what was learned.
    """
    settings = history.settings
    rows = [
        ("model", f"{settings.model}, {history.parameters:,} parameters"),
        ("method", settings.label),
        ("trained on", f"{settings.world}, {history.step} of {settings.steps} steps of {settings.batch_size} texts"),
        ("texts", history.texts),
        ("training", hyperparameters(settings)),
        ("seed", f"{settings.seed}"),
        ("trainable parameters", f"{history.trainable:,} ({100 * history.trainable / history.parameters:.2f}%)"),
    ]
    if settings.method != "full":
        targets = settings.target_modules
        rows.insert(3, ("layers", " ".join(targets) if isinstance(targets, tuple) else f"{targets}"))
        law = WAYS[settings.method].law if settings.method in WAYS else "r(m + n)"
        rows.append(("budget", f"{law} numbers for an (m, n) weight, r = {settings.r}"))
    if history.evals:
        first, last = history.evals[0], history.evals[-1]
        rows.append(("held-out loss", f"{first.loss:.3f} before, {last.loss:.3f} after (nats per token)"))
    if history.evals and last.floor:
        rows += [
            ("floor", f"{last.floor:.3f}, what a perfect model reaches"),
            ("excess", f"{first.excess:.3f} before, {last.excess:.3f} after"),
        ]
    rows += [("rank of the update", ranks) for ranks in _ranks(history)]
    return [*rows, ("time", f"{history.seconds:.1f} s"), ("saved", f"{saved_bytes / 1e6:.2f} MB"), _status(history)]


def _ranks(history: History) -> list[str]:
    """The mean over the watched layers, at the last step at which they were looked at."""
    last = history.last_ranks
    if not last:
        return []
    return [f"{_mean(last)}, mean of {len(last)} layers; with random values {_mean(history.last_controls)}"]


def _mean(points: list[RankPoint]) -> str:
    rank, stable, effective = (
        fmean(getattr(point, name) for point in points) for name in ("rank", "stable_rank", "effective_rank")
    )
    return f"{rank:.0f} (stable {stable:.1f}, effective {effective:.1f})"


def _status(history: History) -> tuple[str, str]:
    return "status", f"{history.status}. {history.message}".strip(" .")
