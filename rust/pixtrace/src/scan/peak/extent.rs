//! How wide a source is: by growing a circle about it, and by second moments.

use super::sky::{Plane, Sky};

/// What a growing circle found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circle {
    /// Radius at which the sum no longer rose, in the unit of the grid.
    pub(super) radius: f64,
    /// Sum of the S/N of the cells in the circle before.
    pub(super) sum: f64,
}

/// A circle grows as long as each step adds this much to the sum.
const LEAST_RISE: f64 = 1.05;
/// It grows no further after so many steps.
const MAX_STEPS: usize = 40;

/// Grows a circle about a map index cell by cell, until the S/N inside rises by less than a twentieth.
pub(super) fn grow_circle(sky: &Sky<'_>, centre: [f64; 2]) -> Circle {
    let resolution = sky.grid.resolution();
    let step = resolution[0].min(resolution[1]);
    let sum_within = |radius: f64| {
        let mut sum = 0.0;
        for_cells_within(sky, centre, radius, |cell, _| sum += sky.significance[cell]);
        sum
    };
    let mut circle = Circle { radius: step, sum: sum_within(step) };
    for _ in 0..MAX_STEPS {
        circle.radius += step;
        let sum = sum_within(circle.radius);
        let rises = sum.abs() >= LEAST_RISE * circle.sum.abs();
        if !rises {
            break;
        }
        circle.sum = sum;
    }
    circle
}

/// Elongation, from 0 for a round source, and angle of its longer axis from x towards y in degrees, 0 to 180.
///
/// From the mean of `exp(2 i theta)` over the cells within `radius`, weighted with a plane.
pub(super) fn elongation(sky: &Sky<'_>, plane: Plane, centre: [f64; 2], radius: f64) -> [f64; 2] {
    let plane = sky.plane(plane);
    let (mut sum, mut even, mut odd) = (0.0, 0.0, 0.0);
    for_cells_within(sky, centre, radius, |cell, [x, y]| {
        let square = x * x + y * y;
        let value = plane[cell];
        sum += value.abs();
        // A cell at the very centre has no direction; to the reference it lies along x.
        let (cosine, sine) = if square > 0.0 {
            ((x * x - y * y) / square, 2.0 * x * y / square)
        } else {
            (1.0, 0.0)
        };
        even += value * cosine;
        odd += value * sine;
    });
    let angle = 0.5 * odd.atan2(even).to_degrees();
    [2.0 * even.hypot(odd) / sum, if angle < 0.0 { angle + 180.0 } else { angle }]
}

/// Calls `work` with every valid cell within `radius` and its offset from the centre.
fn for_cells_within(
    sky: &Sky<'_>,
    centre: [f64; 2],
    radius: f64,
    mut work: impl FnMut(usize, [f64; 2]),
) {
    let ([n_y, n_x], resolution) = (sky.grid.shape(), sky.grid.resolution());
    let range = |axis: usize, n: usize| {
        let (half, n) = (radius / resolution[axis], n as f64);
        // Both lie between 0 and n: the conversion holds them.
        let first = (centre[axis] - half).floor().clamp(0.0, n) as usize;
        first..((centre[axis] + half).ceil() + 1.0).clamp(0.0, n) as usize
    };
    for row in range(1, n_y) {
        for column in range(0, n_x) {
            let cell = row * n_x + column;
            let x = (column as f64 - centre[0]) * resolution[0];
            let y = (row as f64 - centre[1]) * resolution[1];
            if x.hypot(y) <= radius && sky.is_valid(cell) {
                work(cell, [x, y]);
            }
        }
    }
}
