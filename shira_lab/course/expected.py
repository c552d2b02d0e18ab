"""What a lesson says of its numbers, checked where it says it: a run that was stopped early is no end of the lesson."""

NOT_SO = "Not so here: "


def expect(holds: bool, said: str) -> None:
    """Print the sentence ``said`` if it ``holds``, else that it does not; the cells below run either way."""
    why = "The lesson expected it; a run that was stopped early can be the reason, or another setting."
    print(said if holds else f"{NOT_SO}{said}. {why}")
