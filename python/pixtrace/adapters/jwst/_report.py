"""What `compare` found on an exposure; how it is said, saved and drawn, is `pixtrace.adapters._comparison`."""

from __future__ import annotations

from typing import ClassVar

from pixtrace.adapters import _comparison

__all__ = ["Comparison"]


class Comparison(_comparison.Comparison):
    """What `compare` found; printed, it is a report.

    Attributes
    ----------
    path : Path
        The exposure.
    parameters : mapping of str to object
        Parameters of the step.
    versions : mapping of str to str
        Of jwst and pixtrace.
    threads : int
        Number of threads that pixtrace used.
    differences : sequence of Difference
        By image, plane and region; region 0 is the whole image.
    times : sequence of Timing
        Function by function, then the whole step.
    """

    kind: ClassVar[str] = "exposure"
    place: ClassVar[str] = "region"
    everywhere: ClassVar[str] = "over the whole image"

    @property
    def title(self) -> str:
        """First line of the picture."""
        return f"{self.path.name}   x {self.parameters['oversample']:g}"
