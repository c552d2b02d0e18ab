"""Fine-tune a language model on the stories of a world or on real text, with transformers' Trainer underneath.

Losses, ranks of the update and texts stream into a :class:`~shira_lab.training.history.History`. Processes started by
torchrun share each batch and end with the same numbers.
"""

import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from accelerate.utils import broadcast_object_list
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments, set_seed
from transformers.utils import logging

from shira_lab.adapters.model import PeftModel
from shira_lab.errors import ConfigError
from shira_lab.masks.positions import draw_seed
from shira_lab.training.checkpoints import FOLDER, check_new, check_same, checkpoint_to_resume, remove_checkpoints
from shira_lab.training.finetuned import Finetuned
from shira_lab.training.history import History
from shira_lab.training.methods import Trainable, checkpointing, half_precision, make_trainable, suitable_learning_rate
from shira_lab.training.moving.callback import MovingMask
from shira_lab.training.moving.choice import moving_mask
from shira_lab.training.parts import processes_for, texts_at_once
from shira_lab.training.probe import Probe
from shira_lab.training.progress import progress_bar
from shira_lab.training.recorder import Recorder
from shira_lab.training.settings import Settings
from shira_lab.training.stories import Stories
from shira_lab.training.trainer import AdapterTrainer

WARM_UP = 0.05  # share of the steps in which the learning rate rises


def finetune(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    settings: Settings,
    on_event: Callable[[History], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    output_dir: str | Path | None = None,
    resume: bool = False,
) -> Finetuned:
    """Fine-tune ``model`` as ``settings`` say. An adapter's layers stay in it; "full" trains a copy.

    A run that diverges returns too: its history says so, and the model holds what it knew at the last measurement. A
    run that is interrupted leaves the model as it was, bit for bit. The global random generators are seeded.

    Args:
        on_event: called with the history when something was added; None draws a progress bar on stderr.
        should_stop: asked after every step; True ends the run and keeps what was learned.
        output_dir: for checkpoints while the run lasts, and for its result. None writes nothing.
        resume: continue the unfinished run in ``output_dir``; its result is that of an uninterrupted one, bit for bit.

    Raises:
        ShiraError: when the settings do not fit the model, or the run cannot be resumed; nothing was trained.
    """
    processes = processes_for(model)
    output = Path(output_dir) if output_dir is not None else None
    history, checkpoint = _begin(settings, model, output, resume)
    settings = history.settings
    assert settings.seed is not None
    set_seed(settings.seed)
    stories = Stories(settings, tokenizer)
    history.texts = stories.corpus.about
    with tempfile.TemporaryDirectory() as nowhere, _quiet():
        arguments = _arguments(settings, model, output, nowhere)
        history.parameters = sum(p.numel() for p in model.parameters())
        trained = make_trainable(model, settings, stories.samples(settings.calibration_samples))
        history.trainable = sum(p.numel() for p in trained.parameters() if p.requires_grad)
        if not processes.is_main_process:
            on_event = None
        elif on_event is None:
            on_event = progress_bar(settings.steps)
        recorder = Recorder(history, Probe(trained, model, tokenizer, settings), on_event, should_stop)
        moving = moving_mask(trained, history, settings)
        with _training(trained, settings, moving):
            trainer = AdapterTrainer(
                trained,
                arguments,
                history,
                moving,
                train_dataset=stories,
                data_collator=stories.collate,
                callbacks=[recorder],
            )
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if history.status == "running":
        history.status = "finished" if history.step == settings.steps else "stopped"
    recorder.report(now=True)
    result = Finetuned(trained, model, tokenizer, history)
    if output is not None and processes.is_main_process:
        with _quiet():
            result.save(output)
        if history.status != "stopped":
            remove_checkpoints(output)
    processes.wait_for_everyone()
    return result


@contextmanager
def _training(trained: Trainable, settings: Settings, moving: MovingMask | None) -> Iterator[None]:
    """Inside, the model trains. Where that ends in an error or an interrupt, the adapter is taken out of it again:
    nobody holds it yet, and a model with an adapter cannot be fine-tuned.
    """
    use_cache = trained.config.use_cache
    try:
        with checkpointing(trained, settings.gradient_checkpointing):
            yield
    except BaseException:
        if isinstance(trained, PeftModel):
            trained.unload()
        raise
    finally:
        if moving is not None:
            moving.gradients.rest()
        trained.config.use_cache = use_cache  # the Trainer switches it off
        trained.eval()


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside, transformers neither logs nor draws bars: the run has a history and a bar of its own."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)  # the Trainer sets it too
        if bars:
            logging.enable_progress_bar()


def _begin(
    settings: Settings, model: PreTrainedModel, output: Path | None, resume: bool
) -> tuple[History, Path | None]:
    """A history with settled settings, and the checkpoint that it comes from."""
    if settings.learning_rate is None:
        settings = dataclasses.replace(settings, learning_rate=suitable_learning_rate(settings.method, model))
    if resume:
        if output is None:
            raise ConfigError("`resume=True` needs the `output_dir` of the run that is to be continued.")
        checkpoint, history = checkpoint_to_resume(output)
        seed = history.settings.seed if settings.seed is None else settings.seed
        check_same(dataclasses.replace(settings, seed=seed), history.settings)
        return history, checkpoint
    if output is not None:
        check_new(output)
    if settings.seed is None:
        settings = dataclasses.replace(settings, seed=broadcast_object_list([draw_seed()])[0])
    return History(settings), None


def _arguments(settings: Settings, model: PreTrainedModel, output: Path | None, nowhere: str) -> TrainingArguments:
    """The Trainer's arguments for these settings.

    Raises:
        ConfigError: when a batch cannot be shared equally by the processes.
    """
    precision = half_precision(model)
    return TrainingArguments(
        output_dir=str(output / FOLDER) if output else nowhere,
        use_cpu=model.device.type == "cpu",
        max_steps=settings.steps,
        per_device_train_batch_size=texts_at_once(model, settings),
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        bf16=precision == torch.bfloat16,
        fp16=precision == torch.float16,
        learning_rate=settings.learning_rate,
        weight_decay=0.0,
        lr_scheduler_type="linear",
        warmup_steps=round(WARM_UP * settings.steps),
        max_grad_norm=1.0,
        seed=settings.seed,
        train_sampling_strategy="sequential",  # the stories are random already
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="steps" if output else "no",
        save_steps=settings.eval_every,
        save_total_limit=2,
        log_level="error",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,
    )
