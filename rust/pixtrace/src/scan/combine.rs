//! Accumulation of samples that were prepared elsewhere, and of maps into maps.

use ndarray::{ArrayView2, ArrayView3};

use super::add::Added;
use super::samples::{check_map_indices, listed_by_map};
use super::stack::{Content, DISCARD, MapMut, MapsMut};
use crate::{Control, Error};

/// Samples with gains and weights of their own, `(n_frames, n_maps)`.
#[derive(Clone, Copy, Debug)]
pub struct WeightedSamples<'a> {
    /// Values.
    pub data: ArrayView2<'a, f64>,
    /// Gains.
    pub gains: ArrayView2<'a, f64>,
    /// Weights, inverse variances of the values.
    pub weights: ArrayView2<'a, f64>,
    /// Map index `[x, y]`, `(2, n_frames, n_maps)` or `(2, n_frames, 1)`.
    pub indices: ArrayView3<'a, i64>,
}

impl MapsMut<'_> {
    /// Adds samples with gains and weights of their own: column `k` goes to map `pixels[k]`, or to map `k` if `pixels` is
    /// `None`.
    ///
    /// A sample off the map is left out. One on the map is left out and counted if its value or gain is not finite, or
    /// its weight is negative or not finite. A weight of 0 counts as exposure.
    ///
    /// # Errors
    /// Arrays that do not fit together or a `dt` that is not a number; then no map was changed.
    /// [`Error::Cancelled`] leaves the maps in an unknown state.
    pub fn accumulate(
        &mut self,
        samples: &WeightedSamples<'_>,
        pixels: Option<&[usize]>,
        dt: f64,
        control: &Control,
    ) -> Result<Added, Error> {
        if !dt.is_finite() || dt < 0.0 {
            let must_be = "a time of 0 s or more";
            return Err(Error::Parameter { name: "dt", value: dt, must_be });
        }
        let (n_frames, n_maps) = samples.data.dim();
        let n_listed = pixels.map_or(self.n_pixels(), <[usize]>::len);
        for (name, found) in [
            ("data", [n_frames, n_maps]),
            ("gains", samples.gains.dim().into()),
            ("weights", samples.weights.dim().into()),
        ] {
            let expected = [n_frames, n_listed];
            if found != expected {
                let (found, expected) = (found.to_vec(), expected.to_vec());
                return Err(Error::Shape { name, found, expected, of: "the frames and the maps" });
            }
        }
        check_map_indices(samples.indices, n_frames, n_maps)?;
        let is_shared = samples.indices.dim().2 == 1;
        let listed = listed_by_map(pixels, n_listed, self.n_pixels(), "`data`")?;
        let parts = self.for_some_maps(
            pixels,
            control,
            || (),
            |(), pixel, mut map| {
                let mut added = Added::default();
                let Some(k) = listed[pixel] else { return added };
                map.make_sums();
                let column = if is_shared { 0 } else { k };
                for f in 0..n_frames {
                    let (ix, iy) =
                        (samples.indices[[0, f, column]], samples.indices[[1, f, column]]);
                    let Some(cell) = map.grid.cell(ix, iy) else { continue };
                    let at = [f, k];
                    let (data, gain) = (samples.data[at], samples.gains[at]);
                    let weight = samples.weights[at];
                    if !(data.is_finite()
                        && gain.is_finite()
                        && weight.is_finite()
                        && weight >= 0.0)
                    {
                        added.n_skipped += 1;
                        continue;
                    }
                    let weighted = weight * gain;
                    map.data[cell] += weighted * data;
                    map.weight[cell] += weighted * gain;
                    map.exposure[cell] += dt;
                    map.flag[cell] &= !DISCARD;
                    added.n_samples += 1;
                }
                added
            },
        )?;
        let added = parts.into_iter().fold(Added::default(), |a, b| a + b);
        Ok(Added { n_frames, ..added })
    }

    /// Turns sums into means: data is divided by weight, and becomes 0 where the weight is 0. Means stay as they are.
    ///
    /// # Errors
    /// [`Error::Cancelled`], and map numbers that do not exist.
    pub fn end_accumulation(
        &mut self,
        pixels: Option<&[usize]>,
        control: &Control,
    ) -> Result<(), Error> {
        self.for_some_maps(pixels, control, || (), |(), _, mut map| map.make_means())?;
        Ok(())
    }
}

/// Planes of another stack, to be added to the maps of this one.
#[derive(Clone, Copy, Debug)]
pub struct OtherMaps<'a> {
    /// Sums or means.
    pub data: ArrayView3<'a, f64>,
    /// Inverse variances.
    pub weight: ArrayView3<'a, f64>,
    /// Integration times.
    pub exposure: ArrayView3<'a, f64>,
    /// Flags.
    pub flag: ArrayView3<'a, u8>,
    /// What has been done to the maps.
    pub records: &'a [super::MapRecord],
}

/// One map of another stack, as slices of cells.
struct Other<'a> {
    data: &'a [f64],
    weight: &'a [f64],
    exposure: &'a [f64],
    flag: &'a [u8],
    record: super::MapRecord,
}

impl OtherMaps<'_> {
    fn map(&self, pixel: usize) -> Option<Other<'_>> {
        Some(Other {
            data: self.data.index_axis(ndarray::Axis(0), pixel).to_slice()?,
            weight: self.weight.index_axis(ndarray::Axis(0), pixel).to_slice()?,
            exposure: self.exposure.index_axis(ndarray::Axis(0), pixel).to_slice()?,
            flag: self.flag.index_axis(ndarray::Axis(0), pixel).to_slice()?,
            record: self.records[pixel],
        })
    }
}

/// How the maps of another stack are added.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// Sums to sums.
    Merge,
    /// Means, their weights times a factor; exposures are not.
    Model(f64),
}

impl MapsMut<'_> {
    /// Adds the sums of other maps: map `pairs[i].1` of `other` to map `pairs[i].0` of these.
    ///
    /// Only valid cells of `other` count. What was smoothed most, and filtered most, says how the result was.
    ///
    /// # Errors
    /// Maps of another shape, or that do not exist, or that would be added to twice; then nothing was changed.
    pub fn merge_accumulate(
        &mut self,
        other: &OtherMaps<'_>,
        pairs: &[(usize, usize)],
        control: &Control,
    ) -> Result<(), Error> {
        self.combine(other, pairs, Way::Merge, control)
    }

    /// Adds other maps as means with their weights times `weight`; exposures are added as they are.
    ///
    /// # Errors
    /// As [`MapsMut::merge_accumulate`], and a weight that is not a number or negative.
    pub fn add_model_data(
        &mut self,
        other: &OtherMaps<'_>,
        pairs: &[(usize, usize)],
        weight: f64,
        control: &Control,
    ) -> Result<(), Error> {
        if !weight.is_finite() || weight < 0.0 {
            return Err(Error::Parameter { name: "weight", value: weight, must_be: "0 or more" });
        }
        self.combine(other, pairs, Way::Model(weight), control)
    }

    fn combine(
        &mut self,
        other: &OtherMaps<'_>,
        pairs: &[(usize, usize)],
        way: Way,
        control: &Control,
    ) -> Result<(), Error> {
        let [n_y, n_x] = self.grid.shape();
        let expected = [other.records.len(), n_y, n_x];
        for (name, found) in [
            ("data", other.data.shape()),
            ("weight", other.weight.shape()),
            ("exposure", other.exposure.shape()),
            ("flag", other.flag.shape()),
        ] {
            if found != expected {
                let (found, expected) = (found.to_vec(), expected.to_vec());
                return Err(Error::Shape { name, found, expected, of: "the maps to add to" });
            }
        }
        let mut sources = vec![None; self.n_pixels()];
        for (position, &(to, from)) in pairs.iter().enumerate() {
            let index =
                |found: usize, n| Error::Index { name: "pairs", position, found: found as i64, n };
            if from >= other.records.len() {
                return Err(index(from, other.records.len()));
            }
            let n = self.n_pixels();
            let source = sources.get_mut(to).ok_or_else(|| index(to, n))?;
            if source.replace(from).is_some() {
                return Err(Error::Duplicate { name: "pairs", position, found: to as i64 });
            }
        }
        let targets: Vec<usize> = pairs.iter().map(|&(to, _)| to).collect();
        self.for_some_maps(
            Some(&targets),
            control,
            || (),
            |(), pixel, mut map| {
                if let Some(other) = sources[pixel].and_then(|from| other.map(from)) {
                    map.add(&other, way);
                }
            },
        )?;
        Ok(())
    }
}

impl MapMut<'_> {
    pub(super) fn make_means(&mut self) {
        if self.record.content != Content::Means {
            for (data, &weight) in self.data.iter_mut().zip(&*self.weight) {
                *data *= if weight == 0.0 { 0.0 } else { 1.0 / weight };
            }
        }
        self.record.content = Content::Means;
    }

    /// Adds the valid cells of another map.
    fn add(&mut self, other: &Other<'_>, way: Way) {
        self.make_sums();
        let (are_means, factor) = match way {
            Way::Merge => (other.record.content == Content::Means, 1.0),
            Way::Model(factor) => (other.record.content != Content::Sums, factor),
        };
        for cell in 0..self.data.len() {
            let (data, weight) = (other.data[cell], other.weight[cell]);
            if super::is_valid(data, weight, other.flag[cell]) {
                let sum = if are_means { weight * factor * data } else { factor * data };
                self.data[cell] += sum;
                self.weight[cell] += weight * factor;
                self.exposure[cell] += other.exposure[cell];
                self.flag[cell] &= !DISCARD;
            }
        }
        if way == Way::Merge {
            let (record, other) = (&mut *self.record, &other.record);
            record.smoothing_fwhm = record.smoothing_fwhm.max(other.smoothing_fwhm);
            // `min` passes over NaN.
            record.filter_fwhm = record.filter_fwhm.min(other.filter_fwhm);
        }
    }
}
