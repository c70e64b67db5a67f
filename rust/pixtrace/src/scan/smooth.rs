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
/// reference). All flags are cleared, the emptiness of a cell shows in its weight. If the beam is that wide already,
/// nothing happens. Infinite data spread; NaN do not, such cells are not valid.
///
/// The reference smooths on a coarse grid and interpolates once the kernel spreads over more than some cells; then it
/// agrees with this sum only to about a per cent of the peak.
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
    let kernels = round_kernel(map.grid, (fwhm * fwhm - beam * beam).sqrt(), 3.0);
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
