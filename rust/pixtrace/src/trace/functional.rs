//! One oversampled pixel as a linear function of the data, and the covariance of two of them.
//!
//! With all decisions made (which pixels the fit has rejected, which of them set the scale, where the model is used and
//! how much of each residual is kept) the flux of a fine pixel is
//!
//! ```text
//! F = s m(a) + sum_j lambda_j (f_j - s m_j),      m(a) = b(a) . c,      s = sum_j kappa_j f_j
//! ```
//!
//! with the pixels `f_j` of its own column, and coefficients `c` that are linear in all pixels of the window. To first
//! order in the noise
//!
//! ```text
//! dF = g . dc + sum_j h_j df_j,
//! h = lambda + D kappa,      g = s (b(a) - sum_j lambda_j b_j - D q),
//! D = m(a) - sum_j lambda_j m_j,      q = sum_j kappa_j b_j.
//! ```
//!
//! The coefficients have the covariance `C = Z M Z` (the inverse `Z` of the normal equations around the noise matrix), and
//! the pixels of the column are among the data: `cov(c, f_j) = Z b_j u_j`, with `u_j` = weight times variance over norm.
//! What is neglected is the noise of the sum that a column is divided by before the fit: it moves all pixels of a column
//! alike, and the scale takes it out again but for what differs between the columns of a window.

use std::cell::OnceCell;

use crate::numeric::bspline::ORDER;
use crate::numeric::normal::{Band, Inverse, multiply};

/// A variance that the correlation between model and pixels makes smaller than this share of what it is without is none.
const LEAST_SHARE: f64 = 0.05;

/// The derivative of the flux of a fine pixel by the data.
#[derive(Clone, Debug, Default)]
pub(crate) struct Functional {
    /// The basis at the pixel; `None` where the model is not used.
    pub(crate) at: Option<(usize, [f64; ORDER])>,
    /// `lambda`: two pixels of the column, by number within it, and what is taken of each.
    pub(crate) lambda: [(usize, f64); 2],
    /// `D`, zero where the model is not used.
    pub(crate) through_scale: f64,
    /// First coefficient that `beta` belongs to.
    pub(crate) first: usize,
    /// `b(a) - sum lambda_j b_j`; empty where the model is not used.
    pub(crate) beta: Vec<f64>,
    /// `Z beta`, once it has been asked for.
    applied: OnceCell<Vec<f64>>,
}

impl Functional {
    /// One that takes something of every coefficient, and nothing of any pixel but through the scale.
    pub(crate) fn whole(through_scale: f64, beta: Vec<f64>) -> Self {
        Self { through_scale, beta, ..Self::default() }
    }

    /// Adds some multiple of four basis functions to `beta`.
    pub(crate) fn add(&mut self, (first, basis): (usize, [f64; ORDER]), factor: f64) {
        if self.beta.is_empty() {
            self.first = first;
        }
        if first < self.first {
            self.beta.splice(0..0, std::iter::repeat_n(0.0, self.first - first));
            self.first = first;
        }
        let end = first + ORDER - self.first;
        if end > self.beta.len() {
            self.beta.resize(end, 0.0);
        }
        for (l, b) in basis.iter().enumerate() {
            self.beta[first - self.first + l] += factor * b;
        }
    }
}

/// What a column contributes to covariances that come from one component of the variance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Component {
    /// Variance of each pixel of the column.
    pub(crate) variance: Vec<f64>,
    /// `u` of each pixel; zero for those that are not in the fit.
    in_fit: Vec<f64>,
    /// `sum kappa^2 v`.
    scale_variance: f64,
    /// `C q`, and `q C q`.
    c_q: Vec<f64>,
    q_c_q: f64,
    /// `Z sum kappa_j u_j b_j`, and `q` times it.
    z_p: Vec<f64>,
    q_z_p: f64,
}

/// A column with a model: all that its fine pixels share.
pub(crate) struct ColumnTerms<'a> {
    pub(crate) scale: f64,
    /// `kappa` of each pixel.
    pub(crate) kappa: Vec<f64>,
    /// The basis at each pixel; NaN values where there is no model.
    pub(crate) basis: Vec<(usize, [f64; ORDER])>,
    inverse: &'a Inverse,
    /// `Z q`.
    z_q: Vec<f64>,
    pub(crate) components: Vec<(Component, Option<&'a Band>)>,
}

impl<'a> ColumnTerms<'a> {
    /// `in_fit[j]` is the weight of pixel j over the norm of the column, zero for those that are not in the fit.
    pub(crate) fn new(
        scale: f64,
        kappa: Vec<f64>,
        basis: Vec<(usize, [f64; ORDER])>,
        in_fit: &[f64],
        inverse: &'a Inverse,
        components: Vec<(Vec<f64>, Option<&'a Band>)>,
    ) -> Self {
        let n = inverse.len();
        let gathered = |weights: &dyn Fn(usize) -> f64| {
            let mut sum = vec![0.0; n];
            for (j, &(first, values)) in basis.iter().enumerate() {
                let weight = weights(j);
                if weight != 0.0 {
                    for l in 0..ORDER {
                        sum[first + l] += weight * values[l];
                    }
                }
            }
            sum
        };
        let q = gathered(&|j| kappa[j]);
        let z_q = apply(inverse, &q);
        let components = components
            .into_iter()
            .map(|(variance, noise)| {
                let known = |j: usize| if variance[j].is_finite() { variance[j] } else { 0.0 };
                let in_fit: Vec<f64> =
                    in_fit.iter().enumerate().map(|(j, w)| w * known(j)).collect();
                let c_q = match noise {
                    None => z_q.clone(),
                    Some(noise) => apply(inverse, &multiply(noise, &z_q)),
                };
                let z_p = apply(inverse, &gathered(&|j| kappa[j] * in_fit[j]));
                let component = Component {
                    scale_variance: kappa.iter().enumerate().map(|(j, k)| k * k * known(j)).sum(),
                    q_c_q: dot(&q, &c_q),
                    c_q,
                    q_z_p: dot(&q, &z_p),
                    z_p,
                    in_fit,
                    variance,
                };
                (component, noise)
            })
            .collect();
        Self { scale, kappa, basis, inverse, z_q, components }
    }

    /// Variance of a fine pixel that comes from one component of the variance.
    ///
    /// Where a pixel that the fit has set aside has a share in it, its correlation with the model, which it does not
    /// have, may outweigh the rest; it is then left out, so that no error comes out as zero.
    pub(crate) fn variance(&self, component: usize, a: &Functional) -> f64 {
        let apart = self.apart(component, a, a);
        let all = apart + self.crossed(component, a, a);
        if all <= LEAST_SHARE * apart { apart } else { all }
    }

    /// Covariance of two fine pixels that comes from one component of the variance.
    pub(crate) fn covariance(&self, component: usize, a: &Functional, b: &Functional) -> f64 {
        self.apart(component, a, b) + self.crossed(component, a, b)
    }

    /// Variance of the scaled spline at a place, of a weighted fit.
    pub(crate) fn model_variance(&self, (first, basis): (usize, [f64; ORDER])) -> f64 {
        let row = |i: usize| dot(&basis, &self.inverse.row(first + i)[first..first + ORDER]);
        self.scale * self.scale * (0..ORDER).map(|i| basis[i] * row(i)).sum::<f64>()
    }

    /// What comes through the pixels of the column, and what through the coefficients, as if these were independent.
    fn apart(&self, component: usize, a: &Functional, b: &Functional) -> f64 {
        let (known, noise) = &self.components[component];
        let mut sum = own_noise(&known.variance, a, b);
        if a.beta.is_empty() && b.beta.is_empty() {
            return sum;
        }
        let (da, db, s) = (a.through_scale, b.through_scale, self.scale);
        for (one, other) in [(a, db), (b, da)] {
            for (j, lambda) in one.lambda {
                if lambda != 0.0 {
                    sum += other * lambda * self.kappa[j] * known.variance[j];
                }
            }
        }
        sum += da * db * known.scale_variance;
        // Through the coefficients, both.
        let form = match noise {
            None => self.between(a, b),
            Some(noise) => dot(self.applied(a), &multiply(noise, self.applied(b))),
        };
        sum += s
            * s
            * (form - db * part(a, &known.c_q) - da * part(b, &known.c_q) + da * db * known.q_c_q);
        sum
    }

    /// What comes through the coefficients in one, and through the pixels of the column in the other.
    fn crossed(&self, component: usize, a: &Functional, b: &Functional) -> f64 {
        let known = &self.components[component].0;
        if a.beta.is_empty() && b.beta.is_empty() {
            return 0.0;
        }
        let mut sum = 0.0;
        for (pixels, coefficients) in [(a, b), (b, a)] {
            let (dp, dc) = (pixels.through_scale, coefficients.through_scale);
            let mut cross = dp * (part(coefficients, &known.z_p) - dc * known.q_z_p);
            for (j, lambda) in pixels.lambda {
                let u = lambda * known.in_fit[j];
                if u != 0.0 {
                    let (first, basis) = self.basis[j];
                    let mut direct =
                        -dc * (0..ORDER).map(|l| basis[l] * self.z_q[first + l]).sum::<f64>();
                    for (i, beta) in coefficients.beta.iter().enumerate() {
                        let row = &self.inverse.row(coefficients.first + i)[first..first + ORDER];
                        direct += beta * dot(&basis, row);
                    }
                    cross += u * direct;
                }
            }
            sum += self.scale * cross;
        }
        sum
    }

    /// `beta_a Z beta_b`.
    fn between(&self, a: &Functional, b: &Functional) -> f64 {
        let row = |i: usize| &self.inverse.row(a.first + i)[b.first..b.first + b.beta.len()];
        a.beta.iter().enumerate().map(|(i, beta)| beta * dot(&b.beta, row(i))).sum()
    }

    /// `Z beta`.
    fn applied<'f>(&self, a: &'f Functional) -> &'f [f64] {
        a.applied.get_or_init(|| {
            let mut sum = vec![0.0; self.inverse.len()];
            for (i, beta) in a.beta.iter().enumerate() {
                for (total, z) in sum.iter_mut().zip(self.inverse.row(a.first + i)) {
                    *total += beta * z;
                }
            }
            sum
        })
    }
}

/// Covariance that two fine pixels have because they are made of the same pixels, without a model.
pub(crate) fn own_noise(variance: &[f64], a: &Functional, b: &Functional) -> f64 {
    let mut sum = 0.0;
    for (i, p) in a.lambda {
        for (j, q) in b.lambda {
            if i == j && p != 0.0 && q != 0.0 {
                sum += p * q * variance[i];
            }
        }
    }
    sum
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `beta` times the part of a vector that it belongs to.
fn part(a: &Functional, vector: &[f64]) -> f64 {
    if a.beta.is_empty() { 0.0 } else { dot(&a.beta, &vector[a.first..a.first + a.beta.len()]) }
}

fn apply(inverse: &Inverse, x: &[f64]) -> Vec<f64> {
    (0..inverse.len()).map(|i| dot(inverse.row(i), x)).collect()
}
