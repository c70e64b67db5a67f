//! Joint fits of several exposures of one source: one profile, and an offset for each exposure.
//!
//! A dither moves the source along the slices by a fraction of a pixel, so that the exposures together sample the
//! profile where none of them does alone. Here
//!
//! - all exposures enter the normal equations of the weighted fit (`trace/robust`), each with alpha less its offset;
//! - offsets come from the same least-squares problem, by Gauss-Newton steps with the slope of the profile: profile and
//!   scales are eliminated, and what is left is a system with one row for each exposure. Only differences of offsets are
//!   determined, so that their mean stays what it was;
//! - windows and knots may be finer than those of one exposure; they are chosen, as there, by how well left-out columns
//!   are predicted;
//! - an exposure takes part in a region only if its own columns are predicted at least as well by the joint profile as by
//!   its own. One in which the slice shows another part of the source is fitted alone there.

mod fit;
mod offsets;
mod search;
mod share;

pub use fit::{Grouping, JointFit, JointGroup, JointParams, Place, fit_joint};
