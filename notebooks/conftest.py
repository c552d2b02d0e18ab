"""What nbval leaves out when it compares a lesson: HTML, which shows again what the plain text beside it says."""

import pytest


def pytest_collectstart(collector: pytest.Collector) -> None:
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("text/html",)
