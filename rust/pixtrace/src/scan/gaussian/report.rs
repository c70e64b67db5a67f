//! From the parameters of the fit to those that are reported, with their covariance.

use super::beam::{
    AMPLITUDE, CROSS, DIFFERENCE, FWHM, LEVEL, MEAN, N, Parameters, X, Y, distance_squared,
    eigenvalues, variances,
};
use super::flags::{AT_EDGE, FEW_CELLS_IN_BEAM, OUTSIDE, WIDTH_AT_LIMIT};
use super::sky::{Bounds, Sky};
use super::{GaussianFit, parameter};

/// Sets position, amplitude, widths, angle and level, and their covariance from that of the fit's parameters.
pub(super) fn set_parameters(
    fit: &mut GaussianFit,
    p: &Parameters,
    covariance: &[[f64; N]; N],
    reference_level: f64,
    is_round: bool,
) {
    let [low, high] = eigenvalues(p);
    fit.position = [p[X], p[Y]];
    fit.amplitude = p[AMPLITUDE];
    fit.level = p[LEVEL] + reference_level;
    fit.fwhm = [FWHM / low.sqrt(), FWHM / high.sqrt()];
    // Derivatives of what is reported, a row each, by the parameters of the fit.
    let mut by = [[0.0; N]; N];
    by[parameter::X][X] = 1.0;
    by[parameter::Y][Y] = 1.0;
    by[parameter::AMPLITUDE][AMPLITUDE] = 1.0;
    by[parameter::LEVEL][LEVEL] = 1.0;
    // fwhm goes with eigenvalue^(-1/2).
    let [major, minor] = [-0.5 * fit.fwhm[0] / low, -0.5 * fit.fwhm[1] / high];
    by[parameter::FWHM_MAJOR][MEAN] = major;
    by[parameter::FWHM_MINOR][MEAN] = minor;
    if is_round {
        fit.angle = 0.0;
    } else {
        let (d, e) = (p[DIFFERENCE], p[CROSS]);
        let r = d.hypot(e);
        by[parameter::FWHM_MAJOR][DIFFERENCE] = -major * d / r;
        by[parameter::FWHM_MAJOR][CROSS] = -major * e / r;
        by[parameter::FWHM_MINOR][DIFFERENCE] = minor * d / r;
        by[parameter::FWHM_MINOR][CROSS] = minor * e / r;
        by[parameter::ANGLE][DIFFERENCE] = (-0.5 * e / (r * r)).to_degrees();
        by[parameter::ANGLE][CROSS] = (0.5 * d / (r * r)).to_degrees();
        // The inverse covariance is largest along the minor axis.
        let angle = (0.5 * e.atan2(d)).to_degrees() + 90.0;
        fit.angle = if angle > 90.0 { angle - 180.0 } else { angle };
    }
    for i in 0..N {
        for j in 0..=i {
            let mut sum = 0.0;
            for k in 0..N {
                for l in 0..N {
                    sum += by[i][k] * covariance[k][l] * by[j][l];
                }
            }
            fit.covariance[i][j] = sum;
            fit.covariance[j][i] = sum;
        }
    }
    if is_round {
        fit.covariance[parameter::ANGLE] = [0.0; N];
        fit.covariance.iter_mut().for_each(|row| row[parameter::ANGLE] = 0.0);
        fit.covariance[parameter::ANGLE][parameter::ANGLE] = f64::INFINITY;
    }
}

/// Tells what is doubtful about where the beam stands on the map, and about its width.
pub(super) fn place_flags(p: &Parameters, sky: &Sky<'_>, bounds: &Bounds) -> u32 {
    let grid = &sky.cells.grid;
    let ([n_y, n_x], resolution) = (grid.shape(), grid.resolution());
    let centre = grid.index_of([p[X], p[Y]]);
    let mut flags = 0;
    // Half of the sides of the box about the half-maximum ellipse, in cells.
    let [low, high] = eigenvalues(p);
    let variance = variances(p);
    let half = [0, 1].map(|i| 0.5 * FWHM * variance[i].sqrt() / resolution[i]);
    let last = [n_x as f64 - 0.5, n_y as f64 - 0.5];
    for axis in 0..2 {
        if centre[axis] < -0.5 || centre[axis] > last[axis] {
            flags |= OUTSIDE;
        }
        if centre[axis] - half[axis] < -0.5 || centre[axis] + half[axis] > last[axis] {
            flags |= AT_EDGE;
        }
    }
    let is_at_limit = low.sqrt() * bounds.sigma[1] < 1.0 + NEAR_LIMIT
        || high.sqrt() * bounds.sigma[0] > 1.0 - NEAR_LIMIT;
    if is_at_limit {
        flags |= WIDTH_AT_LIMIT;
    }
    let rows = cells_between(centre[1], half[1], n_y);
    let columns = cells_between(centre[0], half[0], n_x);
    let mut n_valid = 0_usize;
    for row in rows {
        for column in columns.clone() {
            let at = grid.offset_of([column as f64, row as f64]);
            let squared = distance_squared(p, [at[0] - p[X], at[1] - p[Y]]);
            let is_inside = squared <= 2.0 * std::f64::consts::LN_2;
            n_valid += usize::from(is_inside && sky.weight[row * n_x + column] > 0.0);
        }
    }
    let area = std::f64::consts::PI * 2.0 * std::f64::consts::LN_2 / (low * high).sqrt();
    let n_inside = area / (resolution[0] * resolution[1]);
    // A beam of less than two cells may well stand between them.
    if (n_valid as f64) < 0.5 * n_inside && n_inside > 2.0 {
        flags |= FEW_CELLS_IN_BEAM;
    }
    flags
}

/// A width is at its limit if it lies within this fraction of it.
pub(super) const NEAR_LIMIT: f64 = 0.05;

fn cells_between(centre: f64, half: f64, n: usize) -> std::ops::Range<usize> {
    let n = n as f64;
    // Both lie between 0 and n: the conversion holds them.
    let first = (centre - half).ceil().clamp(0.0, n) as usize;
    let end = ((centre + half).floor() + 1.0).clamp(0.0, n) as usize;
    first..end
}
