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

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact numbers are expected")]
mod tests {
    use super::*;
    use crate::scan::sample_planes::Planes;

    /// Cells 0 to 19 with weights and exposures 1 to 20 and S/N -10 to 9; a hole behind them.
    fn ramp() -> Planes {
        let mut planes = Planes::flat([3, 7], 0.0);
        for cell in 0..20 {
            let size = (cell + 1) as f64;
            (planes.weight[cell], planes.exposure[cell]) = (size, size);
            planes.data[cell] = (cell as f64 - 10.0) / size.sqrt();
        }
        planes.hole(20);
        planes
    }

    fn discarded(planes: &Planes) -> Vec<usize> {
        (0..20).filter(|&cell| planes.flag[cell] & DISCARD != 0).collect()
    }

    #[test]
    fn short_exposures_are_emptied() {
        let mut planes = ramp();
        assert_eq!(clip_redundancy(&mut planes.map(), 3.0), 2);
        assert_eq!(discarded(&planes), [0, 1]);
        assert_eq!((planes.data[1], planes.weight[1], planes.exposure[1]), (0.0, 0.0, 0.0));

        // Of 1 to 20, number round(0.95 x 19) = 18 is 19.
        let mut planes = ramp();
        assert_eq!(clip_exposure(&mut planes.map(), 5.0 / 19.0, &mut Workspace::default()), 4);
        assert_eq!(discarded(&planes), [0, 1, 2, 3]);
        assert_eq!((planes.data[3], planes.weight[3], planes.exposure[3]), (0.0, 0.0, 0.0));
    }

    #[test]
    fn noisy_cells_are_flagged() {
        // Number round(0.05 x 19) = 1 of the noises is that of weight 19.
        let mut planes = ramp();
        let factor = (19.0_f64 / 4.5).sqrt();
        assert_eq!(clip_noise(&mut planes.map(), factor, &mut Workspace::default()), 4);
        assert_eq!(discarded(&planes), [0, 1, 2, 3]);
        assert_eq!(planes.weight[3], 4.0);
    }

    #[test]
    fn insignificant_cells_are_flagged() {
        for (sign, kept) in
            [(Sign::Positive, vec![19]), (Sign::Negative, vec![0, 1]), (Sign::Both, vec![0, 1, 19])]
        {
            let mut planes = ramp();
            planes.flag[20] = 0;
            let n_clipped = clip_significance(&mut planes.map(), 8.5, sign);
            let expected: Vec<usize> = (0..20).filter(|cell| !kept.contains(cell)).collect();
            assert_eq!((n_clipped, discarded(&planes)), (20 - kept.len(), expected));
            assert_eq!(planes.flag[20], DISCARD, "holes are flagged too");
            assert_eq!(planes.data[10..12], ramp().data[10..12]);
        }
    }

    #[test]
    fn maps_without_data_have_nothing_to_clip() {
        let mut planes = ramp();
        (0..21).for_each(|cell| planes.hole(cell));
        let space = &mut Workspace::default();
        assert_eq!(clip_exposure(&mut planes.map(), 0.5, space), 0);
        assert_eq!(clip_noise(&mut planes.map(), 0.5, space), 0);
        assert_eq!(clip_redundancy(&mut planes.map(), 0.5), 0);
        assert_eq!(clip_significance(&mut planes.map(), 0.5, Sign::Both), 0);
    }
}
