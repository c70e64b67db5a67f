//! Why a fit failed, or why it should be looked at.

/// No cell of the map holds data (within the region of the fit): failed.
pub const NO_DATA: u32 = 1;
/// Not more cells than parameters: failed.
pub const TOO_FEW_CELLS: u32 = 1 << 1;
/// The fit came to no end, or ran into a limit: failed.
pub const NOT_CONVERGED: u32 = 1 << 2;
/// The cells do not determine every parameter: failed.
pub const DEGENERATE: u32 = 1 << 3;
/// The amplitude is less than the wanted multiple of its error away from zero.
pub const NOT_SIGNIFICANT: u32 = 1 << 4;
/// The amplitude has the sign that a source should not have.
pub const WRONG_SIGN: u32 = 1 << 5;
/// The half-maximum ellipse reaches over the edge of the map.
pub const AT_EDGE: u32 = 1 << 6;
/// The centre lies outside of the map.
pub const OUTSIDE: u32 = 1 << 7;
/// A width lies at the limit of what the map can show: a fraction of a cell, or as wide as the map.
pub const WIDTH_AT_LIMIT: u32 = 1 << 8;
/// Less than half of the cells inside the half-maximum ellipse hold data.
pub const FEW_CELLS_IN_BEAM: u32 = 1 << 9;
/// The map was smoothed: neighbouring cells know of each other, and the errors are too small.
pub const SMOOTHED: u32 = 1 << 10;
/// The beam is round within its errors: both widths are that of a round one, and the angle is undefined. Not a fault.
pub const ROUND: u32 = 1 << 11;

/// Any of these, and there are no numbers.
pub const FAILED: u32 = NO_DATA | TOO_FEW_CELLS | NOT_CONVERGED | DEGENERATE;
/// Any of these, and the numbers should not be used unseen.
pub const DOUBTFUL: u32 = NOT_SIGNIFICANT
    | WRONG_SIGN
    | AT_EDGE
    | OUTSIDE
    | WIDTH_AT_LIMIT
    | FEW_CELLS_IN_BEAM
    | SMOOTHED;

/// Every flag with its name and what it means, for headers and messages.
pub const MEANINGS: [(u32, &str, &str); 12] = [
    (NO_DATA, "NO_DATA", "no valid cell; no fit"),
    (TOO_FEW_CELLS, "TOO_FEW_CELLS", "not more valid cells than parameters; no fit"),
    (NOT_CONVERGED, "NOT_CONVERGED", "the fit did not converge or ran into a limit; no fit"),
    (DEGENERATE, "DEGENERATE", "the valid cells do not determine every parameter; no fit"),
    (NOT_SIGNIFICANT, "NOT_SIGNIFICANT", "amplitude over its error is below the threshold"),
    (WRONG_SIGN, "WRONG_SIGN", "the amplitude has the sign a source should not have"),
    (AT_EDGE, "AT_EDGE", "the half-maximum ellipse reaches over the edge of the map"),
    (OUTSIDE, "OUTSIDE", "the centre lies outside of the map"),
    (WIDTH_AT_LIMIT, "WIDTH_AT_LIMIT", "a width lies at the limit of what the map can show"),
    (
        FEW_CELLS_IN_BEAM,
        "FEW_CELLS_IN_BEAM",
        "less than half of the cells inside the half-maximum ellipse are valid",
    ),
    (SMOOTHED, "SMOOTHED", "the map was smoothed: cells are correlated, errors are too small"),
    (ROUND, "ROUND", "the beam is round within its errors: one width, angle undefined"),
];

/// Names of the flags that are set, lowest bit first.
#[must_use]
pub fn names(flags: u32) -> Vec<&'static str> {
    MEANINGS.iter().filter(|(bit, ..)| flags & bit != 0).map(|&(_, name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_has_one_meaning() {
        let all = MEANINGS.iter().fold(0, |all, (bit, ..)| all | bit);
        assert_eq!(all.count_ones() as usize, MEANINGS.len());
        assert_eq!(FAILED | DOUBTFUL | ROUND, all);
        assert_eq!(names(ROUND | NO_DATA), ["NO_DATA", "ROUND"]);
    }
}
