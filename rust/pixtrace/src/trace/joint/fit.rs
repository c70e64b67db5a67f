//! The joint fit of every region.

use std::collections::BTreeMap;

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::super::exposure::Exposure;
use super::super::model::{RegionTrace, TraceModel};
use super::super::region::RegionPixels;
use super::super::robust::choose::Choice;
use super::super::robust::columns::fit_columns;
use super::super::robust::look::{FIRST_LOOK, intervals_of};
use super::super::robust::{RobustParams, weighted};
use super::offsets::{Shared, linked, settle};
use super::search::search;
use super::share::{Alone, share};
use crate::numeric::Real;
use crate::{Control, Error};

/// Regions whose profiles have the same offset in an exposure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grouping {
    /// All of them: the offset is one number for each exposure.
    #[default]
    All,
    /// Those whose labels share their hundreds: the channels of MIRI MRS, which have coordinates of their own.
    Hundreds,
    /// None: every region has its own.
    Each,
}

impl Grouping {
    fn of(self, label: i32) -> i32 {
        match self {
            Self::All => 0,
            Self::Hundreds => label / 100,
            Self::Each => label,
        }
    }
}

/// Where a region of one exposure belongs among those of all exposures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Label under which exposures share its profile.
    pub label: i32,
    /// What is added to its columns, so that those of all exposures have the same wavelengths.
    pub columns: usize,
}

/// How exposures are fitted together. Start from [`Default`] and change what you need.
#[derive(Clone, Debug, PartialEq)]
pub struct JointParams {
    /// How a region is fitted that an exposure does not share.
    pub alone: RobustParams,
    /// Half-widths of the window to choose from where exposures share a profile, in columns.
    pub half_windows: Vec<usize>,
    /// Knot spacings per native pixel to choose from there.
    pub knots_per_pixel: Vec<f64>,
    /// Offset of each exposure, in the unit of alpha: where its source stands, less where the shared profile does. They
    /// are searched for if there are none.
    pub offsets: Option<Vec<f64>>,
    /// Whether the offsets given are only a start.
    pub is_refined: bool,
    /// Regions with the same offset.
    pub grouping: Grouping,
    /// An exposure keeps its own profile of a region if that predicts its columns this many times better, in squares.
    pub tolerance: f64,
    /// By exposure, the places of its regions by label, where they are not their own: a source that has moved across the
    /// slices is seen in others. Empty if there is no such exposure.
    pub places: Vec<BTreeMap<i32, Place>>,
}

impl Default for JointParams {
    fn default() -> Self {
        Self {
            alone: RobustParams::default(),
            half_windows: vec![1, 2, 4, 8, 16, 32, 64],
            knots_per_pixel: vec![1.0, 1.5, 2.0, 3.0, 4.0, 6.0],
            offsets: None,
            is_refined: true,
            grouping: Grouping::All,
            tolerance: 1.03,
            places: Vec::new(),
        }
    }
}

impl JointParams {
    fn check(&self, n_exposures: usize) -> Result<(), Error> {
        self.alone.check()?;
        let joint = RobustParams {
            half_windows: self.half_windows.clone(),
            knots_per_pixel: self.knots_per_pixel.clone(),
            clip_sigma: self.alone.clip_sigma,
        };
        joint.check()?;
        if self.tolerance.is_nan() || self.tolerance < 1.0 {
            let (name, value) = ("tolerance", self.tolerance);
            return Err(Error::Parameter { name, value, must_be: "at least 1" });
        }
        if !(self.places.is_empty() || self.places.len() == n_exposures) {
            let (found, expected) = (self.places.len(), n_exposures);
            return Err(Error::LengthMismatch { name: "places", found, expected });
        }
        if let Some(offsets) = &self.offsets {
            if offsets.len() != n_exposures {
                let (found, expected) = (offsets.len(), n_exposures);
                return Err(Error::LengthMismatch { name: "offsets", found, expected });
            }
            if let Some(position) = offsets.iter().position(|offset| !offset.is_finite()) {
                let (name, found) = ("offsets", offsets[position]);
                return Err(Error::Element { name, position, found, must_be: "finite" });
            }
        }
        Ok(())
    }

    /// Where a region of an exposure belongs.
    fn place(&self, exposure: usize, label: i32) -> Place {
        let found = self.places.get(exposure).and_then(|places| places.get(&label));
        found.copied().unwrap_or(Place { label, columns: 0 })
    }
}

/// Offsets of a group of regions, and who shares what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JointGroup {
    /// Labels of the regions, rising: those that they share profiles under ([`Place::label`]).
    pub labels: Vec<i32>,
    /// Offset of each exposure; NaN if it was to be found and the exposure shares no profile.
    pub offsets: Vec<f64>,
    /// Covariance of the offsets. What moves all of them together is not known and not in it; zero if they were given.
    pub covariance: Vec<Vec<f64>>,
    /// Steps that it took to find them.
    pub n_steps: usize,
    /// Numbers of the exposures that share a profile of a region, by label: sets of at least two.
    pub shared: BTreeMap<i32, Vec<Vec<usize>>>,
}

/// A joint fit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JointFit {
    /// A model for each exposure: shared splines, shifted to where its source stands, with its own scales.
    pub models: Vec<TraceModel>,
    /// Offsets, by group of regions.
    pub groups: Vec<JointGroup>,
}

/// Fits exposures of one source together: one profile for each window of a region, with a scale and an offset for each
/// exposure.
///
/// A joint fit of one exposure is that of [`super::super::fit_robust`]. `variances` are components of the variance of the
/// flux, by exposure, as there. Regions are independent of each other but for the offsets; an exposure whose columns are
/// predicted better by a profile of its own keeps it.
///
/// # Errors
/// [`Error::Parameter`], [`Error::Shape`], [`Error::ShapeMismatch`], [`Error::LengthMismatch`] and [`Error::Element`];
/// [`Error::Offsets`] if the data do not determine the offsets, [`Error::NothingShared`] if no two exposures share
/// anything; [`Error::Cancelled`].
///
/// ```
/// use ndarray::Array2;
/// use pixtrace::trace::{Exposure, JointParams, fit_joint};
///
/// let alpha = Array2::from_shape_fn((24, 60), |(y, x)| y as f64 - 11.5 + 0.01 * x as f64);
/// let star = |at: f64| alpha.mapv(|a| 100.0 * (-0.5 * ((a - at) / 0.7).powi(2)).exp() + 1.0);
/// let fluxes = [star(0.1), star(0.35), star(0.6), star(0.85)];
/// let (error, region) = (Array2::from_elem((24, 60), 0.5), Array2::from_elem((24, 60), 1_i32));
/// let exposures = fluxes.each_ref().map(|flux| {
///     Exposure::new(flux.view(), Some(error.view()), alpha.view(), region.view()).unwrap()
/// });
/// let fit = fit_joint(&exposures, &[], &JointParams::default(), &Default::default())?;
/// let offsets = &fit.groups[0].offsets; // of their mean
/// assert!((offsets[3] - offsets[0] - 0.75).abs() < 0.01);
/// assert_eq!(fit.groups[0].shared[&1], [[0, 1, 2, 3]]); // all of them, in the only region
/// # Ok::<(), pixtrace::Error>(())
/// ```
pub fn fit_joint<T: Real>(
    exposures: &[Exposure<'_, T>],
    variances: &[Vec<ArrayView2<'_, T>>],
    params: &JointParams,
    control: &Control,
) -> Result<JointFit, Error> {
    params.check(exposures.len())?;
    check_planes(exposures, variances)?;
    let maps = || exposures.iter().map(Exposure::regions);
    // By group, and by the label that is shared: exposures and their own labels.
    let mut groups: BTreeMap<i32, BTreeMap<i32, Vec<(usize, i32)>>> = BTreeMap::new();
    for (e, map) in maps().enumerate() {
        for &label in map.boxes().keys() {
            let group = groups.entry(params.grouping.of(label)).or_default();
            group.entry(params.place(e, label).label).or_default().push((e, label));
        }
    }
    control.expect(maps().flat_map(|m| m.boxes().values()).map(|b| b.columns.len()).sum());
    let mut fit = JointFit { models: vec![TraceModel::default(); exposures.len()], groups: vec![] };
    for regions in groups.into_values() {
        let (group, traces) = fit_group(exposures, variances, regions, params, control)?;
        for (e, label, trace) in traces {
            fit.models[e].regions.insert(label, trace);
        }
        fit.groups.push(group);
    }
    let is_anything_shared = fit.groups.iter().any(|group| !group.shared.is_empty());
    if exposures.len() > 1 && !is_anything_shared {
        return Err(Error::NothingShared);
    }
    Ok(fit)
}

fn check_planes<T: Real>(
    exposures: &[Exposure<'_, T>],
    variances: &[Vec<ArrayView2<'_, T>>],
) -> Result<(), Error> {
    let Some(first) = exposures.first() else {
        return Err(Error::Parameter { name: "exposures", value: 0.0, must_be: "at least one" });
    };
    let (name, of, expected) = ("exposure", "the first exposure", first.regions().dim());
    if let Some(other) = exposures.iter().find(|other| other.regions().dim() != expected) {
        let of_shape = |(n_y, n_x): (usize, usize)| vec![n_y, n_x];
        let (found, expected) = (of_shape(other.regions().dim()), of_shape(expected));
        return Err(Error::Shape { name, found, expected, of });
    }
    if !(variances.is_empty() || variances.len() == exposures.len()) {
        let (found, expected) = (variances.len(), exposures.len());
        return Err(Error::LengthMismatch { name: "variances", found, expected });
    }
    for (of_one, exposure) in variances.iter().zip(exposures) {
        if of_one.len() != variances[0].len() {
            let (found, expected) = (of_one.len(), variances[0].len());
            let name = "variances of an exposure";
            return Err(Error::LengthMismatch { name, found, expected });
        }
        for variance in of_one {
            exposure.regions().check_shape("variance", variance.dim(), exposure.flux().nrows())?;
        }
    }
    Ok(())
}

/// What an exposure has of its own of a region.
#[derive(Default)]
struct Own {
    label: i32,
    /// What has been added to its columns.
    columns: usize,
    /// Components of the variance.
    components: Vec<Vec<f64>>,
}

/// A region of an exposure, taken out of its planes.
struct Taken {
    exposure: usize,
    own: Own,
    has_errors: bool,
    pixels: RegionPixels,
}

fn take<T: Real>(
    exposures: &[Exposure<'_, T>],
    variances: &[Vec<ArrayView2<'_, T>>],
    members: &[(usize, i32)],
    params: &JointParams,
) -> Vec<Taken> {
    let with_it = members.iter().filter_map(|&(e, label)| {
        let exposure = &exposures[e];
        let bounds = exposure.regions().boxes().get(&label)?;
        let mut pixels = RegionPixels::new(exposure, label, bounds);
        let labels = exposure.regions().labels();
        let collect =
            |&plane: &ArrayView2<'_, T>| pixels.collect(bounds, labels, label, plane, Real::to_f64);
        let components = variances.get(e).map_or(vec![], |v| v.iter().map(collect).collect());
        let columns = params.place(e, label).columns;
        pixels.columns = pixels.columns.start + columns..pixels.columns.end + columns;
        let own = Own { label, columns, components };
        Some(Taken { exposure: e, own, has_errors: exposure.error().is_some(), pixels })
    });
    with_it.collect()
}

/// The trace of a region in an exposure.
type Found = (usize, i32, RegionTrace);

fn fit_group<T: Real>(
    exposures: &[Exposure<'_, T>],
    variances: &[Vec<ArrayView2<'_, T>>],
    regions: BTreeMap<i32, Vec<(usize, i32)>>,
    params: &JointParams,
    control: &Control,
) -> Result<(JointGroup, Vec<Found>), Error> {
    let n = exposures.len();
    let labels: Vec<i32> = regions.keys().copied().collect();
    let mut taken: Vec<Vec<Taken>> = regions
        .par_iter()
        .map(|(_, members)| take(exposures, variances, members, params))
        .collect();
    control.check()?;
    let mut own: Vec<BTreeMap<usize, Own>> = Vec::with_capacity(taken.len());
    for region in &mut taken {
        let of_one = |t: &mut Taken| (t.exposure, std::mem::take(&mut t.own));
        own.push(region.iter_mut().map(of_one).collect());
    }
    let alone: Vec<Vec<Alone<'_>>> = taken
        .par_iter_mut()
        .map(|region| region.iter_mut().filter_map(|t| fit_alone::<T>(t, params)).collect())
        .collect();
    control.check()?;
    let (mut group, shared) = find_offsets(&alone, n, params, control)?;
    let found: Vec<Vec<Found>> = alone
        .par_iter()
        .zip(&own)
        .zip(&shared)
        .map(|((alone, own), shared)| fit_region(alone, own, shared, control))
        .collect::<Result<_, _>>()?;
    for (&label, shared) in labels.iter().zip(&shared).filter(|(_, shared)| !shared.is_empty()) {
        group.shared.insert(label, shared.iter().map(|set| set.exposures.clone()).collect());
    }
    group.labels = labels;
    Ok((group, found.into_iter().flatten().collect()))
}

fn fit_alone<'a, T: Real>(taken: &'a mut Taken, params: &JointParams) -> Option<Alone<'a>> {
    let Taken { exposure, has_errors, pixels, .. } = taken;
    let whole = weighted::<T>(pixels, *has_errors, params.alone.clip_sigma)?;
    Some(Alone::new(*exposure, whole, params))
}

/// Finds the offsets of the exposures, and by region the sets of those that share its profile.
fn find_offsets<'a>(
    alone: &[Vec<Alone<'a>>],
    n: usize,
    params: &JointParams,
    control: &Control,
) -> Result<(JointGroup, Vec<Vec<Shared<'a>>>), Error> {
    let mut seen: Vec<Shared<'a>> = alone.iter().filter_map(|region| seen_in(region)).collect();
    let pitches = || seen.iter().flat_map(|s| &s.parts).map(|part| part.pitch);
    let pitch = pitches().sum::<f64>() / pitches().count() as f64;
    let is_free = params.is_refined || params.offsets.is_none();
    let mut offsets = match &params.offsets {
        Some(given) => given.clone(),
        None if seen.is_empty() => vec![0.0; n],
        None => search(&seen, n, pitch),
    };
    if is_free && !seen.is_empty() {
        settle(&mut seen, &mut offsets, pitch, control)?;
    }
    drop(seen);
    let found: Vec<Vec<Shared<'a>>> =
        alone.par_iter().map(|region| share(region, &offsets, params)).collect();
    control.check()?;
    let n_sets: Vec<usize> = found.iter().map(Vec::len).collect();
    let mut shared: Vec<Shared<'a>> = found.into_iter().flatten().collect();
    let mut group = JointGroup { covariance: vec![vec![0.0; n]; n], ..JointGroup::default() };
    if is_free && n > 1 {
        let settled = settle(&mut shared, &mut offsets, pitch, control)?;
        group.n_steps = settled.n_steps;
        group.covariance = (0..n).map(|e| settled.covariance.row(e).to_vec()).collect();
        let sets = linked(n, &shared);
        for e in (0..n).filter(|e| !sets.iter().any(|set| set.contains(e))) {
            (offsets[e], group.covariance[e][e]) = (f64::NAN, f64::NAN);
        }
    }
    group.offsets = offsets;
    let mut shared = shared.into_iter();
    let of_regions = n_sets.into_iter().map(|n| shared.by_ref().take(n).collect()).collect();
    Ok((group, of_regions))
}

/// A region in all exposures that have it, for a first look at the offsets; `None` if fewer than two have.
fn seen_in<'a>(region: &[Alone<'a>]) -> Option<Shared<'a>> {
    let parts: Vec<_> = region.iter().map(|a| a.cleaned.clone()).collect();
    if parts.len() < 2 {
        return None;
    }
    let n_intervals = intervals_of(&parts, &[FIRST_LOOK.0])[0];
    Some(Shared {
        exposures: region.iter().map(|a| a.exposure).collect(),
        parts,
        norms: region.iter().map(|a| a.norms.clone()).collect(),
        choice: Choice::first(n_intervals, FIRST_LOOK.1),
    })
}

/// Fits a region in all exposures that have it: together where they share its profile, and alone.
fn fit_region(
    alone: &[Alone<'_>],
    own: &BTreeMap<usize, Own>,
    shared: &[Shared<'_>],
    control: &Control,
) -> Result<Vec<Found>, Error> {
    let mut traces: BTreeMap<usize, RegionTrace> =
        own.keys().map(|&e| (e, RegionTrace::default())).collect();
    for Shared { exposures, parts, norms, choice } in shared {
        let of_each: Vec<&[Vec<f64>]> = exposures.iter().map(|e| &own[e].components[..]).collect();
        let found = fit_columns(parts, norms, choice, &of_each, control)?;
        traces.extend(exposures.iter().copied().zip(found));
    }
    let is_shared = |e: usize| shared.iter().any(|s| s.exposures.contains(&e));
    for a in alone.iter().filter(|a| !is_shared(a.exposure)) {
        let Some(choice) = &a.choice else { continue };
        let (part, norms) = (std::slice::from_ref(&a.cleaned), std::slice::from_ref(&a.norms));
        let found = fit_columns(part, norms, choice, &[&own[&a.exposure].components[..]], control)?;
        traces.extend(found.into_iter().map(|trace| (a.exposure, trace)));
    }
    let back = |(e, mut trace): (usize, RegionTrace)| {
        trace.move_back(own[&e].columns);
        (e, own[&e].label, trace)
    };
    Ok(traces.into_iter().map(back).collect())
}
