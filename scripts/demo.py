"""Run one notebook and write it as one HTML file that opens without a network.

    python scripts/demo.py notebooks/01-start-here.ipynb build/demo.html

Nothing is fetched when the file is opened: plotly's script is written into it once, formulas are MathML, which
browsers draw themselves, and a widget shows the picture and the text it has for places without a kernel. A link to
another lesson, which is not in the file, becomes its text.
"""

import sys
from html import escape
from pathlib import Path

import plotly.io as pio
from latex2mathml.converter import convert as mathml
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from run_notebook import run_notebook
from store_notebooks import normalise

PLOTLY = "application/vnd.plotly.v1+json"

# nbconvert's page without the scripts it loads from elsewhere.
TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_css -%}
{{ super() }}
<style>.jp-OutputArea-output pre { word-break: normal; overflow-wrap: anywhere; }</style>
{%- endblock -%}
"""

#: Lessons write these signs as they are, to be read also where nothing draws formulas; MathML is made of their TeX.
SIGNS = str.maketrans(
    {
        "·": r"\cdot ",
        "≤": r"\le ",
        "≥": r"\ge ",
        "≈": r"\approx ",
        "←": r"\leftarrow ",
        "∑": r"\sum ",
        "\N{GREEK SMALL LETTER SIGMA}": r"\sigma ",
        "‖": r"\Vert ",
        "⌊": r"\lfloor ",
        "⌋": r"\rfloor ",
        "⟨": r"\langle ",
        "⟩": r"\rangle ",
        "\N{DOWN TACK}": r"\top ",
        "…": r"\dots ",
    }
)


class MathMLRenderer(IPythonRenderer):
    """nbconvert's Markdown, with formulas as MathML in place of TeX that a script would have to typeset."""

    def inline_math(self, body: str) -> str:
        return formula(body)

    def block_math(self, body: str) -> str:
        return formula(body, display="block")

    def latex_environment(self, name: str, body: str) -> str:
        return formula(f"\\begin{{{name}}}{body}\\end{{{name}}}", display="block")

    def link(self, text: str, url: str, title: str | None = None) -> str:
        return text if url.endswith(".ipynb") else super().link(text, url, title)


def formula(body: str, display: str = "inline") -> str:
    """MathML of some TeX; latex2mathml leaves the backslash of a name with an underscore."""
    return mathml(body.translate(SIGNS), display=display).replace("\\_", "_")


def markdown_to_html(source: str) -> str:
    return MarkdownWithMath(renderer=MathMLRenderer(escape=False)).render(source)


def drop_what_is_empty(notebook: NotebookNode) -> None:
    """Leave out what a live view has left, where it is gone: an output in no kind of media."""
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("data") != {}]


def embed_figures(notebook: NotebookNode) -> None:
    """Give every plotly figure an HTML form; the first of them carries plotly's script."""
    figures = (
        output.data for cell in notebook.cells for output in cell.get("outputs", []) if PLOTLY in output.get("data", {})
    )
    for number, data in enumerate(figures):
        figure = {key: data[PLOTLY][key] for key in ("data", "layout")}
        drawn = pio.to_html(
            figure,
            config=data[PLOTLY].get("config"),
            div_id=f"figure-{number}",
            include_plotlyjs=number == 0,
            full_html=False,
            default_height="450px",
            validate=False,
        )
        data["text/html"] = f'<div role="img" aria-label="{escape(data.get("text/plain", ""))}">{drawn}</div>'
        del data[PLOTLY]


def to_html(notebook: NotebookNode, title: str) -> str:
    """One page of HTML with everything in it."""
    drop_what_is_empty(notebook)
    embed_figures(notebook)
    notebook.metadata["title"] = title
    exporter = HTMLExporter(raw_template=TEMPLATE, filters={"markdown2html": markdown_to_html}, embed_images=True)
    html, _ = exporter.from_notebook_node(notebook)
    return html


def main(source: Path, target: Path) -> None:
    print(f"running {source} ...", flush=True)
    notebook = normalise(run_notebook(source), source.stem)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(to_html(notebook, title=f"shira-lab: {source.stem}"), encoding="utf-8")
    print(f"{target} is written ({target.stat().st_size / 1e6:.1f} MB) and opens without a network")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
