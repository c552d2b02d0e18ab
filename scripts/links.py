"""Write every link that needs the address of the repository: the badges, the project's pages, the citation.

`make links` takes the address from pyproject.toml, [tool.shira-lab]. While it is empty, these links are left out.
"""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
GITHUB = "https://github.com/"
#: What stands between the two markers of a file is written here.
BLOCK = re.compile(r"(?<=links: written by `make links`)(?P<rest>.*\n)(?P<links>(?:.*\n)*?)(?=.*end of links)")


def address() -> str:
    """The address of the repository, or "" while it has none."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = str(project["tool"]["shira-lab"]["repository"]).rstrip("/")
    if found and not re.fullmatch(rf"{GITHUB}[\w.-]+/[\w.-]+", found):
        raise SystemExit(f"`repository` should be {GITHUB}OWNER/NAME, where the tests and Binder find it; got {found}")
    return found


def binder(at: str, lesson: str) -> str:
    """Where Binder opens a lesson."""
    return f"https://mybinder.org/v2/gh/{at.removeprefix(GITHUB)}/HEAD?urlpath=lab/tree/notebooks/{lesson}"


def badges(at: str) -> str:
    tests, first = f"{at}/actions/workflows/ci.yml", binder(at, "01-start-here.ipynb")
    return (
        f"[![Tests]({tests}/badge.svg)]({tests})\n"
        f"[![Open the first lesson on Binder](https://mybinder.org/badge_logo.svg)]({first})\n"
    )


def pages(at: str) -> str:
    return f'Homepage = "{at}"\nIssues = "{at}/issues"\nChangelog = "{at}/blob/HEAD/CHANGELOG.md"\n'


def citation(at: str) -> str:
    return f'repository-code: "{at}"\n'


FILES: dict[str, Callable[[str], str]] = {"README.md": badges, "pyproject.toml": pages, "CITATION.cff": citation}


def with_links(text: str, links: str) -> str:
    """The text of a file with these links between its markers."""
    text, found = BLOCK.subn(lambda match: match["rest"] + links, text)
    assert found == 1, "one pair of markers in a file"
    return text


if __name__ == "__main__":
    at = address()
    for name, write in FILES.items():
        path = ROOT / name
        path.write_text(with_links(path.read_text(encoding="utf-8"), write(at) if at else ""), encoding="utf-8")
    print(f"The links lead to {at}." if at else "No links: pyproject.toml names no repository under [tool.shira-lab].")
