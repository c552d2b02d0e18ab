"""Whole models as shapes: weights have sizes and no numbers, so that 70 billion of them cost no memory to study."""

from shira_lab.models.architectures.architecture import DTYPES, GROUPS, Architecture, find_architecture, known_models

__all__ = ["DTYPES", "GROUPS", "Architecture", "find_architecture", "known_models"]
