//! One map as the search for its peak sees it.

use crate::numeric::surface;
use crate::scan::{Grid, MapRef, Workspace, smart_median};

/// Buffers of one thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    value: Vec<f64>,
    weight: Vec<f64>,
    significance: Vec<f64>,
    workspace: Workspace,
}

/// Values about their level, weights and S/N; zero all three where there is no data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sky<'a> {
    pub(super) grid: &'a Grid,
    pub(super) value: &'a [f64],
    pub(super) weight: &'a [f64],
    pub(super) significance: &'a [f64],
}

impl Scratch {
    /// Copies a map and takes its level off if wanted; `None` if it has no valid cell.
    pub(super) fn prepare<'a>(&'a mut self, map: MapRef<'a>, is_levelled: bool) -> Option<Sky<'a>> {
        let (n_cells, _) = map.copy_valid(&mut self.value, &mut self.weight);
        if n_cells == 0 {
            return None;
        }
        if is_levelled {
            // Cells without weight must not count: the smallest of them would.
            let valid = || self.value.iter().zip(&self.weight).filter(|(_, weight)| **weight > 0.0);
            let values: Vec<f64> = valid().map(|(value, _)| *value).collect();
            let weights: Vec<f64> = valid().map(|(_, weight)| *weight).collect();
            let level = smart_median(&values, &weights, 1.0, &mut self.workspace).ok()?.value;
            let cells = self.value.iter_mut().zip(&self.weight);
            for (value, _) in cells.filter(|(_, weight)| **weight > 0.0) {
                *value -= level;
            }
        }
        self.significance.clear();
        let cells = self.value.iter().zip(&self.weight);
        self.significance.extend(cells.map(|(value, weight)| value * weight.sqrt()));
        Some(Sky {
            grid: map.grid,
            value: &self.value,
            weight: &self.weight,
            significance: &self.significance,
        })
    }
}

/// Which plane of a map.
#[derive(Clone, Copy, Debug)]
pub(super) enum Plane {
    Value,
    Weight,
    Significance,
}

/// How a value between the cells is found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interpolation {
    pub(super) degree: usize,
    pub(super) is_reduced: bool,
}

impl Sky<'_> {
    pub(super) fn is_valid(&self, cell: usize) -> bool {
        self.weight[cell] > 0.0
    }

    /// Column and row of a cell.
    pub(super) fn index(&self, cell: usize) -> [usize; 2] {
        let n_x = self.grid.shape()[1];
        [cell % n_x, cell / n_x]
    }

    pub(super) fn plane(&self, plane: Plane) -> &[f64] {
        match plane {
            Plane::Value => self.value,
            Plane::Weight => self.weight,
            Plane::Significance => self.significance,
        }
    }

    /// Value of a plane at a map index `[x, y]`.
    ///
    /// At a cell's centre it is that of the cell. Elsewhere it is that of a spline surface through the cells from
    /// `degree + 1` before to `degree + 1` behind; holes among them are first closed as smoothly as they can be. Beyond
    /// the edge of the map it is the value at the edge. Errors: too few cells for the degree. NaN: nothing there.
    pub(super) fn value_at(
        &self,
        plane: Plane,
        at: [f64; 2],
        interpolation: Interpolation,
    ) -> Result<f64, TooFewCells> {
        let plane = self.plane(plane);
        let [n_y, n_x] = self.grid.shape();
        let sides = [n_x, n_y];
        if !(at[0].is_finite() && at[1].is_finite()) {
            return Ok(f64::NAN);
        }
        let is_on_map = (0..2).all(|i| at[i] >= 0.0 && at[i] < sides[i] as f64);
        if is_on_map && at.iter().all(|index| index.fract() == 0.0) {
            return Ok(plane[at[1] as usize * n_x + at[0] as usize]);
        }
        let reach = interpolation.degree as f64 + 1.0;
        // Both lie on the map: the conversion holds them. The last one does not belong to the box.
        let ranges = [0, 1].map(|i| {
            let n = sides[i] as f64;
            let first = (at[i].floor() - reach).clamp(0.0, n) as usize;
            first..(at[i].ceil() + reach).clamp(0.0, n) as usize
        });
        let lengths = [ranges[1].len(), ranges[0].len()];
        if lengths.contains(&0) {
            return Ok(f64::NAN);
        }
        let degrees = lengths.map(|n| {
            let most =
                if interpolation.is_reduced { (n / 2).saturating_sub(1) } else { usize::MAX };
            interpolation.degree.min(most)
        });
        if (0..2).any(|i| lengths[i] <= degrees[i]) {
            return Err(TooFewCells);
        }
        let (mut values, mut is_known) = (Vec::new(), Vec::new());
        for row in ranges[1].clone() {
            let cells = row * n_x + ranges[0].start..row * n_x + ranges[0].end;
            values.extend_from_slice(&plane[cells.clone()]);
            is_known.extend(cells.map(|cell| self.is_valid(cell)));
        }
        if !is_known.contains(&true) {
            return Ok(f64::NAN);
        }
        super::holes::close(&mut values, &is_known, lengths);
        let from_start = [at[1] - ranges[1].start as f64, at[0] - ranges[0].start as f64];
        Ok(surface::interpolate(&values, lengths, degrees, from_start).unwrap_or(f64::NAN))
    }
}

/// There are fewer cells around a peak than the degree of the spline needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooFewCells;
