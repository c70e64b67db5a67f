//! The integrations of a time series on the finer grid.

use std::ops::Range;

use ndarray::{Array3, ArrayView2, ArrayView3, Axis};
use rayon::prelude::*;

use super::super::compact::{CompactRanges, find_sources};
use super::super::exposure::Exposure;
use super::super::fine_column::Line;
use super::super::grid::{FineGrid, FineRows};
use super::super::model::TraceModel;
use super::super::oversample::{Job, OversampleParams};
use super::super::propagate::Residual;
use super::super::traced::{TracedRegion, fine_rows, is_own};
use super::block::{Block, COLUMNS, Desk, split};
use super::column::{FineColumn, FinePart};
use super::fit::{RegionScales, SeriesFit, fit_integration};
use super::profile::{RegionProfile, SharedProfile};
use super::{Chunk, Integration, check_shape};
use crate::numeric::Real;
use crate::{Control, Error};

/// Integrations whose planes are filled side by side; those of more would not stay in the cache.
const TOGETHER: usize = 4;

/// How the errors of oversampled integrations are worked out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SeriesErrors {
    /// Interpolated linearly and inflated, as the reference does for single images.
    #[default]
    Interpolated,
    /// Propagated: through the scale and the shift of the integration, its residuals, and the shared profile.
    Propagated,
}

/// How a time series is put on the finer grid.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesGridParams {
    /// Factor, ends, compact sources, and the planes to make.
    pub oversample: OversampleParams,
    /// How much of an integration's own residual is added: all of it, or what is more than noise.
    pub residual: Residual,
    /// What errors are.
    pub errors: SeriesErrors,
    /// Whether the flux is an amount per pixel, of which each fine pixel gets its part.
    pub is_density: bool,
    /// What the errors of the reference are multiplied by.
    pub inflation: f64,
}

/// The finer grid, with all that is the same for every integration.
#[derive(Clone, Debug)]
pub struct SeriesGrid {
    profile: SharedProfile,
    params: SeriesGridParams,
    grid: FineGrid,
    rows: FineRows,
    regions: Vec<FineRegion>,
}

/// The fine pixels of one region, column by column.
#[derive(Clone, Debug)]
pub(super) struct FineRegion {
    /// Pixels of each column.
    columns: Vec<Range<usize>>,
    /// What of the profile is not spline, at the native pixels of the region; all zero where residuals are added whole.
    pub(super) residual: Vec<f64>,
    pub(super) pixels: Vec<FinePixel>,
    /// Variance that comes from the shared profile, by component and pixel, for a scale of 1.
    pub(super) shared: Vec<Vec<f64>>,
}

/// One fine pixel.
#[derive(Clone, Copy, Debug)]
pub(super) struct FinePixel {
    pub(super) row: u32,
    /// The native row under it.
    pub(super) nearest: u32,
    /// Native pixels of its column in the region up to it.
    pub(super) n_before: u32,
    pub(super) alpha: f64,
    /// The spline there, not scaled; NaN where it is not to be evaluated.
    pub(super) profile: f64,
    /// What belongs to the profile beside the spline.
    pub(super) residual: f64,
    /// Whether it lies off the ends of the column, where nothing is interpolated.
    pub(super) is_inner: bool,
    /// Whether it lies near a compact source.
    pub(super) is_used: bool,
}

/// Oversampled integrations; planes of shape `(n_integrations, n_fine, n_x)`, or without rows if not asked for.
#[derive(Clone, Debug)]
pub struct FineChunk<T> {
    /// Flux, trace used, full trace, linear flux, residual flux.
    pub planes: Vec<Array3<T>>,
    /// Error, then the components of the variance; empty without errors.
    pub errors: Vec<Array3<f32>>,
    /// Data quality.
    pub dq: Array3<u32>,
    /// Pixels that the model filled.
    pub n_filled: usize,
    /// The scales, by region.
    pub scales: Vec<RegionScales>,
}

impl SeriesGrid {
    /// Lays the grid.
    ///
    /// `combined` is the mean of all integrations that the model was fitted to, with the components of its variance, and
    /// `alpha_fine` the coordinate along the
    /// slice at the fine pixels. `variances` are those of that mean, oversampled with this model
    /// ([`super::super::oversample_with_errors`]): that of the error first, then its components. They are needed where
    /// errors are propagated, and are empty otherwise.
    ///
    /// # Errors
    /// [`Error::Parameter`], [`Error::ShapeMismatch`] and [`Error::Cancelled`].
    pub fn new<T: Real>(
        profile: &SharedProfile,
        (combined, components): (&Exposure<'_, T>, &[ArrayView2<'_, T>]),
        model: &TraceModel,
        alpha_fine: ArrayView2<'_, f64>,
        variances: &[ArrayView2<'_, f64>],
        params: SeriesGridParams,
        control: &Control,
    ) -> Result<Self, Error> {
        let map = combined.regions();
        let oversample = &params.oversample;
        let grid = FineGrid::new(map.dim().0, oversample.factor, oversample.is_flipped)?;
        map.check_shape("alpha_os", alpha_fine.dim(), grid.n_fine())?;
        for variance in variances {
            map.check_shape("variance", variance.dim(), grid.n_fine())?;
        }
        let traced =
            TracedRegion::all(map, model, combined.alpha(), Some(combined.flux()), control)?;
        let (exposure, rows) = (combined, FineRows::new(&grid));
        let job = Job { exposure, params: oversample, grid, rows: rows.clone(), alpha_fine };
        let sources = find_sources::<T>(
            &traced,
            oversample.slope_limit,
            oversample.pad,
            control,
            |column, region, trace, points| job.steep_points(column, region, trace, points),
        )?;
        let regions = traced
            .par_iter()
            .zip(&sources)
            .zip(&profile.regions)
            .map(|((traced, ranges), region)| {
                fine_region(&job, traced, ranges, region, params.residual)
            })
            .collect();
        control.check()?;
        let mut all = Self { profile: profile.clone(), params, grid, rows, regions };
        let mean = Integration {
            flux: combined.flux(),
            error: combined.error(),
            variances: components.to_vec(),
        };
        all.share_variances(&mean, variances);
        Ok(all)
    }

    /// Works out which part of the variance of the oversampled mean is that of the profile.
    ///
    /// The rest comes through the scale and the residuals, which every integration has of its own.
    fn share_variances<T: Real>(
        &mut self,
        mean: &Integration<'_, T>,
        variances: &[ArrayView2<'_, f64>],
    ) {
        let mut found = Vec::new();
        for (r, region) in self.profile.regions.iter().enumerate() {
            let fit = fit_integration(&self.profile, region, mean, &SeriesFit::default());
            let n = region.pixels.row.len();
            let share = if self.params.residual == Residual::Whole { 1.0 } else { 0.0 };
            let (share, is_outlier) = (vec![share; n], vec![false; n]);
            let part = FinePart { fit, share, is_outlier };
            let mut shared = vec![vec![0.0; self.regions[r].pixels.len()]; variances.len()];
            let mut desk = Desk::<T>::new();
            desk.noise.resize_with(variances.len(), Default::default);
            let columns = region.bounds.columns.clone();
            for first in columns.clone().step_by(COLUMNS) {
                let block = first..(first + COLUMNS).min(columns.end);
                desk.native.take(mean, None, &block, (SeriesErrors::Propagated, variances.len()));
                for column in block {
                    let Some(task) = FineColumn::new(self, r, &part, column) else { continue };
                    for (i, row, own) in desk.own_variances(&task, column - first) {
                        for (k, variance) in variances.iter().enumerate() {
                            let rest = variance[(row, column)] - own[k];
                            shared[k][i] = if rest.is_finite() { rest } else { 0.0 };
                        }
                    }
                }
            }
            found.push(shared);
        }
        for (region, shared) in self.regions.iter_mut().zip(found) {
            region.shared = shared;
        }
    }

    /// Number of fine rows.
    #[must_use]
    pub fn n_fine(&self) -> usize {
        self.grid.n_fine()
    }

    /// Native row coordinate of a fine pixel.
    pub(super) fn position(&self, pixel: &FinePixel) -> f64 {
        self.rows.position[pixel.row as usize]
    }

    /// The native row under a fine row.
    pub(super) fn nearest(&self, row: usize) -> usize {
        self.rows.nearest[row]
    }

    pub(super) fn params(&self) -> &SeriesGridParams {
        &self.params
    }

    pub(super) fn region(&self, r: usize) -> (&RegionProfile, &FineRegion) {
        (&self.profile.regions[r], &self.regions[r])
    }

    /// Scales the profile to each integration, and puts it on the finer grid.
    ///
    /// `dq` are the bits of data quality, `(n_integrations, n_y, n_x)`: those of the nearest native pixel are taken over. A
    /// missing pixel that the model fills is marked as estimated, and in all planes NaN means that bit 1 is set, and the other
    /// way round.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Parameter`], [`Error::OutOfMemory`] and [`Error::Cancelled`].
    pub fn oversample<T: Real>(
        &self,
        chunk: &Chunk<'_, T>,
        dq: Option<ArrayView3<'_, u32>>,
        params: &SeriesFit,
        control: &Control,
    ) -> Result<FineChunk<T>, Error> {
        if let Some(dq) = &dq {
            check_shape("dq", dq.shape(), chunk.flux.shape(), "the flux")?;
        }
        let parts = self.profile.fits(chunk, params, control, |_, fits| {
            let regions = self.profile.regions.iter().zip(fits);
            regions.map(|(region, fit)| self.part(region, fit)).collect::<Vec<FinePart>>()
        })?;
        let scales = self.profile.scales(parts.len(), |i, r| &parts[i][r].fit);

        let (n, n_x) = (chunk.len(), chunk.dim().1);
        let wanted = self.params.oversample.planes;
        let is_wanted =
            [true, wanted.trace_used, wanted.full_trace, wanted.linear_flux, wanted.residual_flux];
        let rows = |is_wanted: bool| if is_wanted { self.n_fine() } else { 0 };
        let mut planes = is_wanted
            .iter()
            .map(|&is_wanted| new_cube::<T>((n, rows(is_wanted), n_x)))
            .collect::<Result<Vec<_>, _>>()?;
        let n_errors = chunk.error.as_ref().map_or(0, |_| 1 + chunk.variances.len());
        let mut errors = (0..n_errors)
            .map(|_| new_cube::<f32>((n, self.n_fine(), n_x)))
            .collect::<Result<Vec<_>, _>>()?;
        let mut bits = Array3::zeros((n, self.n_fine(), n_x));

        let mut blocks: Vec<Block<'_, T>> = Vec::new();
        for (integration, plane) in bits.axis_iter_mut(Axis(0)).enumerate() {
            for (b, dq) in split(plane).enumerate() {
                let columns = b * COLUMNS..(b * COLUMNS + COLUMNS).min(n_x);
                blocks.push(Block { integration, columns, planes: vec![], errors: vec![], dq });
            }
        }
        for cube in &mut planes {
            let views = cube.axis_iter_mut(Axis(0)).flat_map(split);
            blocks.iter_mut().zip(views).for_each(|(block, view)| block.planes.push(view));
        }
        for cube in &mut errors {
            let views = cube.axis_iter_mut(Axis(0)).flat_map(split);
            blocks.iter_mut().zip(views).for_each(|(block, view)| block.errors.push(view));
        }
        // The same columns of some integrations one after another: what they share is then in the cache.
        blocks.sort_by_key(|block| (block.integration / TOGETHER, block.columns.start));
        control.expect(blocks.len());
        let n_filled = blocks
            .into_par_iter()
            .map_init(Desk::new, |desk, mut block| {
                if control.check().is_err() {
                    return 0;
                }
                let integration = chunk.integration(block.integration);
                let dq = dq.as_ref().map(|dq| dq.index_axis(Axis(0), block.integration));
                let parts = &parts[block.integration];
                let n_filled = desk.fill(self, &integration, dq, parts, &mut block);
                control.advance(1);
                n_filled
            })
            .sum();
        control.check()?;
        Ok(FineChunk { planes, errors, dq: bits, n_filled, scales })
    }
}

/// Planes of zeros, whose memory the system has ready when it is first written to.
fn new_cube<O: Real>((n, n_y, n_x): (usize, usize, usize)) -> Result<Array3<O>, Error> {
    let count = n * n_y * n_x;
    let n_bytes = count * size_of::<O>();
    Vec::<O>::new().try_reserve_exact(count).map_err(|_| Error::OutOfMemory { n_bytes })?;
    Ok(Array3::from_elem((n, n_y, n_x), O::from_f64(0.0)))
}

/// The fine pixels of a region, and the splines there.
fn fine_region<T: Real>(
    job: &Job<'_, '_, T>,
    traced: &TracedRegion<'_>,
    ranges: &CompactRanges,
    profile: &RegionProfile,
    residual: Residual,
) -> FineRegion {
    let labels = job.exposure.regions().labels();
    let mut region =
        FineRegion { columns: vec![], residual: vec![], pixels: vec![], shared: vec![] };
    region.residual = match residual {
        Residual::Significant => profile.residual.clone(),
        Residual::Whole => vec![0.0; profile.residual.len()],
    };
    for column in traced.pixels.columns.clone() {
        let begin = region.pixels.len();
        let places = traced.pixels.column(column);
        let fine = fine_rows(&job.grid, &traced.pixels.row[places.clone()]);
        let edge = job.grid.edge();
        let inner = fine.start + edge..fine.end.saturating_sub(edge);
        let trace = traced.column(column);
        let model_rows = trace.map_or(0..0, |trace| job.model_rows(trace, column, &fine));
        // As every integration is interpolated, so is what they share.
        let mut line = Line::new(places.clone().filter_map(|i| {
            let is_known = traced.fit[i].is_finite() && traced.pixels.flux[i].is_finite();
            is_known.then(|| (i, f64::from(traced.pixels.row[i]), region.residual[i]))
        }));
        let native = &traced.pixels.row[places.clone()];
        let mut n_before = 0;
        for row in fine.clone() {
            let nearest = job.rows.nearest[row];
            if !is_own(traced.label, labels[(nearest, column)], &fine, row) {
                continue;
            }
            let (position, alpha) = (job.rows.position[row], job.alpha_fine[(row, column)]);
            n_before +=
                native[n_before..].iter().take_while(|y| f64::from(**y) <= position).count();
            let is_inner = inner.contains(&row);
            let trace = trace.filter(|t| model_rows.contains(&row) && t.is_within(alpha));
            let spline = trace.and_then(|trace| traced.spline(trace));
            let is_added = job.params.psf_optimal || !is_inner;
            let residual = if is_added { None } else { line.at(position) };
            region.pixels.push(FinePixel {
                row: row as u32,
                nearest: nearest as u32,
                n_before: n_before as u32,
                alpha,
                profile: spline.map_or(f64::NAN, |spline| spline.eval(alpha)),
                residual: residual.map_or(0.0, |(value, _)| value),
                is_inner,
                is_used: ranges.contains(alpha),
            });
        }
        region.columns.push(begin..region.pixels.len());
    }
    region
}

impl FineRegion {
    /// Numbers of the fine pixels of a column, counted from the first of the region.
    pub(super) fn column(&self, place: usize) -> Range<usize> {
        self.columns.get(place).cloned().unwrap_or(0..0)
    }
}
