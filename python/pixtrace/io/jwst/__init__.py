"""JWST exposures: IFU images and slits with their WCS, read and written without the jwst package.

`JwstExposure.open` reads a file of one of the modes in `pixtrace.io.jwst.modes.MODES`; `JwstExposure.save` writes the
product, which the later steps of the pipeline (cube_build, resample_spec, extract_1d) take as they take their own. The
extra ``jwst`` brings what it needs: PyYAML for the tree, and gwcs, asdf and stdatamodels for all WCSs but those of MIRI
MRS.
"""

from pixtrace.io.jwst.exposure import JwstExposure

__all__ = ["JwstExposure"]
