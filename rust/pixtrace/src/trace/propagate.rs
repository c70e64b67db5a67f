//! Oversampling with errors: the flux of every fine pixel, its variance by component, and its covariance with the next.

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};

use super::compact::find_sources;
use super::exposure::Exposure;
use super::fine_column::Work;
use super::grid::{FineGrid, FineRows};
use super::known::{Cache, Known};
use super::misfit::Misfit;
use super::model::{RegionTrace, TraceModel};
use super::model_error::ModelError;
use super::oversample::{Job, OversampleParams, OversampledPlanes};
use super::record::RegionRecord;
use super::traced::{COLUMNS_PER_BLOCK, TracedRegion, nan_plane};
use crate::numeric::Real;
use crate::{Control, Error};

/// How much of the residual is added to the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Residual {
    /// All of it, as the reference does; the noise of the data with it.
    #[default]
    Whole,
    /// Of each pixel that share that its neighbours show to be more than noise; nothing of outliers.
    Significant,
}

/// What is to be worked out besides the flux.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorParams {
    /// How much of the residual is added.
    pub residual: Residual,
    /// Number of neighbours along the column with which the covariance is wanted.
    pub n_covariances: usize,
    /// Whether it is wanted where the model is adequate.
    pub adequacy: bool,
    /// Whether the splines count as known exactly, as those of another exposure have to: no record of a fit is needed.
    pub known_profile: bool,
}

/// Variances and covariances of an oversampled flux, each of its shape; NaN where the flux is.
#[derive(Clone, Debug)]
pub struct ErrorPlanes<O> {
    /// Variance that comes from the square of the error, and from each component given.
    pub variances: Vec<Array2<O>>,
    /// Covariance of each pixel with the one `1 + i` rows on, from the square of the error.
    pub covariances: Vec<Array2<O>>,
    /// 1 where the model is used and adequate, 0 where it is used and not; `None` if it was not asked for.
    pub adequate: Option<Array2<O>>,
}

/// Oversamples an exposure along its slices, as [`super::oversample`] does, and propagates the variances of its pixels.
///
/// For the decisions as they were made, the flux is a linear function of the pixels; see the source of
/// `functional.rs`. The model must have been fitted with a record ([`super::RegionTrace::record`]), to this exposure;
/// with [`ErrorParams::known_profile`] any will do, and the variances are those of scale and residuals alone.
/// To that of a weighted fit comes the square of what the model may be wrong by besides; see `model_error.rs`. It counts as
/// independent from pixel to pixel: the covariances are those of the noise.
///
/// Pixels without an error count as free of noise in the fit; a fine pixel interpolated from them has a variance of NaN.
///
/// # Errors
/// [`Error::Parameter`], [`Error::ShapeMismatch`], [`Error::NoRecord`], [`Error::NoErrors`] and [`Error::Cancelled`].
pub fn oversample_with_errors<T: Real, O: Real>(
    exposure: &Exposure<'_, T>,
    variances: &[ArrayView2<'_, T>],
    model: &TraceModel,
    alpha_fine: ArrayView2<'_, f64>,
    params: &OversampleParams,
    errors: ErrorParams,
    control: &Control,
) -> Result<(OversampledPlanes<O>, ErrorPlanes<O>), Error> {
    let map = exposure.regions();
    let (n_y, n_x) = map.dim();
    let grid = FineGrid::new(n_y, params.factor, params.is_flipped)?;
    map.check_shape("alpha_os", alpha_fine.dim(), grid.n_fine())?;
    for variance in variances {
        map.check_shape("variance", variance.dim(), n_y)?;
    }
    let Some(error) = exposure.error() else { return Err(Error::NoErrors) };
    let n_components = 1 + variances.len();
    if !errors.known_profile {
        check_records(model, n_components)?;
    }
    let traced = TracedRegion::all(map, model, exposure.alpha(), Some(exposure.flux()), control)?;
    control.expect(n_x);
    let job = Job { exposure, params, grid, rows: FineRows::new(&grid), alpha_fine };
    let sources = find_sources::<T>(
        &traced,
        params.slope_limit,
        params.pad,
        control,
        |column, region, trace, points| job.steep_points(column, region, trace, points),
    )?;
    let regions: Vec<(Known<'_>, Option<ModelError>, Option<Misfit>)> = traced
        .into_par_iter()
        .zip(sources)
        .map(|(region, ranges)| {
            let known = Known::new(exposure, error, variances, region, ranges, errors.residual);
            let model_error = if errors.known_profile { None } else { ModelError::new(&known) };
            let bounds = &map.boxes()[&known.region.label];
            let misfit = errors.adequacy.then(|| Misfit::new(&known, bounds));
            (known, model_error, misfit)
        })
        .collect();
    control.check()?;

    let plane = |is_wanted: bool| {
        nan_plane::<O>(if is_wanted { (grid.n_fine(), n_x) } else { (0, n_x) }, control)
    };
    let mut out: Vec<Array2<O>> = vec![
        plane(true)?,
        plane(params.planes.trace_used)?,
        plane(params.planes.full_trace)?,
        plane(params.planes.linear_flux)?,
        plane(params.planes.residual_flux)?,
    ];
    for _ in 0..n_components + errors.n_covariances + usize::from(errors.adequacy) {
        out.push(plane(true)?);
    }
    // Blocks of columns of all planes at once, each the business of one task.
    let mut blocks: Vec<Vec<ArrayViewMut2<'_, O>>> = Vec::new();
    for plane in &mut out {
        for (block, view) in plane.axis_chunks_iter_mut(Axis(1), COLUMNS_PER_BLOCK).enumerate() {
            if blocks.len() <= block {
                blocks.push(Vec::new());
            }
            blocks[block].push(view);
        }
    }
    blocks.into_par_iter().enumerate().for_each(|(block, mut views)| {
        let first = block * COLUMNS_PER_BLOCK;
        let n = views[0].ncols();
        for (region, model_error, misfit) in &regions {
            let columns = &region.region.pixels.columns;
            let mut cache = Cache::default();
            for column in first.max(columns.start)..(first + n).min(columns.end) {
                if control.check().is_ok() && job.has_enough(&region.region, column) {
                    let (model_error, misfit) = (model_error.as_ref(), misfit.as_ref());
                    let work = Work {
                        job: &job,
                        known: region,
                        model_error,
                        misfit,
                        errors,
                        n_components,
                    };
                    work.fill_column(column, column - first, &mut cache, &mut views);
                }
            }
        }
        control.advance(n);
    });
    control.check()?;
    let mut planes = out.into_iter();
    let mut next =
        || planes.next().unwrap_or_else(|| Array2::from_elem((0, 0), O::from_f64(f64::NAN)));
    let made = OversampledPlanes {
        flux: next(),
        trace_used: next(),
        full_trace: next(),
        linear_flux: next(),
        residual_flux: next(),
    };
    let variances = (0..n_components).map(|_| next()).collect();
    let covariances = (0..errors.n_covariances).map(|_| next()).collect();
    let adequate = errors.adequacy.then(next);
    Ok((made, ErrorPlanes { variances, covariances, adequate }))
}

/// Fails unless every region with a trace has a record of its fit with so many components of the variance.
fn check_records(model: &TraceModel, n_components: usize) -> Result<(), Error> {
    model.regions.iter().try_for_each(|(&region, trace)| check_record(region, trace, n_components))
}

/// Fails unless a region has no trace, or a record of its fit with so many components of the variance.
pub(super) fn check_record(
    region: i32,
    trace: &RegionTrace,
    n_components: usize,
) -> Result<(), Error> {
    let is_complete = |record: &RegionRecord| {
        record.columns.len() == trace.columns.len()
            && record.fits.len() == trace.splines.len()
            && record.fits.iter().all(|fit| fit.noise.len() >= n_components)
    };
    if trace.columns.is_empty() || trace.record.as_ref().is_some_and(is_complete) {
        Ok(())
    } else {
        Err(Error::NoRecord { region })
    }
}
