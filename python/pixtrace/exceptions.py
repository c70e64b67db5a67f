"""What can go wrong, one class per remedy.

Every class is a `PixtraceError` and also the builtin that a caller who has never heard of pixtrace would catch.
"""

__all__ = [
    "ConfigError",
    "DataError",
    "DtypeError",
    "FileReadError",
    "InternalError",
    "MemoryLimitError",
    "MissingExtraError",
    "OutputError",
    "OutputExistsError",
    "ParameterError",
    "PixtraceError",
    "ShapeError",
    "UnsupportedModeError",
    "UnsupportedVersionError",
]


class PixtraceError(Exception):
    """Any error that pixtrace raises on purpose."""


class ShapeError(PixtraceError, ValueError):
    """Arrays that must agree in shape do not."""


class ParameterError(PixtraceError, ValueError):
    """A parameter lies outside the range in which the method is defined."""


class DataError(PixtraceError, ValueError):
    """The numbers of an array cannot be used as they are."""


class DtypeError(PixtraceError, TypeError):
    """An array holds something that is not the kind of number asked for."""


class MemoryLimitError(PixtraceError, MemoryError):
    """The result would not fit into the memory of any ordinary machine."""


class FileReadError(PixtraceError, OSError):
    """A file cannot be read, or does not hold what it should."""


class UnsupportedModeError(PixtraceError, ValueError):
    """An exposure of a mode for which there is no trace model."""


class OutputError(PixtraceError, OSError):
    """A result cannot be written where it was asked for."""


class OutputExistsError(OutputError, FileExistsError):
    """The output file is there already, and overwriting was not asked for."""


class MissingExtraError(PixtraceError, ImportError):
    """An optional package is needed; the message names the extra that brings it."""


class UnsupportedVersionError(PixtraceError, ImportError):
    """A package whose insides we know in some releases is installed in another one."""


class ConfigError(PixtraceError, ValueError):
    """A configuration file holds an unknown name or a value of the wrong kind."""


class InternalError(PixtraceError, RuntimeError):
    """A promise of pixtrace's own was broken; please report it."""
