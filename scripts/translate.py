"""Bring the catalogues of shira_lab/course/locale up to date, and say what each language lacks.

    python scripts/translate.py                 every language that there is
    python scripts/translate.py fr 1            and a new one, with the texts of the package and of lesson 1
    python scripts/translate.py de 2            and one more lesson

A text whose English changed is marked "fuzzy" with its old translation, and shown in English until a translator has
looked at it and taken the mark off.
"""

import sys
from io import BytesIO

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from shira_lab.course.handout.lesson import find_lessons
from shira_lab.course.language import ENGLISH, LOCALE, languages
from shira_lab.course.promised import PACKAGE, missing, of_lesson, of_package, promised

HEADER = """# The texts of SHiRA Lab by their English ones, brought up to date by scripts/translate.py.
msgid ""
msgstr ""
"Language: {code}\\n"
"Content-Type: text/plain; charset=utf-8\\n"

"""


def update(code: str, lessons: list[str]) -> None:
    """Write the catalogue of a language anew, with these lessons beside those that it has."""
    path, wanted = LOCALE / f"{code}.po", Catalog(locale=code)
    known = read_po(path.open("rb"), locale=code) if path.exists() else Catalog(locale=code)
    groups = {PACKAGE: of_package()}
    for lesson in find_lessons([*lessons, *(promised(code) if path.exists() else ())]):
        groups[lesson.name] = of_lesson(lesson)
    for place, texts in groups.items():
        for text in texts:
            wanted.add(text, locations=[(place, 1)])
    known.update(wanted)
    written = BytesIO()
    write_po(written, known, width=0, omit_header=True, include_lineno=False, ignore_obsolete=True)
    path.write_bytes(HEADER.format(code=code).encode() + written.getvalue())


def main(code: str = "", *lessons: str) -> None:
    for one in sorted({code, *languages()} - {"", ENGLISH}):
        update(one, list(lessons) if one == code else [])
        print(f"{one}: {len(missing(one, of_package()))} of {len(of_package())} texts of the package are missing")
        for lesson in find_lessons(["all"]):
            texts = of_lesson(lesson)
            lacks = len(missing(one, texts))
            print(f"    {lesson.name}: {f'{lacks} of' if lesson.name in promised(one) else 'not begun,'} {len(texts)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
