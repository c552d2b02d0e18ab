"""``shira-lab finetune``: train an adapter on the stories of a world, or on real text.

Under torchrun (``torchrun --nproc-per-node 2 -m shira_lab.cli finetune ...``) the first process alone prints and
writes.
"""

import argparse
import dataclasses
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from shira_lab.cli.adapters import add_out, check_out
from shira_lab.errors import ShiraError
from shira_lab.training.settings import Setting, Settings, option, settings_of


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Options that were not given are absent, so that a resumed run can fill them in."""
    train = commands.add_parser(
        "finetune",
        help="train an adapter on the stories of a world",
        description="Train an adapter on the stories of a world. Writes the adapter, history.json and report.html. "
        "Ctrl-C stops and keeps what was learned.",
        argument_default=argparse.SUPPRESS,
    )
    add_settings(train, Settings)
    add_out(train)
    train.add_argument(
        "--resume",
        action="store_true",
        default=False,
        help="continue the unfinished run in --out with its settings; the command that began it does so, too",
    )
    train.add_argument(
        "--regardless", action="store_true", default=False, help="train even where memory is estimated to run out"
    )
    train.set_defaults(run=_finetune)


def add_settings(parser: argparse.ArgumentParser, kind: type) -> None:
    """An option for each setting of ``kind``, a dataclass made like :class:`~shira_lab.training.settings.Settings`."""
    for name, known in settings_of(kind).items():
        parser.add_argument(
            option(known), dest=name, **_value(known), help=f"{known.help} (default: {known.default_shown})"
        )


def _value(known: Setting) -> dict[str, Any]:
    """How the value of an option is read."""
    if known.type is bool:
        return {"action": "store_true"}
    if choices := known.choices or known.names():
        return {"choices": choices}
    shown = option(known).lstrip("-").replace("-", "_").upper()
    return {"type": known.type, "nargs": "+" if known.several else None, "metavar": shown}


def _finetune(asked: argparse.Namespace) -> int:
    # Imported when needed: --help and mistyped options are answered at once.
    import torch
    from accelerate import PartialState

    from shira_lab.course.report import write_report
    from shira_lab.models.hub import load_model
    from shira_lab.training.checkpoints import last_checkpoint
    from shira_lab.training.finetune import finetune
    from shira_lab.training.forecast import check_fits
    from shira_lab.training.outlook import outlook
    from shira_lab.training.summary import summary

    settings = _settings(asked)
    resume = asked.resume or last_checkpoint(asked.out) is not None
    if not resume:
        check_out(asked)
    processes = PartialState(cpu=not torch.cuda.is_available())
    with processes.local_main_process_first():  # which downloads it, if it has to be
        model, tokenizer = load_model(settings.model)
    model.to(processes.device)
    if resume and not asked.regardless:
        check_fits(model, tokenizer, settings)
    elif not asked.regardless:
        expected = outlook(model, tokenizer, settings)
        if processes.is_main_process:
            print(expected, file=sys.stderr)
    with _stop_on_interrupt() as should_stop:
        run = finetune(model, tokenizer, settings, None, should_stop, asked.out, resume)
    if processes.is_main_process:
        saved_bytes = sum(file.stat().st_size for file in asked.out.glob("*.safetensors"))
        write_report(asked.out / "report.html", run, saved_bytes)
        for name, value in summary(run.history, saved_bytes):
            print(f"{name:<22} {value}")
        for when, text in zip(("before", "after"), run.before_and_after(), strict=True):
            print(f"\n{when}: {text}")
        kind = "the model" if settings.method == "full" else "the adapter"
        print(f"\nWritten to {asked.out}: {kind}, history.json and report.html.")
    if run.history.status == "diverged":
        raise ShiraError(run.history.message)
    return 0


def _settings(asked: argparse.Namespace) -> Settings:
    """The settings that the options ask for, beside the defaults or, for a resumed run, those it was started with."""
    given: dict[str, Any] = {}
    for name, known in settings_of(Settings).items():
        if hasattr(asked, name):
            value = getattr(asked, name)
            if known.several:
                value = value[0] if value == [known.default] else tuple(value)
            given[name] = None if value == known.nothing else value
    settings = Settings()
    if asked.resume:
        from shira_lab.training.checkpoints import checkpoint_to_resume

        settings = checkpoint_to_resume(asked.out)[1].settings
    return dataclasses.replace(settings, **given)


@contextmanager
def _stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Inside, the first Ctrl-C only makes the yielded function answer True; the second one interrupts as ever."""
    interrupted = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def stop(*_: object) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, stop)
    try:
        yield interrupted.is_set
    finally:
        signal.signal(signal.SIGINT, before)
