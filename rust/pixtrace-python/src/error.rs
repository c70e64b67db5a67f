//! Errors of the core become the exceptions of the Python package.

use pixtrace::Error;
use pyo3::PyErr;

pyo3::import_exception!(pixtrace.exceptions, DataError);
pyo3::import_exception!(pixtrace.exceptions, InternalError);
pyo3::import_exception!(pixtrace.exceptions, MemoryLimitError);
pyo3::import_exception!(pixtrace.exceptions, ParameterError);
pyo3::import_exception!(pixtrace.exceptions, ShapeError);

/// An error on its way to Python: one of the core's, or one that Python raised meanwhile.
pub(crate) struct BoundaryError(PyErr);

/// What every function of the module returns.
pub(crate) type BoundaryResult<T> = Result<T, BoundaryError>;

impl BoundaryError {
    /// A promise of our own was broken.
    pub(crate) fn internal(what: &str) -> Self {
        Self(InternalError::new_err(format!(
            "{what}; this is an error in pixtrace, please report it"
        )))
    }
}

impl From<Error> for BoundaryError {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        Self(match error {
            Error::ShapeMismatch { .. } | Error::LengthMismatch { .. } | Error::Shape { .. } => {
                ShapeError::new_err(text)
            }
            Error::Parameter { .. }
            | Error::MissingThreshold { .. }
            | Error::ColumnOutside { .. }
            | Error::Index { .. }
            | Error::Element { .. }
            | Error::Duplicate { .. } => ParameterError::new_err(text),
            Error::OutOfMemory { .. } => MemoryLimitError::new_err(text),
            _ => DataError::new_err(text),
        })
    }
}

impl From<PyErr> for BoundaryError {
    fn from(error: PyErr) -> Self {
        Self(error)
    }
}

impl From<BoundaryError> for PyErr {
    fn from(error: BoundaryError) -> Self {
        error.0
    }
}
