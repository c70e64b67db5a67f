//! The block of maps, one for each detector pixel.

use ndarray::{Array3, ArrayView3, ArrayViewMut3, Axis};
use rayon::prelude::*;

use super::grid::Grid;
use crate::{Control, Error};

/// Flag of a cell that holds no data.
pub const DISCARD: u8 = 1;
/// Flag of a cell on the source: its samples are marked as blanked when the model is subtracted.
pub const MASK: u8 = 2;

/// What the numbers in a map mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// The caller gave them and knows: each operation takes them for what it expects.
    #[default]
    Given,
    /// Sums over samples: data is the sum of weight x gain x value, weight that of weight x gain^2.
    Sums,
    /// Means: data has been divided by weight.
    Means,
}

/// What has been done to one map, beside its cells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MapRecord {
    /// What the numbers mean.
    pub content: Content,
    /// FWHM of the beam that the map was smoothed with; to begin with that of the pixelisation.
    pub smoothing_fwhm: f64,
    /// FWHM of the large-scale filter, NaN without one.
    pub filter_fwhm: f64,
    /// FWHM of the source for which filtering was corrected, NaN without a correction.
    pub correcting_fwhm: f64,
    /// Level of S/N beyond which cells were left out of the filter, NaN if none were.
    pub filter_blanking: f64,
    /// Factor by which the noise was found to be larger than the weights say.
    pub noise_rescale: f64,
}

impl MapRecord {
    /// A map of samples as they come.
    #[must_use]
    pub fn new(grid: &Grid) -> Self {
        Self {
            content: Content::Given,
            smoothing_fwhm: pixelisation_fwhm(grid),
            filter_fwhm: f64::NAN,
            correcting_fwhm: f64::NAN,
            filter_blanking: f64::NAN,
            noise_rescale: 1.0,
        }
    }
}

/// FWHM of a round Gaussian that covers as much area as one cell.
///
/// A Gaussian of FWHM `F` covers `pi F^2 / (4 ln 2)`, so that the area of a cell goes with `1 / 1.0645` of its side.
#[must_use]
pub fn pixelisation_fwhm(grid: &Grid) -> f64 {
    let [x, y] = grid.resolution();
    (x * y / GAUSSIAN_AREA).sqrt()
}

/// Area below a Gaussian of unit FWHM and height in two dimensions, `pi / (4 ln 2)`.
pub const GAUSSIAN_AREA: f64 = std::f64::consts::PI / (4.0 * std::f64::consts::LN_2);

/// The planes of all maps, borrowed to be changed; axes are `(n_pixels, n_y, n_x)`.
#[derive(Debug)]
pub struct MapsMut<'a> {
    /// The grid of all maps.
    pub grid: Grid,
    /// Sums or means, as `records` say.
    pub data: ArrayViewMut3<'a, f64>,
    /// Inverse variances.
    pub weight: ArrayViewMut3<'a, f64>,
    /// Integration times.
    pub exposure: ArrayViewMut3<'a, f64>,
    /// [`DISCARD`] and [`MASK`].
    pub flag: ArrayViewMut3<'a, u8>,
    /// One for each map.
    pub records: &'a mut [MapRecord],
}

/// One map of a stack, its cells in rows one after the other.
///
/// Slices of `n_y * n_x` cells: cell `iy * n_x + ix`.
#[derive(Debug)]
pub struct MapMut<'a> {
    /// The grid.
    pub grid: &'a Grid,
    /// Sums or means, as `record` says.
    pub data: &'a mut [f64],
    /// Inverse variances.
    pub weight: &'a mut [f64],
    /// Integration times.
    pub exposure: &'a mut [f64],
    /// [`DISCARD`] and [`MASK`].
    pub flag: &'a mut [u8],
    /// What has been done to it.
    pub record: &'a mut MapRecord,
}

impl MapMut<'_> {
    /// Tells whether a cell holds data: not NaN, not discarded, with a positive finite weight.
    #[must_use]
    #[inline]
    pub fn is_valid(&self, cell: usize) -> bool {
        is_valid(self.data[cell], self.weight[cell], self.flag[cell])
    }

    /// Empties a cell.
    pub fn discard(&mut self, cell: usize) {
        (self.data[cell], self.weight[cell], self.exposure[cell]) = (0.0, 0.0, 0.0);
        self.flag[cell] |= DISCARD;
    }
}

/// Tells whether a cell holds data: not NaN, not discarded, with a positive finite weight.
#[must_use]
#[inline]
#[expect(clippy::needless_bitwise_bool, reason = "holes come at random: no jumps, no guesses")]
#[expect(clippy::eq_op, reason = "see below")]
pub fn is_valid(data: f64, weight: f64, flag: u8) -> bool {
    // A weight less itself is 0, but NaN if it is infinite; asked directly, compilers make slow integer tests of it.
    !(data + (weight - weight)).is_nan() & (weight > 0.0) & (flag & DISCARD == 0)
}

impl<'a> MapsMut<'a> {
    /// Borrows planes of shape `(n_pixels, n_y, n_x)` that lie in memory one map after the other, row by row.
    ///
    /// # Errors
    /// [`Error::Shape`] if the planes do not agree with each other and the grid, [`Error::Layout`] if their cells do
    /// not lie one after the other.
    pub fn new(
        grid: Grid,
        data: ArrayViewMut3<'a, f64>,
        weight: ArrayViewMut3<'a, f64>,
        exposure: ArrayViewMut3<'a, f64>,
        flag: ArrayViewMut3<'a, u8>,
        records: &'a mut [MapRecord],
    ) -> Result<Self, Error> {
        let [n_y, n_x] = grid.shape();
        let expected = [records.len(), n_y, n_x];
        let planes = [
            ("data", data.shape(), data.is_standard_layout()),
            ("weight", weight.shape(), weight.is_standard_layout()),
            ("exposure", exposure.shape(), exposure.is_standard_layout()),
            ("flag", flag.shape(), flag.is_standard_layout()),
        ];
        for (name, found, is_standard) in planes {
            if found != expected {
                let (found, expected) = (found.to_vec(), expected.to_vec());
                return Err(Error::Shape { name, found, expected, of: "the stack" });
            }
            if !is_standard {
                return Err(Error::Layout { name });
            }
        }
        Ok(Self { grid, data, weight, exposure, flag, records })
    }

    /// Number of maps.
    #[must_use]
    pub fn n_pixels(&self) -> usize {
        self.records.len()
    }

    /// The maps, one by one.
    #[must_use]
    pub fn maps(&mut self) -> Vec<MapMut<'_>> {
        let grid = &self.grid;
        let rows = (self.data.axis_iter_mut(Axis(0)))
            .zip(self.weight.axis_iter_mut(Axis(0)))
            .zip(self.exposure.axis_iter_mut(Axis(0)))
            .zip(self.flag.axis_iter_mut(Axis(0)))
            .zip(self.records.iter_mut());
        rows.filter_map(|((((data, weight), exposure), flag), record)| {
            // All of them are contiguous: `new` has seen to it.
            let (data, weight) = (data.into_slice()?, weight.into_slice()?);
            let (exposure, flag) = (exposure.into_slice()?, flag.into_slice()?);
            Some(MapMut { grid, data, weight, exposure, flag, record })
        })
        .collect()
    }

    /// Does something with each map, in parallel, and collects what comes out, in the order of the maps.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; maps that were not reached are as they were.
    pub fn for_each_map<R: Send>(
        &mut self,
        control: &Control,
        work: impl Fn(usize, MapMut<'_>) -> R + Send + Sync,
    ) -> Result<Vec<R>, Error> {
        self.for_some_maps(None, control, || (), |(), pixel, map| work(pixel, map))
    }

    /// Does something with some of the maps, or with all if `pixels` is `None`, in parallel, and collects what comes
    /// out, in the order of `pixels`.
    ///
    /// `workspace` makes what the work needs beside the maps; one is used for many maps.
    ///
    /// # Errors
    /// [`Error::Index`] if there is no such map, [`Error::Duplicate`] if a map is named twice, both before anything is
    /// done; [`Error::Cancelled`]: maps that were not reached are as they were.
    pub fn for_some_maps<S, R: Send>(
        &mut self,
        pixels: Option<&[usize]>,
        control: &Control,
        workspace: impl Fn() -> S + Send + Sync,
        work: impl Fn(&mut S, usize, MapMut<'_>) -> R + Send + Sync,
    ) -> Result<Vec<R>, Error> {
        let n = self.n_pixels();
        let mut maps: Vec<Option<MapMut<'_>>> = self.maps().into_iter().map(Some).collect();
        let chosen: Vec<(usize, MapMut<'_>)> = match pixels {
            None => maps.into_iter().flatten().enumerate().collect(),
            Some(pixels) => (pixels.iter().enumerate())
                .map(|(position, &pixel)| {
                    let (name, found) = ("pixels", pixel as i64);
                    let map = maps.get_mut(pixel);
                    let map = map.ok_or(Error::Index { name, position, found, n })?;
                    let map = map.take().ok_or(Error::Duplicate { name, position, found })?;
                    Ok((pixel, map))
                })
                .collect::<Result<_, Error>>()?,
        };
        control.expect(chosen.len());
        chosen
            .into_par_iter()
            .map_init(workspace, |space, (pixel, map)| {
                control.check()?;
                let result = work(space, pixel, map);
                control.advance(1);
                Ok(result)
            })
            .collect()
    }

    /// Makes sure that maps hold means, all or those of the numbers `pixels`; numbers of no map are passed over.
    ///
    /// # Errors
    /// [`Error::NotNormalised`] names the first that still holds sums.
    pub(super) fn require_means(&self, pixels: Option<&[usize]>) -> Result<(), Error> {
        let holds_sums = |&pixel: &usize| {
            self.records.get(pixel).is_some_and(|record| record.content == Content::Sums)
        };
        let first = match pixels {
            Some(pixels) => pixels.iter().copied().find(holds_sums),
            None => (0..self.n_pixels()).find(holds_sums),
        };
        first.map_or(Ok(()), |pixel| Err(Error::NotNormalised { pixel }))
    }
}

/// A stack of maps that owns its planes.
///
/// Borrow it with [`MapStack::maps_mut`] to do something with it.
#[derive(Clone, Debug)]
pub struct MapStack {
    grid: Grid,
    data: Array3<f64>,
    weight: Array3<f64>,
    exposure: Array3<f64>,
    flag: Array3<u8>,
    records: Vec<MapRecord>,
}

impl MapStack {
    /// Empty maps: zeros, every cell flagged [`DISCARD`].
    #[must_use]
    pub fn new(n_pixels: usize, grid: Grid) -> Self {
        let [n_y, n_x] = grid.shape();
        let shape = (n_pixels, n_y, n_x);
        Self {
            data: Array3::zeros(shape),
            weight: Array3::zeros(shape),
            exposure: Array3::zeros(shape),
            flag: Array3::from_elem(shape, DISCARD),
            records: vec![MapRecord::new(&grid); n_pixels],
            grid,
        }
    }

    /// Borrows all planes to change them.
    #[must_use]
    pub fn maps_mut(&mut self) -> MapsMut<'_> {
        MapsMut {
            grid: self.grid,
            data: self.data.view_mut(),
            weight: self.weight.view_mut(),
            exposure: self.exposure.view_mut(),
            flag: self.flag.view_mut(),
            records: &mut self.records,
        }
    }

    /// The grid of all maps.
    #[must_use]
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Sums or means, as the records say, `(n_pixels, n_y, n_x)`.
    #[must_use]
    pub fn data(&self) -> ArrayView3<'_, f64> {
        self.data.view()
    }

    /// Inverse variances, `(n_pixels, n_y, n_x)`.
    #[must_use]
    pub fn weight(&self) -> ArrayView3<'_, f64> {
        self.weight.view()
    }

    /// Integration times, `(n_pixels, n_y, n_x)`.
    #[must_use]
    pub fn exposure(&self) -> ArrayView3<'_, f64> {
        self.exposure.view()
    }

    /// [`DISCARD`] and [`MASK`], `(n_pixels, n_y, n_x)`.
    #[must_use]
    pub fn flag(&self) -> ArrayView3<'_, u8> {
        self.flag.view()
    }

    /// What has been done to each map.
    #[must_use]
    pub fn records(&self) -> &[MapRecord] {
        &self.records
    }
}
