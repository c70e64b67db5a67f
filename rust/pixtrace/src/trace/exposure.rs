//! The planes of one exposure, known to agree in shape, and where its regions lie.

use std::collections::BTreeMap;
use std::ops::Range;

use ndarray::ArrayView2;

use crate::Error;
use crate::numeric::Real;

/// Rows and columns that a region reaches over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionBox {
    /// Rows, from the first to one past the last.
    pub rows: Range<usize>,
    /// Columns, from the first to one past the last.
    pub columns: Range<usize>,
}

/// A region map and the box of each of its regions, by rising label.
#[derive(Clone, Debug)]
pub struct RegionMap<'a> {
    labels: ArrayView2<'a, i32>,
    boxes: BTreeMap<i32, RegionBox>,
}

impl<'a> RegionMap<'a> {
    /// Finds the regions: all labels above zero.
    #[must_use]
    pub fn new(labels: ArrayView2<'a, i32>) -> Self {
        let mut boxes: BTreeMap<i32, RegionBox> = BTreeMap::new();
        for (y, row) in labels.rows().into_iter().enumerate() {
            let mut x = 0;
            while x < row.len() {
                let label = row[x];
                let begin = x;
                while x < row.len() && row[x] == label {
                    x += 1;
                }
                if label > 0 {
                    let found = boxes
                        .entry(label)
                        .or_insert_with(|| RegionBox { rows: y..y + 1, columns: begin..x });
                    found.rows.end = y + 1;
                    found.columns.start = found.columns.start.min(begin);
                    found.columns.end = found.columns.end.max(x);
                }
            }
        }
        Self { labels, boxes }
    }

    /// The map itself, `(n_y, n_x)`.
    #[must_use]
    pub fn labels(&self) -> ArrayView2<'a, i32> {
        self.labels
    }

    /// Box of each region, by rising label.
    #[must_use]
    pub fn boxes(&self) -> &BTreeMap<i32, RegionBox> {
        &self.boxes
    }

    /// Rows and columns of the image.
    #[must_use]
    pub fn dim(&self) -> (usize, usize) {
        self.labels.dim()
    }

    /// Fails unless `plane` has the shape of the map, refined `n_y` rows to `rows`.
    pub(crate) fn check_shape(
        &self,
        plane: &'static str,
        found: (usize, usize),
        rows: usize,
    ) -> Result<(), Error> {
        let expected = [rows, self.labels.ncols()];
        if [found.0, found.1] == expected {
            Ok(())
        } else {
            Err(Error::ShapeMismatch {
                plane,
                found: [found.0, found.1],
                expected,
                of: "region_map",
            })
        }
    }
}

/// Detector planes of one exposure, borrowed and known to agree in shape.
///
/// The type of the flux, `f32` or `f64`, sets the precision that alpha, knots and column sums are rounded to.
#[derive(Clone, Debug)]
pub struct Exposure<'a, T> {
    flux: ArrayView2<'a, T>,
    error: Option<ArrayView2<'a, T>>,
    alpha: ArrayView2<'a, f64>,
    map: RegionMap<'a>,
}

impl<'a, T: Real> Exposure<'a, T> {
    /// Takes flux, its error (needed for thresholds and for the trimming of edges), the coordinate along the slice,
    /// and the labels of the regions, each of shape `(n_y, n_x)`. Without errors every pixel counts as equally good.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if a plane does not have the shape of the flux.
    pub fn new(
        flux: ArrayView2<'a, T>,
        error: Option<ArrayView2<'a, T>>,
        alpha: ArrayView2<'a, f64>,
        region_map: ArrayView2<'a, i32>,
    ) -> Result<Self, Error> {
        let expected = [flux.nrows(), flux.ncols()];
        let planes = [
            ("error", error.map_or(flux.dim(), |e| e.dim())),
            ("alpha", alpha.dim()),
            ("region_map", region_map.dim()),
        ];
        for (plane, (n_y, n_x)) in planes {
            if [n_y, n_x] != expected {
                return Err(Error::ShapeMismatch {
                    plane,
                    found: [n_y, n_x],
                    expected,
                    of: "flux",
                });
            }
        }
        Ok(Self { flux, error, alpha, map: RegionMap::new(region_map) })
    }

    /// Flux.
    #[must_use]
    pub fn flux(&self) -> ArrayView2<'a, T> {
        self.flux
    }

    /// Error of the flux.
    #[must_use]
    pub fn error(&self) -> Option<ArrayView2<'a, T>> {
        self.error
    }

    /// Coordinate along the slice.
    #[must_use]
    pub fn alpha(&self) -> ArrayView2<'a, f64> {
        self.alpha
    }

    /// Where the regions lie.
    #[must_use]
    pub fn regions(&self) -> &RegionMap<'a> {
        &self.map
    }
}
