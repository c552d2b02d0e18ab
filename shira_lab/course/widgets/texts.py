"""Texts and progress as small HTML: what the model generated before, on the way, and now."""

from collections.abc import Sequence
from html import escape

from shira_lab.course.language import tr
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
    items = "".join(
        f"<p><strong>{tr('step {step}', step=s.step)}</strong>: {escape(s.text)}</p>" for s in reversed(samples)
    )
    title = tr("all texts on the way ({count})", count=len(samples))
    return f'<details style="line-height:1.45"><summary>{title}</summary>{items}</details>'


def progress(history: History) -> str:
    """A bar of the steps done."""
    done, steps = history.step, history.settings.steps
    named = tr("steps done")
    return f'<progress max="{steps}" value="{done}" style="width:200px" aria-label="{named}"></progress>'


def progress_sentence(history: History) -> str:
    """Where the run stands, in words."""
    done, steps = history.step, history.settings.steps
    if not history.steps:
        return tr("Step 0 of {steps}: measuring the model as it is ...", steps=steps)
    rest = (steps - done) * history.seconds / done
    here = tr(
        "Step {done} of {steps}, {spent:.0f} s, about {rest:.0f} s to go.",
        done=done, steps=steps, spent=history.seconds, rest=rest,
    )  # fmt: skip
    return f"{here} {_losses(history)}"


def outcome_sentence(history: History) -> str:
    """How the run ended, in words."""
    if history.status == "diverged":
        return history.message
    steps = tr("1 step") if history.step == 1 else tr("{steps} steps", steps=history.step)
    verb = tr("Stopped after {steps}") if history.status == "stopped" else tr("Finished after {steps}")
    rest = tr(
        "and {spent:.0f} s; {some:,} of {all:,} parameters trained.",
        spent=history.seconds, some=history.trainable, all=history.parameters,
    )  # fmt: skip
    return f"{verb.format(steps=steps)} {rest} {_losses(history)}"


def _losses(history: History) -> str:
    last = history.evals[-1]
    if last.floor:
        return tr("Held-out loss {loss:.2f}, floor {floor:.2f} nats/token.", loss=last.loss, floor=last.floor)
    return tr("Held-out loss {loss:.2f} nats/token.", loss=last.loss)
