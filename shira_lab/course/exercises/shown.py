"""Whether solutions are shown: a plain switch, for classes in which they are handed out later.

A switch, and no lock: who reads the source of the package finds every solution.
"""

import os
from pathlib import Path

from shira_lab.errors import ConfigError

#: ``kept`` or ``shown``; where it is not set, the file decides.
VARIABLE = "SHIRA_LAB_SOLUTIONS"
#: Where a file of this name lies beside the notebook, solutions are kept back.
FILE = "solutions-are-kept"
FILE_SAYS = (
    "Beside this file, the lessons keep their solutions back: `solution(...)` shows none.\n"
    f"Delete it, or set {VARIABLE}=shown, and they are shown again.\n"
)


def are_shown() -> bool:
    """Whether ``solution`` may show what it knows.

    Raises:
        ConfigError: the variable has another value than ``kept`` or ``shown``.
    """
    said = os.environ.get(VARIABLE, "")
    if said not in ("", "kept", "shown"):
        raise ConfigError(f"{VARIABLE} is {said!r}; set it to 'kept' or 'shown', or not at all.")
    return said == "shown" if said else not Path(FILE).exists()
