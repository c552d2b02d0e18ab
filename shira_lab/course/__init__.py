"""What the lessons show: comparisons, measurements, figures, apps and exercises."""

from shira_lab.errors import need_extra

need_extra(
    __name__, "course", "anywidget", "babel", "filelock", "ipykernel", "ipywidgets", "lazy_loader", "nbclient",
    "nbformat", "packaging", "plotly", "transformers",
)  # fmt: skip
