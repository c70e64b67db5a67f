//! Statistics of one map: means, medians, order statistics, chi-squared. Only valid cells count.

use super::lanes::{self, sum_valid};
use super::smart_median::{Pair, unit_median, weighted_median};
use super::stack::{MapMut, MapsMut, is_valid};
use crate::numeric::stats::{self, by_size};
use crate::{Control, Error};

/// Median of chi-squared for one degree of freedom, as the reference rounds it (to more digits: 0.454936423).
pub const MEDIAN_CHI2: f64 = 0.454_937;

/// A mean or median and the weight it rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean or median, NaN of nothing.
    pub value: f64,
    /// Sum of the weights.
    pub weight: f64,
}

/// Memory for the functions of this module, to be used again and again.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    pairs: Vec<Pair>,
    candidates: Vec<Pair>,
    values: Vec<f64>,
}

/// Weighted median of `values`.
///
/// The numbers are put in order, and `W_i` is the weight of all before the `i`-th plus half its own plus half that of
/// the very first. The median is the first with a weight and `W_i >= W / 2`, where `W` is the sum of all weights, drawn
/// a little towards the one before it with a weight: `u prev + (1 - u) here`, with `u = (W_i - W / 2) / (W_i + W_prev)`.
/// Where one weight alone makes up `max_dependence` (1: never but for a single number) of the sum, it is the weighted
/// mean instead.
///
/// Numbers that are NaN or whose weight is negative or not finite do not count. Without any weight the result is NaN,
/// of weight 0.
///
/// # Errors
/// [`Error::LengthMismatch`] unless there is one weight for each value.
pub fn smart_median(
    values: &[f64],
    weights: &[f64],
    max_dependence: f64,
    workspace: &mut Workspace,
) -> Result<Estimate, Error> {
    if weights.len() != values.len() {
        let (found, expected) = (weights.len(), values.len());
        return Err(Error::LengthMismatch { name: "weights", found, expected });
    }
    workspace.pairs.clear();
    // The smallest number without a weight: should it be the smallest of all, the walk starts with weight 0.
    let mut smallest_without = f64::INFINITY;
    for (&value, &weight) in values.iter().zip(weights) {
        if weight > 0.0 && weight < f64::INFINITY && !value.is_nan() {
            workspace.pairs.push([value, weight]);
        } else if weight == 0.0 && value < smallest_without {
            smallest_without = value;
        }
    }
    Ok(median_of_pairs(workspace, smallest_without, max_dependence))
}

/// Weighted median of the data of a map, as [`smart_median`] with `max_dependence` 1.
#[must_use]
pub fn median(map: &MapMut<'_>, workspace: &mut Workspace) -> Estimate {
    let n = map.data.len();
    workspace.pairs.resize(n, [0.0; 2]);
    let pairs = &mut workspace.pairs[..n];
    let mut n_valid = 0;
    for ((&data, &weight), &flag) in map.data.iter().zip(&*map.weight).zip(&*map.flag) {
        pairs[n_valid] = [data, weight];
        n_valid += usize::from(is_valid(data, weight, flag));
    }
    workspace.pairs.truncate(n_valid);
    median_of_pairs(workspace, f64::INFINITY, 1.0)
}

fn median_of_pairs(
    workspace: &mut Workspace,
    smallest_without: f64,
    max_dependence: f64,
) -> Estimate {
    let Workspace { pairs, candidates, .. } = workspace;
    let (mut sums, mut largest) = ([0.0; 4], [0.0; 4]);
    let (mut smallest, mut first) = (smallest_without, 0.0);
    for (i, &[value, weight]) in pairs.iter().enumerate() {
        sums[i % 4] += weight;
        largest[i % 4] = if weight > largest[i % 4] { weight } else { largest[i % 4] };
        // Among equals the lightest is the first.
        if value < smallest || (value <= smallest && weight < first) {
            (smallest, first) = (value, weight);
        }
    }
    let weight: f64 = sums.iter().sum();
    if pairs.is_empty() {
        return Estimate { value: f64::NAN, weight };
    }
    let value = if largest.iter().any(|&one| one >= weight * max_dependence) {
        pairs.iter().map(|[value, weight]| value * weight).sum::<f64>() / weight
    } else {
        weighted_median(pairs, first, weight, candidates)
    };
    Estimate { value, weight }
}

/// Weighted mean of the data of a map; NaN of weight 0 if no cell is valid.
#[must_use]
pub fn mean(map: &MapMut<'_>) -> Estimate {
    let [sum, weight] = sum_valid(map, |data, weight| [weight * data, weight]);
    Estimate { value: sum / weight, weight }
}

/// Chi-squared of the map per cell, as if it held nothing but noise: the mean of `(S/N)^2 = data^2 weight`, or their
/// median (as [`smart_median`] with weights of 1) over [`MEDIAN_CHI2`] if `robust`. NaN if no cell is valid.
#[must_use]
pub fn chi2(map: &MapMut<'_>, robust: bool, workspace: &mut Workspace) -> f64 {
    if robust {
        collect(map, |data, weight, _| data * data * weight, workspace);
        return unit_median(&mut workspace.values) / MEDIAN_CHI2;
    }
    mean_chi2(map)
}

fn mean_chi2(map: &MapMut<'_>) -> f64 {
    let [sum, n_valid] = sum_valid(map, |data, weight| [data * data * weight, 1.0]);
    sum / n_valid
}

/// Variance of S/N about zero: the mean of `(S/N)^2`, or their ordinary median over [`MEDIAN_CHI2`] if `robust`. NaN if
/// no cell is valid. Its inverse is the weight of a scan (option `weighting.scans`).
#[must_use]
pub fn significance_variance(map: &MapMut<'_>, robust: bool, workspace: &mut Workspace) -> f64 {
    if robust {
        collect(map, |data, weight, _| data * data * weight, workspace);
        return stats::median(&mut workspace.values) / MEDIAN_CHI2;
    }
    mean_chi2(map)
}

/// The number that stands at `fraction` (0 to 1) of the way through `values` in order: the one at
/// `round(fraction (n - 1))`, halves rounded up; NaN for none. The values are reordered; there must be no NaN among them.
///
/// # Errors
/// [`Error::Parameter`] unless `fraction` lies from 0 to 1.
pub fn select(values: &mut [f64], fraction: f64) -> Result<f64, Error> {
    if !(0.0..=1.0).contains(&fraction) {
        let must_be = "from 0 to 1";
        return Err(Error::Parameter { name: "fraction", value: fraction, must_be });
    }
    if values.is_empty() {
        return Ok(f64::NAN);
    }
    let at = (fraction * (values.len() - 1) as f64).round() as usize;
    Ok(*values.select_nth_unstable_by(at, by_size).1)
}

/// [`select`] among the exposures of the valid cells (cells whose exposure is NaN left out).
///
/// # Errors
/// As [`select`].
pub fn select_exposure(
    map: &MapMut<'_>,
    fraction: f64,
    workspace: &mut Workspace,
) -> Result<f64, Error> {
    collect(map, |_, _, exposure| exposure, workspace);
    workspace.values.retain(|exposure| !exposure.is_nan());
    select(&mut workspace.values, fraction)
}

/// [`select`] among the noises `weight^-1/2` of the valid cells.
///
/// # Errors
/// As [`select`].
pub fn select_noise(
    map: &MapMut<'_>,
    fraction: f64,
    workspace: &mut Workspace,
) -> Result<f64, Error> {
    collect(map, |_, weight, _| 1.0 / weight.sqrt(), workspace);
    select(&mut workspace.values, fraction)
}

/// Number of valid cells.
#[must_use]
pub fn count_valid(map: &MapMut<'_>) -> usize {
    lanes::count_valid(map)
}

/// Puts what `of` makes of data, weight and exposure of each valid cell into the workspace.
fn collect(map: &MapMut<'_>, of: impl Fn(f64, f64, f64) -> f64, workspace: &mut Workspace) {
    let values = &mut workspace.values;
    values.resize(map.data.len(), 0.0);
    let mut n_valid = 0;
    let cells = map.data.iter().zip(&*map.weight).zip(&*map.exposure).zip(&*map.flag);
    for (((&data, &weight), &exposure), &flag) in cells {
        values[n_valid] = of(data, weight, exposure);
        n_valid += usize::from(is_valid(data, weight, flag));
    }
    values.truncate(n_valid);
}

impl MapsMut<'_> {
    /// [`chi2`] of all maps, or of those of the numbers `pixels` in this order.
    ///
    /// # Errors
    /// [`Error::NotNormalised`] if a map holds sums; else as [`MapsMut::for_some_maps`].
    pub fn chi2(
        &mut self,
        pixels: Option<&[usize]>,
        robust: bool,
        control: &Control,
    ) -> Result<Vec<f64>, Error> {
        self.require_means(pixels)?;
        let work = |space: &mut Workspace, _, map: MapMut<'_>| chi2(&map, robust, space);
        self.for_some_maps(pixels, control, Workspace::default, work)
    }

    /// [`significance_variance`] of all maps, or of those of the numbers `pixels` in this order.
    ///
    /// # Errors
    /// [`Error::NotNormalised`] if a map holds sums; else as [`MapsMut::for_some_maps`].
    pub fn significance_variance(
        &mut self,
        pixels: Option<&[usize]>,
        robust: bool,
        control: &Control,
    ) -> Result<Vec<f64>, Error> {
        self.require_means(pixels)?;
        let work =
            |space: &mut Workspace, _, map: MapMut<'_>| significance_variance(&map, robust, space);
        self.for_some_maps(pixels, control, Workspace::default, work)
    }

    /// [`count_valid`] of all maps, or of those of the numbers `pixels` in this order.
    ///
    /// # Errors
    /// As [`MapsMut::for_some_maps`].
    pub fn count_valid(
        &mut self,
        pixels: Option<&[usize]>,
        control: &Control,
    ) -> Result<Vec<usize>, Error> {
        self.for_some_maps(pixels, control, || (), |(), _, map| count_valid(&map))
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact numbers are expected")]
mod tests {
    use super::*;
    use crate::scan::DISCARD;
    use crate::scan::sample_planes::Planes;

    fn space() -> Workspace {
        Workspace::default()
    }

    #[test]
    fn the_median_leans_towards_the_number_before() {
        let median = |values: &[f64], weights: &[f64]| {
            smart_median(values, weights, 1.0, &mut space()).unwrap()
        };
        // By hand: W = 3, cumulative weights 1, 2, 3; the second reaches 1.5 by 0.5, so u = 0.5 / (2 + 1).
        let expected = 1.0 / 6.0 + 2.0 * 5.0 / 6.0;
        assert_eq!(median(&[3.0, 1.0, 2.0], &[1.0; 3]), Estimate { value: expected, weight: 3.0 });
        // Numbers without a weight do not count, but as the smallest they start the walk: 0, 0.5, 1.5.
        assert_eq!(median(&[1.0, 2.0, 3.0, 4.0], &[0.0, 1.0, 1.0, 1.0]).value, 3.0);
        assert_eq!(median(&[2.0, 3.0, 9.0, 4.0], &[1.0, 1.0, 0.0, 1.0]).value, 2.0 / 6.0 + 2.5);
        assert_eq!(median(&[5.0], &[2.0]), Estimate { value: 5.0, weight: 2.0 });
    }

    #[test]
    fn a_dominant_weight_makes_it_a_mean() {
        let (values, weights) = ([0.0, 1.0, 2.0, 10.0], [1.0, 1.0, 1.0, 3.0]);
        let half = smart_median(&values, &weights, 0.5, &mut space()).unwrap();
        assert_eq!(half, Estimate { value: 33.0 / 6.0, weight: 6.0 });
        let never = smart_median(&values, &weights, 1.0, &mut space()).unwrap();
        assert_eq!(never.value, 2.0);
    }

    #[test]
    fn what_is_not_a_number_does_not_count() {
        let nan = f64::NAN;
        let values = [1.0, nan, 2.0, 3.0, 4.0, 5.0];
        let weights = [1.0, 1.0, 1.0, -1.0, nan, f64::INFINITY];
        let median = smart_median(&values, &weights, 1.0, &mut space()).unwrap();
        assert_eq!(median, smart_median(&[1.0, 2.0], &[1.0; 2], 1.0, &mut space()).unwrap());
        let nothing = smart_median(&[nan], &[1.0], 1.0, &mut space()).unwrap();
        assert!(nothing.value.is_nan() && nothing.weight == 0.0);
        assert!(smart_median(&[1.0], &[], 1.0, &mut space()).is_err());
    }

    #[test]
    fn order_statistics_round_halves_up() {
        let select = |n: usize, fraction: f64| {
            select(&mut (0..n).rev().map(|v| v as f64).collect::<Vec<_>>(), fraction).unwrap()
        };
        assert_eq!((select(2, 0.5), select(4, 0.5), select(6, 0.5)), (1.0, 2.0, 3.0));
        assert_eq!((select(6, 0.0), select(6, 0.1), select(6, 1.0)), (0.0, 1.0, 5.0));
        assert!(select(0, 0.5).is_nan());
        assert!(super::select(&mut [1.0], 1.5).is_err());
        assert!(super::select(&mut [1.0], f64::NAN).is_err());
    }

    #[test]
    fn only_valid_cells_count() {
        let mut planes = Planes::flat([5, 7], 3.0);
        planes.data[11] = f64::NAN;
        (planes.data[12], planes.flag[12]) = (1e9, DISCARD);
        (planes.data[13], planes.weight[13]) = (1e9, f64::INFINITY);
        (planes.data[14], planes.weight[14]) = (1e9, 0.0);
        (planes.data[15], planes.weight[15]) = (1e9, -1.0);
        let map = planes.map();
        let mut space = space();
        assert_eq!(count_valid(&map), 30);
        assert_eq!(mean(&map), Estimate { value: 3.0, weight: 30.0 });
        assert_eq!(median(&map, &mut space), Estimate { value: 3.0, weight: 30.0 });
        assert_eq!(chi2(&map, false, &mut space), 9.0);
        assert_eq!(chi2(&map, true, &mut space), 9.0 / MEDIAN_CHI2);
        assert_eq!(significance_variance(&map, true, &mut space), 9.0 / MEDIAN_CHI2);
        assert_eq!(select_noise(&map, 0.95, &mut space), Ok(1.0));
        assert_eq!(select_exposure(&map, 0.0, &mut space), Ok(2.0));
    }

    #[test]
    fn an_empty_map_has_no_statistics() {
        let mut planes = Planes::flat([4, 4], 3.0);
        planes.flag.fill(DISCARD);
        let map = planes.map();
        let mut space = space();
        assert_eq!(count_valid(&map), 0);
        assert!(mean(&map).value.is_nan() && median(&map, &mut space).value.is_nan());
        assert!(chi2(&map, false, &mut space).is_nan() && chi2(&map, true, &mut space).is_nan());
        assert!(select_noise(&map, 0.5, &mut space).unwrap().is_nan());
    }
}
