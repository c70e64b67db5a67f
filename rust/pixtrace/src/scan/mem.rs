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
