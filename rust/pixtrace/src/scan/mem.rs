//! Maximum-entropy correction.

use super::stack::{MapMut, MapsMut, is_valid};
use crate::{Control, Error};

/// Draws the data of a map towards zero, the more the fainter it is compared to what stands out: every valid cell, of
/// noise `s = weight^-1/2`, loses `lambda s ln((data^2 + s^2)^1/2 / s)` of its size.
pub fn mem_correct(map: &mut MapMut<'_>, lambda: f64) {
    for ((data, &weight), &flag) in map.data.iter_mut().zip(&*map.weight).zip(&*map.flag) {
        if is_valid(*data, weight, flag) {
            let noise = 1.0 / weight.sqrt();
            let size = lambda * noise * (data.hypot(noise) / noise).ln();
            // Nothing at zero, where the logarithm is that of 1, whatever the sign of zero.
            *data -= size * data.signum();
        }
    }
}

impl MapsMut<'_> {
    /// [`mem_correct`] of all maps, or of those of the numbers `pixels`.
    ///
    /// # Errors
    /// [`Error::Parameter`] unless `lambda` is finite, [`Error::NotNormalised`] if a map holds sums; else as
    /// [`MapsMut::for_some_maps`].
    pub fn mem_correct(
        &mut self,
        pixels: Option<&[usize]>,
        lambda: f64,
        control: &Control,
    ) -> Result<(), Error> {
        if !lambda.is_finite() {
            return Err(Error::Parameter { name: "lambda", value: lambda, must_be: "finite" });
        }
        self.require_means(pixels)?;
        self.for_some_maps(pixels, control, || (), |(), _, mut map| mem_correct(&mut map, lambda))?;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact numbers are expected")]
mod tests {
    use super::*;
    use crate::scan::sample_planes::Planes;

    #[test]
    fn faint_cells_are_drawn_towards_zero() {
        let mut planes = Planes::flat([1, 5], 3.0);
        planes.weight.fill(0.25);
        (planes.data[1], planes.data[2]) = (-3.0, 0.0);
        planes.hole(3);
        planes.data[3] = 8.0;
        mem_correct(&mut planes.map(), 0.2);
        // Noise 2: hypot(3, 2) / 2 = 13^1/2 / 2.
        let less = 0.2 * 2.0 * (13.0_f64.sqrt() / 2.0).ln();
        assert!((planes.data[0] - (3.0 - less)).abs() < 1e-15);
        assert_eq!(planes.data[1], -planes.data[0]);
        assert_eq!((planes.data[2], planes.data[3]), (0.0, 8.0));
    }
}
