//! Fits and oversamples a simulated slice of an integral-field unit, from plain ndarrays.
//!
//! `cargo run --release --example oversample_image`
//!
//! A star drifts slowly over the pixels of a tilted slice. What one reads off at its centre, between the two nearest
//! pixels, changes from column to column although the star does not: the spectrum wiggles. On the grid that the trace
//! model makes four times finer, it wiggles less.

use ndarray::Array2;
use pixtrace::trace::{
    Exposure, FitParams, OversampleParams, Thresholds, fit_all_regions, oversample,
};
use pixtrace::{Control, Error};

const N_ROWS: usize = 30;
const N_COLUMNS: usize = 400;
const FACTOR: f64 = 4.0;

/// Coordinate along the slice [native pixels] at a row coordinate of a column.
fn alpha_at(row: f64, column: usize) -> f64 {
    row - 14.3 - 0.01 * column as f64
}

/// Integral of the star's profile from the far end to `alpha`: a logistic function, close to a Gaussian's integral.
fn cumulative(alpha: f64) -> f64 {
    1.0 / (1.0 + (-4.0 * alpha).exp())
}

/// Light of the star in one native pixel around `alpha`, on a background.
fn pixel(alpha: f64) -> f64 {
    1000.0 * (cumulative(alpha + 0.5) - cumulative(alpha - 0.5)) + 5.0
}

/// Relative scatter, from column to column, of the flux at the star's centre, interpolated between the nearest pixels.
fn wiggles(flux: &Array2<f64>, factor: f64) -> f64 {
    let peaks: Vec<f64> = (0..N_COLUMNS)
        .map(|x| {
            let centre = (-alpha_at(0.0, x) + 0.5) * factor - 0.5;
            let (row, share) = (centre.floor() as usize, centre.fract());
            (1.0 - share) * flux[(row, x)] + share * flux[(row + 1, x)]
        })
        .collect();
    let mean = peaks.iter().sum::<f64>() / peaks.len() as f64;
    (peaks.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / peaks.len() as f64).sqrt() / mean
}

fn main() -> Result<(), Error> {
    let alpha = Array2::from_shape_fn((N_ROWS, N_COLUMNS), |(y, x)| alpha_at(y as f64, x));
    let flux = alpha.mapv(|a| pixel(a) as f32);
    let region_map = Array2::from_elem((N_ROWS, N_COLUMNS), 1);
    let exposure = Exposure::new(flux.view(), None, alpha.view(), region_map.view())?;

    let control = Control::default();
    let model =
        fit_all_regions(&exposure, &Thresholds::default(), &FitParams::default(), &control)?;

    let n_fine = (N_ROWS as f64 * FACTOR) as usize;
    let alpha_fine = Array2::from_shape_fn((n_fine, N_COLUMNS), |(m, x)| {
        alpha_at((m as f64 + 0.5) / FACTOR - 0.5, x)
    });
    let params = OversampleParams { factor: FACTOR, ..OversampleParams::default() };
    let planes = oversample::<f32, f64>(&exposure, &model, alpha_fine.view(), &params, &control)?;

    let before = wiggles(&flux.mapv(f64::from), 1.0);
    let after = wiggles(&planes.flux, FACTOR);
    println!(
        "{} columns fitted; the spectrum at the star's centre wiggles by {:.2} % before and {:.2} % after",
        model.regions[&1].columns.len(),
        100.0 * before,
        100.0 * after
    );
    assert!(after < 0.5 * before, "the finer grid should calm the spectrum");
    Ok(())
}
