"""What Sphinx is told. `scripts/make_site.py` calls it."""

from typing import Any

from demo import formula
from docutils import nodes
from site_reference import as_rst
from sphinx.application import Sphinx

import shira_lab

project = "shira-lab"
author = "The shira-lab authors"
release = version = shira_lab.__version__
copyright = author
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

# Lessons are read as they are stored.
nb_execution_mode = "off"
nb_output_stderr = "remove"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
myst_update_mathjax = False

# The API page of a name shows its docstring, whose single backticks are code.
default_role = "code"
napoleon_use_ivar = True
autodoc_inherit_docstrings = False
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
add_module_names = False
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "shira-lab"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
# The search reads an index that is a script. Pages it would have to fetch, which a browser refuses for files.
html_show_search_summary = False
html_math_renderer = "mathml"


def _math(self: Any, node: nodes.Element) -> None:
    """Formulas are MathML, which browsers draw themselves: no script and no fonts."""
    block = isinstance(node, nodes.math_block)
    drawn = formula(node.astext(), display="block" if block else "inline")
    self.body.append(f'<div class="formula">{drawn}</div>' if block else drawn)
    raise nodes.SkipNode


def _docstring(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    lines[:] = as_rst("\n".join(lines)).splitlines()


def _page(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """The captions of the list of pages are headings; here they say of which level, after furo has made the list."""
    tree = context["furo_navigation_tree"]
    context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')


def setup(app: Sphinx) -> None:
    app.connect("html-page-context", _page, priority=900)
    # Before napoleon, which makes lists of what is said of arguments and errors.
    app.connect("autodoc-process-docstring", _docstring, priority=400)
    app.add_html_math_renderer("mathml", inline_renderers=(_math, None), block_renderers=(_math, None))
