"""What the user wants: options of the command line over those of a configuration file over the defaults."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pixtrace.exceptions import ConfigError, FileReadError, ParameterError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping
    from typing import Self

    from pixtrace.trace.params import TraceParams

__all__ = ["Options", "read_toml"]

_OWN = ("fit_threshold", "slope_limit", "psf_optimal", "errors", "n_covariances")
"""Parameters of the method that have an option of their own."""

_FORMATS = ("fits", "asdf")

KINDS: Mapping[str, tuple[type, ...]] = {
    "factor": (float, int),
    "output": (str,),
    "overwrite": (bool,),
    "plot": (bool,),
    "report": (bool,),
    "report_png": (bool,),
    "save_intermediate_results": (bool,),
    "preset": (str,),
    "fit_threshold": (float, int),
    "slope_limit": (float, int),
    "psf_optimal": (bool,),
    "errors": (str,),
    "n_covariances": (int,),
    "threads": (int,),
    "format": (str,),
    "rescale": (bool,),
    "integrations": (bool,),
    "shift": (bool,),
    "joint": (bool,),
    "parameters": (dict,),
}
_KIND_NAMES: Mapping[type, str] = {
    bool: "true or false",
    dict: "a table",
    float: "a number",
    int: "a whole number",
    list: "a list",
    str: "a text",
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to do with each file.

    Attributes
    ----------
    factor : float
        Oversampling factor, at least 1.
    output : Path
        Folder to write to.
    overwrite, plot, report, report_png, save_intermediate_results : bool
        As on the command line.
    preset : str or None
        Parameters to take instead of the file's own.
    fit_threshold, slope_limit, psf_optimal, errors, n_covariances : float, float, bool, str, int or None
        Changes to the parameters; None leaves them as they are.
    threads : int or None
        Number of threads; None: one per core.
    format : {"fits", "asdf"}
        What kind of file a model is written to.
    model : Path or None
        File with models to be used instead of fits.
    rescale : bool or None
        Whether those are scaled to the flux of each exposure; None: unless they were fitted to it.
    integrations : bool or None
        Whether all integrations of a time series are oversampled; None: with the preset "robust" alone.
    shift : bool
        Whether a shift is fitted to each of them.
    joint : bool
        Whether exposures of one source and setting are fitted together.
    parameters : mapping of str to object
        Further changes to the parameters, by name.

    Raises
    ------
    ParameterError
        A value is not possible.
    """

    kinds: ClassVar[Mapping[str, tuple[type, ...]]] = KINDS

    factor: float = 2.0
    output: Path = field(default_factory=Path)
    overwrite: bool = False
    plot: bool = False
    report: bool = False
    report_png: bool = False
    save_intermediate_results: bool = False
    preset: str | None = None
    fit_threshold: float | None = None
    slope_limit: float | None = None
    psf_optimal: bool | None = None
    errors: str | None = None
    n_covariances: int | None = None
    threads: int | None = None
    format: str = "fits"
    model: Path | None = None
    rescale: bool | None = None
    integrations: bool | None = None
    shift: bool = False
    joint: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what can be checked without a file."""
        if not (math.isfinite(self.factor) and self.factor >= 1.0):
            msg = f"factor = {self.factor:g}; it must be a finite number of at least 1"
            raise ParameterError(msg)
        if self.threads is not None and self.threads < 1:
            msg = f"threads = {self.threads}; it must be at least 1"
            raise ParameterError(msg)
        if self.format not in _FORMATS:
            msg = f"format = {self.format!r}; it must be one of {', '.join(_FORMATS)}"
            raise ParameterError(msg)
        for name in ("fit_threshold", "slope_limit"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                msg = f"{name} = {value:g}; it must be a finite number"
                raise ParameterError(msg)

    @classmethod
    def gather(cls, arguments: argparse.Namespace, **fixed: Any) -> Self:  # noqa: ANN401 - checked by the constructor
        """Return the options of a command line and of the file that it names.

        Parameters
        ----------
        arguments : argparse.Namespace
            The command line; options that were not given are absent.
        **fixed
            What neither can change, such as ``factor=1.0`` for ``pixtrace trace``.

        Returns
        -------
        Options
            Command line over file over defaults.

        Raises
        ------
        ConfigError
            The file is not TOML, or holds an unknown name or a value of the wrong kind.
        FileReadError
            The file cannot be read.
        ParameterError
            A value is not possible.
        """
        given = vars(arguments)
        values: dict[str, Any] = {}
        if "config" in given:
            values.update(_read(Path(given["config"]), cls.kinds))
        values.update({item.name: given[item.name] for item in fields(cls) if item.name in given})
        values.update(fixed)
        for name in ("output", "model"):
            if name in values:
                values[name] = Path(values[name]).expanduser()
        return cls(**values)

    def params_for(self, native: TraceParams) -> TraceParams:
        """Return the parameters for a file.

        Parameters
        ----------
        native : TraceParams
            Those that belong to its mode.

        Returns
        -------
        TraceParams
            Those, or the preset asked for, with the changes asked for.

        Raises
        ------
        ParameterError
            There is no such preset, a value is not possible, or covariances are asked for without propagated errors.
        """
        from pixtrace.trace.params import TraceParams

        preset = "robust" if self.joint and self.preset is None else self.preset
        params = native if preset is None else TraceParams.preset(preset)
        changes = {name: getattr(self, name) for name in _OWN if getattr(self, name) is not None}
        params = params.replace(**self.parameters, **changes)
        if self.n_covariances and params.errors != "propagated":
            msg = (
                f"n_covariances = {self.n_covariances} needs propagated errors; give --errors propagated, or --preset "
                "robust"
            )
            raise ParameterError(msg)
        return params


def read_toml(path: Path) -> dict[str, Any]:
    """Return what stands in a configuration file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict
        Its tables.

    Raises
    ------
    FileReadError
        It cannot be read.
    ConfigError
        It is not TOML.
    """
    import tomllib

    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        msg = f"cannot read the configuration file {path}: {error.strerror or error}"
        raise FileReadError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path} is not a TOML file: it is not UTF-8 text ({error.reason} at byte {error.start})"
        raise ConfigError(msg) from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        msg = f"{path} is not a TOML file: {error}"
        raise ConfigError(msg) from error


def _read(path: Path, kinds: Mapping[str, tuple[type, ...]]) -> dict[str, Any]:
    """Return the options of a configuration file, by the names of `Options`."""
    table = read_toml(path)
    values: dict[str, Any] = {}
    for written, value in table.items():
        name = written.replace("-", "_")  # as on the command line, or as in Python
        if name not in kinds:
            raise ConfigError(_unknown(f"{path}: ", written, kinds))
        if name in values:
            msg = f"{path}: {name} is given twice"
            raise ConfigError(msg)
        values[name] = _checked(path, written, value, kinds[name])
    values["parameters"] = _read_parameters(path, values.get("parameters", {}))
    return values


def _read_parameters(path: Path, table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the table ``[parameters]`` with every name and value checked."""
    if not table:
        return {}
    from pixtrace.trace.params import TraceParams

    known = {item.name for item in fields(TraceParams)} - set(_OWN)
    values: dict[str, Any] = {}
    for written, value in table.items():
        name = written.replace("-", "_")
        if name in _OWN:
            msg = f"{path}: {written} stands in [parameters]; it belongs above, before any [table]"
            raise ConfigError(msg)
        if name not in known:
            raise ConfigError(_unknown(f"{path}, [parameters]: ", written, known))
        values[name] = value
    try:
        TraceParams().replace(**values)
    except ParameterError as error:
        msg = f"{path}, [parameters]: {error}"
        raise ConfigError(msg) from error
    return values


def _checked(path: Path, name: str, value: object, kinds: tuple[type, ...]) -> object:
    """Return a value if it is of one of the kinds; a truth value is not a number here."""
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        found = next((word for kind, word in _KIND_NAMES.items() if isinstance(value, kind)), "a date")
        msg = f"{path}: {name} = {value!r} is {found}; expected {_KIND_NAMES[kinds[0]]}"
        raise ConfigError(msg)
    return value


def _unknown(where: str, name: str, known: Iterable[str]) -> str:
    """Return the message about an unknown name, with what may have been meant."""
    names = sorted(known)
    close = difflib.get_close_matches(name.replace("-", "_"), names, n=2)
    hint = f"did you mean {' or '.join(close)}?" if close else f"the names are {', '.join(names)}"
    return f"{where}there is no option {name!r}; {hint}"
