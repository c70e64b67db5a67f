"""The options of one reduction, checked when they are set."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from pixtrace.exceptions import ConfigError
from pixtrace.scan.options import OPTIONS, Value

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

__all__ = ["Configuration", "setting"]


class Configuration(MutableMapping[str, Any]):
    """Options by their dotted names, as in ``configuration["source.filter.fwhm"]``.

    What is not set has the default of `pixtrace.scan.options.OPTIONS`. None takes an option away.

    Parameters
    ----------
    options : mapping, optional
        Values by name. A value may also be a mapping of names within a name, as tables in TOML are; in it, the key
        ``value`` stands for the name itself: ``{"smooth": {"value": "beam", "optimal": 9.0}}``.

    Raises
    ------
    ConfigError
        If there is no such option, or a value is of the wrong kind; the message names what may have been meant.
    """

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        self._values: dict[str, Value] = {}
        self.update_nested(options or {})

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Make a configuration of the text of a TOML file.

        Raises
        ------
        ConfigError
            If it is not TOML, or holds something that is not an option.
        """
        import tomllib

        try:
            return cls(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            msg = f"not TOML: {error}"
            raise ConfigError(msg) from error

    def update_nested(self, options: Mapping[str, Any], prefix: str = "") -> None:
        """Set options from a mapping, in which values may be mappings; see the class.

        Parameters
        ----------
        options : mapping
            Values by name.
        prefix : str, optional
            Comes before the names, with its dot.
        """
        for key, value in options.items():
            name = prefix.removesuffix(".") if key == "value" and prefix else f"{prefix}{key}"
            if isinstance(value, Mapping):
                self.update_nested(value, f"{name}.")
            else:
                self[name] = value

    def __getitem__(self, name: str) -> Any:
        option = OPTIONS.get(name)
        if option is None:
            raise _unknown(name)
        return self._values.get(name, option.default)

    def __setitem__(self, name: str, value: object) -> None:
        option = OPTIONS.get(name)
        if option is None:
            raise _unknown(name)
        self._values[name] = option.parse(value)

    def __delitem__(self, name: str) -> None:
        if name not in OPTIONS:
            raise _unknown(name)
        self._values.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(OPTIONS)

    def __len__(self) -> int:
        return len(OPTIONS)

    def __repr__(self) -> str:
        return f"Configuration({self._values})"

    def copy(self) -> Configuration:
        """Return a configuration of its own."""
        other = Configuration()
        other._values = dict(self._values)
        return other

    def changed(self) -> dict[str, Value]:
        """Return the options that were set."""
        return dict(self._values)

    def parse_key_value(self, key: str, value: object) -> None:
        """Set an option, of a text such as those of the command line."""
        self[key] = value

    def purge(self, key: str) -> None:
        """Take an option's meaning away, with all below its name."""
        for name in [name for name in OPTIONS if name == key or name.startswith(f"{key}.")] or [key]:
            self[name] = None

    def is_configured(self, key: str) -> bool:
        """Tell whether an option has a value that is not None."""
        return self[key] is not None

    def get_bool(self, key: str, default: bool = False) -> bool:
        """Return a switch."""
        return default if self[key] is None else bool(self[key])

    def get_int(self, key: str, default: int = 0) -> int:
        """Return a whole number."""
        return default if self[key] is None else int(self[key])

    def get_float(self, key: str, default: float = math.nan) -> float:
        """Return a number."""
        return default if self[key] is None else float(self[key])

    def get_string(self, key: str, default: str | None = None) -> str | None:
        """Return a value as a text."""
        return default if self[key] is None else str(self[key])


def setting(configuration: Any, name: str) -> Any:
    """Return an option of our configuration, or of another that answers `is_configured` and `get_string`.

    Raises
    ------
    ConfigError
        If there is no such option, or another configuration's value is of the wrong kind.
    """
    if isinstance(configuration, Configuration):
        return configuration[name]
    option = OPTIONS[name]
    if configuration is None or not configuration.is_configured(name):
        return option.default
    text = configuration.get_string(name)
    return option.default if text is None else option.parse(text)


def _unknown(name: str) -> ConfigError:
    near = difflib.get_close_matches(name, OPTIONS, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else f"options are {', '.join(OPTIONS)}"
    return ConfigError(f"there is no option {name!r}; {hint}")
