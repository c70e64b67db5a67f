//! Large scales taken out of a map, and what that takes from a source given back.

use super::smooth::{SIGMA_PER_FWHM, SmoothingSpace, round_kernel};
use super::stack::{MapMut, MapsMut};
use crate::numeric::convolve::convolve;
use crate::{Control, Error};

/// How the large scales are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FilterKind {
    /// Weighted mean of the cells around each cell; cells beyond the blanking level are not touched.
    #[default]
    Convolution,
    /// The flavour that the reference computes with Fourier transforms: the convolution of the weighted data over one
    /// weight for the whole map, so that the map fades out where it is thin and beyond its edges.
    Fft,
}

/// What is filtered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FilterParams {
    /// Scales from this FWHM up are taken out (unit of the grid's resolution).
    pub fwhm: f64,
    /// Cells whose S/N is larger than this, up or down, do not count as background.
    pub blank: Option<f64>,
    /// How.
    pub kind: FilterKind,
}

/// Width of the kernel of [`FilterKind::Fft`] from its centre, in FWHM: cut off at `2^-64`.
const FFT_REACH: f64 = 4.0;

/// Subtracts from a map its own large scales.
///
/// Cells count if they are valid and, where there is a blanking level, their `|data| weight^1/2` is not beyond it. With
/// sums over those, and `b` the FWHM of the beam of the map:
///
/// - [`FilterKind::Convolution`] subtracts `sum k w data / sum k w` from the cells that count; `k` is a Gaussian of FWHM
///   `(fwhm^2 - b^2)^1/2`, cut off in a square of half-side 3 FWHM. The reference does this on a coarse grid when the
///   kernel is wide, and agrees then to about a per cent of the peak.
/// - [`FilterKind::Fft`] subtracts `sum g w data / w_rms` from all valid cells; `g` is a Gaussian of FWHM `fwhm` and unit
///   volume, `w_rms` the root mean square of the weights of the cells that count. No transform is made: the sum is
///   exact, and nothing wraps around. (Kernels of less than 3 cells are not well sampled; the transform of the
///   reference cuts off their high frequencies instead.)
///
/// Weights, exposures, flags and cells that are not valid stay as they are. The record's `filter_fwhm` becomes the
/// smaller one of what it was and `fwhm`, `filter_blanking` the blanking level or NaN; a correction made before counts
/// no more.
///
/// # Errors
/// [`Error::Parameter`] unless `fwhm` is finite and larger than the beam of the map (all of it would go), or for a
/// blanking level that is not positive; nothing has happened then.
pub fn filter(
    map: &mut MapMut<'_>,
    params: &FilterParams,
    space: &mut SmoothingSpace,
) -> Result<(), Error> {
    let &FilterParams { fwhm, blank, kind } = params;
    let beam = map.record.smoothing_fwhm;
    params.check(beam)?;
    let SmoothingSpace { weight, data, passes, .. } = space;
    weight.clear();
    data.clear();
    for cell in 0..map.data.len() {
        let counts = map.is_valid(cell) && !is_blanked(map, cell, blank);
        let w = if counts { map.weight[cell] } else { 0.0 };
        weight.push(w);
        data.push(if counts { w * map.data[cell] } else { 0.0 });
    }
    let n_x = map.grid.shape()[1];
    match kind {
        FilterKind::Convolution => {
            let kernels = round_kernel(map.grid, (fwhm * fwhm - beam * beam).sqrt(), 3.0);
            let kernels = [&kernels[0], &kernels[1]];
            convolve(data, n_x, kernels, passes);
            convolve(weight, n_x, kernels, passes);
            for cell in 0..map.data.len() {
                if map.is_valid(cell) && !is_blanked(map, cell, blank) {
                    map.data[cell] -= data[cell] / weight[cell];
                }
            }
        }
        FilterKind::Fft => {
            let squares: f64 = weight.iter().map(|w| w * w).sum();
            let n_counting = weight.iter().filter(|&&w| w > 0.0).count();
            if n_counting > 0 {
                let [along_x, along_y] = round_kernel(map.grid, fwhm, FFT_REACH);
                let sigmas = map.grid.resolution().map(|size| fwhm * SIGMA_PER_FWHM / size);
                let volume = std::f64::consts::TAU * sigmas[0] * sigmas[1];
                let along_x = along_x.scaled((n_counting as f64 / squares).sqrt() / volume);
                convolve(data, n_x, [&along_x, &along_y], passes);
                for (cell, smooth) in data.iter().enumerate() {
                    map.data[cell] -= if map.is_valid(cell) { *smooth } else { 0.0 };
                }
            }
        }
    }
    map.record.filter_fwhm = map.record.filter_fwhm.min(fwhm);
    map.record.filter_blanking = blank.unwrap_or(f64::NAN);
    map.record.correcting_fwhm = f64::NAN;
    Ok(())
}

impl FilterParams {
    /// For a map of the beam `beam`.
    fn check(&self, beam: f64) -> Result<(), Error> {
        if !(self.fwhm.is_finite() && self.fwhm > beam) {
            let must_be = "finite and larger than the beam that the map was smoothed to";
            return Err(Error::Parameter { name: "fwhm", value: self.fwhm, must_be });
        }
        if let Some(value) = self.blank.filter(|blank| blank.is_nan() || *blank <= 0.0) {
            return Err(Error::Parameter { name: "blank", value, must_be: "a positive number" });
        }
        Ok(())
    }
}

fn is_blanked(map: &MapMut<'_>, cell: usize, blank: Option<f64>) -> bool {
    blank.is_some_and(|blank| (map.data[cell] * map.weight[cell].sqrt()).abs() > blank)
}

/// By how much a source of the FWHM `source` is fainter in a filtered map: `1 - (S - B) / (S + F)`, where `S`, `B` and
/// `F` are the squares of its FWHM, that of the beam of the map, and that of the filter. The inverse is returned, 1 for
/// a map that was not filtered.
#[must_use]
pub fn filter_correction(source: f64, beam: f64, filter: f64) -> f64 {
    if filter.is_nan() {
        return 1.0;
    }
    let [source, beam, filter] = [source, beam, filter].map(|fwhm| fwhm * fwhm);
    (source + filter) / (beam + filter)
}

/// Multiplies a filtered map by its [`filter_correction`] for a source of FWHM `source`, notes it in the record, and
/// returns that factor.
///
/// Where the filter left bright cells out, only cells that are not beyond its blanking level now are corrected. A
/// second call corrects for the new width instead of the first; the factor is that to the map without a correction.
/// A map that was not filtered stays as it is, and so do cells that are not valid.
///
/// The reference corrects nothing if there was no blanking level (the comparison with none is never true), although it
/// notes the correction. To get its numbers, call this only if there is one.
///
/// # Errors
/// [`Error::Parameter`] unless `source` is finite and not negative; nothing has happened then.
pub fn correct_filtering(map: &mut MapMut<'_>, source: f64) -> Result<f64, Error> {
    check_source(source)?;
    let record = *map.record;
    if record.filter_fwhm.is_nan() {
        return Ok(1.0);
    }
    let factor = filter_correction(source, record.smoothing_fwhm, record.filter_fwhm);
    let before = if record.correcting_fwhm.is_nan() {
        1.0
    } else {
        filter_correction(record.correcting_fwhm, record.smoothing_fwhm, record.filter_fwhm)
    };
    let blank = Some(record.filter_blanking).filter(|blank| !blank.is_nan());
    if source.to_bits() != record.correcting_fwhm.to_bits() {
        for cell in 0..map.data.len() {
            if map.is_valid(cell) && !is_blanked(map, cell, blank) {
                map.data[cell] *= factor / before;
            }
        }
        map.record.correcting_fwhm = source;
    }
    Ok(factor)
}

fn check_source(source: f64) -> Result<(), Error> {
    if source.is_finite() && source >= 0.0 {
        return Ok(());
    }
    let must_be = "a number, 0 or positive";
    Err(Error::Parameter { name: "beam", value: source, must_be })
}

impl MapsMut<'_> {
    /// [`filter()`] of all maps, or of those of the numbers `pixels`.
    ///
    /// # Errors
    /// [`Error::Parameter`] as there, before any map is filtered, [`Error::NotNormalised`] if a map holds sums; else as
    /// [`MapsMut::for_some_maps`].
    pub fn filter(
        &mut self,
        pixels: Option<&[usize]>,
        params: &FilterParams,
        control: &Control,
    ) -> Result<(), Error> {
        params.check(0.0)?;
        self.require_means(pixels)?;
        let beam =
            |pixel: usize| self.records.get(pixel).map_or(0.0, |record| record.smoothing_fwhm);
        let widest = match pixels {
            Some(pixels) => pixels.iter().map(|&pixel| beam(pixel)).fold(0.0, f64::max),
            None => (0..self.n_pixels()).map(beam).fold(0.0, f64::max),
        };
        params.check(widest)?;
        let work =
            |space: &mut SmoothingSpace, _, mut map: MapMut<'_>| filter(&mut map, params, space);
        self.for_some_maps(pixels, control, SmoothingSpace::default, work)?.into_iter().collect()
    }

    /// [`correct_filtering`] of all maps, or of those of the numbers `pixels`: the factors, in this order.
    ///
    /// # Errors
    /// [`Error::Parameter`] as there, [`Error::NotNormalised`] if a map holds sums; else as
    /// [`MapsMut::for_some_maps`].
    pub fn correct_filtering(
        &mut self,
        pixels: Option<&[usize]>,
        source: f64,
        control: &Control,
    ) -> Result<Vec<f64>, Error> {
        check_source(source)?;
        self.require_means(pixels)?;
        let work = |(): &mut (), _, mut map: MapMut<'_>| correct_filtering(&mut map, source);
        self.for_some_maps(pixels, control, || (), work)?.into_iter().collect()
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact numbers are expected")]
mod tests {
    use super::*;
    use crate::scan::sample_planes::Planes;

    fn filtered(planes: &Planes, fwhm: f64, blank: Option<f64>, kind: FilterKind) -> Planes {
        let mut planes = planes.clone();
        let params = FilterParams { fwhm, blank, kind };
        filter(&mut planes.map(), &params, &mut SmoothingSpace::default()).unwrap();
        planes
    }

    #[test]
    fn a_level_goes_and_holes_stay() {
        let mut planes = Planes::flat([20, 31], 5.0);
        planes.hole(200);
        planes.data[200] = 7.0;
        let after = filtered(&planes, 10.0, None, FilterKind::Convolution);
        for cell in 0..620 {
            let expected = if cell == 200 { 7.0 } else { 0.0 };
            assert!((after.data[cell] - expected).abs() < 1e-12);
        }
        assert_eq!((&after.weight, &after.exposure), (&planes.weight, &planes.exposure));
        assert_eq!(after.flag, planes.flag);
        assert_eq!(after.record.filter_fwhm, 10.0);
        assert!(after.record.filter_blanking.is_nan());
    }

    #[test]
    fn convolution_is_smoothing_subtracted() {
        let planes = Planes::source([30, 30], 20.0);
        let after = filtered(&planes, 14.0, None, FilterKind::Convolution);
        let mut smooth = planes.clone();
        super::super::smooth_to(&mut smooth.map(), 14.0, &mut SmoothingSpace::default()).unwrap();
        for cell in (0..900).filter(|&cell| planes.flag[cell] == 0) {
            let expected = planes.data[cell] - smooth.data[cell];
            assert!((after.data[cell] - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn bright_cells_do_not_count() {
        let planes = Planes::source([40, 40], 60.0);
        let after = filtered(&planes, 30.0, Some(5.0), FilterKind::Convolution);
        let mut background = planes.clone();
        let mut n_bright = 0;
        for cell in 0..1600 {
            if (planes.data[cell] * planes.weight[cell].sqrt()).abs() > 5.0 {
                assert_eq!(after.data[cell], planes.data[cell], "a bright cell is not touched");
                background.hole(cell);
                n_bright += 1;
            }
        }
        assert!(n_bright > 50);
        let expected = filtered(&background, 30.0, None, FilterKind::Convolution);
        for cell in (0..1600).filter(|&cell| background.flag[cell] == 0) {
            assert_eq!(after.data[cell], expected.data[cell]);
        }
        assert_eq!(after.record.filter_blanking, 5.0);
    }

    #[test]
    fn the_fft_flavour_agrees_with_its_definition() {
        let planes = Planes::source([17, 26], 30.0);
        let after = filtered(&planes, 8.0, Some(6.0), FilterKind::Fft);
        let valid = |cell: &usize| planes.flag[*cell] == 0;
        let quiet = |cell: &usize| {
            valid(cell) && (planes.data[*cell] * planes.weight[*cell].sqrt()).abs() <= 6.0
        };
        let n = (0..442).filter(quiet).count() as f64;
        let rms =
            ((0..442).filter(quiet).map(|i| planes.weight[i].powi(2)).sum::<f64>() / n).sqrt();
        for cell in (0..442).filter(valid) {
            let mut sum = 0.0;
            for other in (0..442).filter(quiet) {
                let dx = (other % 26) as f64 - (cell % 26) as f64;
                let dy = (other / 26) as f64 - (cell / 26) as f64;
                // FWHM of 4 cells, and its volume.
                let k = 2.0_f64.powf(-(dx * dx + dy * dy) / 4.0);
                sum += k * planes.weight[other] * planes.data[other];
            }
            let volume = std::f64::consts::PI * 16.0 / (4.0 * 2.0_f64.ln());
            let expected = planes.data[cell] - sum / volume / rms;
            assert!((after.data[cell] - expected).abs() < 1e-11);
        }
    }

    #[test]
    fn the_correction_gives_a_source_its_flux_back() {
        assert!(
            (filter_correction(10.0, 1.878_874_557_399_3, 30.0) - 1.106_769_905_027_08).abs()
                < 1e-12
        );
        assert_eq!(filter_correction(10.0, 2.0, f64::NAN), 1.0);
        let mut planes = Planes::source([40, 40], 60.0);
        assert_eq!(correct_filtering(&mut planes.map(), 10.0), Ok(1.0));
        let filtered = filtered(&planes, 30.0, Some(5.0), FilterKind::Convolution);
        let mut corrected = filtered.clone();
        let factor = correct_filtering(&mut corrected.map(), 10.0).unwrap();
        assert_eq!(correct_filtering(&mut corrected.map(), 10.0), Ok(factor), "not twice");
        for cell in 0..1600 {
            let significance = (filtered.data[cell] * filtered.weight[cell].sqrt()).abs();
            let corrects = filtered.flag[cell] == 0 && significance <= 5.0;
            let expected = filtered.data[cell] * if corrects { factor } else { 1.0 };
            assert_eq!(corrected.data[cell], expected);
        }
        assert_eq!(corrected.record.correcting_fwhm, 10.0);
        // For another width: the factor counts from the map without a correction.
        let narrow = correct_filtering(&mut corrected.map(), 8.0).unwrap();
        let faint = (0..1600).find(|&cell| (0.1..1.0).contains(&filtered.data[cell])).unwrap();
        assert!((corrected.data[faint] / filtered.data[faint] - narrow).abs() < 1e-12);
        assert!(narrow < factor && narrow > 1.0);
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        let mut planes = Planes::source([5, 5], 60.0);
        let before = planes.clone();
        let kind = FilterKind::Convolution;
        for (fwhm, blank) in [
            (1.0, None),
            (-5.0, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
            (30.0, Some(0.0)),
            (30.0, Some(f64::NAN)),
        ] {
            let params = FilterParams { fwhm, blank, kind };
            assert!(filter(&mut planes.map(), &params, &mut SmoothingSpace::default()).is_err());
        }
        assert!(correct_filtering(&mut planes.map(), f64::NAN).is_err());
        assert_eq!(planes.data, before.data);
    }
}
