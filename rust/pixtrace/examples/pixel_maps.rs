//! Makes one map of a star for each pixel of a small camera, from plain arrays, and measures where each pixel looks.
//!
//! `cargo run --release --example pixel_maps`

use ndarray::{Array1, Array2, Array3};
use pixtrace::scan::{GaussianFitParams, Grid, MapStack, Samples, gaussian::parameter};

const N_FRAMES: usize = 40_000;
const N_PIXELS: usize = 100;
const FWHM: f64 = 10.0;
const NOISE: f64 = 0.05;

fn main() -> Result<(), pixtrace::Error> {
    // The telescope draws a Lissajous figure about the star; the pixels stand on a grid of 10 x 10, 8 arcsec apart.
    let boresight = |frame: usize| {
        let t = frame as f64 / 200.0;
        [90.0 * (1.3 * t + 0.7).sin(), 90.0 * (1.3 * std::f64::consts::SQRT_2 * t).sin()]
    };
    let place = |pixel: usize| [(pixel % 10) as f64 * 8.0 - 36.0, (pixel / 10) as f64 * 8.0 - 36.0];
    let mut random = SplitMix(7);
    let signal = Array2::from_shape_fn((N_FRAMES, N_PIXELS), |(frame, pixel)| {
        let (offset, place) = (boresight(frame), place(pixel));
        // A pixel sees the star when the boresight is off by as much as it stands away from the centre.
        let square = (offset[0] + place[0]).powi(2) + (offset[1] + place[1]).powi(2);
        (-4.0 * std::f64::consts::LN_2 * square / (FWHM * FWHM)).exp() + NOISE * random.normal()
    });

    let grid = Grid::new([100, 100], [2.5, 2.5], [49.5, 49.5])?;
    let positions =
        Array2::from_shape_fn((2, N_FRAMES), |(axis, frame)| grid.index_of(boresight(frame))[axis]);
    let cells = Array3::from_shape_fn((2, N_FRAMES, 1), |(axis, frame, _)| {
        positions[[axis, frame]].round() as i64
    });
    let (frames, pixels) = (Array1::ones(N_FRAMES), Array1::ones(N_PIXELS));
    let variance = Array1::from_elem(N_PIXELS, NOISE * NOISE);
    let is_valid = Array1::from_elem(N_FRAMES, true);
    let channels = Array1::from_iter(0..N_PIXELS as i64);
    let flags = Array2::<u8>::zeros((N_FRAMES, N_PIXELS));
    let samples = Samples {
        frame_data: signal.view(),
        frame_gains: frames.view(),
        frame_weights: frames.view(),
        source_gains: pixels.view(),
        channel_variance: variance.view(),
        valid_frames: is_valid.view(),
        map_indices: cells.view(),
        channel_indices: channels.view(),
        sample_flags: flags.view(),
        exclude_sample_flag: 0xff,
    };

    let control = pixtrace::Control::default();
    let mut stack = MapStack::new(N_PIXELS, grid);
    let added = stack.maps_mut().add_points(&samples, None, 0.005, &control)?;
    let moments = stack.maps().sample_moments(&samples, None, positions.view(), added, &control)?;
    stack.maps_mut().end_accumulation(None, &control)?;
    let params = GaussianFitParams { beam_fwhm: Some(FWHM), ..GaussianFitParams::default() };
    let fits = stack.maps().fit_gaussians(Some(&moments), &params, None, &control)?;

    let pulls = fits
        .iter()
        .enumerate()
        .map(|(pixel, fit)| (fit.position[0] + place(pixel)[0]) / fit.error(parameter::X));
    let scatter = (pulls.map(|pull| pull * pull).sum::<f64>() / N_PIXELS as f64).sqrt();
    let error = fits.iter().map(|fit| fit.error(parameter::X)).sum::<f64>() / N_PIXELS as f64;
    println!(
        "{} samples of {} frames in {N_PIXELS} maps; positions are good to {error:.4} arcsec, and the measured ones are off \
         by {scatter:.2} times that",
        added.n_samples, added.n_frames
    );
    Ok(())
}

/// A small generator of random numbers (Steele, Lea & Flood 2014), so that the example needs no other crate.
struct SplitMix(u64);

impl SplitMix {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}
