//! Where in their cells the samples of maps stand.

use std::sync::Arc;

use ndarray::{Array2, Array3, ArrayView2, Axis};
use numpy::{IntoPyArray, PyArray2, PyArray3, PyReadonlyArray2, PyReadonlyArray3};
use pixtrace::numeric::Real;
use pixtrace::scan::{
    Added, CellMoments, Flags, Maps, MissedCell, MomentLayer, SampleMoments, Samples,
};
use pixtrace::{Control, Error};
use pyo3::prelude::*;

use crate::error::{BoundaryResult, ParameterError};
use crate::run::Settings;
use crate::samples::{SampleArguments, SampleJob};
use crate::stack::PyMapStack;

/// Moments of the samples of some maps; they are never changed, others are made of them.
#[pyclass(frozen, name = "SampleMoments", module = "pixtrace._native")]
pub(crate) struct PySampleMoments(pub(crate) SampleMoments);

/// Sums of the layers, `(n_layers, 6, n_cells)`; factors, `(n_layers, n_maps)`; map and cell of what is missed, and its
/// weight and means, a row each.
type Parts<'py> = (
    Bound<'py, PyArray3<f64>>,
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray2<i64>>,
    Bound<'py, PyArray2<f64>>,
);

#[pymethods]
impl PySampleMoments {
    /// Nothing is known of any map.
    #[new]
    fn new(n_maps: usize, n_cells: usize) -> Self {
        Self(SampleMoments::new(n_maps, n_cells))
    }

    /// What `parts` returned.
    #[staticmethod]
    fn from_parts(
        sums: PyReadonlyArray3<'_, f64>,
        factors: PyReadonlyArray2<'_, f64>,
        missed_at: PyReadonlyArray2<'_, i64>,
        missed: PyReadonlyArray2<'_, f64>,
    ) -> BoundaryResult<Self> {
        let (n_maps, n_cells) = (factors.as_array().ncols(), sums.as_array().dim().2);
        let layers = (sums.as_array().outer_iter().zip(factors.as_array().rows()))
            .map(|(sums, factors)| MomentLayer {
                moments: Arc::new(cell_moments(sums)),
                factors: factors.to_vec(),
            })
            .collect();
        let mut cells = vec![Vec::new(); n_maps];
        for (at, row) in missed_at.as_array().rows().into_iter().zip(missed.as_array().rows()) {
            let map = usize::try_from(at[0]).ok().and_then(|map| cells.get_mut(map));
            let (Some(map), Ok(cell)) = (map, u32::try_from(at[1])) else {
                let text = format!("there is no map {} with a cell {}", at[0], at[1]);
                return Err(ParameterError::new_err(text).into());
            };
            map.push(MissedCell {
                weight: row[0],
                cell,
                first: [row[1] as f32, row[2] as f32],
                second: [row[3] as f32, row[4] as f32, row[5] as f32],
            });
        }
        Ok(Self(SampleMoments::from_parts(n_cells, layers, cells)?))
    }

    /// All there is, as arrays.
    fn parts<'py>(&self, py: Python<'py>) -> Parts<'py> {
        let (layers, n_cells) = (self.0.layers(), self.0.n_cells());
        let mut sums = Array3::zeros((layers.len(), 6, n_cells));
        let mut factors = Array2::zeros((layers.len(), self.0.n_maps()));
        for (layer, (mut sums, mut row)) in
            layers.iter().zip(sums.outer_iter_mut().zip(factors.rows_mut()))
        {
            let moments = &layer.moments;
            for (cell, mut column) in sums.axis_iter_mut(Axis(1)).enumerate() {
                let ([x, y], [xx, xy, yy]) = (moments.first[cell], moments.second[cell]);
                let numbers = [moments.weight[cell], x, y, xx, xy, yy];
                column.iter_mut().zip(numbers).for_each(|(to, from)| *to = from);
            }
            row.iter_mut().zip(&layer.factors).for_each(|(to, from)| *to = *from);
        }
        let missed: Vec<(usize, &MissedCell)> = (0..self.0.n_maps())
            .flat_map(|map| self.0.missed(map).iter().map(move |cell| (map, cell)))
            .collect();
        let at = Array2::from_shape_fn((missed.len(), 2), |(k, column)| match column {
            0 => missed[k].0 as i64,
            _ => i64::from(missed[k].1.cell),
        });
        let numbers = Array2::from_shape_fn((missed.len(), 6), |(k, column)| {
            let cell = missed[k].1;
            match column {
                0 => cell.weight,
                1 | 2 => cell.first[column - 1].into(),
                _ => cell.second[column - 3].into(),
            }
        });
        (
            sums.into_pyarray(py),
            factors.into_pyarray(py),
            at.into_pyarray(py),
            numbers.into_pyarray(py),
        )
    }

    /// These, and those of other maps times a weight; each pair is a map of these and one of the others.
    fn merged(
        &self,
        other: &Self,
        pairs: Vec<(usize, usize)>,
        weight: f64,
    ) -> BoundaryResult<Self> {
        let mut merged = self.0.clone();
        merged.merge(&other.0, &pairs, weight)?;
        Ok(Self(merged))
    }

    /// Some of the maps; `None` stands for one of which nothing is known.
    fn selected(&self, maps: Vec<Option<usize>>) -> BoundaryResult<Self> {
        Ok(Self(self.0.select(&maps)?))
    }

    /// Tells whether nothing is known of any map.
    #[getter]
    fn is_empty(&self) -> bool {
        self.0.layers().is_empty()
    }
}

/// Six planes, `(6, n_cells)`.
fn cell_moments(sums: ArrayView2<'_, f64>) -> CellMoments {
    let columns = || sums.columns().into_iter();
    CellMoments {
        weight: sums.row(0).to_vec(),
        first: columns().map(|column| [column[1], column[2]]).collect(),
        second: columns().map(|column| [column[3], column[4], column[5]]).collect(),
    }
}

struct FindMoments<'a> {
    maps: Maps<'a>,
    pixels: Option<&'a [usize]>,
    positions: ArrayView2<'a, f64>,
    added: Added,
}

impl SampleJob<SampleMoments> for FindMoments<'_> {
    fn work<T: Real + numpy::Element, F: Flags + numpy::Element>(
        &mut self,
        samples: &Samples<'_, T, F>,
        control: &Control,
    ) -> Result<SampleMoments, Error> {
        self.maps.sample_moments(samples, self.pixels, self.positions, self.added, control)
    }
}

#[pymethods]
impl PyMapStack {
    /// Moments of samples that were added, of which the numbers of frames, samples, skipped samples are known.
    #[pyo3(signature = (samples, map_positions, added, *, pixels, n_threads))]
    fn sample_moments(
        &self,
        py: Python<'_>,
        samples: SampleArguments<'_>,
        map_positions: PyReadonlyArray2<'_, f64>,
        added: (usize, usize, usize),
        pixels: Option<Vec<usize>>,
        n_threads: Option<usize>,
    ) -> BoundaryResult<PySampleMoments> {
        let mut held = self.hold_unsettled(py)?;
        let maps = held.maps()?;
        let (n_frames, n_samples, n_skipped) = added;
        let mut job = FindMoments {
            maps: maps.as_maps(),
            pixels: pixels.as_deref(),
            positions: map_positions.as_array(),
            added: Added { n_frames, n_samples, n_skipped },
        };
        samples.run(py, &Settings { n_threads, progress: None }, &mut job).map(PySampleMoments)
    }
}
