"""The options of a reduction: their names, kinds, defaults and meanings, once and for all.

Names are those of the reference. `OPTIONS` holds them all; `Configuration` looks values up by it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pixtrace.exceptions import ConfigError

__all__ = ["OPTIONS", "Option", "Value"]

Value: TypeAlias = bool | int | float | str | tuple[float, ...] | tuple[int, ...] | None
Kind: TypeAlias = Literal["switch", "count", "number", "text", "numbers", "size", "smoothing", "filter", "maps"]

_TRUE = {"true", "t", "yes", "y", "on", "1"}
_FALSE = {"false", "f", "no", "n", "off", "0"}
_NONE = {"", "none", "null"}
#: Words for a beam, in units of the FWHM of a point source; "optimal" has an option of its own.
SMOOTHING_WORDS = {"beam": 1.0, "halfbeam": 0.5, "2/3beam": 2.0 / 3.0, "minimal": 0.3}


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes
    ----------
    name : str
        Dotted.
    kind : str
        What its values are: a switch, a count (whole, not negative), a number, a text, one or more numbers, a size
        (``XxY``), a beam to smooth to (a word or a FWHM), a filter scale ("auto" or a FWHM), or a choice of maps (a
        switch or fixed indices).
    default : Value
        Its value where it is not set; None: nothing is done.
    meaning : str
        One line.
    choices : tuple of str, optional
        Texts that it may have.
    above : float or None, optional
        Numbers must be larger.
    """

    name: str
    kind: Kind
    default: Value
    meaning: str
    choices: tuple[str, ...] = ()
    above: float | None = None

    def parse(self, value: object) -> Value:
        """Return a value of the option's kind.

        Parameters
        ----------
        value : object
            Of that kind, or a text that says it. None, and the text "none", take the option's meaning away.

        Returns
        -------
        Value
            The value, None if there is none.

        Raises
        ------
        ConfigError
            If it is of another kind or outside of the range.
        """
        if value is None or (isinstance(value, str) and value.strip().lower() in _NONE):
            return None
        parsed = getattr(self, f"_{self.kind}")(value)
        if self.choices and parsed not in self.choices:
            self._refuse(value, f"one of {', '.join(self.choices)}")
        numbers = parsed if isinstance(parsed, tuple) else (parsed,)
        if self.above is not None and any(isinstance(n, float) and not n > self.above for n in numbers):
            self._refuse(value, f"larger than {self.above:g}")
        result: Value = parsed
        return result

    def _refuse(self, value: object, must_be: str) -> Any:
        msg = f"option {self.name} = {value!r}; it must be {must_be} ({self.meaning})"
        raise ConfigError(msg)

    def _switch(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        word = str(value).strip().lower()
        if word in _TRUE | _FALSE:
            return word in _TRUE
        return bool(self._refuse(value, "true or false"))

    def _number(self, value: object) -> float:
        try:
            number = float(value) if not isinstance(value, bool) else math.nan  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = math.nan
        return number if math.isfinite(number) else float(self._refuse(value, "a number"))

    def _count(self, value: object) -> int:
        number = self._number(value)
        return int(number) if number >= 0 and number.is_integer() else int(self._refuse(value, "a whole number"))

    def _text(self, value: object) -> str:
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            self._refuse(value, "a text")
        text = str(value).strip()
        return text.lower() if self.choices else text

    def _numbers(self, value: object) -> tuple[float, ...]:
        items: Any = value.replace(",", " ").split() if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            items = [items]
        return tuple(self._number(item) for item in items) or self._refuse(value, "one number or more")

    def _size(self, value: object) -> tuple[float, ...]:
        numbers = self._numbers(value.lower().replace("x", " ") if isinstance(value, str) else value)
        numbers = numbers * 2 if len(numbers) == 1 else numbers
        if len(numbers) != 2 or min(numbers) <= 0:  # noqa: PLR2004 - x and y
            self._refuse(value, 'two positive numbers, such as "150x120"')
        return numbers

    def _smoothing(self, value: object) -> str | float:
        word = str(value).strip().lower()
        if word in {*SMOOTHING_WORDS, "optimal"}:
            return word
        try:
            number = self._number(value)
        except ConfigError:
            number = -1.0
        if number < 0:
            self._refuse(value, f"a FWHM in arcsec or one of {', '.join([*SMOOTHING_WORDS, 'optimal', 'none'])}")
        return number

    def _filter(self, value: object) -> str | float:
        if str(value).strip().lower() == "auto":
            return "auto"
        return self._number(value)

    def _maps(self, value: object) -> bool | tuple[int, ...]:
        if isinstance(value, bool) or (
            isinstance(value, str) and value.strip().lower() in (_TRUE | _FALSE) - {"0", "1"}
        ):
            return self._switch(value)
        return tuple(self._count(item) for item in self._numbers(value))


def _switch(name: str, meaning: str, *, on: bool = False) -> Option:
    return Option(name, "switch", on, meaning)


#: Every option, by its name.
OPTIONS: dict[str, Option] = {
    option.name: option
    for option in (
        Option("grid", "numbers", None, "size of a map cell, one or x and y [arcsec]; a fifth of the beam", above=0.0),
        Option("map.size", "size", None, "extent of the maps, XxY [arcsec]; where the boresight went"),
        Option("projection", "text", "tan", "projection of the maps", choices=("tan", "sfl")),
        Option("system", "text", "focalplane", "coordinate system of the maps", choices=("focalplane",)),
        _switch("large", "allow maps of 5000 cells and more along a side"),
        _switch("indexing", "look up the cell of every frame when the maps are set up", on=True),
        _switch("pixelmap.process", "smooth, filter, clip and mask the maps in `process`"),
        Option("pixelmap.writemaps", "maps", None, "FITS files of single maps: of all, or of these fixed indices"),
        Option("smooth", "smoothing", None, "beam to smooth the maps to: a word or a FWHM [arcsec]"),
        Option("smooth.optimal", "number", None, 'FWHM that "optimal" stands for [arcsec]; the beam', above=0.0),
        _switch("smooth.external", "leave the smoothing to others"),
        Option("clip", "number", None, "flag cells of less signal to noise in `process`"),
        Option("blank", "number", None, "signal to noise from which a cell counts as source"),
        Option("exposureclip", "number", None, "discard cells below this fraction of the 95 % quantile of exposure"),
        Option("noiseclip", "number", None, "flag cells of more than this times the 5 % quantile of noise"),
        Option("source.sign", "text", "+", "sign of the source; 0 for either", choices=("+", "-", "0")),
        Option("source.redundancy", "count", None, "discard cells with fewer samples"),
        _switch("source.despike", "discard cells that stick out from their neighbours in a scan"),
        Option("source.despike.level", "number", 10.0, "by how many standard deviations", above=0.0),
        _switch("source.filter", "subtract the large scales from the maps"),
        Option("source.filter.type", "text", "convolution", "how they are found", choices=("convolution", "fft")),
        Option("source.filter.fwhm", "filter", "auto", "scale of the filter [arcsec]; auto: five times the source"),
        Option("source.filter.blank", "number", None, "signal to noise beyond which cells do not take part"),
        _switch("source.mem", "maximum-entropy correction"),
        Option("source.mem.lambda", "number", 0.1, "its strength"),
        _switch("source.nosync", "do not subtract the source from the signals"),
        _switch("source.fixedgains", "couplings hold the gains"),
        Option("source.size", "number", None, "FWHM of the source [arcsec]; the beam", above=0.0),
        _switch("weighting.scans", "weigh scans by the noise in their maps"),
        Option("weighting.scans.method", "text", "robust", "how it is measured", choices=("robust", "rms")),
        Option(
            "pointing.method",
            "text",
            "gaussian",
            "how a source is found: weighted elliptical Gaussian, or as the reference does",
            choices=("gaussian", "peak", "position", "centroid"),
        ),
        _switch("pointing.lsq", "with peak, position, centroid: least-squares fit of a round Gaussian", on=True),
        Option("pointing.degree", "count", 3, "degree of the spline through the peak"),
        _switch("pointing.reduce_degrees", "lower the degree where there are too few cells", on=True),
        Option("pointing.significance", "number", 6.0, "least signal to noise of a source"),
        _switch("extended", "the source fills the maps: no levelling, no reweighting at the end"),
        _switch("deep", "the source is faint: likewise"),
        Option("rounds", "count", 12, "most rounds of cleaning, mapping and fitting"),
        Option("rounds.least", "count", 2, "least rounds"),
        Option("rounds.position", "number", 0.05, "a pixel has settled if it moved less [its error]", above=0.0),
        Option("rounds.gain", "number", 0.05, "and its amplitude changed less [its error]", above=0.0),
        Option("rounds.blank", "number", 1.25, "samples this near a source are not cleaned by [FWHM]", above=0.0),
        _switch("rounds.timestream", "fit the cleaned samples of each pixel after its map", on=True),
        _switch("clean", "clean the signals; without, only their median level is removed", on=True),
        Option("clean.drift", "number", None, "time between corners of drifts [s]; 12 passages of the beam", above=0.0),
        Option("clean.despike", "number", 5.0, "glitches stand out by this many standard deviations", above=0.0),
        Option("clean.jump", "number", 5.0, "jumps of the level likewise", above=0.0),
        _switch("clean.common", "remove what all channels have in common", on=True),
        _switch("clean.groups", "remove what the channels of a group (readout column) have in common", on=True),
        Option("clean.noise", "numbers", (0.2, 4.0), "least and most noise of good channels [median]", above=0.0),
        Option(
            "source.model",
            "text",
            "gaussian",
            "what is taken out before cleaning: the Gaussian fitted to a pixel's map, or its map near the source",
            choices=("gaussian", "map"),
        ),
        Option("source.diameter", "number", None, "diameter of a planet's disc, taken out of the beam [arcsec]"),
        Option(
            "source.flux", "number", None, "flux of the source [Jy]; sensitivities are given in Jy s^0.5", above=0.0
        ),
        Option("memory", "number", None, "most memory that a reduction takes [GB]; half of the machine's", above=0.0),
        Option("jobs", "count", None, "threads; by default those of the caller's pool"),
        Option("name", "text", None, "first part of the names of products; by default object and scan"),
        Option("outpath", "text", ".", "folder of the products"),
    )
}
