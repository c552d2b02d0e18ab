"""Write the table of training settings into docs/settings.md; `make settings` calls it."""

from pathlib import Path

from shira_lab.training.settings import Settings, table

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"


def page() -> str:
    """The text of the page, as it should be."""
    return f"""# Settings of a fine-tuning run

`shira-lab finetune` has an option for each, `shira_lab.training.settings.Settings` a field, and `FineTuneLab` a control
for most. This page is written by `make settings` from the lines in `shira_lab/training/settings.py`.

{table(Settings)}"""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
