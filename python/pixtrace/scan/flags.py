"""What is wrong with a map cell, a frame, a sample or a channel, as bits that can be combined."""

from __future__ import annotations

from enum import IntFlag

__all__ = ["FIT_FLAG_MEANINGS", "ChannelFlag", "FitFlag", "FrameFlag", "MapFlag", "SampleFlag"]


class MapFlag(IntFlag):
    """Bits of a map cell; `pixtrace.scan.MapStack.flag` holds them as uint8."""

    DISCARD = 1
    """Holds no data, or data that a clip took out."""
    MASK = 2
    """Lies on the source: samples here are marked as blanked when the source is subtracted."""


class FrameFlag(IntFlag):
    """Bits of a frame, one readout of all channels, with the values of the reference."""

    WEIGHT = 1
    """Its noise level is out of line."""
    SPIKY = 2
    """A glitch through the whole camera."""
    DOF = 4
    """No degrees of freedom are left."""
    JUMP = 8
    """The signal jumps."""
    SKIP_SOURCE_MODELING = 16
    """Is not to enter the map."""
    SKIP_MODELING = 32
    """Is not to enter any model."""
    SKIP_WEIGHTING = 64
    """Says nothing about the noise."""
    CHOP_LEFT = 128
    CHOP_RIGHT = 256
    CHOP_TRANSIT = 512
    NOD_LEFT = 1024
    NOD_RIGHT = 2048
    CHOP_FLAGS = CHOP_LEFT | CHOP_RIGHT | CHOP_TRANSIT
    BAD_DATA = SPIKY | JUMP
    MODELING_FLAGS = BAD_DATA | WEIGHT | DOF | SKIP_MODELING
    SOURCE_FLAGS = MODELING_FLAGS | SKIP_SOURCE_MODELING
    """Any of these keeps a frame out of the maps."""
    TIME_WEIGHTING_FLAGS = BAD_DATA | SKIP_MODELING | SKIP_WEIGHTING
    CHANNEL_WEIGHTING_FLAGS = MODELING_FLAGS | SKIP_WEIGHTING


class SampleFlag(IntFlag):
    """Bits of a sample, one channel in one frame; they fit into the one byte of `Frames.sample_flag`."""

    DAC_RANGE = 1
    """Out of the range of the converter."""
    SOURCE_BLANK = 2
    """On the source, and so left out of noise and drift models; it does enter the maps."""
    SPIKE = 4
    """A glitch."""
    SKIP = 8
    """Outside of what is mapped."""
    PHOTOMETRY = 16
    """Set apart for photometry."""
    JUMP = 32
    """Next to a jump of the level, which cleaning removed."""


class ChannelFlag(IntFlag):
    """Bits of a channel, with the values of the reference."""

    DEAD = 1
    """Gives no signal at all."""
    BLIND = 2
    """Works, but sees no sky."""
    DISCARD = 4
    """Left out by request."""
    GAIN = 8
    """Its gain is out of line."""
    SENSITIVITY = 16
    """Too noisy."""
    DOF = 32
    """No degrees of freedom are left."""
    SPIKY = 64
    """Too many glitches."""
    DAC_RANGE = 128
    """Out of the range of the converter."""
    PHASE_DOF = 256
    """No degrees of freedom are left in phase."""
    TIME_WEIGHTING = 512
    """Left out of the weights of frames."""
    OSCILLATING = 1024
    """Most of its power lies in one line of the spectrum. This bit is none of the reference."""
    SOURCELESS = DEAD | BLIND | DISCARD
    """Any of these: there is no source in the signal to be found or removed."""


class FitFlag(IntFlag):
    """Why there is no position of a pixel, or why it should be looked at; the low bits are those of the fit."""

    NO_DATA = 1
    """No valid cell; no fit."""
    TOO_FEW_CELLS = 1 << 1
    """Not more valid cells than parameters; no fit."""
    NOT_CONVERGED = 1 << 2
    """The fit did not converge or ran into a limit; no fit."""
    DEGENERATE = 1 << 3
    """The valid cells do not determine every parameter; no fit."""
    NOT_SIGNIFICANT = 1 << 4
    """The amplitude over its error is below the threshold."""
    WRONG_SIGN = 1 << 5
    """The amplitude has the sign that a source should not have."""
    AT_EDGE = 1 << 6
    """The half-maximum ellipse reaches over the edge of the map."""
    OUTSIDE = 1 << 7
    """The centre lies outside of the map."""
    WIDTH_AT_LIMIT = 1 << 8
    """A width lies at the limit of what the map can show."""
    FEW_CELLS_IN_BEAM = 1 << 9
    """Less than half of the cells inside the half-maximum ellipse are valid."""
    SMOOTHED = 1 << 10
    """The map was smoothed: cells are correlated, errors are too small."""
    ROUND = 1 << 11
    """The beam is round within its errors: one width, the angle undefined. Not a fault."""
    NO_MAP = 1 << 16
    """The pixel has no map."""
    FLAGGED = 1 << 17
    """The channel is flagged."""
    UNSETTLED = 1 << 18
    """Position or gain still moved by more than the limit in the last round."""
    OUT_OF_LINE = 1 << 19
    """Width or amplitude are far from those of the other pixels: not the source."""
    FAILED = NO_DATA | TOO_FEW_CELLS | NOT_CONVERGED | DEGENERATE | NO_MAP
    """Any of these: there is no fit."""
    NOT_FOUND = FAILED | NOT_SIGNIFICANT | WRONG_SIGN | OUTSIDE | WIDTH_AT_LIMIT | OUT_OF_LINE
    """Any of these: the position of the pixel is not measured."""


#: What the bits of a `FitFlag` mean, for headers of tables.
FIT_FLAG_MEANINGS = {
    FitFlag.NO_DATA: "no valid cell; no fit",
    FitFlag.TOO_FEW_CELLS: "not more valid cells than parameters; no fit",
    FitFlag.NOT_CONVERGED: "the fit did not converge or ran into a limit; no fit",
    FitFlag.DEGENERATE: "the valid cells do not determine every parameter; no fit",
    FitFlag.NOT_SIGNIFICANT: "amplitude over its error is below the threshold",
    FitFlag.WRONG_SIGN: "the amplitude has the sign a source should not have",
    FitFlag.AT_EDGE: "the half-maximum ellipse reaches over the edge of the map",
    FitFlag.OUTSIDE: "the centre lies outside of the map",
    FitFlag.WIDTH_AT_LIMIT: "a width lies at the limit of what the map can show",
    FitFlag.FEW_CELLS_IN_BEAM: "less than half of the cells inside the half-maximum ellipse are valid",
    FitFlag.SMOOTHED: "the map was smoothed: cells are correlated, errors are too small",
    FitFlag.ROUND: "the beam is round within its errors: one width, angle undefined",
    FitFlag.NO_MAP: "the pixel has no map",
    FitFlag.FLAGGED: "the channel is flagged",
    FitFlag.UNSETTLED: "position or gain still moved by more than the limit in the last round",
    FitFlag.OUT_OF_LINE: "width or amplitude are far from those of the other pixels: not the source",
}
