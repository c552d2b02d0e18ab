"""Texts and progress as small HTML: what the model generated before, on the way, and now."""

from collections.abc import Sequence
from html import escape

from shira_lab.training.history import History, SamplePoint

_CARD = "flex:1 1 320px;border:1px solid #999;border-radius:4px;padding:4px 12px;line-height:1.45"


def side_by_side(cards: Sequence[tuple[str, str]]) -> str:
    """Texts under their titles, beside each other where there is room."""
    inner = "".join(
        f'<section style="{_CARD}"><strong>{escape(title)}</strong><br>{escape(text)}</section>'
        for title, text in cards
    )
    return f'<div style="display:flex;flex-wrap:wrap;gap:12px">{inner}</div>'


def samples_list(samples: Sequence[SamplePoint]) -> str:
    """The texts generated so far, the newest first, in a part of the page that opens and closes."""
    items = "".join(f"<p><strong>step {s.step}</strong>: {escape(s.text)}</p>" for s in reversed(samples))
    return (
        f'<details style="line-height:1.45"><summary>all texts on the way ({len(samples)})</summary>{items}</details>'
    )


def progress(history: History) -> str:
    """A bar of the steps done."""
    done, steps = history.step, history.settings.steps
    return f'<progress max="{steps}" value="{done}" style="width:200px" aria-label="steps done"></progress>'


def progress_sentence(history: History) -> str:
    """Where the run stands, in words."""
    done, steps = history.step, history.settings.steps
    if not history.steps:
        return f"Step 0 of {steps}: measuring the model as it is ..."
    rest = (steps - done) * history.seconds / done
    return f"Step {done} of {steps}, {history.seconds:.0f} s, about {rest:.0f} s to go. {_losses(history)}"


def outcome_sentence(history: History) -> str:
    """How the run ended, in words."""
    if history.status == "diverged":
        return history.message
    verb = "Stopped" if history.status == "stopped" else "Finished"
    share = f"{history.trainable:,} of {history.parameters:,} parameters trained"
    steps = "1 step" if history.step == 1 else f"{history.step} steps"
    return f"{verb} after {steps} and {history.seconds:.0f} s; {share}. {_losses(history)}"


def _losses(history: History) -> str:
    last = history.evals[-1]
    floor = f", floor {last.floor:.2f}" if last.floor else ""
    return f"Held-out loss {last.loss:.2f}{floor} nats/token."
