"""Lessons for a class: sheets of exercises without solutions, their points, and tests of which some are hidden."""
