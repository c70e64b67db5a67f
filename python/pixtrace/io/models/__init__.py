"""Trace models on disk, exact to the bit: ASDF (extra ``asdf``) or FITS tables, which need no extra.

A file holds the models of one exposure, one per image, with the parameters that they were fitted with. `save_models`
and `load_models` take the lot; `pixtrace.trace.TraceModel.save` and ``load`` a model alone. The format is chosen by the
suffix on the way out, and recognised on the way in. It is described in ``docs/models.md``; its version is `FORMAT`.
"""

from pixtrace.io.models.files import load_model, load_models, save_model, save_models
from pixtrace.io.models.stored import FORMAT, StoredModel, fingerprint

__all__ = [
    "FORMAT",
    "StoredModel",
    "fingerprint",
    "load_model",
    "load_models",
    "save_model",
    "save_models",
]
