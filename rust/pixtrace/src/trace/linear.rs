//! Linear interpolation onto the finer grid, for planes without a trace, and of alpha itself.

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2, Axis};

use super::exposure::{RegionBox, RegionMap};
use super::grid::{FineGrid, FineRows};
use super::traced::{COLUMNS_PER_BLOCK, fine_rows, is_own, nan_plane};
use crate::numeric::Real;
use crate::numeric::interpolate::LinearInterpolator;
use crate::{Control, Error};

/// How a plane is interpolated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinearParams {
    /// Fine rows per native row; any finite number from 1.
    pub factor: f64,
    /// A column is interpolated if it has more finite pixels than this.
    pub require_ngood: usize,
    /// Number of fine pixels at each end of a column to blank.
    pub edge_limit: usize,
    /// Whether a fine pixel is NaN where the native pixel under its centre is.
    pub preserve_nan: bool,
    /// Whether rows run against the detector's pixel numbers; see [`FineGrid`].
    pub is_flipped: bool,
}

impl Default for LinearParams {
    fn default() -> Self {
        Self {
            factor: 2.0,
            require_ngood: 10,
            edge_limit: 0,
            preserve_nan: true,
            is_flipped: false,
        }
    }
}

/// Interpolates a plane linearly along the columns of each region; constant beyond the outermost finite pixels.
///
/// NaN outside the regions and in columns with too few finite pixels.
///
/// # Errors
/// [`Error::Parameter`], [`Error::ShapeMismatch`] and [`Error::Cancelled`].
pub fn linear_oversample<T: Real, O: Real>(
    data: ArrayView2<'_, T>,
    region_map: ArrayView2<'_, i32>,
    params: &LinearParams,
    control: &Control,
) -> Result<Array2<O>, Error> {
    let map = RegionMap::new(region_map);
    map.check_shape("data", data.dim(), region_map.nrows())?;
    let grid = FineGrid::new(region_map.nrows(), params.factor, params.is_flipped)?;
    let rows = FineRows::new(&grid);
    fill_columns(&map, &grid, control, |label, bounds, column, put| {
        let column_of = Column::read(&map, label, bounds, column, |y| data[(y, column)].to_f64());
        if column_of.good.0.len() <= params.require_ngood {
            return;
        }
        let Some(mut line) = LinearInterpolator::new(&column_of.good.0, &column_of.good.1) else {
            return;
        };
        let fine = fine_rows(&grid, &column_of.rows);
        let inner = fine.start + params.edge_limit..fine.end.saturating_sub(params.edge_limit);
        for m in inner {
            let nearest = rows.nearest[m];
            if is_own(label, region_map[(nearest, column)], &fine, m) {
                let value = line.at(rows.position[m]);
                let is_known = !params.preserve_nan || data[(nearest, column)].to_f64().is_finite();
                put(m, if is_known { value } else { f64::NAN });
            }
        }
    })
}

/// Alpha at the centres of the fine pixels, from alpha at the native ones: linear along each column of a region, and
/// linear beyond its outermost finite pixels.
///
/// For data that come without a formula for alpha. NaN outside the regions, and where a column has fewer than two
/// finite values.
///
/// # Errors
/// [`Error::Parameter`], [`Error::ShapeMismatch`] and [`Error::Cancelled`].
pub fn alpha_on_grid(
    alpha: ArrayView2<'_, f64>,
    region_map: ArrayView2<'_, i32>,
    grid: &FineGrid,
    control: &Control,
) -> Result<Array2<f64>, Error> {
    let map = RegionMap::new(region_map);
    map.check_shape("alpha", alpha.dim(), region_map.nrows())?;
    let fine_grid = FineRows::new(grid);
    fill_columns(&map, grid, control, |label, bounds, column, put| {
        let column_of = Column::read(&map, label, bounds, column, |y| alpha[(y, column)]);
        let (rows, values) = &column_of.good;
        let n = rows.len();
        if n < 2 {
            return;
        }
        let mut j = 0;
        let fine = fine_rows(grid, &column_of.rows);
        for m in fine.clone() {
            if !is_own(label, region_map[(fine_grid.nearest[m], column)], &fine, m) {
                continue;
            }
            let position = fine_grid.position[m];
            while j + 2 < n && rows[j + 1] <= position {
                j += 1;
            }
            let slope = (values[j + 1] - values[j]) / (rows[j + 1] - rows[j]);
            put(m, values[j] + slope * (position - rows[j]));
        }
    })
}

/// The pixels of one region in one column, and the finite ones among them.
struct Column {
    rows: Vec<u32>,
    good: (Vec<f64>, Vec<f64>),
}

impl Column {
    fn read(
        map: &RegionMap<'_>,
        label: i32,
        bounds: &RegionBox,
        column: usize,
        value: impl Fn(usize) -> f64,
    ) -> Self {
        let labels = map.labels();
        let is_ours = |&y: &usize| labels[(y, column)] == label;
        let rows: Vec<u32> = bounds.rows.clone().filter(is_ours).map(|y| y as u32).collect();
        let good = rows
            .iter()
            .map(|&y| (f64::from(y), value(y as usize)))
            .filter(|(_, v)| v.is_finite())
            .unzip();
        Self { rows, good }
    }
}

/// Makes a plane on the fine grid; `fill(label, box, column, put)` gives the values of one column of one region.
fn fill_columns<O: Real>(
    map: &RegionMap<'_>,
    grid: &FineGrid,
    control: &Control,
    fill: impl Fn(i32, &RegionBox, usize, &mut dyn FnMut(usize, f64)) + Sync,
) -> Result<Array2<O>, Error> {
    let mut plane = nan_plane::<O>((grid.n_fine(), map.dim().1), control)?;
    control.expect(map.dim().1);
    plane.axis_chunks_iter_mut(Axis(1), COLUMNS_PER_BLOCK).into_par_iter().enumerate().for_each(
        |(block, mut out)| {
            let first = block * COLUMNS_PER_BLOCK;
            let end = first + out.ncols();
            for (&label, bounds) in map.boxes() {
                if control.check().is_err() {
                    return;
                }
                for column in bounds.columns.start.max(first)..bounds.columns.end.min(end) {
                    fill(label, bounds, column, &mut |m, value| {
                        out[(m, column - first)] = O::from_f64(value);
                    });
                }
            }
            control.advance(end - first);
        },
    );
    control.check()?;
    Ok(plane)
}
