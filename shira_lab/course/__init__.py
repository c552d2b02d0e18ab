"""What the lessons show: comparisons, measurements, figures, apps and exercises."""

from shira_lab.errors import need_extra

need_extra(
    __name__, "course", "anywidget", "ipykernel", "ipywidgets", "lazy_loader", "packaging", "plotly", "transformers"
)
