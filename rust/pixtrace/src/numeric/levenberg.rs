//! Nonlinear least squares with few parameters: Gauss-Newton steps, damped where they overshoot.

use super::cholesky::Cholesky;

/// The normal equations of a least-squares problem, linearised at some parameters.
#[derive(Clone, Copy, Debug)]
pub struct Normal<const N: usize> {
    /// Sum over the points of weight times derivative times derivative; the lower triangle is enough.
    pub matrix: [[f64; N]; N],
    /// Sum of weight times derivative times residual (data less model): the direction downhill.
    pub gradient: [f64; N],
    /// Sum of weight times residual squared.
    pub chi2: f64,
}

impl<const N: usize> Normal<N> {
    /// Sums over no points.
    pub const EMPTY: Self = Self { matrix: [[0.0; N]; N], gradient: [0.0; N], chi2: 0.0 };

    /// Holds a parameter where it is: it takes part in nothing, and its step is zero.
    pub fn hold(&mut self, parameter: usize) {
        for i in 0..N {
            self.matrix[i][parameter] = 0.0;
            self.matrix[parameter][i] = 0.0;
        }
        self.matrix[parameter][parameter] = 1.0;
        self.gradient[parameter] = 0.0;
    }
}

/// Something that can be fitted with `N` parameters.
pub trait Problem<const N: usize> {
    /// The normal equations at some parameters, `None` where the model is not defined or not allowed.
    fn normal(&mut self, parameters: &[f64; N]) -> Option<Normal<N>>;

    /// Told of every step that was taken; may choose other points to sum over near the new parameters, and then returns
    /// the normal equations anew.
    fn moved(&mut self, _parameters: &[f64; N]) -> Option<Normal<N>> {
        None
    }
}

/// When a fit ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Largest number of evaluations of the normal equations.
    pub n_evaluations: usize,
    /// A step that changes chi2 by less than this is the last one: the square of a fraction of the errors.
    pub chi2_step: f64,
}

/// The end of a fit.
#[derive(Clone, Copy, Debug)]
pub struct Minimum<const N: usize> {
    /// Parameters.
    pub parameters: [f64; N],
    /// Normal equations there.
    pub normal: Normal<N>,
    /// Tells whether the last step was small enough.
    pub has_converged: bool,
    /// Tells whether the matrix was singular.
    pub is_singular: bool,
    /// Number of evaluations of the normal equations.
    pub n_evaluations: usize,
}

/// Damping of the first step that overshot, relative to the diagonal of the matrix.
const DAMPING: f64 = 1e-3;
/// Below this, damping no longer changes a step.
const NO_DAMPING: f64 = 1e-9;
/// Beyond this, no step goes anywhere.
const TOO_MUCH_DAMPING: f64 = 1e12;
/// A small step ends the fit only if damping has not made it small.
const LITTLE_DAMPING: f64 = 0.1;
/// Relative rounding of a sum of squares.
const ROUNDING: f64 = 1e-13;

/// Fits from a start on; `None` if the problem is not defined there.
///
/// Each step solves `(matrix + damping * diagonal) step = gradient`. It is taken if chi2 falls, and the damping is lowered;
/// else the damping is raised and the step tried again.
pub fn fit<const N: usize>(
    problem: &mut impl Problem<N>,
    start: [f64; N],
    limits: &Limits,
) -> Option<Minimum<N>> {
    let normal = problem.normal(&start)?;
    let mut at = Minimum {
        parameters: start,
        normal,
        has_converged: false,
        is_singular: false,
        n_evaluations: 1,
    };
    let mut damping = 0.0_f64;
    while at.n_evaluations < limits.n_evaluations && damping < TOO_MUCH_DAMPING {
        let Some(factored) = Cholesky::new(&at.normal.matrix, damping) else {
            if at.normal.matrix.as_flattened().iter().all(|m| m.is_finite())
                && at.normal.matrix.iter().enumerate().all(|(i, row)| row[i] > 0.0)
            {
                damping = (damping * 10.0).max(DAMPING);
                continue;
            }
            at.is_singular = true;
            return Some(at);
        };
        let step = factored.solve(&at.normal.gradient);
        let mut trial = at.parameters;
        let mut chi2_step = 0.0;
        for i in 0..N {
            trial[i] += step[i];
            chi2_step += step[i] * at.normal.gradient[i];
        }
        let is_last = damping <= LITTLE_DAMPING && chi2_step <= limits.chi2_step;
        let normal = problem.normal(&trial).filter(|normal| normal.chi2.is_finite());
        at.n_evaluations += 1;
        match normal {
            Some(normal) if normal.chi2 <= at.normal.chi2 * (1.0 + ROUNDING) || is_last => {
                at.parameters = trial;
                at.normal = normal;
                damping = if damping * 0.1 < NO_DAMPING { 0.0 } else { damping * 0.1 };
                if let Some(normal) = problem.moved(&trial) {
                    at.normal = normal;
                    at.n_evaluations += 1;
                }
                if is_last {
                    at.has_converged = true;
                    return Some(at);
                }
            }
            _ => damping = (damping * 10.0).max(DAMPING),
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    /// The valley of Rosenbrock as two residuals, `10 (y - x^2)` and `1 - x`.
    struct Valley;

    impl Problem<2> for Valley {
        fn normal(&mut self, &[x, y]: &[f64; 2]) -> Option<Normal<2>> {
            let mut normal = Normal::EMPTY;
            // Residuals are data less model; the derivatives are those of the model.
            for (residual, derivative) in
                [(10.0 * (y - x * x), [20.0 * x, -10.0]), (1.0 - x, [1.0, 0.0])]
            {
                for i in 0..2 {
                    for j in 0..2 {
                        normal.matrix[i][j] += derivative[i] * derivative[j];
                    }
                    normal.gradient[i] += derivative[i] * residual;
                }
                normal.chi2 += residual * residual;
            }
            Some(normal)
        }
    }

    const LIMITS: Limits = Limits { n_evaluations: 100, chi2_step: 1e-20 };

    #[test]
    fn the_valley_is_followed_to_its_lowest_point() {
        let end = fit(&mut Valley, [-1.2, 1.0], &LIMITS).unwrap();
        assert!(end.has_converged, "{end:?}");
        assert_relative_eq!(end.parameters[0], 1.0, epsilon = 1e-9);
        assert_relative_eq!(end.parameters[1], 1.0, epsilon = 1e-9);
    }

    #[test]
    fn too_few_evaluations_do_not_pass_for_an_end() {
        let end = fit(&mut Valley, [-1.2, 1.0], &Limits { n_evaluations: 4, ..LIMITS }).unwrap();
        assert!(!end.has_converged && end.n_evaluations == 4);
    }

    /// A line through points, of which only the slope matters.
    struct Singular;

    impl Problem<2> for Singular {
        fn normal(&mut self, _: &[f64; 2]) -> Option<Normal<2>> {
            Some(Normal { matrix: [[1.0, 0.0], [0.0, 0.0]], gradient: [1.0, 0.0], chi2: 1.0 })
        }
    }

    #[test]
    fn a_parameter_without_effect_is_reported() {
        assert!(fit(&mut Singular, [0.0, 0.0], &LIMITS).unwrap().is_singular);
    }
}
