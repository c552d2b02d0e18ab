"""Masks that the lessons draw, compare and mend, built on those of :mod:`shira_lab.masks`."""
