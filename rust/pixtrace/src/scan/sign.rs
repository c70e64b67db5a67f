//! Which sources a map is expected to show.

/// Sign of the sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sign {
    /// Only holes in the background.
    Negative,
    /// Either.
    Both,
    /// Only light: the usual case.
    #[default]
    Positive,
}

impl Sign {
    /// Tells whether a significance stands out of `-level..=level`, towards the sign; NaN does not.
    #[must_use]
    #[inline]
    pub fn is_beyond(self, significance: f64, level: f64) -> bool {
        match self {
            Self::Negative => significance < -level,
            Self::Both => significance < -level || significance > level,
            Self::Positive => significance > level,
        }
    }

    /// Tells whether a significance reaches `level` from above or falls below `-level`, as the sign asks; NaN does not.
    #[must_use]
    #[inline]
    pub fn is_reached(self, significance: f64, level: f64) -> bool {
        match self {
            Self::Negative => significance < -level,
            Self::Both => significance < -level || significance >= level,
            Self::Positive => significance >= level,
        }
    }
}
