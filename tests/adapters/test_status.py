"""The status of adapters is what PEFT says of the same model."""

from functools import partial
from typing import Any

import peft
import pytest
from tiny import tiny_classifier
from torch import nn

import shira_lab

KINDS = pytest.mark.parametrize("kind", ["ShiraConfig", "LoraConfig"])
LIBRARIES = (shira_lab, peft)


def both(kind: str, then: Any = lambda model: None) -> list[Any]:
    """The same model in both libraries, with two adapters, after the same call."""
    models = []
    for library in LIBRARIES:
        config = partial(getattr(library, kind), task_type="SEQ_CLS")
        model = library.get_peft_model(tiny_classifier(), config(r=2, target_modules=["q_proj"]))
        model.add_adapter("second", config(r=1, target_modules=["q_proj", "v_proj"]))
        then(model)
        models.append(model)
    return models


STATES = {
    "new": lambda model: None,
    "the second": lambda model: model.set_adapter("second"),
    "disabled": lambda model: model.base_model.disable_adapter_layers(),
    "merged": lambda model: model.set_adapter("second") or model.merge_adapter(),
}


@KINDS
@pytest.mark.parametrize("state", STATES)
def test_layers_and_model_have_the_status_that_peft_says(kind: str, state: str) -> None:
    ours, theirs = both(kind, STATES[state])
    mine = [vars(status) for status in shira_lab.get_layer_status(ours)]
    others = [vars(status) for status in peft.get_layer_status(theirs)]
    assert [status["name"] for status in mine] == [status["name"] for status in others]
    for one, other in zip(mine, others, strict=True):
        for field in one.keys() - {"module_type", "active_adapters", "requires_grad"}:
            assert one[field] == other[field], (one["name"], field)
        there = set(one["available_adapters"])
        assert set(one["active_adapters"]) == there & set(other["active_adapters"])
    mine, others = vars(shira_lab.get_model_status(ours)), vars(peft.get_model_status(theirs))
    differ = {"trainable_params"} if state == "disabled" else set()  # there, what is disabled does not train
    for field in mine.keys() - {"adapter_model_type", "requires_grad"} - differ:
        assert mine[field] == others[field], field


@KINDS
def test_what_differs_between_layers_is_irregular(kind: str) -> None:
    ours, _ = both(kind)
    assert shira_lab.get_model_status(ours).requires_grad == {"default": True, "second": False}
    layer = ours.get_base_model().model.decoder.layers[0].self_attn.q_proj
    layer.disable_adapters = True
    layer.set_adapter("second")
    status = shira_lab.get_model_status(ours)
    assert status.enabled == status.active_adapters == "irregular"
    assert status.requires_grad == {"default": "irregular", "second": "irregular"}


@KINDS
def test_an_injected_adapter_has_a_status_and_a_bare_model_none(kind: str) -> None:
    base = nn.Sequential(nn.Linear(8, 8))
    with pytest.raises(shira_lab.ShiraError, match="No adapter layers found in the model: pass a PeftModel, or"):
        shira_lab.get_model_status(base)
    shira_lab.inject_adapter_in_model(getattr(shira_lab, kind)(r=1, target_modules=["0"]), base, "mine")
    status = shira_lab.get_model_status(base)
    assert (status.base_model_type, status.available_adapters, status.active_adapters) == (
        "Sequential", ["mine"], ["mine"]
    )  # fmt: skip
    assert status.trainable_params == sum(p.numel() for p in base.parameters() if p.requires_grad) > 0
    assert status.devices == {"mine": ["cpu"]}
