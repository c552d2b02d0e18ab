"""The errors of the package: one family, so that ``except ShiraError`` catches them all.

Every message names the field or layer, what came, what was expected, and what to do about it. The family derives from
``ValueError`` because that is what PEFT raises in the same places.
"""


class ShiraError(ValueError):
    """Something that was asked of the package cannot be done; the message says what, why and what to do."""


class ConfigError(ShiraError):
    """A field of a configuration has a value that cannot work."""


class MaskError(ShiraError):
    """A mask is not binary, has the wrong number of ones, or does not fit the weight."""


class AdapterError(ShiraError):
    """An adapter is missing, is there already, or is used in a way that it cannot be."""


class StorageError(ShiraError):
    """An adapter file or folder cannot be read, or does not fit the model."""
