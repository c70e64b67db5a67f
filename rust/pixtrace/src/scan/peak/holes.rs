//! Closing holes smoothly.

/// Steps of the search after which the surface is as smooth as it gets.
const MAX_STEPS: usize = 400;
/// The search ends when the residual has fallen by this factor.
const TOLERANCE: f64 = 1e-12;

/// Gives the unknown values those that make the surface as smooth as it can be: the sum of the squares of all second
/// differences over the rectangle is smallest. `shape` is `[n_y, n_x]`; some value must be known.
///
/// Planes are continued as planes. The minimum is found by conjugate gradients.
pub(super) fn close(values: &mut [f64], is_known: &[bool], shape: [usize; 2]) {
    let n_known = is_known.iter().filter(|known| **known).count();
    if n_known == is_known.len() || n_known == 0 {
        return;
    }
    let known = values.iter().zip(is_known).filter(|(_, known)| **known);
    let mean = known.map(|(value, _)| *value).sum::<f64>() / n_known as f64;
    for (value, _) in values.iter_mut().zip(is_known).filter(|(_, known)| !**known) {
        *value = mean;
    }
    let only_unknown = |gradient: &mut [f64]| {
        for (element, _) in gradient.iter_mut().zip(is_known).filter(|(_, known)| **known) {
            *element = 0.0;
        }
    };
    let mut residual = roughness_gradient(values, shape);
    for element in &mut residual {
        *element = -*element;
    }
    only_unknown(&mut residual);
    let mut direction = residual.clone();
    let mut square = dot(&residual, &residual);
    let target = TOLERANCE * TOLERANCE * square;
    for _ in 0..MAX_STEPS {
        if square <= target {
            break;
        }
        let mut turned = roughness_gradient(&direction, shape);
        only_unknown(&mut turned);
        let curvature = dot(&direction, &turned);
        if curvature <= 0.0 {
            break;
        }
        let step = square / curvature;
        for i in 0..values.len() {
            values[i] += step * direction[i];
            residual[i] -= step * turned[i];
        }
        let next = dot(&residual, &residual);
        for (direction, residual) in direction.iter_mut().zip(&residual) {
            *direction = residual + next / square * *direction;
        }
        square = next;
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Half the gradient of the sum of squared second differences: along x, along y, and twice the mixed ones.
fn roughness_gradient(values: &[f64], [n_y, n_x]: [usize; 2]) -> Vec<f64> {
    let mut gradient = vec![0.0; values.len()];
    let mut add = |cells: &[(usize, f64)], weight: f64| {
        let difference: f64 = cells.iter().map(|&(cell, factor)| factor * values[cell]).sum();
        for &(cell, factor) in cells {
            gradient[cell] += weight * factor * difference;
        }
    };
    for y in 0..n_y {
        for x in 0..n_x {
            let cell = y * n_x + x;
            if x + 2 < n_x {
                add(&[(cell, 1.0), (cell + 1, -2.0), (cell + 2, 1.0)], 1.0);
            }
            if y + 2 < n_y {
                add(&[(cell, 1.0), (cell + n_x, -2.0), (cell + 2 * n_x, 1.0)], 1.0);
            }
            if x + 1 < n_x && y + 1 < n_y {
                let below = cell + n_x;
                add(&[(cell, 1.0), (cell + 1, -1.0), (below, -1.0), (below + 1, 1.0)], 2.0);
            }
        }
    }
    gradient
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn planes_are_continued(
            a in -3.0..3.0_f64, b in -3.0..3.0_f64, c in -3.0..3.0_f64,
            is_known in prop::collection::vec(prop::bool::weighted(0.7), 63),
        ) {
            let mut is_known = is_known;
            // Three points tell a plane.
            is_known[0] = true;
            is_known[8] = true;
            is_known[54] = true;
            let plane: Vec<f64> = (0..63_u32)
                .map(|i| a + b * f64::from(i % 9) + c * f64::from(i / 9))
                .collect();
            let mut values: Vec<f64> =
                plane.iter().zip(&is_known).map(|(v, k)| if *k { *v } else { 0.0 }).collect();
            close(&mut values, &is_known, [7, 9]);
            for (value, expected) in values.iter().zip(&plane) {
                assert_relative_eq!(value, expected, epsilon = 1e-6);
            }
        }
    }

    #[test]
    fn one_known_value_is_everywhere() {
        let mut values = [0.0, 0.0, 5.0, 0.0];
        close(&mut values, &[false, false, true, false], [2, 2]);
        assert!(values.iter().all(|value| (value - 5.0).abs() < 1e-9));
        let mut all = [1.0, 2.0];
        close(&mut all, &[true; 2], [1, 2]);
        close(&mut all, &[false; 2], [1, 2]);
        assert_eq!(all.map(f64::to_bits), [1.0, 2.0].map(f64::to_bits));
    }
}
