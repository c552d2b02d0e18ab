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
from typing import Any, get_args

from shira_lab.cli.adapters import add_out, check_out
from shira_lab.errors import ShiraError
from shira_lab.masks import mask_types
from shira_lab.masks.calibration import Reduction
from shira_lab.training.history import Method, Settings

#: Settings by option; each option's help ends in the setting's default.
OPTIONS: dict[str, tuple[str, str]] = {
    "model": ("--model", '"embedded", a folder, or a name on the hub'),
    "method": ("--method", "shira, lora, or full for all weights"),
    "mask_type": ("--mask", "SHiRA's mask: which entries train"),
    "calibration_samples": ("--calibration-samples", "stories by which gradient and snip masks choose"),
    "reduction": ("--reduction", "their gradients: mean_abs is mean |g|, abs_mean is |mean g|"),
    "r": ("--r", "size of the adapter: r(m + n) numbers for an (m, n) weight"),
    "target_modules": ("--targets", "layers to adapt: their names, or all-linear"),
    "world": (
        "--world",
        "whose stories to learn: sea, space or meadow; or real text: python, a text file, or a folder",
    ),
    "steps": ("--steps", "optimizer steps"),
    "batch_size": ("--batch-size", "texts a step, over all processes"),
    "max_length": ("--max-length", "tokens of a piece of real text"),
    "gradient_accumulation_steps": (
        "--gradient-accumulation-steps",
        "parts in which a step's texts are read",
    ),
    "gradient_checkpointing": ("--gradient-checkpointing", "compute activations again instead of keeping them"),
    "learning_rate": ("--lr", "peak learning rate"),
    "seed": ("--seed", "of mask, initial values and stories; -1 draws one"),
    "eval_every": ("--eval-every", "steps between two measurements"),
    "prompt": ("--prompt", "beginning of the sample texts"),
    "sample_tokens": ("--sample-tokens", "length of the sample texts, at most"),
}
TYPES = {
    "calibration_samples": int,
    "r": int,
    "max_length": int,
    "gradient_accumulation_steps": int,
    "steps": int,
    "batch_size": int,
    "eval_every": int,
    "sample_tokens": int,
    "seed": int,
    "learning_rate": float,
}
#: Argparse has no None on the command line.
DRAW_SEED = -1
CHOICES = {"method": get_args(Method), "mask_type": mask_types(), "reduction": get_args(Reduction)}


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Options that were not given are absent, so that a resumed run can fill them in."""
    train = commands.add_parser(
        "finetune",
        help="train an adapter on the stories of a world",
        description="Train an adapter on the stories of a world. Writes the adapter, history.json and report.html. "
        "Ctrl-C stops and keeps what was learned.",
        argument_default=argparse.SUPPRESS,
    )
    defaults = Settings()
    defaults_shown = {**vars(defaults), "learning_rate": "what suits the method"}
    for name, (option, text) in OPTIONS.items():
        train.add_argument(
            option,
            dest=name,
            **_value(name, option),
            help=f"{text} (default: {defaults_shown[name]})",
        )
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


def _value(name: str, option: str) -> dict[str, Any]:
    """How the value of an option is read."""
    if name == "gradient_checkpointing":
        return {"action": "store_true"}
    if name in CHOICES:
        return {"choices": CHOICES[name]}
    shown = option.lstrip("-").replace("-", "_").upper()
    return {"type": TYPES.get(name, str), "nargs": "+" if name == "target_modules" else None, "metavar": shown}


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
            print(f"{name:<20} {value}")
        for when, text in zip(("before", "after"), run.before_and_after(), strict=True):
            print(f"\n{when}: {text}")
        kind = "the model" if settings.method == "full" else "the adapter"
        print(f"\nWritten to {asked.out}: {kind}, history.json and report.html.")
    if run.history.status == "diverged":
        raise ShiraError(run.history.message)
    return 0


def _settings(asked: argparse.Namespace) -> Settings:
    """The settings that the options ask for, beside the defaults or, for a resumed run, those it was started with."""
    given = {name: getattr(asked, name) for name in OPTIONS if hasattr(asked, name)}
    if "target_modules" in given:
        names = given["target_modules"]
        given["target_modules"] = names[0] if names == ["all-linear"] else tuple(names)
    if given.get("seed") == DRAW_SEED:
        given["seed"] = None
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
