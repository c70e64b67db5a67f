//! Level and noise of a map brought to where they should be.

use super::lanes::subtract_from_valid;
use super::stack::{MapMut, MapsMut};
use super::statistics::{Workspace, chi2, mean, median};
use crate::{Control, Error};

/// Subtracts the level from the valid cells of a map and returns it: the weighted median of the data if `robust`
/// ([`super::smart_median`]), else their weighted mean. Without a valid cell it is NaN and nothing happens.
pub fn level(map: &mut MapMut<'_>, robust: bool, workspace: &mut Workspace) -> f64 {
    let level = if robust { median(map, workspace) } else { mean(map) }.value;
    if level.is_nan() {
        return level;
    }
    subtract_from_valid(map, level);
    level
}

/// Divides the weights of a map by its [`chi2`] and returns that number, the factor by which the noise variance was
/// larger than the weights say; the `noise_rescale` of its record grows by the root.
///
/// Data are taken for noise about zero, so [`level`] comes first. All weights are divided, those of cells that are not
/// valid too. If there is no valid cell, or chi-squared is zero or overflows, nothing happens and the factor is 1.
pub fn reweight(map: &mut MapMut<'_>, robust: bool, workspace: &mut Workspace) -> f64 {
    let chi2 = chi2(map, robust, workspace);
    if !(chi2.is_finite() && chi2 > 0.0) {
        return 1.0;
    }
    let factor = 1.0 / chi2;
    for weight in map.weight.iter_mut() {
        *weight *= factor;
    }
    map.record.noise_rescale *= chi2.sqrt();
    chi2
}

impl MapsMut<'_> {
    /// [`level`] of all maps, or of those of the numbers `pixels` in this order.
    ///
    /// # Errors
    /// [`Error::NotNormalised`] if a map holds sums; else as [`MapsMut::for_some_maps`].
    pub fn level(
        &mut self,
        pixels: Option<&[usize]>,
        robust: bool,
        control: &Control,
    ) -> Result<Vec<f64>, Error> {
        self.require_means(pixels)?;
        let work = |space: &mut Workspace, _, mut map: MapMut<'_>| level(&mut map, robust, space);
        self.for_some_maps(pixels, control, Workspace::default, work)
    }

    /// [`reweight`] of all maps, or of those of the numbers `pixels` in this order.
    ///
    /// # Errors
    /// [`Error::NotNormalised`] if a map holds sums; else as [`MapsMut::for_some_maps`].
    pub fn reweight(
        &mut self,
        pixels: Option<&[usize]>,
        robust: bool,
        control: &Control,
    ) -> Result<Vec<f64>, Error> {
        self.require_means(pixels)?;
        let work =
            |space: &mut Workspace, _, mut map: MapMut<'_>| reweight(&mut map, robust, space);
        self.for_some_maps(pixels, control, Workspace::default, work)
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact numbers are expected")]
mod tests {
    use super::*;
    use crate::scan::DISCARD;
    use crate::scan::sample_planes::Planes;

    #[test]
    fn a_levelled_map_has_level_zero() {
        for robust in [true, false] {
            let mut planes = Planes::source([30, 41], 20.0);
            let before = planes.data.clone();
            let mut space = Workspace::default();
            let found = level(&mut planes.map(), robust, &mut space);
            assert!(found != 0.0);
            for (cell, before) in before.iter().enumerate() {
                let expected = if planes.flag[cell] == 0 { before - found } else { *before };
                assert_eq!(planes.data[cell], expected);
            }
            assert!(level(&mut planes.map(), robust, &mut space).abs() < 1e-12);
        }
    }

    #[test]
    fn reweighting_brings_chi2_to_one_and_remembers() {
        for robust in [true, false] {
            let mut planes = Planes::source([30, 41], 0.0);
            planes.weight[5] = f64::INFINITY;
            let (before, mut space) = (planes.weight.clone(), Workspace::default());
            let factor = reweight(&mut planes.map(), robust, &mut space);
            assert!((chi2(&planes.map(), robust, &mut space) - 1.0).abs() < 1e-12);
            assert!((planes.record.noise_rescale - factor.sqrt()).abs() < 1e-15);
            for (after, before) in planes.weight.iter().zip(before) {
                assert!(*after == before || (after * factor / before - 1.0).abs() < 1e-15);
            }
            assert!((reweight(&mut planes.map(), robust, &mut space) - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn nothing_happens_to_maps_without_data_or_noise() {
        let mut space = Workspace::default();
        let mut planes = Planes::flat([3, 4], 0.0);
        assert_eq!(reweight(&mut planes.map(), true, &mut space), 1.0);
        planes.data.fill(1.0);
        planes.flag.fill(DISCARD);
        assert!(level(&mut planes.map(), true, &mut space).is_nan());
        assert!(level(&mut planes.map(), false, &mut space).is_nan());
        assert_eq!(reweight(&mut planes.map(), false, &mut space), 1.0);
        assert!(planes.data.iter().chain(&planes.weight).all(|&v| v == 1.0));
        assert_eq!(planes.record.noise_rescale, 1.0);
    }
}
