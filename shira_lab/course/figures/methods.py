"""One method, one look, through the whole course: no figure, table or app chooses the colour of a method itself."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle

from shira_lab.course.figures.theme import BLACK, BLUE, GREEN, GREY, ORANGE, PALETTE, PURPLE, SKY, VERMILLION

CONTROL = "random values"  # stand beside an update, and name their positions behind


@dataclass(frozen=True)
class Look:
    """The colour of a curve, and the symbol of its points, so that colour alone never decides."""

    colour: str
    symbol: str


#: Methods, and mask types as methods. The palette has those that are compared; the others are of Paul Tol's "muted".
LOOKS = {
    "LoRA": Look(BLACK, "x"),
    "full": Look(GREY, "hexagon"),
    "SHiRA": Look(BLUE, "circle"),
    "random": Look(BLUE, "circle"),
    "magnitude": Look(VERMILLION, "square"),
    "row_col": Look(GREEN, "diamond"),
    "snip": Look(PURPLE, "triangle-up"),
    "gradient": Look(ORANGE, "cross"),
    "struct": Look(SKY, "star"),
    "block": Look("#332288", "pentagon"),
    "gradient_block": Look("#AA4499", "hourglass"),
    "smallest": Look("#999933", "triangle-down"),
    "lift": Look("#882255", "bowtie"),
    "columns": Look("#44AA99", "hexagram"),
    "wanda": Look("#CC6677", "octagon"),
    CONTROL: Look(GREY, "circle"),
}
_BY_COLOUR = {look.colour: look for look in LOOKS.values()}


def looks(names: Iterable[str]) -> dict[str, Look]:
    """The look of each name in a figure: its method's, or of other names one that no method there has, in order."""
    methods = {name: method_of(name) for name in names}
    taken = {LOOKS[method].colour for method in methods.values() if method in LOOKS}
    free = cycle([_BY_COLOUR[colour] for colour in PALETTE if colour not in taken] or LOOKS.values())
    return {name: LOOKS.get(method) or next(free) for name, method in methods.items()}


def method_of(name: str) -> str:
    """The method in the name of a curve: "magnitude" in "SHiRA magnitude, disjoint", "LoRA" in "your LoRA"."""
    return CONTROL if name.startswith(CONTROL) else name.split(",")[0].removeprefix("your ").removeprefix("SHiRA ")
