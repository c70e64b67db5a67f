//! The pixels of one region, column by column.

use std::ops::Range;

use ndarray::{ArrayView2, s};

use super::exposure::{Exposure, RegionBox};
use crate::Error;
use crate::numeric::Real;
use crate::numeric::stats::median_of_many;

/// Columns that are taken out of a plane together.
const COLUMNS_AT_A_TIME: usize = 64;

/// The pixels of one region, taken out of the planes and laid out column by column.
///
/// Flux and alpha are rounded to the precision of the data; what is not finite is NaN. A pixel keeps its number in
/// the region's list (`0 .. len`), columns follow one another, and rows rise within a column.
#[derive(Clone, Debug)]
pub struct RegionPixels {
    /// Columns of the image that the region reaches over.
    pub columns: Range<usize>,
    /// Number of the first pixel of each column of `columns`, and the number of pixels.
    first: Vec<usize>,
    /// Row of each pixel.
    pub row: Vec<u32>,
    /// Flux of each pixel.
    pub flux: Vec<f64>,
    /// Error of each pixel, 1 where none were given.
    pub error: Vec<f64>,
    /// Coordinate along the slice of each pixel.
    pub alpha: Vec<f64>,
}

impl RegionPixels {
    /// Collects the pixels with this label.
    #[must_use]
    pub fn new<T: Real>(exposure: &Exposure<'_, T>, label: i32, bounds: &RegionBox) -> Self {
        let labels = exposure.regions().labels();
        let mut pixels = Self::layout(labels, label, bounds);
        pixels.flux = pixels.collect(bounds, labels, label, exposure.flux(), Real::to_f64);
        pixels.alpha = pixels.collect(bounds, labels, label, exposure.alpha(), T::narrow);
        pixels.error = match exposure.error() {
            Some(error) => pixels.collect(bounds, labels, label, error, Real::to_f64),
            None => vec![1.0; pixels.row.len()],
        };
        pixels
    }

    /// Takes all pixels of some planes for one region.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if a plane does not have the shape of the flux.
    pub fn whole<T: Real>(
        flux: ArrayView2<'_, T>,
        error: Option<ArrayView2<'_, T>>,
        alpha: ArrayView2<'_, f64>,
    ) -> Result<Self, Error> {
        let (n_y, n_x) = flux.dim();
        for (plane, found) in
            [("error", error.map_or(flux.dim(), |e| e.dim())), ("alpha", alpha.dim())]
        {
            if found != flux.dim() {
                let (found, expected) = ([found.0, found.1], [n_y, n_x]);
                return Err(Error::ShapeMismatch { plane, found, expected, of: "flux" });
            }
        }
        let mut row = Vec::with_capacity(n_y * n_x);
        for _ in 0..n_x {
            row.extend(0..n_y as u32);
        }
        Ok(Self {
            columns: 0..n_x,
            first: (0..=n_x).map(|x| x * n_y).collect(),
            row,
            flux: by_column(flux, Real::to_f64),
            error: error
                .map_or_else(|| vec![1.0; n_y * n_x], |error| by_column(error, Real::to_f64)),
            alpha: by_column(alpha, T::narrow),
        })
    }

    /// Finds rows and columns of the pixels; flux, error and alpha stay empty.
    pub(crate) fn layout(labels: ArrayView2<'_, i32>, label: i32, bounds: &RegionBox) -> Self {
        let columns = bounds.columns.clone();
        let mut first = vec![0; columns.len() + 1];
        visit(labels, label, bounds, |_, x| first[x + 1] += 1);
        for x in 0..columns.len() {
            first[x + 1] += first[x];
        }
        let mut next = first.clone();
        let mut row = vec![0; first[columns.len()]];
        visit(labels, label, bounds, |y, x| {
            row[next[x]] = y as u32;
            next[x] += 1;
        });
        Self { columns, first, row, flux: Vec::new(), error: Vec::new(), alpha: Vec::new() }
    }

    /// Takes one plane's values of the region's pixels, with NaN for all that is not finite.
    pub(crate) fn collect<S: Copy>(
        &self,
        bounds: &RegionBox,
        labels: ArrayView2<'_, i32>,
        label: i32,
        plane: ArrayView2<'_, S>,
        convert: impl Fn(S) -> f64,
    ) -> Vec<f64> {
        let mut next = self.first.clone();
        let mut values = vec![0.0; self.row.len()];
        for columns in stretches(&bounds.columns) {
            let start = columns.start - bounds.columns.start;
            for y in bounds.rows.clone() {
                let (labels, plane) =
                    (labels.slice(s![y, columns.clone()]), plane.slice(s![y, columns.clone()]));
                for ((found, &value), next) in labels.iter().zip(plane).zip(&mut next[start..]) {
                    if *found == label {
                        let value = convert(value);
                        values[*next] = if value.is_finite() { value } else { f64::NAN };
                        *next += 1;
                    }
                }
            }
        }
        values
    }

    /// Numbers of the pixels in a column of the image.
    #[must_use]
    pub fn column(&self, column: usize) -> Range<usize> {
        if !self.columns.contains(&column) {
            return 0..0;
        }
        let x = column - self.columns.start;
        self.first[x]..self.first[x + 1]
    }

    /// Sum of the flux of each column (counted from the first of the region), in the precision of `T`.
    ///
    /// NaN is left out, and so is what is not above zero if `positive_only`. Rows are added from the first to the last.
    #[must_use]
    pub fn column_sums<T: Real>(&self, positive_only: bool) -> Vec<f64> {
        let is_used = |flux: &&f64| if positive_only { **flux > 0.0 } else { !flux.is_nan() };
        let sum = |column| {
            self.flux[self.column(column)]
                .iter()
                .filter(is_used)
                .fold(0.0, |sum, f| T::narrow(sum + f))
        };
        self.columns.clone().map(sum).collect()
    }

    /// Lowest and highest finite alpha, NaN if there is none.
    #[must_use]
    pub fn alpha_range(&self) -> (f64, f64) {
        // Comparisons that are rarely true cost less than minima that look for NaN.
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for &alpha in &self.alpha {
            if alpha < low {
                low = alpha;
            }
            if alpha > high {
                high = alpha;
            }
        }
        if low > high {
            return (f64::NAN, f64::NAN);
        }
        (low, high)
    }

    /// Spacing of native pixels in alpha: the median difference between one row and the next, without its sign.
    ///
    /// In the precision of `T`; NaN if no two finite pixels follow one another in a column.
    #[must_use]
    pub fn native_dalpha<T: Real>(&self) -> f64 {
        let mut steps: Vec<T> = Vec::with_capacity(self.row.len());
        for column in self.columns.clone() {
            let pixels = self.column(column);
            steps.extend(pixels.clone().zip(pixels.skip(1)).filter_map(|(i, j)| {
                let step = T::narrow(self.alpha[j] - self.alpha[i]);
                (self.row[j] == self.row[i] + 1 && step.is_finite()).then(|| T::from_f64(step))
            }));
        }
        T::narrow(median_of_many(&mut steps, &mut Vec::new())).abs()
    }
}

/// The values of a plane column by column, with NaN for all that is not finite.
fn by_column<S: Copy>(plane: ArrayView2<'_, S>, convert: impl Fn(S) -> f64) -> Vec<f64> {
    let (n_y, n_x) = plane.dim();
    let mut values = vec![f64::NAN; n_y * n_x];
    for columns in stretches(&(0..n_x)) {
        let stretch = plane.slice(s![.., columns.clone()]);
        let values = &mut values[columns.start * n_y..];
        for (y, row) in stretch.rows().into_iter().enumerate() {
            for (&value, place) in row.iter().zip(values[y..].iter_mut().step_by(n_y)) {
                let value = convert(value);
                if value.is_finite() {
                    *place = value;
                }
            }
        }
    }
    values
}

/// A few columns at a time, so that what is written column by column stays in the cache.
fn stretches(columns: &Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
    let end = columns.end;
    let firsts = columns.clone().step_by(COLUMNS_AT_A_TIME);
    firsts.map(move |first| first..(first + COLUMNS_AT_A_TIME).min(end))
}

/// Calls `act(row, column - first column)` for every pixel with this label, row by row.
fn visit(
    labels: ArrayView2<'_, i32>,
    label: i32,
    bounds: &RegionBox,
    mut act: impl FnMut(usize, usize),
) {
    for y in bounds.rows.clone() {
        let row = labels.row(y);
        for x in bounds.columns.clone() {
            if row[x] == label {
                act(y, x - bounds.columns.start);
            }
        }
    }
}
