"""The model card beside an adapter: ``README.md``, with the head that PEFT writes, for the hub to read.

It says what the config says and no more. Only who trained the adapter knows the rest, and that text stays: a card is
written anew only while it is, word for word, the one that belongs to the adapter lying there.
"""

import json
from pathlib import Path
from typing import Any

from shira_lab.adapters.config import AdapterConfig, ShiraConfig
from shira_lab.adapters.lora_config import LoraConfig
from shira_lab.adapters.storage.folder import CARD_NAME, COMPACT_NAME, find_files
from shira_lab.errors import ShiraError

_TEXT = """---
{head}
---
# {title}

{method} The rest of the base model is unchanged.

- Target modules: {targets}
- Trained in full beside them: {saved}
- {settings}

On which data it was trained, how well it does, and what it is not for cannot be read from its files. Say it here.

```python
from shira_lab import PeftModel

model = PeftModel.from_pretrained(base_model, folder)
```
"""


def card(config: AdapterConfig, file: str) -> str:
    """The text for an adapter with this config and this name of the file with its tensors."""
    base, targets, name, method = config.base_model_name_or_path, config.target_modules, "", ""
    settings = f"r: {config.r}"
    if isinstance(config, ShiraConfig):
        name, settings = "SHiRA", f"{settings}, mask: {config.mask_type}"
        method = "A sparse high rank adapter (arXiv 2406.13175): r(m + n) entries of each target's (m, n) weight."
    if isinstance(config, LoraConfig):
        name, settings = "LoRA", f"{settings}, lora_alpha: {config.lora_alpha:g}"
        method = "A low rank adapter (arXiv 2106.09685): two factors of rank r beside each target's weight."
    head: dict[str, Any] = {"base_model": base} if base else {}
    head["library_name"] = "shira_lab" if file == COMPACT_NAME else "peft"
    if config.task_type == "CAUSAL_LM":
        head["pipeline_tag"] = "text-generation"
    head["tags"] = ([f"base_model:adapter:{base}"] if base else []) + [name.lower()]
    return _TEXT.format(
        head="\n".join(f"{key}: {json.dumps(value)}" for key, value in head.items()),
        title=f"{name} adapter for {base}" if base else f"{name} adapter",
        method=method,
        targets=targets if isinstance(targets, str) else ", ".join(sorted(targets or ["those of its architecture"])),
        saved=", ".join(config.modules_to_save or ["nothing"]),
        settings=settings,
    )


def may_write_card(folder: Path) -> bool:
    """Whether ``folder`` has no card, or the one of the adapter that is there."""
    path = folder / CARD_NAME
    if not path.exists():
        return True
    try:
        config, file = AdapterConfig.from_pretrained(folder), find_files(folder)[1].name
        return path.read_text("utf-8") == card(config, file)
    except (ShiraError, OSError, ValueError):
        return False
