"""jwst, which comes without types and is not installed where the types are checked: `Any` to the type checkers.

Importing this keeps jwst from asking a server for anything.
"""

import os
from importlib import import_module
from typing import Any

os.environ["STPIPE_DISABLE_CRDS_STEPPARS"] = "True"
os.environ["CRDS_SERVER_URL"] = "https://localhost"
os.environ.setdefault("CRDS_PATH", "crds-is-not-used")

crds_client: Any = import_module("stpipe.crds_client")


def _no_context(_: object) -> str:
    return "N/A"


crds_client.get_context_used = _no_context

datamodels: Any = import_module("stdatamodels.jwst.datamodels")
containers: Any = import_module("jwst.datamodels")
pipelines: Any = import_module("jwst.pipeline")
trace_model: Any = import_module("jwst.adaptive_trace_model.trace_model")
step_module: Any = import_module("jwst.adaptive_trace_model.adaptive_trace_model_step")
JwstStep: Any = import_module("jwst.stpipe").Step
NativeStep: Any = import_module("jwst.adaptive_trace_model").AdaptiveTraceModelStep


def contents() -> list[dict[str, Any]]:
    """Return what every name in the modules of the step is bound to; Python's own names, of warnings seen, apart."""
    modules = (trace_model, step_module)
    return [{name: value for name, value in vars(m).items() if not name.startswith("__")} for m in modules]
