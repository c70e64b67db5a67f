//! Where in their cells the samples of each of many maps stand.

use std::sync::Arc;

use super::moments::{CellMoments, CellScatter, CellSums};
use crate::Error;

/// Moments of the samples of many maps: what the maps share, times a factor for each, less what single maps miss.
///
/// All channels of a scan look through the same frames, so that their moments are the same but for two things: a factor
/// (gain squared over variance), and samples that were flagged or not finite. So there is one *layer* of moments for each
/// scan, with a factor for each map, and a list of the cells of a map that miss a sample, 32 bytes for each of them. Scans
/// in which the factors of all maps keep their proportion share a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleMoments {
    n_cells: usize,
    layers: Vec<MomentLayer>,
    /// Of each map, by cell; copies of these moments share them, so that maps can be merged one by one.
    missed: Vec<Arc<Vec<MissedCell>>>,
}

/// Moments of some frames, and what they count in each map.
#[derive(Clone, Debug, PartialEq)]
pub struct MomentLayer {
    /// Sums over the frames.
    pub moments: Arc<CellMoments>,
    /// One factor for each map; 0 if nothing of these frames is in the map.
    pub factors: Vec<f64>,
}

/// What one cell of a map misses, with the factor of the map: the weight, and means over that weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MissedCell {
    /// Sum of the weights.
    pub weight: f64,
    /// The cell, `iy * n_x + ix`.
    pub cell: u32,
    /// Mean `[x, y]`, in cells about the centre of the cell.
    pub first: [f32; 2],
    /// Mean `[x x, x y, y y]`.
    pub second: [f32; 3],
}

impl MissedCell {
    /// Both together; they belong to one cell.
    fn and(&self, other: &Self) -> Self {
        let weight = self.weight + other.weight;
        if weight == 0.0 {
            return Self { weight, ..*self };
        }
        let mean = |a: f32, b: f32| {
            let sum = self.weight * f64::from(a) + other.weight * f64::from(b);
            (sum / weight) as f32
        };
        Self {
            weight,
            cell: self.cell,
            first: [0, 1].map(|i| mean(self.first[i], other.first[i])),
            second: [0, 1, 2].map(|i| mean(self.second[i], other.second[i])),
        }
    }
}

/// Factors are in proportion if they are so to this fraction.
const SAME: f64 = 1e-9;
/// Layers beyond so many are added to the last one, as if the factors were in proportion.
const MOST_LAYERS: usize = 64;
/// Less weight than this fraction of that of the layers is what rounding left of none.
const NOTHING: f64 = 1e-6;

impl SampleMoments {
    /// Nothing is known of the samples of any map.
    #[must_use]
    pub fn new(n_maps: usize, n_cells: usize) -> Self {
        Self { n_cells, layers: Vec::new(), missed: vec![Arc::default(); n_maps] }
    }

    /// The same moments for all maps, of which none misses a sample.
    #[must_use]
    pub fn shared(moments: CellMoments, n_maps: usize) -> Self {
        let mut all = Self::new(n_maps, moments.weight.len());
        all.layers.push(MomentLayer { moments: Arc::new(moments), factors: vec![1.0; n_maps] });
        all
    }

    /// Layers and missed cells, as [`SampleMoments::layers`] and [`SampleMoments::missed`] return them.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if the layers are of other maps or cells, [`Error::Index`] if there is no such cell.
    pub fn from_parts(
        n_cells: usize,
        layers: Vec<MomentLayer>,
        mut missed: Vec<Vec<MissedCell>>,
    ) -> Result<Self, Error> {
        for MomentLayer { moments, factors } in &layers {
            for (name, found, expected) in [
                ("moments", moments.weight.len(), n_cells),
                ("moments", moments.first.len(), n_cells),
                ("moments", moments.second.len(), n_cells),
                ("factors", factors.len(), missed.len()),
            ] {
                if found != expected {
                    return Err(Error::LengthMismatch { name, found, expected });
                }
            }
        }
        for cells in &mut missed {
            put_in_order(cells);
            if let Some(last) = cells.last().filter(|missed| missed.cell as usize >= n_cells) {
                let (name, position) = ("missed", cells.len() - 1);
                return Err(Error::Index { name, position, found: last.cell.into(), n: n_cells });
            }
        }
        Ok(Self { n_cells, layers, missed: missed.into_iter().map(Arc::new).collect() })
    }

    /// Number of cells of a map.
    #[must_use]
    pub fn n_cells(&self) -> usize {
        self.n_cells
    }

    /// Number of maps.
    #[must_use]
    pub fn n_maps(&self) -> usize {
        self.missed.len()
    }

    /// What the maps share.
    #[must_use]
    pub fn layers(&self) -> &[MomentLayer] {
        &self.layers
    }

    /// What a map misses, by cell.
    #[must_use]
    pub fn missed(&self, map: usize) -> &[MissedCell] {
        &self.missed[map]
    }

    /// Mean position and scatter of the samples in one cell of a map; the centre without scatter, where nothing is known.
    #[must_use]
    pub fn scatter(&self, map: usize, cell: usize) -> CellScatter {
        let mut own = CellSums::default();
        for MomentLayer { moments, factors } in &self.layers {
            let (first, second) = (moments.first[cell], moments.second[cell]);
            own.add(factors[map], moments.weight[cell], first, second);
        }
        if let Some(missed) = self.missed_of(map, cell) {
            let complete = own.weight;
            own.add(-missed.weight, 1.0, missed.first.map(f64::from), missed.second.map(f64::from));
            if own.weight < NOTHING * complete {
                return CellScatter::default();
            }
        }
        own.scatter()
    }

    /// Tells whether a cell of a map misses nothing of the first layer.
    pub(super) fn is_complete(&self, map: usize, cell: usize) -> bool {
        let has_frames = self.layers.first().is_some_and(|layer| layer.factors[map] > 0.0);
        has_frames && self.missed_of(map, cell).is_none()
    }

    /// What one cell of a map misses.
    fn missed_of(&self, map: usize, cell: usize) -> Option<&MissedCell> {
        let missed = &self.missed[map];
        let place = missed.binary_search_by_key(&cell, |missed| missed.cell as usize).ok()?;
        Some(&missed[place])
    }

    /// Adds moments of other maps, each pair being a map of these and one of the others, times a weight.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if the maps have another number of cells, [`Error::Index`] if there is no such map.
    pub fn merge(
        &mut self,
        other: &Self,
        pairs: &[(usize, usize)],
        weight: f64,
    ) -> Result<(), Error> {
        if other.n_cells != self.n_cells {
            let (found, expected) = (other.n_cells, self.n_cells);
            return Err(Error::LengthMismatch { name: "moments", found, expected });
        }
        for (position, &(to, from)) in pairs.iter().enumerate() {
            for (name, found, n) in
                [("pixels", to, self.n_maps()), ("other pixels", from, other.n_maps())]
            {
                if found >= n {
                    return Err(Error::Index { name, position, found: found as i64, n });
                }
            }
        }
        for layer in &other.layers {
            let mut factors = vec![0.0; self.n_maps()];
            for &(to, from) in pairs {
                factors[to] += weight * layer.factors[from];
            }
            self.add_layer(&layer.moments, factors);
        }
        for &(to, from) in pairs.iter().filter(|_| weight != 0.0) {
            let more = other.missed[from].iter().map(|cell| {
                let weight = weight * cell.weight;
                MissedCell { weight, ..*cell }
            });
            self.add_missed(to, more);
        }
        Ok(())
    }

    /// Some of the maps in another order; `None` stands for a map of which nothing is known.
    ///
    /// # Errors
    /// [`Error::Index`] if there is no such map.
    pub fn select(&self, maps: &[Option<usize>]) -> Result<Self, Error> {
        let n = self.n_maps();
        if let Some((position, found)) = (maps.iter().enumerate())
            .find_map(|(position, map)| map.filter(|&map| map >= n).map(|map| (position, map)))
        {
            return Err(Error::Index { name: "pixels", position, found: found as i64, n });
        }
        let of_map = |map: &Option<usize>| {
            map.map_or_else(Arc::default, |map| Arc::clone(&self.missed[map]))
        };
        let layers = (self.layers.iter())
            .map(|MomentLayer { moments, factors }| MomentLayer {
                moments: Arc::clone(moments),
                factors: maps.iter().map(|map| map.map_or(0.0, |map| factors[map])).collect(),
            })
            .collect();
        let missed = maps.iter().map(of_map).collect();
        Ok(Self { n_cells: self.n_cells, layers, missed })
    }

    /// Adds moments of frames, times a factor for each map.
    pub(super) fn add_layer(&mut self, moments: &Arc<CellMoments>, factors: Vec<f64>) {
        if factors.iter().all(|&factor| factor == 0.0) {
            return;
        }
        // Maps that took the same frames one after the other.
        let same = |layer: &&mut MomentLayer| {
            Arc::ptr_eq(&layer.moments, moments) || layer.moments == *moments
        };
        if let Some(layer) = self.layers.iter_mut().find(same) {
            for (sum, factor) in layer.factors.iter_mut().zip(factors) {
                *sum += factor;
            }
            return;
        }
        let is_full = self.layers.len() >= MOST_LAYERS;
        let last = self.layers.len().saturating_sub(1);
        for (number, layer) in self.layers.iter_mut().enumerate() {
            let product: f64 = factors.iter().zip(&layer.factors).map(|(a, b)| a * b).sum();
            let square: f64 = layer.factors.iter().map(|b| b * b).sum();
            let ratio = product / square;
            let is_same = (factors.iter().zip(&layer.factors))
                .all(|(a, b)| (a - ratio * b).abs() <= SAME * a.abs().max(ratio * b));
            if ratio > 0.0 && (is_same || (is_full && number == last)) {
                Arc::make_mut(&mut layer.moments).add_times(moments, ratio);
                return;
            }
        }
        self.layers.push(MomentLayer { moments: Arc::clone(moments), factors });
    }

    /// Adds to what a map misses; the cells come in order.
    pub(super) fn add_missed(&mut self, map: usize, more: impl IntoIterator<Item = MissedCell>) {
        let mut more = more.into_iter().peekable();
        if more.peek().is_none() {
            return;
        }
        let missed = Arc::make_mut(&mut self.missed[map]);
        let n_before = missed.len();
        missed.extend(more);
        if n_before > 0 {
            put_in_order(missed);
        }
        missed.shrink_to_fit();
    }
}

/// Sorts by cell, and takes together what belongs to one.
fn put_in_order(missed: &mut Vec<MissedCell>) {
    missed.sort_by_key(|missed| missed.cell);
    missed.dedup_by(|next, kept| {
        let is_same = next.cell == kept.cell;
        if is_same {
            *kept = kept.and(next);
        }
        is_same
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    const FIRST: [f64; 3] = [2.0, 1.0, 3.0];

    /// Two cells with a sample each, moved by `at`.
    fn moments(weight: f64, at: f64) -> Arc<CellMoments> {
        let mut moments = CellMoments {
            weight: vec![0.0; 2],
            first: vec![[0.0; 2]; 2],
            second: vec![[0.0; 3]; 2],
        };
        moments.add(0, weight, [at, 0.1]);
        moments.add(1, weight, [0.2, at]);
        Arc::new(moments)
    }

    fn scan(at: f64, factors: [f64; 3]) -> SampleMoments {
        let mut scan = SampleMoments::new(3, 2);
        scan.add_layer(&moments(1.0, at), factors.to_vec());
        scan
    }

    const ALL: [(usize, usize); 3] = [(0, 0), (1, 1), (2, 2)];

    #[test]
    fn scans_whose_factors_keep_their_proportion_share_a_layer() {
        let mut all = scan(0.0, FIRST);
        all.merge(&scan(0.3, FIRST.map(|factor| 3.0 * factor)), &ALL, 1.0).unwrap();
        assert_eq!(all.layers().len(), 1);
        assert_relative_eq!(all.scatter(1, 0).mean[0], 0.225, max_relative = 1e-12);
        all.merge(&scan(-0.2, [1.0, 0.0, 4.0]), &ALL, 1.0).unwrap();
        assert_eq!(all.layers().len(), 2);
        // The second map has nothing of it.
        assert_relative_eq!(all.scatter(1, 0).mean[0], 0.225, max_relative = 1e-12);
        assert_relative_eq!(all.scatter(0, 0).mean[0], (1.8 - 0.2) / 9.0, max_relative = 1e-12);
    }

    #[test]
    fn one_scan_that_comes_map_by_map_is_one_layer() {
        let (one, other) = (scan(0.1, FIRST), scan(0.4, FIRST));
        let mut all = one.clone();
        for map in [2, 0, 1] {
            let part = other.select(&[Some(map)]).unwrap();
            all.merge(&part, &[(map, 0)], 1.0).unwrap();
        }
        let mut whole = one;
        whole.merge(&other, &ALL, 1.0).unwrap();
        assert_eq!(all.layers().len(), 2);
        for (map, cell) in [(0, 0), (1, 1), (2, 0)] {
            let (found, expected) = (all.scatter(map, cell), whole.scatter(map, cell));
            assert_relative_eq!(found.mean[0], expected.mean[0], max_relative = 1e-12);
            assert_relative_eq!(found.covariance[0], expected.covariance[0], max_relative = 1e-9);
        }
    }

    #[test]
    fn very_many_scans_do_not_pile_up() {
        let mut all = SampleMoments::new(3, 2);
        for number in 0..2 * MOST_LAYERS {
            let odd = (number as f64).sin() + 1.5;
            all.merge(&scan(0.25, [1.0, odd, 2.0]), &ALL, 1.0).unwrap();
            all.merge(&scan(0.25 - 1e-3 * odd, [odd, 1.0, 2.0]), &ALL, 1.0).unwrap();
        }
        assert_eq!(all.layers().len(), MOST_LAYERS);
        assert!((all.scatter(1, 0).mean[0] - 0.25).abs() < 3e-3);
    }

    #[test]
    fn what_is_missed_is_taken_off_once() {
        let missed = |cell, x: f32| MissedCell {
            weight: 0.5,
            cell,
            first: [x, 0.0],
            second: [x * x, 0.0, 0.0],
        };
        let mut all = scan(0.0, FIRST);
        all.add_missed(0, [missed(0, 0.5)]);
        all.add_missed(0, [missed(0, 0.25), missed(1, 0.0)]);
        assert_eq!(all.missed(0).len(), 2);
        assert_relative_eq!(all.scatter(0, 0).mean[0], -0.375, max_relative = 1e-12);
        assert!(!all.is_complete(0, 1) && all.is_complete(1, 0));
        // Of a cell that misses everything nothing is known.
        all.add_missed(0, [MissedCell { weight: 1.0, ..missed(0, 0.0) }]);
        assert_eq!(all.scatter(0, 0), CellScatter::default());
        let chosen = all.select(&[None, Some(0)]).unwrap();
        assert_eq!((chosen.missed(0).len(), chosen.missed(1).len()), (0, 2));
        assert!(
            all.select(&[Some(3)]).is_err() && all.clone().merge(&chosen, &[(0, 2)], 1.0).is_err()
        );
        let twice = vec![vec![missed(1, 0.5), missed(0, 0.5), missed(1, 0.5)]];
        let once = SampleMoments::from_parts(2, Vec::new(), twice).unwrap();
        assert_eq!(once.missed(0).len(), 2);
        let parts: Vec<_> = (0..3).map(|map| all.missed(map).to_vec()).collect();
        let again = SampleMoments::from_parts(2, all.layers().to_vec(), parts.clone()).unwrap();
        assert_eq!(again, all);
        assert!(SampleMoments::from_parts(1, Vec::new(), parts).is_err());
        assert!(SampleMoments::from_parts(3, all.layers().to_vec(), vec![Vec::new(); 3]).is_err());
    }
}
