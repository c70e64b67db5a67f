"""The step ``adaptive_trace_model`` as a class of ours. Imported where it is asked for: it needs jwst."""

from __future__ import annotations

import importlib
import logging
from typing import Any

from pixtrace.adapters.jwst._peer import trace_module
from pixtrace.adapters.jwst._switch import enable

__all__ = ["AdaptiveTraceModelStep"]

trace_module()  # says what is wrong, if anything is, before something of jwst is imported
_NativeStep: Any = importlib.import_module("jwst.adaptive_trace_model").AdaptiveTraceModelStep
_Pipeline: Any = importlib.import_module("jwst.stpipe").Pipeline
_log = logging.getLogger("jwst.adaptive_trace_model")  # a name that stpipe shows and records

#: Parameters of stpipe that a hook takes over from the step it hangs on, beside those of the method.
_TAKEN_OVER = ("save_results", "output_dir", "output_file", "output_ext", "output_use_model", "suffix")


class AdaptiveTraceModelStep(_NativeStep):  # type: ignore[misc]  # jwst comes without types
    """Fit an adaptive trace model to a spectral image, and oversample it: jwst's step with the kernels of pixtrace.

    Parameters, products, names of files and status are those of `jwst.adaptive_trace_model.AdaptiveTraceModelStep`;
    ``maximum_cores`` becomes a number of threads. It stands in for the native step

    - on its own: ``AdaptiveTraceModelStep.call(path, oversample=2)``, or ``strun
      pixtrace.adapters.jwst.AdaptiveTraceModelStep``;
    - in a pipeline: ``Spec3Pipeline.step_defs["adaptive_trace_model"] = AdaptiveTraceModelStep``, or
      ``pipeline.adaptive_trace_model = AdaptiveTraceModelStep(oversample=2)``;
    - as a post-hook of the native step, which stays skipped: as a class, or the name of one, it takes the parameters
      of that step; as an instance, or a text with parameters, its own. The result is saved by the hook itself, since
      a step that is skipped saves nothing.

    Notes
    -----
    As a post-hook of a step that was not skipped it leaves the data alone, and says so: they have been through the
    trace model already.
    """

    __module__ = "pixtrace.adapters.jwst"  # the name by which stpipe finds it

    def run(self, *args: Any) -> Any:  # noqa: ANN401
        """Run the step.

        Parameters
        ----------
        *args : str, path-like, datamodel or container
            The exposure, or several of them.

        Returns
        -------
        datamodel or container
            The result.
        """
        if self._is_hook:
            self._take_over_parameters()
        return super().run(*args)

    def process(self, input_data: Any) -> Any:  # noqa: ANN401
        """Do the work.

        Parameters
        ----------
        input_data : str, path-like, datamodel or container
            The exposure, or several of them.

        Returns
        -------
        datamodel or container
            The same with trace, and oversampled if that is asked for.
        """
        if self._is_too_late:
            _log.warning(
                "the step that %s hangs on was not skipped: the data have their trace already and are left as they are",
                self.name,
            )
            return input_data
        with enable():
            return super().process(input_data)

    @property
    def _is_hook(self) -> bool:
        """Whether it hangs on another step, rather than stand in a pipeline or on its own."""
        return self.parent is not None and not isinstance(self.parent, _Pipeline)

    @property
    def _is_too_late(self) -> bool:
        """Whether it hangs on a native step that has done the work itself."""
        return self._is_hook and isinstance(self.parent, _NativeStep) and not self.parent.skip

    def _take_over_parameters(self) -> None:
        """Run, as whoever hung it there wants it to; with the parameters of the native step, if it hangs on that."""
        given = set(self._keywords) - {"output_ext"}  # which stpipe gives to every hook
        if "skip" not in given:
            self.skip = False
        if not isinstance(self.parent, _NativeStep):
            return
        for name in (*_method_parameters(), *_TAKEN_OVER):
            if name not in given and hasattr(self.parent, name):
                setattr(self, name, getattr(self.parent, name))
        if self._is_too_late:  # what there is to be saved the native step saves
            self.save_results, self.output_file = False, None


def _method_parameters() -> list[str]:
    """Return the names of the native step's own parameters, ``skip`` apart."""
    spec = str(_NativeStep.spec)
    names = [line.split("=", 1)[0].strip() for line in spec.splitlines() if "=" in line]
    return [name for name in names if name != "skip"]
