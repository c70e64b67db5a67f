"""The detector pixels of a camera: what is known of each, and the choice of some of them."""

from __future__ import annotations

import copy as copying
from typing import TYPE_CHECKING, Any

import numpy as np

from pixtrace._arrays import as_double, check_shape
from pixtrace.exceptions import DtypeError, ParameterError
from pixtrace.scan._units import arcsec, as_positions
from pixtrace.scan.flags import ChannelFlag

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    import numpy.typing as npt

    from pixtrace.scan.info import Info

__all__ = ["ChannelGroup", "Channels"]

_WHOLE = "iub"


def _as_whole(values: npt.ArrayLike, name: str, n: int | None = None) -> npt.NDArray[np.int64]:
    array = np.atleast_1d(np.asarray(values))
    if array.dtype.kind not in _WHOLE:
        msg = f"`{name}` has dtype {array.dtype}; expected whole numbers"
        raise DtypeError(msg)
    if n is not None:
        array = np.broadcast_to(array, (n,)) if array.size == 1 else array
        check_shape(array, (n,), name, "fixed_index")
    return array.astype(np.int64)


class Channels:
    """A table of the channels of one camera.

    Parameters
    ----------
    fixed_index : array_like of int, shape (n_channels,)
        The number by which a pixel is known in files, whatever else is read out with it. No number twice.
    row, col : array_like of int, optional
        Place on the detector; -1 where it is not known.
    position : Quantity or array_like, shape (2, n_channels), optional
        Nominal x and y on the focal plane [arcsec]; NaN where not known. Zero by default.
    gain : array_like, optional
        Response of the channel to signals that all see alike; 1 by default.
    coupling : array_like, optional
        Response to a source on the sky, in units of `gain`; 1 by default.
    variance : array_like, optional
        Of the noise of one sample, in squared units of the data; 1 by default. Channels with a variance that is not
        positive and finite do not enter maps.
    source_filtering : array_like, optional
        Fraction of a point source that filters left in the timestream; 1 by default.
    flag : array_like of int, optional
        `ChannelFlag` bits; 0 by default.
    groups : mapping of str to array_like of int, optional
        Labels of divisions of the camera, such as its readout columns or subarrays, one label for each channel.
    info : Info, optional
        The instrument and its options.

    Attributes
    ----------
    fixed_index, row, col, flag : ndarray of int, shape (n_channels,)
    gain, coupling, variance, source_filtering : ndarray of float64, shape (n_channels,)
    independent : ndarray of bool, shape (n_channels,)
        Channels that are mapped by themselves, without regard to where they look.

    Raises
    ------
    ParameterError
        If a number occurs twice.
    ShapeError, DtypeError
        If arrays do not fit `fixed_index` or do not hold the right kind of numbers.
    """

    def __init__(
        self,
        fixed_index: npt.ArrayLike,
        *,
        row: npt.ArrayLike | None = None,
        col: npt.ArrayLike | None = None,
        position: Any = None,
        gain: npt.ArrayLike | None = None,
        coupling: npt.ArrayLike | None = None,
        variance: npt.ArrayLike | None = None,
        source_filtering: npt.ArrayLike | None = None,
        flag: npt.ArrayLike | None = None,
        groups: Mapping[str, npt.ArrayLike] | None = None,
        info: Info | None = None,
    ) -> None:
        self.fixed_index = _as_whole(fixed_index, "fixed_index") if np.size(fixed_index) else np.zeros(0, np.int64)
        n = self.fixed_index.size
        check_shape(self.fixed_index, (n,), "fixed_index", "itself, one number for each channel")
        numbers, counts = np.unique(self.fixed_index, return_counts=True)
        if (counts > 1).any():
            twice = ", ".join(str(number) for number in numbers[counts > 1][:5])
            msg = f"`fixed_index` holds {twice} more than once; every channel needs a number of its own"
            raise ParameterError(msg)

        def real(values: npt.ArrayLike | None, name: str) -> npt.NDArray[np.float64]:
            if values is None:
                return np.ones(n)
            array = as_double(values, name, ndim=None)
            array = np.broadcast_to(array, (n,)) if array.ndim == 0 else array
            check_shape(array, (n,), name, "fixed_index")
            return array.copy()

        self.row = _as_whole(-1 if row is None else row, "row", n)
        self.col = _as_whole(-1 if col is None else col, "col", n)
        self._nominal = np.zeros((2, n)) if position is None else as_positions(position, "position").copy()
        check_shape(self._nominal, (2, n), "position", "fixed_index")
        self._position = self._nominal.copy()
        self.gain = real(gain, "gain")
        self.coupling = real(coupling, "coupling")
        self.variance = real(variance, "variance")
        self.source_filtering = real(source_filtering, "source_filtering")
        self.flag = _as_whole(0 if flag is None else flag, "flag", n)
        self.independent = np.zeros(n, dtype=bool)
        self.groups = {name: _as_whole(labels, name, n) for name, labels in (groups or {}).items()}
        self.info = info

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return f"<Channels: {self.size}, {int((self.flag == 0).sum())} without flags>"

    @property
    def size(self) -> int:
        """Number of channels."""
        return self.fixed_index.size

    @property
    def indices(self) -> npt.NDArray[np.int64]:
        """The column of each channel in the data."""
        return np.arange(self.size)

    @property
    def data(self) -> Self:
        """The table, which is this object; for callers who know the objects of the reference."""
        return self

    @property
    def position(self) -> Any:
        """Where the channels look on the focal plane: a quantity of shape (2, n_channels) [arcsec]."""
        return arcsec(self._position)

    @position.setter
    def position(self, value: Any) -> None:
        positions = as_positions(value, "position")
        check_shape(positions, (2, self.size), "position", "fixed_index")
        self._position[...] = positions

    @property
    def nominal_position(self) -> Any:
        """Where they were thought to look to begin with: a quantity of shape (2, n_channels) [arcsec]."""
        return arcsec(self._nominal)

    @property
    def weight(self) -> npt.NDArray[np.float64]:
        """Inverse variance; zero where the variance is not positive and finite."""
        usable = np.isfinite(self.variance) & (self.variance > 0)
        return np.divide(1.0, self.variance, out=np.zeros(self.size), where=usable)

    @property
    def sourceless_flags(self) -> ChannelFlag:
        """Flags of channels in which there can be no source."""
        return ChannelFlag.SOURCELESS

    def copy(self) -> Self:
        """Return a table of its own; the info is shared."""
        other = copying.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(other, name, value.copy())
        other.groups = {name: labels.copy() for name, labels in self.groups.items()}
        return other

    def select(self, indices: npt.ArrayLike) -> Self:
        """Return a table of its own of some channels, by their places in this one; the info is shared."""
        places = np.asarray(indices)
        other = copying.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(other, name, value[..., places])
        other.groups = {name: labels[places] for name, labels in self.groups.items()}
        return other

    def is_unflagged(self, flag: int | None = None) -> npt.NDArray[np.bool_]:
        """Tell which channels have none of these flags, or none at all."""
        bits = self.flag if flag is None else self.flag & int(flag)
        return np.equal(bits, 0)

    def find_fixed_indices(self, fixed_index: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the places of channels in the table.

        Parameters
        ----------
        fixed_index : array_like of int
            Numbers to look for.

        Returns
        -------
        ndarray of int64
            One for each number, -1 if there is no such channel.
        """
        wanted = _as_whole(fixed_index, "fixed_index")
        if self.size == 0:
            return np.full(wanted.shape, -1, dtype=np.int64)
        order = np.argsort(self.fixed_index)
        found = np.minimum(np.searchsorted(self.fixed_index, wanted, sorter=order), self.size - 1)
        return np.where(self.fixed_index[order[found]] == wanted, order[found], -1)

    def create_group(self, indices: npt.ArrayLike | None = None) -> ChannelGroup:
        """Return a choice of channels, by their places in the table; all of them by default."""
        return ChannelGroup(self, self.indices if indices is None else indices)

    def get_mapping_pixels(
        self, keep_flag: int | None = None, discard_flag: int | None = None, match_flag: int | None = None
    ) -> ChannelGroup:
        """Return the channels that are mapped.

        Parameters
        ----------
        keep_flag : int, optional
            Only channels without other flags than these; 0: without any.
        discard_flag : int, optional
            Only channels without these flags.
        match_flag : int, optional
            Only channels with just these flags.

        Returns
        -------
        ChannelGroup
            Those to which all that is given applies; without anything given, those that can see a source.
        """
        if keep_flag is None and discard_flag is None and match_flag is None:
            discard_flag = self.sourceless_flags
        keep = np.ones(self.size, dtype=bool)
        if keep_flag is not None:
            keep &= (self.flag & ~int(keep_flag)) == 0
        if discard_flag is not None:
            keep &= (self.flag & int(discard_flag)) == 0
        if match_flag is not None:
            keep &= self.flag == int(match_flag)
        return self.create_group(np.flatnonzero(keep))

    def get_source_gains(
        self,
        filter_corrected: bool = True,
        fixed: bool = False,
    ) -> npt.NDArray[np.float64]:
        """Return the response of all channels to a source on the sky, in units of the data.

        Parameters
        ----------
        filter_corrected : bool, optional
            Count what filters took away.
        fixed : bool, optional
            The coupling alone, without `gain` (option ``source.fixedgains``).

        Returns
        -------
        ndarray of float64, shape (n_channels,)
            Coupling x gain (x source filtering).
        """
        gains = self.coupling.copy() if fixed else self.coupling * self.gain
        return gains * self.source_filtering if filter_corrected else gains


class ChannelGroup:
    """Some of the channels of a table: what is set here is set there.

    Parameters
    ----------
    channels : Channels
        The table.
    indices : array_like of int, shape (n,)
        Places in the table, which are also the columns of the data; no place twice.

    Raises
    ------
    ParameterError
        If there is no such place, or one is given twice.
    """

    def __init__(self, channels: Channels, indices: npt.ArrayLike) -> None:
        places = _as_whole(indices, "indices") if np.size(indices) else np.zeros(0, np.int64)
        if places.size and (places.min() < 0 or places.max() >= channels.size):
            msg = f"`indices` run from {places.min()} to {places.max()}; the table has {channels.size} channels"
            raise ParameterError(msg)
        if np.unique(places).size != places.size:
            msg = "`indices` holds a channel more than once; every channel can be in a group only once"
            raise ParameterError(msg)
        self.channels = channels
        self.indices = places

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return f"<ChannelGroup: {self.size} of {self.channels.size} channels>"

    @property
    def size(self) -> int:
        """Number of channels in the group."""
        return self.indices.size

    @property
    def info(self) -> Info | None:
        """The instrument and its options."""
        return self.channels.info

    @property
    def fixed_index(self) -> npt.NDArray[np.int64]:
        """The number by which each channel is known."""
        return self.channels.fixed_index[self.indices]

    @property
    def flag(self) -> npt.NDArray[np.int64]:
        """`ChannelFlag` bits."""
        return self.channels.flag[self.indices]

    @flag.setter
    def flag(self, value: npt.ArrayLike) -> None:
        self.channels.flag[self.indices] = value

    @property
    def gain(self) -> npt.NDArray[np.float64]:
        """Response to signals that all see alike."""
        return self.channels.gain[self.indices]

    @gain.setter
    def gain(self, value: npt.ArrayLike) -> None:
        self.channels.gain[self.indices] = value

    @property
    def coupling(self) -> npt.NDArray[np.float64]:
        """Response to a source on the sky, in units of the gain."""
        return self.channels.coupling[self.indices]

    @coupling.setter
    def coupling(self, value: npt.ArrayLike) -> None:
        self.channels.coupling[self.indices] = value

    @property
    def variance(self) -> npt.NDArray[np.float64]:
        """Variance of the noise of one sample."""
        return self.channels.variance[self.indices]

    @variance.setter
    def variance(self, value: npt.ArrayLike) -> None:
        self.channels.variance[self.indices] = value

    @property
    def independent(self) -> npt.NDArray[np.bool_]:
        """Whether each is mapped by itself."""
        return self.channels.independent[self.indices]

    @independent.setter
    def independent(self, value: npt.ArrayLike) -> None:
        self.channels.independent[self.indices] = value

    @property
    def position(self) -> Any:
        """Where they look on the focal plane: a quantity of shape (2, n) [arcsec]."""
        return self.channels.position[:, self.indices]

    @position.setter
    def position(self, value: Any) -> None:
        positions = as_positions(value, "position")
        check_shape(positions, (2, self.size), "position", "indices")
        table = self.channels.position
        table[:, self.indices] = arcsec(positions)
        self.channels.position = table

    def create_group(self, keep: npt.ArrayLike) -> ChannelGroup:
        """Return some of the channels of the group, by truth values or by their places in the group."""
        return ChannelGroup(self.channels, self.indices[np.asarray(keep)])
