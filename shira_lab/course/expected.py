"""What a lesson says of its numbers, checked where it says it: a run that was stopped early is no end of the lesson."""

from shira_lab.course.language import tr

NOT_SO = "Not so here: "
WHY = "The lesson expected it; a run that was stopped early can be the reason, or another setting."


def expect(holds: bool, said: str) -> None:
    """Print the sentence ``said`` if it ``holds``, else that it does not; the cells below run either way."""
    print(said if holds else f"{tr(NOT_SO)}{said}. {tr(WHY)}")
