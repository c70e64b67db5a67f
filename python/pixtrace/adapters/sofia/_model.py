"""`PixelMap` for sofia_redux: its own class with our maps inside. Imported where it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pixtrace.adapters.sofia._copies import Copies
from pixtrace.adapters.sofia._fits import Model, as_they_are
from pixtrace.adapters.sofia._maps import IntensityMap
from pixtrace.adapters.sofia._parallel import ParallelSafe
from pixtrace.adapters.sofia._peer import peer_module
from pixtrace.exceptions import ParameterError
from pixtrace.scan import PixelMap as BlockModel
from pixtrace.scan._units import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from pixtrace.scan import PixelFits, PixelTable

__all__ = ["PixelMap"]

_Native: Any = peer_module("sofia_redux.scan.source_models.pixel_map").PixelMap


class PixelMap(Copies, ParallelSafe, _Native):  # type: ignore[misc]  # sofia_redux comes without types
    """Pixel maps of sofia_redux whose cells lie in one block of pixtrace.

    It is `sofia_redux.scan.source_models.pixel_map.PixelMap` to everybody who asks: geometry, headers and files are
    those of sofia_redux. Samples are added, maps merged, processed, subtracted and fitted by pixtrace. The arrays of
    all maps are windows on the block; arrays that sofia_redux replaces are copied into it.

    Parameters
    ----------
    info : sofia_redux.scan.info.info.Info
        The instrument and its options.
    reduction : sofia_redux.scan.reduction.reduction.Reduction, optional
        The reduction that the maps belong to.

    Notes
    -----
    The option ``pointing.method`` knows one method more, ``gaussian``: a weighted elliptical Gaussian with errors.

    Where sofia_redux 1.5.2 is wrong it is not followed: samples are subtracted by the cell under their own frame, every
    pixel has a base of its own, channels without a map are left alone, a round counts once, positions of a moving
    source are on the focal plane.
    """

    process_brief: Any

    def __init__(self, info: Any, reduction: Any = None) -> None:  # noqa: ANN401
        self._ours = Model(info, reduction)
        self.template = None
        _Native.__init__(self, info, reduction=reduction)
        self.process_brief = []
        self.template = IntensityMap(info, reduction=reduction)

    @property
    def referenced_attributes(self) -> Any:  # noqa: ANN401
        """Attributes that a copy shares."""
        return set(super().referenced_attributes) | {"_ours", "_original", "_carried"}

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the maps, ``(n_y, n_x)``; empty as long as there is no template."""
        return () if self.template is None else tuple(self.template.shape)

    @shape.setter
    def shape(self, shape: tuple[int, int]) -> None:
        self.set_data_shape(shape)

    def set_data_shape(self, shape: tuple[int, int]) -> None:
        """Give all maps another shape ``(n_y, n_x)``; they are empty afterwards."""
        numbers = self.collect()
        self.template.set_data_shape(tuple(shape))
        ours = self.ready()
        ours.add_maps(numbers)
        self.rebind()

    def clear_all_memory(self) -> None:
        """Let go of everything."""
        self._forget_original()
        super().clear_all_memory()
        self._ours.block = None
        self._ours.clear_all_memory()

    def set_info(self, info: Any) -> None:  # noqa: ANN401
        """Set instrument and options, of all maps too."""
        super().set_info(info)
        if self.template is not None:
            self.template.info = info
        for found in self.windows():
            found.info = info

    def create_from(self, scans: Sequence[Any], assign_scans: bool = True) -> None:  # noqa: FBT001, FBT002 - likewise
        """Set up the maps for scans; see sofia_redux.

        A moving source stands still on the focal plane; so for this the scans are taken for sidereal, without which
        sofia_redux would go over to equatorial coordinates, and positions come out rotated by the angle of the sky.
        """
        for scan in scans or []:
            for integration in scan.integrations or []:
                # A lookup for one cell in a frame, of an earlier model, is not what sofia_redux can write into.
                integration.frames.map_index = integration.frames.source_index = None
        moving = [scan for scan in scans or [] if getattr(scan, "is_nonsidereal", False)]
        try:
            for scan in moving:
                scan.is_nonsidereal = False
            super().create_from(scans, assign_scans=assign_scans)
        finally:
            for scan in moving:
                scan.is_nonsidereal = True
        self._ours.block = None
        self._ours.forget_samples()
        self.ready()

    def reset_processing(self) -> None:
        """Forget what was done to the maps; their cells stay as they are."""
        self.collect()
        super().reset_processing()
        for found in self.windows():
            found.smoothing = self.smoothing
        self.pull()

    def clear_content(self) -> None:
        """Empty all maps; the maps themselves stay, with what they know of the round before."""
        self.collect()
        self._ours.clear_content()
        self.push()

    def clear_process_brief(self) -> None:
        """Forget the few words on what was done."""
        self.process_brief = []
        for found in self.pixel_maps.values():
            if isinstance(found, IntensityMap):
                found.process_brief = []

    def add_process_brief(self, message: Any) -> None:  # noqa: ANN401 - a text or several
        """Add a few words on what was done."""
        self.process_brief = [] if self.process_brief is None else self.process_brief
        super().add_process_brief(message)

    def add_points(self, frames: Any, pixels: Any, frame_gains: npt.ArrayLike, source_gains: npt.ArrayLike) -> int:  # noqa: ANN401
        """Add the samples of channels to their maps; pixels that have no map get one.

        Parameters
        ----------
        frames : Frames
            The frames.
        pixels : ChannelGroup
            The channels.
        frame_gains : array_like, shape (n_frames,)
            Gains of the frames.
        source_gains : array_like, shape (n_all_channels,)
            Gains of all channels to the source.

        Returns
        -------
        int
            The number of frames that can be mapped.
        """
        self.collect()
        n_frames = self._ours.add_points(frames, pixels, frame_gains, source_gains)
        self.rebind()
        return n_frames

    def _other(self, other: Any) -> Model:  # noqa: ANN401
        """Return the block model of another, without the pixels for which we hold something that is no map."""
        if not isinstance(other, _Native):
            msg = f"Cannot add {'None' if other is None else f'a {type(other).__name__}'} to pixel maps"
            raise ParameterError(msg)
        if not isinstance(other, PixelMap):
            adopted = PixelMap(self.info, reduction=self.reduction)
            adopted.grid, adopted.template = self.grid, self.template
            adopted.pixel_maps = dict(other.pixel_maps)
            other = adopted
        other.pull()
        theirs: Model = other._ours  # noqa: SLF001 - one of this class
        strangers = self.strangers() & set(theirs.pixel_maps)
        if strangers and theirs.block is not None:
            some = Model(theirs.info)
            some.block = theirs.block.select(set(theirs.pixel_maps) - strangers)
            return some
        return theirs

    def merge_accumulate(self, other: Any) -> None:  # noqa: ANN401
        """Add the samples in the maps of another to these; maps that only one of them has are kept.

        Parameters
        ----------
        other : PixelMap
            Maps on the same grid.

        Raises
        ------
        ParameterError
            If it is something else.
        """
        theirs = self._other(other)
        self.pull()
        self._ours.merge_accumulate(theirs)
        self.push()

    def add_model_data(self, other: Any, weight: float = 1.0) -> None:  # noqa: ANN401
        """Add the maps of another, with a weight, to these; the other stays as it is.

        Parameters
        ----------
        other : PixelMap
            Maps on the same grid.
        weight : float, optional
            Its weights count times this.

        Raises
        ------
        ParameterError
            If it is something else.
        """
        theirs = self._other(other)
        self.pull()
        self._ours.add_model_data(theirs, float(weight))
        self.push()

    def count_points(self) -> int:
        """Return the number of valid cells of all maps."""
        self.collect()
        return self._ours.count_points()

    def covariant_points(self) -> float:
        """Return the number of cells in the smoothing beam, at least 1."""
        self.pull()
        return self._ours.covariant_points()

    def is_empty(self) -> bool:
        """Tell whether there is no data in any map."""
        return self.count_points() == 0

    def sync_source_gains(
        self,
        frames: Any,  # noqa: ANN401
        pixels: Any,  # noqa: ANN401
        frame_gains: npt.ArrayLike,
        source_gains: npt.ArrayLike,
        sync_gains: npt.ArrayLike,
    ) -> None:
        """Subtract the maps from the signals, and flag samples where they are masked.

        Parameters
        ----------
        frames : Frames
            The frames; signals and flags are changed.
        pixels : ChannelGroup
            The channels; those without a map are left alone.
        frame_gains : array_like, shape (n_frames,)
            Gains of the frames.
        source_gains, sync_gains : array_like, shape (n_all_channels,)
            Gains to the source, now and at the time of the last subtraction.
        """
        if self.collect():
            self._take_base()
            self._ours.sync_source_gains(frames, pixels, frame_gains, source_gains, sync_gains)

    def set_base(self) -> None:
        """Keep a copy of each map as the one of the round before."""
        self.collect()
        self._forget_original()  # from now on it has a base of its own
        self._ours.set_base()
        self.rebind()

    def process_scan(self, scan: Any) -> None:  # noqa: ANN401
        """Process maps that hold one scan, and set its weight."""
        self.pull()
        self._take_base()
        self._ours.process_scan(scan)
        self.push()

    def process(self) -> None:
        """Turn sums into means, and with the option ``pixelmap.process`` smooth, filter, clip and mask the maps."""
        numbers = self.pull()
        self._ours.process()
        self.push()
        self.add_process_brief(f"({len(numbers)} maps)")
        self.next_generation()

    def process_final(self) -> None:
        """Level and reweight all maps for good."""
        self.pull()
        self._ours.process_final()
        self.push()

    def smooth(self) -> None:
        """Smooth all maps to the beam that the option ``smooth`` asks for."""
        self.pull()
        block = self._ours.block
        if block is not None and self._ours.smoothing > 0:
            block.end_accumulation()
            block.stack.smooth_to(self._ours.smoothing, n_threads=block.n_threads)
        self.push()

    def calculate_pixel_data(self, smooth: bool = False) -> None:  # noqa: FBT001, FBT002 - likewise
        """Measure positions and couplings of the pixels, and put them into the channels of the first scan.

        Parameters
        ----------
        smooth : bool, optional
            Smooth to the beam of the instrument before (copies of the maps).
        """
        numbers = self.collect()
        with as_they_are(self._ours.block, numbers):
            self._ours.calculate_pixel_data(smooth=smooth)

    @property
    def fits(self) -> PixelFits | None:
        """What `calculate_pixel_data` found last; None if it was not called since the maps changed."""
        return self._ours.fits

    def get_pixel_table(self) -> PixelTable:
        """Return everything that is known of each pixel, with errors and flags.

        Returns
        -------
        pixtrace.scan.PixelTable
            One row for each channel of the first scan that can see a source.
        """
        self.collect()
        return self._ours.get_pixel_table()

    def to_pixtrace(self) -> BlockModel:
        """Return copies of the maps as a `pixtrace.scan.PixelMap`, which can be written, read and gone on with.

        Returns
        -------
        pixtrace.scan.PixelMap
            Maps without scans, options or instrument of sofia_redux.
        """
        self.pull()
        found = BlockModel()
        if self._ours.block is not None:
            found.block = self._ours.block.select(self._ours.block.fixed_indices)
            found.block.info = found.info
        found.map_coupling = dict(self._ours.map_coupling)
        found.generation = int(self.generation)
        found.integration_time = float(plain(self.integration_time, "s", "integration_time"))
        return found
