//! Fits the trace of every region of an exposure.

use std::collections::BTreeMap;
use std::ops::Range;

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::assign::{Outcome, assign};
use super::exposure::Exposure;
use super::model::{RegionTrace, TraceModel};
use super::profile::{crossdisp_profile, trim_edges};
use super::recorded::Recorder;
use super::region::RegionPixels;
use super::spline_fit::{RejectionParams, WindowFitter};
use super::window::{SortedColumns, Window};
use crate::numeric::Real;
use crate::{Control, Error};

/// Columns fitted by one task. A constant, so that the result does not depend on the number of threads; long enough
/// that sorting the first window of a task does not count.
const COLUMNS_PER_TASK: usize = 128;
/// Without a model to fall back on, a failed fit is tried once more with this many intervals less.
const RETRY_FEWER: usize = 3;
/// More knots than this are not a spatial profile any more.
const MAX_INTERVALS: usize = 1 << 20;

/// How the trace is fitted. Start from [`Default`] and change what you need.
#[derive(Clone, Debug, PartialEq)]
pub struct FitParams {
    /// Half-width of the window around each column: this many columns to the left, one less to the right.
    pub half_window: usize,
    /// Columns to fit, in this order (all from left to right if `None`). The order matters where a fit fails: such a
    /// column takes over the spline of the one before it.
    pub columns: Option<Vec<usize>>,
    /// Knot spacings across the slice; `None` for `auto_interval_factor` times the slice's length in pixels.
    pub n_intervals: Option<usize>,
    /// A column is fitted if it has more good pixels than this; `None` for `auto_ngood_factor` times the slice's
    /// length in pixels.
    pub require_ngood: Option<usize>,
    /// Knot spacings per native pixel, where `n_intervals` is not given.
    pub auto_interval_factor: f64,
    /// Good pixels asked for per native pixel, where `require_ngood` is not given.
    pub auto_ngood_factor: f64,
    /// Rules by which points are kept from the fit.
    pub rejection: RejectionParams,
}

impl Default for FitParams {
    fn default() -> Self {
        Self {
            half_window: 50,
            columns: None,
            n_intervals: None,
            require_ngood: None,
            auto_interval_factor: 2.0,
            auto_ngood_factor: 0.5,
            rejection: RejectionParams::default(),
        }
    }
}

impl FitParams {
    /// Checks every number, and the columns against the image.
    fn check(&self, n_columns: usize) -> Result<(), Error> {
        let refuse = |name, value, must_be| Err(Error::Parameter { name, value, must_be });
        for (name, value) in
            [("sigma_low", self.rejection.sigma_low), ("sigma_high", self.rejection.sigma_high)]
        {
            if value.is_nan() || value < 0.0 {
                return refuse(name, value, "zero or positive");
            }
        }
        if self.rejection.space_ratio.is_nan() {
            return refuse("space_ratio", self.rejection.space_ratio, "a number");
        }
        if self.rejection.n_rounds == 0 {
            return refuse("fit_iter", 0.0, "at least 1");
        }
        if self.half_window == 0 {
            return refuse("lrange", 0.0, "at least 1");
        }
        for (name, value) in [
            ("auto_bkpt_factor", self.auto_interval_factor),
            ("auto_ngood_factor", self.auto_ngood_factor),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return refuse(name, value, "finite and not negative");
            }
        }
        if let Some(n) = self.n_intervals.filter(|n| !(1..=MAX_INTERVALS).contains(n)) {
            return refuse("spline_bkpt", n as f64, "from 1 to 1048576");
        }
        if let Some(&column) = self.columns.iter().flatten().find(|&&x| x >= n_columns) {
            return Err(Error::ColumnOutside { column: column as i64, n_columns });
        }
        Ok(())
    }
}

/// Which regions are bright enough to be fitted. With neither threshold, all are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thresholds {
    /// Fit a region if its cross-dispersion profile rises above this flux, given by label.
    pub peak: Option<BTreeMap<i32, f64>>,
    /// Fit a region if the signal-to-noise ratio of its profile rises above this.
    pub snr: Option<f64>,
}

impl Thresholds {
    fn peak_of(&self, region: i32) -> Result<Option<f64>, Error> {
        let Some(peaks) = &self.peak else { return Ok(None) };
        peaks.get(&region).copied().map(Some).ok_or(Error::MissingThreshold { region })
    }
}

/// Fits the trace of every region.
///
/// Regions and columns are spread over the caller's rayon pool; the result does not depend on its size. Regions that
/// stay below the thresholds are in the model, without columns.
///
/// # Errors
/// [`Error::Parameter`], [`Error::ColumnOutside`], [`Error::MissingThreshold`], and [`Error::Cancelled`].
pub fn fit_all_regions<T: Real>(
    exposure: &Exposure<'_, T>,
    thresholds: &Thresholds,
    params: &FitParams,
    control: &Control,
) -> Result<TraceModel, Error> {
    fit_regions(exposure, None, thresholds, params, control)
}

/// The same fit, with a record of where each spline comes from and of its covariance ([`RegionTrace::record`]).
///
/// `variances` are components of the variance of the flux; component 0 is the square of the error, then come these.
///
/// # Errors
/// As [`fit_all_regions`]; [`Error::NoErrors`] without the error of the flux, and [`Error::ShapeMismatch`].
pub fn fit_all_regions_recorded<T: Real>(
    exposure: &Exposure<'_, T>,
    variances: &[ArrayView2<'_, T>],
    thresholds: &Thresholds,
    params: &FitParams,
    control: &Control,
) -> Result<TraceModel, Error> {
    if exposure.error().is_none() {
        return Err(Error::NoErrors);
    }
    for variance in variances {
        exposure.regions().check_shape("variance", variance.dim(), exposure.flux().nrows())?;
    }
    fit_regions(exposure, Some(variances), thresholds, params, control)
}

fn fit_regions<T: Real>(
    exposure: &Exposure<'_, T>,
    variances: Option<&[ArrayView2<'_, T>]>,
    thresholds: &Thresholds,
    params: &FitParams,
    control: &Control,
) -> Result<TraceModel, Error> {
    let n_columns = exposure.flux().ncols();
    params.check(n_columns)?;
    let n_each = params.columns.as_ref().map_or(n_columns, Vec::len);
    control.expect(n_each * exposure.regions().boxes().len());
    let jobs: Vec<_> = exposure
        .regions()
        .boxes()
        .iter()
        .map(|(&label, bounds)| thresholds.peak_of(label).map(|peak| (label, bounds, peak)))
        .collect::<Result<_, _>>()?;
    let fits: Vec<Result<(i32, RegionTrace), Error>> = jobs
        .into_par_iter()
        .map(|(label, bounds, peak)| {
            let pixels = RegionPixels::new(exposure, label, bounds);
            let trace =
                if let Some((pixels, sums)) = select_region::<T>(pixels, peak, thresholds.snr) {
                    let labels = exposure.regions().labels();
                    let recorder = variances.map(|variances| {
                        let mut components =
                            vec![pixels.error.iter().map(|error| error * error).collect()];
                        components.extend(variances.iter().map(|&plane| {
                            pixels.collect(bounds, labels, label, plane, Real::to_f64)
                        }));
                        Recorder::new(&pixels, &sums, &components)
                    });
                    fit_columns::<T>(&pixels, &sums, n_columns, params, recorder, control)?
                } else {
                    control.advance(n_each);
                    RegionTrace::default()
                };
            Ok((label, trace))
        })
        .collect();
    let regions = fits.into_iter().collect::<Result<_, _>>()?;
    Ok(TraceModel { regions })
}

/// Fits one region: all pixels with finite alpha, whatever their label says; without profile, threshold or trimming.
///
/// `column_sums` (one per image column) divides the flux of each column; without it the flux is taken as it is.
///
/// # Errors
/// [`Error::Parameter`], [`Error::ColumnOutside`], [`Error::LengthMismatch`], and [`Error::Cancelled`].
pub fn fit_region<T: Real>(
    pixels: &RegionPixels,
    column_sums: Option<&[f64]>,
    n_columns: usize,
    params: &FitParams,
    control: &Control,
) -> Result<RegionTrace, Error> {
    params.check(n_columns)?;
    control.expect(params.columns.as_ref().map_or(n_columns, Vec::len));
    let sums = match column_sums {
        Some(given) if given.len() != n_columns => {
            return Err(Error::LengthMismatch {
                name: "fit_scale",
                found: given.len(),
                expected: n_columns,
            });
        }
        Some(given) => given[pixels.columns.clone()].to_vec(),
        None => vec![1.0; pixels.columns.len()],
    };
    fit_columns::<T>(pixels, &sums, n_columns, params, None, control)
}

/// Tests a region against its thresholds and trims its edges; `None` if it is too faint.
fn select_region<T: Real>(
    mut pixels: RegionPixels,
    peak: Option<f64>,
    snr: Option<f64>,
) -> Option<(RegionPixels, Vec<f64>)> {
    let has_threshold = peak.is_some() || snr.is_some();
    let mut profile = crossdisp_profile::<T>(&pixels);
    if let Some(found) = &profile {
        if !found.passes(peak, snr) {
            return None;
        }
        if trim_edges(&mut pixels, found) {
            profile = crossdisp_profile::<T>(&pixels);
        }
    }
    let is_negative = match &profile {
        Some(profile) if !profile.passes(peak, snr) => return None,
        None if has_threshold => return None,
        Some(profile) => profile.has_negative_source(),
        None => false,
    };
    let sums = pixels.column_sums::<T>(is_negative);
    Some((pixels, sums))
}

/// Numbers that follow from the region and the parameters.
struct ColumnFit<'a> {
    pixels: &'a RegionPixels,
    points: SortedColumns,
    n_columns: usize,
    n_intervals: usize,
    require_ngood: usize,
    params: &'a FitParams,
    recorder: Option<Recorder>,
}

impl ColumnFit<'_> {
    fn window(&self, column: usize) -> Range<usize> {
        let half = self.params.half_window;
        column.saturating_sub(half)..column.saturating_add(half).min(self.n_columns)
    }

    fn has_enough(&self, column: usize) -> bool {
        let is_good =
            |&i: &usize| self.pixels.flux[i].is_finite() && self.pixels.alpha[i].is_finite();
        self.pixels.column(column).filter(is_good).count() > self.require_ngood
    }

    /// Fits some columns, each on its own; they should be neighbours.
    fn fit_each<T: Real>(
        &self,
        columns: &[usize],
        n_intervals: usize,
        control: &Control,
    ) -> Vec<Outcome> {
        let mut window = Window::new(&self.points);
        let rules = self.params.rejection;
        let mut fitter = match self.recorder {
            Some(_) => WindowFitter::<T>::keeping_track(rules),
            None => WindowFitter::<T>::new(rules),
        };
        let mut outcomes = Vec::with_capacity(columns.len());
        for &column in columns {
            if control.check().is_err() {
                // The caller looks for this itself; what is returned is thrown away.
                break;
            }
            outcomes.push(if self.has_enough(column) {
                window.move_to(self.window(column));
                let (x, y) = (window.alpha(), window.share());
                match fitter.fit(x, y, n_intervals) {
                    Ok(Some(spline)) => {
                        let record = self.recorder.as_ref().map(|recorder| {
                            Box::new(recorder.record(&mut fitter, &window, self.window(column)))
                        });
                        Outcome::Fitted(spline, (x[0], x[x.len() - 1]), record)
                    }
                    Ok(None) => Outcome::Refused,
                    Err(_) => Outcome::Impossible,
                }
            } else {
                Outcome::TooFew
            });
        }
        outcomes
    }

    /// The same, spread over the pool.
    fn fit_all<T: Real>(
        &self,
        columns: &[usize],
        n_intervals: usize,
        control: &Control,
    ) -> Result<Vec<Outcome>, Error> {
        let outcomes = columns
            .par_chunks(COLUMNS_PER_TASK)
            .map(|task| {
                let outcomes = self.fit_each::<T>(task, n_intervals, control);
                control.advance(task.len());
                outcomes
            })
            .collect::<Vec<_>>();
        control.check()?;
        Ok(outcomes.into_iter().flatten().collect())
    }
}

fn fit_columns<T: Real>(
    pixels: &RegionPixels,
    sums: &[f64],
    n_columns: usize,
    params: &FitParams,
    recorder: Option<Recorder>,
    control: &Control,
) -> Result<RegionTrace, Error> {
    let (low, high) = pixels.alpha_range();
    let length = T::narrow(T::narrow(high - low) / pixels.native_dalpha::<T>());
    // A slice without a measurable length has no columns with good pixels either, or a single row: zero will do.
    let auto = |factor: f64| T::narrow(factor * length).clamp(0.0, MAX_INTERVALS as f64) as usize;
    let fit = ColumnFit {
        pixels,
        points: SortedColumns::new(pixels, sums, T::narrow),
        n_columns,
        n_intervals: params.n_intervals.unwrap_or_else(|| auto(params.auto_interval_factor)),
        require_ngood: params.require_ngood.unwrap_or_else(|| auto(params.auto_ngood_factor)),
        params,
        recorder,
    };
    let columns: Vec<usize> = params.columns.clone().unwrap_or_else(|| (0..n_columns).collect());
    if fit.n_intervals == 0 {
        control.advance(columns.len());
        return Ok(RegionTrace::default());
    }
    let mut outcomes = fit.fit_all::<T>(&columns, fit.n_intervals, control)?;
    let retried = retry_before_first::<T>(&fit, &columns, &mut outcomes, control)?;
    let is_recorded = fit.recorder.is_some();
    Ok(assign(pixels, &columns, outcomes, is_recorded.then_some((sums, retried))))
}

/// Tries the columns that were refused before there was any spline to fall back on once more, with fewer intervals.
/// Returns the one where that worked.
fn retry_before_first<T: Real>(
    fit: &ColumnFit<'_>,
    columns: &[usize],
    outcomes: &mut [Outcome],
    control: &Control,
) -> Result<Option<usize>, Error> {
    if fit.n_intervals <= RETRY_FEWER {
        return Ok(None);
    }
    let n_before = outcomes.iter().take_while(|o| !matches!(o, Outcome::Fitted(..))).count();
    let refused: Vec<usize> =
        (0..n_before).filter(|&i| matches!(outcomes[i], Outcome::Refused)).collect();
    // In blocks, because the first success ends it.
    for block in refused.chunks(COLUMNS_PER_TASK) {
        let again: Vec<usize> = block.iter().map(|&i| columns[i]).collect();
        control.expect(again.len());
        let retried = fit.fit_all::<T>(&again, fit.n_intervals - RETRY_FEWER, control)?;
        for (&i, outcome) in block.iter().zip(retried) {
            if matches!(outcome, Outcome::Fitted(..)) {
                outcomes[i] = outcome;
                return Ok(Some(columns[i]));
            }
        }
    }
    Ok(None)
}
