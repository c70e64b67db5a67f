//! Cells taken out for their exposure, noise or significance.

use super::sign::Sign;
use super::stack::{DISCARD, MapMut, MapsMut};
use super::statistics::{Workspace, select_exposure, select_noise};
use crate::{Control, Error};

/// Order statistic of the exposures that a limit is relative to.
const LONG_EXPOSURE: f64 = 0.95;
/// Order statistic of the noises that a limit is relative to.
const LOW_NOISE: f64 = 0.05;

/// Empties every cell whose exposure is less than `least` (time unit of the exposure plane), or NaN, and returns how
/// many of these were valid.
pub fn clip_redundancy(map: &mut MapMut<'_>, least: f64) -> usize {
    let mut n_clipped = 0;
    for cell in 0..map.data.len() {
        let exposure = map.exposure[cell];
        if exposure < least || exposure.is_nan() {
            n_clipped += usize::from(map.is_valid(cell));
            map.discard(cell);
        }
    }
    n_clipped
}

/// Empties every valid cell whose exposure is less than `fraction` of a long one (that of the 95th percentile of the
/// valid cells, [`super::select`]), and returns how many these were. A NaN exposure is left alone.
pub fn clip_exposure(map: &mut MapMut<'_>, fraction: f64, workspace: &mut Workspace) -> usize {
    let long = select_exposure(map, LONG_EXPOSURE, workspace).unwrap_or(f64::NAN);
    let limit = fraction * long;
    let mut n_clipped = 0;
    for cell in 0..map.data.len() {
        if map.exposure[cell] < limit && map.is_valid(cell) {
            n_clipped += 1;
            map.discard(cell);
        }
    }
    n_clipped
}

/// Flags as [`DISCARD`] every valid cell whose noise `weight^-1/2` is more than `factor` times a low one (that of the
/// 5th percentile of the valid cells, [`super::select`]), and returns how many these were. Their numbers stay.
pub fn clip_noise(map: &mut MapMut<'_>, factor: f64, workspace: &mut Workspace) -> usize {
    let low = select_noise(map, LOW_NOISE, workspace).unwrap_or(f64::NAN);
    let limit = factor * low;
    let mut n_clipped = 0;
    for cell in 0..map.data.len() {
        if map.is_valid(cell) && 1.0 / map.weight[cell].sqrt() > limit {
            n_clipped += 1;
            map.flag[cell] |= DISCARD;
        }
    }
    n_clipped
}

/// Flags as [`DISCARD`] every cell that does not stand out of the noise: whose `S/N = data weight^1/2` does not go
/// beyond `level`, up or down as `sign` says. Returns how many of these were valid; their numbers stay.
pub fn clip_significance(map: &mut MapMut<'_>, level: f64, sign: Sign) -> usize {
    let mut n_clipped = 0;
    for cell in 0..map.data.len() {
        let valid = map.is_valid(cell);
        let significance = map.data[cell] * map.weight[cell].sqrt();
        if !(valid && sign.is_beyond(significance, level)) {
            n_clipped += usize::from(valid);
            map.flag[cell] |= DISCARD;
        }
    }
    n_clipped
}

/// Refuses a limit that is NaN, for nothing would compare with it.
pub(super) fn check_number(name: &'static str, value: f64) -> Result<(), Error> {
    if value.is_nan() {
        return Err(Error::Parameter { name, value, must_be: "a number" });
    }
    Ok(())
}

/// Numbers of cells that were taken out of each map, in the order of `pixels`.
///
/// All of these refuse a limit that is NaN ([`Error::Parameter`]) and fail as [`MapsMut::for_some_maps`] does.
impl MapsMut<'_> {
    /// [`clip_redundancy`] of all maps, or of those of the numbers `pixels`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for NaN; else as [`MapsMut::for_some_maps`].
    pub fn clip_redundancy(
        &mut self,
        pixels: Option<&[usize]>,
        least: f64,
        control: &Control,
    ) -> Result<Vec<usize>, Error> {
        check_number("least_exposure", least)?;
        self.for_some_maps(
            pixels,
            control,
            || (),
            |(), _, mut map| clip_redundancy(&mut map, least),
        )
    }

    /// [`clip_exposure`] of all maps, or of those of the numbers `pixels`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for NaN; else as [`MapsMut::for_some_maps`].
    pub fn clip_exposure(
        &mut self,
        pixels: Option<&[usize]>,
        fraction: f64,
        control: &Control,
    ) -> Result<Vec<usize>, Error> {
        check_number("fraction", fraction)?;
        let work = |space: &mut Workspace, _, mut map: MapMut<'_>| {
            clip_exposure(&mut map, fraction, space)
        };
        self.for_some_maps(pixels, control, Workspace::default, work)
    }

    /// [`clip_noise`] of all maps, or of those of the numbers `pixels`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for NaN; else as [`MapsMut::for_some_maps`].
    pub fn clip_noise(
        &mut self,
        pixels: Option<&[usize]>,
        factor: f64,
        control: &Control,
    ) -> Result<Vec<usize>, Error> {
        check_number("factor", factor)?;
        let work =
            |space: &mut Workspace, _, mut map: MapMut<'_>| clip_noise(&mut map, factor, space);
        self.for_some_maps(pixels, control, Workspace::default, work)
    }

    /// [`clip_significance`] of all maps, or of those of the numbers `pixels`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for NaN, [`Error::NotNormalised`] if a map holds sums; else as
    /// [`MapsMut::for_some_maps`].
    pub fn clip_significance(
        &mut self,
        pixels: Option<&[usize]>,
        level: f64,
        sign: Sign,
        control: &Control,
    ) -> Result<Vec<usize>, Error> {
        check_number("level", level)?;
        self.require_means(pixels)?;
        let work = |(): &mut (), _, mut map: MapMut<'_>| clip_significance(&mut map, level, sign);
        self.for_some_maps(pixels, control, || (), work)
    }
}
