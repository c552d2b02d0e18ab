"""What SHiRA costs in time, measured on the machine at hand, and how that grows with size, tokens, r and density."""

from shira_lab.course.speed.growth import Growth, Point, shipped
from shira_lab.course.speed.layer import ROWS, LayerSetting
from shira_lab.course.speed.timing import Ratio, interleave

__all__ = ["ROWS", "Growth", "LayerSetting", "Point", "Ratio", "interleave", "shipped"]
