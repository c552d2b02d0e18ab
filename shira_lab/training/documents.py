"""Real text, document by document: Python's own language reference, a text file, or a folder of them.

What is held out is held out by document: two pieces of one text know too much of each other.
"""

import sys
from pathlib import Path
from typing import Final

from shira_lab.analysis.costs import in_units
from shira_lab.errors import ShiraError

PYTHON: Final = "python"
SUFFIXES: Final = (".txt", ".md", ".rst")
MOST_BYTES: Final = 50_000_000  # all of it is held in memory as tokens
#: A single file is cut at empty lines into documents of about this many characters.
CHAPTER: Final = 4000
#: Of so many documents one is held out.
HELD_OUT_OF: Final = 10


def read_documents(source: str) -> tuple[str, list[str]]:
    """What the text is, in words, and its documents in a fixed order.

    Args:
        source: "python", or the path of a text file (UTF-8) or of a folder with files that end in .txt, .md or .rst.

    Raises:
        ShiraError: there is no text, it is not UTF-8, or it is too much.
    """
    if source == PYTHON:
        from pydoc_data.topics import topics

        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return f"the language reference of Python {version}", [text.strip() for _, text in sorted(topics.items())]
    path = Path(source).expanduser()
    if path.is_file():
        return str(path), _chapters(_read([path])[0])
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    return f"{path}, {len(found)} files", [text for text in _read(found) if text]


def split(documents: list[str], source: str) -> tuple[list[str], list[str]]:
    """(to train on, held out): of each ten documents that follow each other the last one is held out.

    Raises:
        ShiraError: when there are less than two documents.
    """
    if len(documents) < 2:
        raise ShiraError(
            f"{source} holds {len(documents)} document{'s' if len(documents) != 1 else ''}, and it takes one to train "
            f"on and one to hold out: give a folder with more files ({', '.join(SUFFIXES)}), or a file of more than "
            f"{CHAPTER:,} characters with empty lines between its paragraphs."
        )
    every = min(HELD_OUT_OF, len(documents))
    train = [text for number, text in enumerate(documents, 1) if number % every]
    return train, [text for number, text in enumerate(documents, 1) if number % every == 0]


def _read(paths: list[Path]) -> list[str]:
    size = sum(path.stat().st_size for path in paths)
    if size > MOST_BYTES:
        raise ShiraError(
            f"the text is {in_units(size)} long, more than the {in_units(MOST_BYTES)} that are read at most: choose a "
            "part of it."
        )
    texts = []
    for path in paths:
        try:
            texts.append(path.read_text(encoding="utf-8").strip())
        except UnicodeDecodeError:
            raise ShiraError(f"{path} is no text in UTF-8: save it as one, or leave it out.") from None
        except OSError as error:
            raise ShiraError(f"{path} could not be read: {error.strerror or error}.") from None
    return texts


def _chapters(text: str) -> list[str]:
    """Whole paragraphs put together, until they are long enough."""
    chapters: list[str] = []
    waiting: list[str] = []
    for paragraph in text.split("\n\n"):
        waiting.append(paragraph)
        if sum(map(len, waiting)) >= CHAPTER:
            chapters.append("\n\n".join(waiting).strip())
            waiting = []
    rest = "\n\n".join(waiting).strip()
    return [chapter for chapter in (*chapters, rest) if chapter]
