"""The layers that an adapter goes to where a config names none, by architecture, as in PEFT."""

from torch import nn

from shira_lab.errors import ConfigError

#: The attention projections that are adapted when ``target_modules`` is None, by ``model.config.model_type``.
DEFAULT_TARGETS: dict[str, tuple[str, ...]] = {
    "bart": ("q_proj", "v_proj"),
    "bert": ("query", "value"),
    "bloom": ("query_key_value",),
    "deberta": ("in_proj",),
    "deberta-v2": ("query_proj", "value_proj"),
    "distilbert": ("q_lin", "v_lin"),
    "falcon": ("query_key_value",),
    "gemma": ("q_proj", "v_proj"),
    "gemma2": ("q_proj", "v_proj"),
    "gemma3_text": ("q_proj", "v_proj"),
    "gpt2": ("c_attn",),
    "gpt_neo": ("q_proj", "v_proj"),
    "gpt_neox": ("query_key_value",),
    "gptj": ("q_proj", "v_proj"),
    "llama": ("q_proj", "v_proj"),
    "mistral": ("q_proj", "v_proj"),
    "mixtral": ("q_proj", "v_proj"),
    "opt": ("q_proj", "v_proj"),
    "phi": ("q_proj", "v_proj"),
    "phi3": ("qkv_proj",),
    "qwen2": ("q_proj", "v_proj"),
    "qwen3": ("q_proj", "v_proj"),
    "roberta": ("query", "value"),
    "t5": ("q", "v"),
    "xlm-roberta": ("query", "value"),
}


def default_targets(model: nn.Module) -> set[str]:
    """The names of the attention projections of a known architecture.

    Raises:
        ConfigError: when the architecture is not known.
    """
    model_type = getattr(getattr(model, "config", None), "model_type", None)
    if model_type not in DEFAULT_TARGETS:
        raise ConfigError(
            f"Please specify `target_modules` in `peft_config`: there is no default for the model type {model_type!r}, "
            f"only for {', '.join(DEFAULT_TARGETS)}."
        )
    return set(DEFAULT_TARGETS[model_type])
