//! What can be wrong with the input of this crate.

/// Why a call was refused or ended early. Fields carry the facts, the message carries the remedy.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A plane does not have the shape it must share with another one.
    #[error(
        "`{plane}` has shape {found:?}; expected {expected:?}, the shape that goes with `{of}`"
    )]
    ShapeMismatch {
        /// Name of the plane at fault.
        plane: &'static str,
        /// Its shape.
        found: [usize; 2],
        /// The shape it should have.
        expected: [usize; 2],
        /// The plane or parameter that sets the expected shape.
        of: &'static str,
    },
    /// A vector does not have the length it must share with another one.
    #[error("`{name}` has {found} elements; expected {expected}")]
    LengthMismatch {
        /// Name of the vector at fault.
        name: &'static str,
        /// Its length.
        found: usize,
        /// The length it should have.
        expected: usize,
    },
    /// An array does not have the shape it must share with another one.
    #[error("`{name}` has shape {found:?}; expected {expected:?}, the shape that goes with {of}")]
    Shape {
        /// Name of the array at fault.
        name: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// The shape it should have.
        expected: Vec<usize>,
        /// What sets the expected shape.
        of: &'static str,
    },
    /// The elements of an array that is worked on in place do not lie one after the other.
    #[error("`{name}` must lie in memory in one piece, the last axis fastest")]
    Layout {
        /// Name of the array at fault.
        name: &'static str,
    },
    /// An index points outside of the array it is for.
    #[error("`{name}`[{position}] = {found}; expected a number from 0 to {n} - 1")]
    Index {
        /// Name of the array of indices.
        name: &'static str,
        /// Where in it.
        position: usize,
        /// The index found there.
        found: i64,
        /// Number of elements there are.
        n: usize,
    },
    /// An element of an array lies outside the range in which the method is defined.
    #[error("`{name}`[{position}] = {found}; it must be {must_be}")]
    Element {
        /// Name of the array.
        name: &'static str,
        /// Where in it.
        position: usize,
        /// The number found there.
        found: f64,
        /// The range it must lie in.
        must_be: &'static str,
    },
    /// A number that must stand only once in an array stands there twice.
    #[error("`{name}`[{position}] = {found} stands there twice; each may occur once")]
    Duplicate {
        /// Name of the array.
        name: &'static str,
        /// Where it stands for the second time.
        position: usize,
        /// The number.
        found: i64,
    },
    /// A parameter lies outside the range in which the method is defined.
    #[error("`{name}` = {value}; it must be {must_be}")]
    Parameter {
        /// Name of the parameter.
        name: &'static str,
        /// Its value.
        value: f64,
        /// The range it must lie in.
        must_be: &'static str,
    },
    /// A region has no entry in the table of peak thresholds.
    #[error(
        "region {region} has no entry in `peak_threshold`; give one for every region of the map"
    )]
    MissingThreshold {
        /// Label of the region.
        region: i32,
    },
    /// A column number points outside the image.
    #[error("`col_index` holds column {column}; the image has {n_columns} columns, counted from 0")]
    ColumnOutside {
        /// The column number.
        column: i64,
        /// Number of columns in the image.
        n_columns: usize,
    },
    /// Errors are to be propagated through a model that does not know its covariances.
    #[error(
        "the model of region {region} has no record of its fit with these variances; fit it with covariances"
    )]
    NoRecord {
        /// Label of the region.
        region: i32,
    },
    /// The data do not tell by how much exposures are shifted against each other.
    #[error(
        "the offsets of the exposures cannot be found: {reason}; give them, or fit the exposures one by one"
    )]
    Offsets {
        /// What is missing.
        reason: &'static str,
    },
    /// Exposures that are to be fitted together have nothing in common.
    #[error(
        "no two exposures show the same profile in any region; fit together only exposures of one source in the same \
         slices, or fit these one by one"
    )]
    NothingShared,
    /// Errors are to be propagated, and there are none.
    #[error("there are no errors to be propagated; give the error of the flux")]
    NoErrors,
    /// A B-spline whose knots, coefficients and degree do not fit together.
    #[error("not a cubic B-spline: {reason}")]
    Spline {
        /// What does not fit.
        reason: &'static str,
    },
    /// The data points do not allow the fit that was asked for.
    #[error("cannot fit a spline: {reason}")]
    Unfittable {
        /// What is missing.
        reason: &'static str,
    },
    /// There is no memory for a plane.
    #[error("no memory for a plane of {:.1} GB; use a smaller factor", *n_bytes as f64 / 1e9)]
    OutOfMemory {
        /// Size of the plane in bytes.
        n_bytes: usize,
    },
    /// A map still holds sums where means are needed.
    #[error("map {pixel} holds sums, not means; call `end_accumulation` first")]
    NotNormalised {
        /// Number of the map in its stack.
        pixel: usize,
    },
    /// The caller asked to stop.
    #[error("stopped on request")]
    Cancelled,
}
