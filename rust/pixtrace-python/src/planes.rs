//! Arrays of either precision.

use numpy::{PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

/// A plane of single or double precision.
#[derive(FromPyObject)]
pub(crate) enum Plane<'py> {
    Single(PyReadonlyArray2<'py, f32>),
    Double(PyReadonlyArray2<'py, f64>),
}

/// A vector of single or double precision.
#[derive(FromPyObject)]
pub(crate) enum Vector<'py> {
    Single(PyReadonlyArray1<'py, f32>),
    Double(PyReadonlyArray1<'py, f64>),
}
