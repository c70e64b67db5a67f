//! Level and noise of a map brought to where they should be.

use super::stack::{MapMut, MapsMut, is_valid};
use super::statistics::{Workspace, chi2, mean, median};
use crate::{Control, Error};

/// Subtracts the level from the valid cells of a map and returns it: the weighted median of the data if `robust`
/// ([`super::smart_median`]), else their weighted mean. Without a valid cell it is NaN and nothing happens.
pub fn level(map: &mut MapMut<'_>, robust: bool, workspace: &mut Workspace) -> f64 {
    let level = if robust { median(map, workspace) } else { mean(map) }.value;
    if level.is_nan() {
        return level;
    }
    for ((data, &weight), &flag) in map.data.iter_mut().zip(&*map.weight).zip(&*map.flag) {
        *data -= if is_valid(*data, weight, flag) { level } else { 0.0 };
    }
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
