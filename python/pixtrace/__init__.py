"""Spectral traces for astronomers: model them with B-splines, and oversample undersampled spectra with the model.

Rooms:

- `pixtrace.trace`: fits, models and oversampling, on arrays;
- `pixtrace.io`: exposures on disk, from JWST (extra ``pixtrace[jwst]``) or anyone;
- `pixtrace.simulate`: scenes with a known answer;
- the command ``pixtrace``.
"""

from pixtrace._native import __version__

__all__ = ["__version__"]
