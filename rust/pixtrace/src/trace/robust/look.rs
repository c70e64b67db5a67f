//! A first look at a region: the total flux of every column, and which pixels are outliers.

use super::alike::count_alike;
use super::equations::{Equations, all_columns, common_length};
use super::region::Weighted;

/// The first look is a fit around every so many columns.
const NODE_STRIDE: usize = 8;
/// Knot spacings per pixel and half-width of the window of the first look.
pub(in super::super) const FIRST_LOOK: (f64, usize) = (1.5, 32);
/// Times that it is repeated, with better sums and without the outliers.
const N_LOOKS: usize = 3;

/// By exposure: sums of the columns, and residuals of the pixels.
pub(in super::super) type Looked = (Vec<Vec<f64>>, Vec<Vec<f64>>);

/// Numbers of intervals for numbers of knots per pixel.
pub(in super::super) fn intervals_of(parts: &[Weighted<'_>], per_pixel: &[f64]) -> Vec<usize> {
    let length = common_length(parts);
    let mut found: Vec<usize> =
        per_pixel.iter().map(|k| ((k * length).round() as usize).clamp(3, 4096)).collect();
    found.dedup();
    found
}

/// Fits around some columns, to learn the total flux of every column and which pixels are outliers.
///
/// Returns the sums, and the residuals of all pixels in units of their error, by exposure. Outliers have lost their
/// weight afterwards; what is an outlier is said `clip` times what is usual.
pub(in super::super) fn first_look(parts: &mut [Weighted<'_>], clip: f64) -> Looked {
    count_alike(parts);
    let mut norms: Vec<Vec<f64>> = parts.iter().map(Weighted::plain_sums).collect();
    let mut residuals = Vec::new();
    let all: Vec<Vec<f64>> = parts.iter().map(|part| part.weight.clone()).collect();
    let n_intervals = intervals_of(parts, &[FIRST_LOOK.0])[0];
    for look in 0..N_LOOKS {
        let (found, new) = one_look(&Equations::new(parts, n_intervals, &norms), clip, &all);
        norms = parts.iter().zip(&found).map(|(part, sums)| part.smoothed(sums)).collect();
        residuals = new;
        if look + 1 < N_LOOKS {
            for ((part, all), residual) in parts.iter_mut().zip(&all).zip(&residuals) {
                // From the beginning each time: the model of the last look was pulled by the outliers.
                part.weight.clone_from(all);
                part.set_outliers_aside(residual, clip);
            }
        }
    }
    (norms, residuals)
}

fn one_look(equations: &Equations<'_>, clip: f64, all: &[Vec<f64>]) -> Looked {
    let columns = all_columns(equations.parts);
    let n_blocks = columns.len().div_ceil(NODE_STRIDE);
    let solved: Vec<Option<Vec<f64>>> = (0..n_blocks)
        .map(|block| {
            let node = (columns.start + block * NODE_STRIDE + NODE_STRIDE / 2).min(columns.end - 1);
            let sums = equations.of(&equations.window(node, FIRST_LOOK.1));
            sums.solve().map(|(coefficients, _)| coefficients)
        })
        .collect();
    let mut norms = equations.norms.clone();
    let mut residuals = Vec::with_capacity(all.len());
    let (mut model, mut spare) = (Vec::new(), Vec::new());
    for (e, (part, all)) in equations.parts.iter().zip(all).enumerate() {
        let mut residual = vec![f64::NAN; part.pixels.row.len()];
        for (x, column) in part.pixels.columns.clone().enumerate() {
            let Some(coefficients) = &solved[(column - columns.start) / NODE_STRIDE] else {
                continue;
            };
            equations.model(e, column, coefficients, &mut model);
            let scale = part.robust_scale(column, &model, clip, &mut spare);
            if !scale.is_finite() {
                continue;
            }
            norms[e][x] = part.filled_sum(column, &model, scale, &mut spare);
            for (i, &m) in part.pixels.column(column).zip(&model) {
                residual[i] = if all[i] == 0.0 {
                    f64::NAN
                } else {
                    (part.pixels.flux[i] - scale * m) * all[i].sqrt()
                };
            }
        }
        residuals.push(residual);
    }
    (norms, residuals)
}
