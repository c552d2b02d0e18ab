"""PEFT's words for kinds of adapters and for what a model is trained for, and the modules made anew for a task."""

from enum import StrEnum


class PeftType(StrEnum):
    """The kinds of adapters, as ``adapter_config.json`` names them."""

    SHIRA = "SHIRA"
    LORA = "LORA"


class TaskType(StrEnum):
    """The task types that ``adapter_config.json`` knows."""

    SEQ_CLS = "SEQ_CLS"
    SEQ_2_SEQ_LM = "SEQ_2_SEQ_LM"
    CAUSAL_LM = "CAUSAL_LM"
    TOKEN_CLS = "TOKEN_CLS"
    QUESTION_ANS = "QUESTION_ANS"
    FEATURE_EXTRACTION = "FEATURE_EXTRACTION"


#: A pretrained model gets a head with random weights for these tasks; transformers gives it one of these names.
TASK_HEADS: dict[str, tuple[str, ...]] = {
    TaskType.SEQ_CLS: ("classifier", "score"),
    TaskType.TOKEN_CLS: ("classifier", "score"),
    TaskType.QUESTION_ANS: ("qa_outputs",),
}
