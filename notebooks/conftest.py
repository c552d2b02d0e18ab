"""What nbval leaves out when it compares a lesson: HTML, which shows again what the plain text beside it says.

Nor does a lesson that is compared write into the progress of whoever runs it.
"""

import os

import pytest

os.environ["SHIRA_LAB_PROGRESS"] = "off"


def pytest_collectstart(collector: pytest.Collector) -> None:
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("text/html",)
