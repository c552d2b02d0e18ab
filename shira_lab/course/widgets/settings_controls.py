"""The controls of a fine-tuning run's settings."""

from typing import Any, Final

import ipywidgets

from shira_lab.course.widgets.controls import Slider, dropdown, number, plain
from shira_lab.masks import mask_types

MODELS: Final = ("embedded", "facebook/opt-125m")
METHODS: Final = (("SHiRA", "shira"), ("LoRA", "lora"), ("full fine-tuning", "full"))
TARGETS: Final = (
    ("all linear layers", "all-linear"),
    ("attention: q and v", "q_proj, v_proj"),
    ("feed-forward: fc1 and fc2", "fc1, fc2"),
)
WORLDS: Final = ("sea", "space", "meadow", "python")
RATES: Final = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 2e-2, 3e-2, 5e-2, 1e-1)
MAX_R, MAX_STEPS = 64, 500
MAX_BATCH, MAX_LENGTH = 256, 2048


def settings_controls(state: dict[str, Any]) -> dict[str, ipywidgets.Widget]:
    """A control for each setting, by name; menus also offer what ``state`` holds."""
    menus = {
        "model": plain(MODELS),
        "method": METHODS,
        "mask_type": plain(mask_types()),
        "target_modules": TARGETS,
        "world": plain(WORLDS),
        "learning_rate": [("suits the method", 0.0), *((f"{rate:g}", rate) for rate in RATES)],
    }
    controls: dict[str, ipywidgets.Widget] = {}
    for name, options in menus.items():
        value = state[name]
        missing = [] if value in [known for _, known in options] else plain([value])
        controls[name] = dropdown(name, [*options, *missing], value)
    controls["r"] = Slider(description="r", value=state["r"], max=max(MAX_R, state["r"]))
    controls["steps"] = Slider(description="steps", value=state["steps"], max=max(MAX_STEPS, state["steps"]))
    controls["seed"] = number("seed", state["seed"], 0, max(9999, state["seed"]))
    for name, low, high in (
        ("batch_size", 1, MAX_BATCH),
        ("max_length", 2, MAX_LENGTH),
        ("gradient_accumulation_steps", 1, MAX_BATCH),
    ):
        controls[name] = number(name, state[name], low, max(high, state[name]))
    controls["gradient_checkpointing"] = ipywidgets.Checkbox(
        state["gradient_checkpointing"], description="gradient_checkpointing", indent=False,
        layout={"width": "max-content"},
    )  # fmt: skip
    return controls
