"""``make site``: write the site into a folder.

    python scripts/make_site.py [FOLDER]

Sphinx makes it of pages that lie as in the repository, so that their links hold. Nothing is run and nothing is fetched:
a lesson is the run that its notebook stores.
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from links import ROOT, address
from site_apps import FOLDER, app_pages
from site_lessons import prepared
from site_reference import pages
from sphinx.cmd.build import build_main

from shira_lab.course.pages.build import write_files

WEBSITE = ROOT / "website"
#: A link to a file that has no page.
SOURCE = re.compile(r"\[(?P<text>[^]\n]+)\]\((?:\.\./)+(?P<file>(?:tests|shira_lab|scripts)/[^)\s]+)\)")


def write_source(folder: Path) -> None:
    """Write what Sphinx makes the site of."""
    shutil.copy(WEBSITE / "index.md", folder)
    shutil.copytree(ROOT / "docs", folder / "docs")
    for page in folder.rglob("*.md"):
        page.write_text(SOURCE.sub(_to_the_source, page.read_text(encoding="utf-8")), encoding="utf-8")
    (folder / "notebooks").mkdir()
    for lesson in (ROOT / "notebooks").glob("*.ipynb"):
        nbformat.write(prepared(nbformat.read(lesson, as_version=4), lesson.name), folder / "notebooks" / lesson.name)
    for name, text in app_pages().items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    (folder / "api").mkdir()
    for name, text in pages().items():
        (folder / "api" / f"{name}.rst").write_text(text, encoding="utf-8")


def _to_the_source(link: re.Match[str]) -> str:
    """The link on the repository's page, or its text while the repository has no address."""
    at = address()
    return f"[{link['text']}]({at}/blob/HEAD/{link['file']})" if at else f"`{link['text']}`"


def main(target: Path) -> int:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        source.mkdir()
        write_source(source)
        shutil.rmtree(target, ignore_errors=True)
        strict = ["-W", "--keep-going", "-q"]
        failed = build_main([*strict, "-c", str(WEBSITE), "-d", f"{folder}/doctrees", str(source), str(target)])
    if failed:
        return failed
    for lesson in (ROOT / "notebooks").glob("*.ipynb"):
        shutil.copy(lesson, target / "notebooks")
    write_files(target / FOLDER)
    size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    print(f"{target}/index.html opens in a browser, without a server or a network ({size / 1e6:.0f} MB in all)")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/site")))
