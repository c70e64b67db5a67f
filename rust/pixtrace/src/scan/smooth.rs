//! Smoothing to a beam of a wanted width.

use super::grid::Grid;
use super::stack::{GAUSSIAN_AREA, MapMut, MapsMut};
use crate::numeric::convolve::{Kernel, Passes, convolve};
use crate::{Control, Error};

/// Gaussian sigma of unit FWHM, `(8 ln 2)^-1/2`.
pub(super) const SIGMA_PER_FWHM: f64 = 0.424_660_900_144_009_5;

/// Memory for smoothing and filtering, to be used again and again.
#[derive(Clone, Debug, Default)]
pub struct SmoothingSpace {
    /// Weights of the cells that count, then smoothed.
    pub(super) weight: Vec<f64>,
    /// Data times weight.
    pub(super) data: Vec<f64>,
    exposure: Vec<f64>,
    pub(super) passes: Passes,
}

/// A round Gaussian of FWHM `fwhm` and height 1 as kernels along `[x, y]`, cut off `reach` FWHM from the centre.
pub(super) fn round_kernel(grid: &Grid, fwhm: f64, reach: f64) -> [Kernel; 2] {
    grid.resolution().map(|size| {
        let half_size = (reach * fwhm / size).ceil().min(MAX_HALF_SIZE);
        Kernel::gaussian(fwhm * SIGMA_PER_FWHM / size, half_size as usize)
    })
}

/// Kernels end here, in cells from their centre: far outside of any map.
const MAX_HALF_SIZE: f64 = 1e6;

/// A Gaussian of a FWHM below this many cells is `2^-64` in the next cell: it leaves every cell as it is.
///
/// A map that was smoothed to a beam is a little short of it, because the kernel was cut off.
const UNSEEN: f64 = 0.25;

/// Smooths a map to a beam of FWHM `fwhm` (unit of the grid's resolution) and returns the FWHM of the beam it then has.
///
/// The map had the beam `b` (that of its record), so the kernel is a Gaussian `k` of height 1 and FWHM
/// `(fwhm^2 - b^2)^1/2`, cut off in a square of half-side 3 FWHM, rounded up to whole cells. With sums over the valid
/// cells `i` around each cell,
///
/// ```text
/// weight' = sum k_i weight_i,   data' = sum k_i weight_i data_i / weight',   exposure' = sum k_i weight_i exposure_i / weight'
/// ```
///
/// The kernel is not normalised: weights grow by the area of the beam in cells, as noise would shrink were it not
/// for its correlation from cell to cell that comes in. The record's beam becomes `(b^2 + A / 1.133)^1/2`,
/// where `A` is the area of the kernel as sampled and 1.133 stands for [`GAUSSIAN_AREA`].
///
/// Holes stay holes: cells that were not valid get data and weight 0 (and the exposure of their surroundings, as in the
/// reference). All flags are cleared, the emptiness of a cell shows in its weight. If the beam is that wide already, or
/// misses less than a cell could show, nothing happens. Infinite data spread; NaN do not, such cells are not valid.
///
/// The reference smooths on a coarse grid and interpolates once the kernel is wider than about 5 cells; then it agrees with
/// this sum to about a per cent of the peak, and at the edges of the map only to a tenth.
///
/// # Errors
/// [`Error::Parameter`] unless `fwhm` is a number from 0 on; nothing has happened then.
pub fn smooth_to(
    map: &mut MapMut<'_>,
    fwhm: f64,
    space: &mut SmoothingSpace,
) -> Result<f64, Error> {
    check_fwhm(fwhm)?;
    let beam = map.record.smoothing_fwhm;
    if fwhm <= beam {
        return Ok(beam);
    }
    let missing = (fwhm * fwhm - beam * beam).sqrt();
    if map.grid.resolution().iter().all(|size| missing < UNSEEN * size) {
        return Ok(beam);
    }
    let kernels = round_kernel(map.grid, missing, 3.0);
    let kernels = [&kernels[0], &kernels[1]];
    let n_x = map.grid.shape()[1];
    let SmoothingSpace { weight, data, exposure, passes } = space;
    weight.clear();
    data.clear();
    exposure.clear();
    for cell in 0..map.data.len() {
        let counts = map.is_valid(cell);
        let w = if counts { map.weight[cell] } else { 0.0 };
        weight.push(w);
        data.push(if counts { w * map.data[cell] } else { 0.0 });
        exposure.push(if counts { w * map.exposure[cell] } else { 0.0 });
    }
    for plane in [&mut *weight, &mut *data, &mut *exposure] {
        convolve(plane, n_x, kernels, passes);
    }
    for cell in 0..map.data.len() {
        let (w, reached) = (weight[cell], weight[cell] > 0.0);
        let valid = map.is_valid(cell) && reached;
        map.data[cell] = if valid { data[cell] / w } else { 0.0 };
        map.weight[cell] = if valid { w } else { 0.0 };
        map.exposure[cell] = if reached { exposure[cell] / w } else { 0.0 };
        map.flag[cell] = 0;
    }
    let [x, y] = map.grid.resolution();
    let area = kernels[0].sum() * x * kernels[1].sum() * y;
    map.record.smoothing_fwhm = beam.hypot((area / GAUSSIAN_AREA).sqrt());
    Ok(map.record.smoothing_fwhm)
}

fn check_fwhm(fwhm: f64) -> Result<(), Error> {
    if fwhm.is_finite() && fwhm >= 0.0 {
        return Ok(());
    }
    Err(Error::Parameter { name: "fwhm", value: fwhm, must_be: "a number, 0 or positive" })
}

impl MapsMut<'_> {
    /// [`smooth_to`] of all maps, or of those of the numbers `pixels`: the beams that they then have, in this order.
    ///
    /// # Errors
    /// [`Error::Parameter`] as there, [`Error::NotNormalised`] if a map holds sums; else as
    /// [`MapsMut::for_some_maps`].
    pub fn smooth_to(
        &mut self,
        pixels: Option<&[usize]>,
        fwhm: f64,
        control: &Control,
    ) -> Result<Vec<f64>, Error> {
        check_fwhm(fwhm)?;
        self.require_means(pixels)?;
        let work =
            |space: &mut SmoothingSpace, _, mut map: MapMut<'_>| smooth_to(&mut map, fwhm, space);
        self.for_some_maps(pixels, control, SmoothingSpace::default, work)?.into_iter().collect()
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact numbers are expected")]
mod tests {
    use super::*;
    use crate::scan::sample_planes::Planes;

    fn smoothed(planes: &Planes, fwhm: f64) -> Planes {
        let mut planes = planes.clone();
        smooth_to(&mut planes.map(), fwhm, &mut SmoothingSpace::default()).unwrap();
        planes
    }

    #[test]
    fn agrees_with_the_definition() {
        let mut planes = Planes::source([21, 33], 10.0);
        planes.grid = Grid::new([21, 33], [2.0, 1.5], [0.0; 2]).unwrap();
        planes.data[40] = f64::NAN;
        let beam = planes.record.smoothing_fwhm;
        let kernel_fwhm: f64 = (36.0 - beam * beam).sqrt();
        let half_sizes = [2.0, 1.5].map(|size| (3.0 * kernel_fwhm / size).ceil());
        let after = smoothed(&planes, 6.0);
        let map = planes.map();
        for cell in (0..21 * 33).step_by(7) {
            let (mut w, mut wd, mut we) = (0.0, 0.0, 0.0);
            for other in (0..21 * 33).filter(|&other| map.is_valid(other)) {
                let dx = (other % 33) as f64 - (cell % 33) as f64;
                let dy = (other / 33) as f64 - (cell / 33) as f64;
                if dx.abs() <= half_sizes[0] && dy.abs() <= half_sizes[1] {
                    let r2 = (2.0 * dx).powi(2) + (1.5 * dy).powi(2);
                    let k = (-4.0 * 2.0_f64.ln() * r2 / kernel_fwhm.powi(2)).exp();
                    w += k * map.weight[other];
                    wd += k * map.weight[other] * map.data[other];
                    we += k * map.weight[other] * map.exposure[other];
                }
            }
            let valid = map.is_valid(cell);
            let expected = if valid { [w, wd / w, we / w] } else { [0.0, 0.0, we / w] };
            let found = [after.weight[cell], after.data[cell], after.exposure[cell]];
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-12 * w, "{cell}: {found} {expected}");
            }
        }
    }

    #[test]
    fn a_level_stays_and_holes_stay_holes() {
        let mut planes = Planes::flat([12, 40], 5.0);
        planes.hole(100);
        planes.data[100] = 77.0;
        planes.data[7] = f64::NAN;
        let mut after = smoothed(&planes, 9.0);
        assert!((after.record.smoothing_fwhm - 9.0).abs() < 1e-6);
        let map = after.map();
        for cell in 0..480 {
            assert_eq!(map.is_valid(cell), cell != 100 && cell != 7);
            let expected = if map.is_valid(cell) { 5.0 } else { 0.0 };
            assert!((map.data[cell] - expected).abs() < 1e-12);
            assert!((map.exposure[cell] - 2.0).abs() < 1e-12);
        }
    }

    #[test]
    fn two_steps_are_one() {
        // Without holes and far from the edges, Gaussians add up in squares.
        let mut planes = Planes::source([61, 61], 10.0);
        planes.weight.fill(1.0);
        planes.flag.fill(0);
        let (once, twice) = (smoothed(&planes, 12.0), smoothed(&smoothed(&planes, 8.0), 12.0));
        let cell = 30 * 61 + 30;
        assert!((once.data[cell] - twice.data[cell]).abs() < 1e-6 * once.data[cell]);
    }

    #[test]
    fn a_wide_beam_is_left_alone() {
        let planes = Planes::source([20, 20], 10.0);
        let after = smoothed(&planes, 1.0);
        assert_eq!((after.data, after.flag), (planes.data.clone(), planes.flag.clone()));
        let mut planes = planes;
        for fwhm in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(smooth_to(&mut planes.map(), fwhm, &mut SmoothingSpace::default()).is_err());
        }
    }

    #[test]
    fn one_cell_and_no_data() {
        let after = smoothed(&Planes::flat([1, 1], 3.0), 50.0);
        assert_eq!((after.data[0], after.weight[0]), (3.0, 1.0));
        let mut empty = Planes::flat([3, 3], 3.0);
        (0..9).for_each(|cell| empty.hole(cell));
        let after = smoothed(&empty, 50.0);
        assert!([after.data, after.weight, after.exposure].concat().iter().all(|&v| v == 0.0));
    }
}
