"""What Sphinx is told. `scripts/make_site.py` calls it."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

import shira_lab
from demo import formula

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
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = "shira-lab"
html_static_path = ["static"]
html_css_files = ["site.css"]
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


def setup(app: Sphinx) -> None:
    app.add_html_math_renderer("mathml", inline_renderers=(_math, None), block_renderers=(_math, None))
