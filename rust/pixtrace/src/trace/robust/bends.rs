//! How the profile of a region is expected to bend along the slice: what windows that know little are drawn towards.
//!
//! Fits all along the region give the second differences of the coefficients, each with its noise. In a region of few
//! columns their mean square, less the noise, is what they are expected to be: where nothing bends, fits are then smooth,
//! and the noise of the background small. In a long one their mean is known, with a trend along the spectrum, and so is
//! how far they scatter about it: then windows whose columns do not sample the profile at different phases, or are noisy,
//! have the profile of the others between the pixels.

/// Where nothing bends, second differences are expected to be this small a share of their noise, squared.
const LEAST_BEND: f64 = 0.02;
/// Rounds in which mean and scatter are found.
const N_ROUNDS: usize = 8;
/// At the ends of a line its variance is up to four times that of the mean; half that on average.
const LINE: f64 = 2.0;

/// One second difference in the fit of one window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// Middle of the window.
    pub(crate) column: f64,
    pub(crate) bend: f64,
    /// What the noise adds to its square.
    pub(crate) variance: f64,
}

/// What is expected of a second difference.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Bend {
    mean: f64,
    slope: f64,
    middle: f64,
    /// One over the mean square of what it is off that.
    pub(crate) weight: f64,
}

impl Bend {
    /// The value expected around a column.
    pub(crate) fn at(&self, column: f64) -> f64 {
        self.mean + self.slope * (column - self.middle)
    }
}

/// What is expected of each second difference, from its looks; nothing without any.
///
/// `is_mean_known` tells whether there are enough of them for a mean; `independent` is the share of its columns that a
/// look does not have in common with the one before.
pub(crate) fn expect(looks: &[Vec<Look>], is_mean_known: bool, independent: f64) -> Vec<Bend> {
    if looks.iter().any(Vec::is_empty) {
        return Vec::new();
    }
    let of_one = |looks: &Vec<Look>| {
        if is_mean_known { trend(looks, independent) } else { (Bend::default(), square(looks)) }
    };
    let found: Vec<(Bend, f64)> = looks.iter().map(of_one).collect();
    // A source may stand between two places: what the neighbours do counts too.
    (0..found.len())
        .map(|i| {
            let around = &found[i.saturating_sub(1)..(i + 2).min(found.len())];
            let largest = around.iter().fold(0.0, |a: f64, &(_, b)| a.max(b));
            let weight = 1.0 / largest;
            Bend { weight: if weight.is_finite() { weight } else { 0.0 }, ..found[i].0 }
        })
        .collect()
}

/// Mean square of the bends, less what the noise adds to it. Looks that know little, as those into gaps, count little.
fn square(looks: &[Look]) -> f64 {
    let (mut scatter, mut noise) = (0.0, 0.0);
    for _ in 0..N_ROUNDS {
        let (mut above, mut of_noise, mut below) = (0.0, 0.0, 0.0);
        for look in looks {
            let w = (look.variance + scatter).powi(-2);
            above += w * (look.bend * look.bend - look.variance);
            of_noise += w * look.variance;
            below += w;
        }
        scatter = f64::max(above / below, 0.0);
        noise = of_noise / below;
    }
    scatter.max(LEAST_BEND * noise)
}

/// A line through the bends, and the mean square of what they are off it, with the variance of the line itself.
fn trend(looks: &[Look], independent: f64) -> (Bend, f64) {
    let mut scatter = 0.0;
    let mut bend = Bend::default();
    let mut of_line = 0.0;
    for _ in 0..N_ROUNDS {
        let weighted = || looks.iter().map(|look| (1.0 / (look.variance + scatter), look));
        let total: f64 = weighted().map(|(w, _)| w).sum();
        if !(total.is_finite() && total > 0.0) {
            return (Bend::default(), square(looks));
        }
        let mean_of = |value: &dyn Fn(&Look) -> f64| {
            weighted().map(|(w, look)| w * value(look)).sum::<f64>() / total
        };
        bend.middle = mean_of(&|look| look.column);
        bend.mean = mean_of(&|look| look.bend);
        let spread = mean_of(&|look| (look.column - bend.middle).powi(2));
        let product = mean_of(&|look| (look.column - bend.middle) * look.bend);
        bend.slope = if spread > 0.0 { product / spread } else { 0.0 };
        of_line = LINE / (total * independent);
        let (mut above, mut below) = (0.0, 0.0);
        for (w, look) in weighted() {
            above += w * w * ((look.bend - bend.at(look.column)).powi(2) - look.variance);
            below += w * w;
        }
        scatter = (above / below).max(0.0);
    }
    (bend, scatter + of_line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks at a bend that rises along the spectrum, some of them blind.
    fn looks(scatter: f64, noise: f64) -> Vec<Look> {
        let off = |k: usize| [1.0, -1.0, -1.0, 1.0][k % 4];
        (0..60)
            .map(|k| {
                let column = 16.0 * k as f64;
                let is_blind = (25..35).contains(&k);
                let bend = 0.3 + 1e-4 * (column - 472.0) + (scatter + noise) * off(k);
                Look {
                    column,
                    bend: if is_blind { -4.0 } else { bend },
                    variance: if is_blind { 1e3 } else { noise * noise },
                }
            })
            .collect()
    }

    #[test]
    fn blind_windows_do_not_count() {
        let found = expect(&[looks(0.0, 0.01)], true, 0.25)[0];
        assert!((found.at(472.0) - 0.3).abs() < 1e-3);
        assert!((found.at(872.0) - 0.34).abs() < 2e-3);
        // The line is known to the noise of the windows, but for their number.
        let variance = 1.0 / found.weight;
        assert!(variance < 0.3 * 1e-4 && variance > 0.05 * 1e-4, "{variance}");
    }

    #[test]
    fn what_scatters_is_expected_to() {
        let found = expect(&[looks(0.05, 0.001)], true, 0.25)[0];
        assert!((1.0 / found.weight - 0.051_f64.powi(2)).abs() < 0.3 * 0.05_f64.powi(2));
    }

    #[test]
    fn gaps_do_not_hide_that_nothing_bends() {
        let mut of_one = looks(0.0, 0.01);
        for look in &mut of_one {
            look.bend -= 0.3 + 1e-4 * (look.column - 472.0);
        }
        let variance = 1.0 / expect(&[of_one], false, 0.25)[0].weight;
        assert!(variance < 0.1 * 1e-4, "{variance}");
    }

    #[test]
    fn few_windows_have_no_mean() {
        let found = expect(&[looks(0.0, 0.01)], false, 0.25)[0];
        assert!(found.at(0.0).abs() < f64::EPSILON);
        assert!(expect(&[Vec::new()], true, 0.25).is_empty());
    }
}
