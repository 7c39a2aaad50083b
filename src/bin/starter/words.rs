//! Fits the text head: closed-form regression from a word's vector to where the pictures of that word lie.
//!
//! MiniLM knows what words mean, not what things look like. The head is a linear map and *word units*
//! `gelu(SLOPE · (v · word − THRESHOLD))`, one for each of 2,048 words that are far from each other, so that a label is
//! moved as its neighbours among the known words are. The target of a word is the mean embedding of its pictures; the
//! regression is pulled towards leaving labels where they are. It is the usual regression turned round: from text to
//! picture there are fewer labels that are near to everything (Shigeto et al. 2015, arXiv:1507.00825).
//!
//! Invariant: deterministic: words are taken in one order.

#[cfg(test)]
use super::matrix::unit;
use super::matrix::{Matrix, dot, gelu, subtract};
use super::train::Vectors;
use std::collections::BTreeMap;

const N_UNITS: usize = 2048;
/// Words of units are less similar than this, and shorter: a description is nobody's neighbour.
const MAX_SIMILARITY: f64 = 0.6;
const MAX_UNIT_CHARS: usize = 60;
const SLOPE: f64 = 5.0;
const THRESHOLD: f64 = 0.15;
/// With so many pictures or more, a word weighs no more.
const MAX_PICTURES: f64 = 10.0;
/// How strongly weights are pulled to their start: the linear map's to a multiple of the identity, the units' to zero.
const PULL: (f64, f64) = (100.0, 200.0);

/// What pictures showed of each word.
#[derive(Default)]
pub struct Sightings<'a>(BTreeMap<&'a str, Sighting>);

#[derive(Default)]
struct Sighting {
    n_pictures: f64,
    sum: Vec<f64>,
}

impl<'a> Sightings<'a> {
    /// `word` fits a picture with this embedding, of length 1, to the degree `weight`.
    pub fn add(&mut self, word: &'a str, weight: f64, embedding: &[f64]) {
        let Sighting { n_pictures, sum } = self.0.entry(word).or_default();
        sum.resize(embedding.len(), 0.0);
        *n_pictures += weight;
        sum.iter_mut().zip(embedding).for_each(|(sum, value)| *sum += weight * value);
    }
}

/// Turns text vectors into embeddings.
pub struct TextHead {
    /// Subtracted from every text vector.
    centre: Vec<f64>,
    /// The units' words, centred: `[n_units, width]`.
    words: Matrix,
    /// The map from the centred vector and the units: `[width + n_units, width]`.
    weights: Matrix,
}

impl TextHead {
    pub fn fit(sightings: &Sightings, vectors: &Vectors, centre: &[f64]) -> Self {
        let centred = |word: &str| {
            let mut vector = vectors.get(word);
            subtract(&mut vector, centre);
            vector
        };
        let mut seen: Vec<(&str, &Sighting)> = sightings.0.iter().map(|(word, seen)| (*word, seen)).collect();
        seen.sort_by(|a, b| b.1.n_pictures.total_cmp(&a.1.n_pictures)); // stable: then by the word
        let inputs = Matrix::from_rows(&seen.iter().map(|(word, _)| centred(word)).collect::<Vec<_>>());
        let mut words: Vec<Vec<f64>> = Vec::new();
        for (i, (word, _)) in seen.iter().enumerate() {
            let row = inputs.row(i);
            if words.len() < N_UNITS
                && word.chars().count() < MAX_UNIT_CHARS
                && words.iter().all(|other| dot(row, other) < MAX_SIMILARITY)
            {
                words.push(row.to_vec());
            }
        }
        let width = inputs.cols;
        let mut head =
            Self { centre: centre.to_vec(), words: Matrix::from_rows(&words), weights: Matrix::zeros(0, 0) };
        let inputs = head.with_units(inputs);

        let (mut weighted, mut targets) = (inputs.clone(), Matrix::zeros(inputs.rows, width));
        let (mut along, mut length) = (0.0, 0.0);
        for (i, (_, Sighting { n_pictures, sum })) in seen.iter().enumerate() {
            let weight = n_pictures.min(MAX_PICTURES);
            weighted.row_mut(i).iter_mut().for_each(|value| *value *= weight);
            targets.row_mut(i).iter_mut().zip(sum).for_each(|(target, sum)| *target = sum / n_pictures);
            let input = &inputs.row(i)[..width];
            along += weight * dot(input, targets.row(i));
            length += weight * dot(input, input);
        }
        let (mut gram, mut right) = (weighted.transposed_times(&inputs), weighted.transposed_times(&targets));
        for i in 0..gram.rows {
            let pull = if i < width { PULL.0 } else { PULL.1 };
            gram.row_mut(i)[i] += pull;
            if i < width {
                right.row_mut(i)[i] += pull * along / length;
            }
        }
        head.weights = gram.solve(right);
        head
    }

    /// Centred vectors `[n, width]` to `[n, width + n_units]`.
    fn with_units(&self, centred: Matrix) -> Matrix {
        let similarity = centred.times_transposed(&self.words);
        let mut units = Matrix::zeros(centred.rows, centred.cols + similarity.cols);
        for i in 0..centred.rows {
            let (linear, rest) = units.row_mut(i).split_at_mut(centred.cols);
            linear.copy_from_slice(centred.row(i));
            let unit = |similarity: &f64| gelu(SLOPE * (similarity - THRESHOLD));
            rest.iter_mut().zip(similarity.row(i)).for_each(|(value, similarity)| *value = unit(similarity));
        }
        units
    }

    /// Text vectors to embeddings of length 1, as the layers compute them.
    #[cfg(test)]
    pub fn of(&self, mut vectors: Matrix) -> Matrix {
        (0..vectors.rows).for_each(|i| subtract(vectors.row_mut(i), &self.centre));
        let mut embeddings = self.with_units(vectors).times(&self.weights);
        (0..embeddings.rows).for_each(|i| unit(embeddings.row_mut(i)));
        embeddings
    }

    /// The layers, with centring and slopes baked in: name, weight `[out, in]`, bias.
    pub fn layers(&self) -> [(&'static str, Matrix, Option<Vec<f64>>); 3] {
        let (width, n_units) = (self.weights.cols, self.words.rows);
        let (skip, second) =
            (self.weights.transposed(0..width), self.weights.transposed(width..width + n_units));
        let skip_bias = (0..width).map(|j| -dot(skip.row(j), &self.centre)).collect();
        let mut first = self.words.clone();
        first.values.iter_mut().for_each(|value| *value *= SLOPE);
        let first_bias = (0..n_units).map(|i| -dot(first.row(i), &self.centre) - SLOPE * THRESHOLD).collect();
        [
            ("text_head.skip", skip, Some(skip_bias)),
            ("text_head.0", first, Some(first_bias)),
            ("text_head.1", second, None),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two kinds of things whose words lie elsewhere than their pictures do.
    fn fitted() -> (Vectors, TextHead) {
        let words = ["cat", "kitten", "car", "van"];
        let rows =
            [[0.8f32, 0.6, 0.0, 0.0], [0.96, 0.28, 0.0, 0.0], [0.0, 0.0, 0.6, 0.8], [0.0, 0.0, 0.28, 0.96]];
        let vectors = Vectors {
            by_text: words.iter().zip(rows).map(|(word, row)| (word.to_string(), row.to_vec())).collect(),
            width: 4,
        };
        let mut sightings = Sightings::default();
        for _ in 0..1000 {
            sightings.add("cat", 1.0, &[0.0, 0.0, 0.0, 1.0]);
            sightings.add("car", 1.0, &[0.0, 1.0, 0.0, 0.0]);
        }
        let head = TextHead::fit(&sightings, &vectors, &[0.25, 0.1, 0.2, 0.3]);
        (vectors, head)
    }

    #[test]
    fn an_unseen_word_follows_its_neighbour_to_the_pictures() {
        let (vectors, head) = fitted();
        let rows: Vec<Vec<f64>> = ["kitten", "van"].iter().map(|word| vectors.get(word)).collect();
        let before = Matrix::from_rows(&rows);
        let after = head.of(before.clone());
        assert!(after.row(0)[3] > before.row(0)[3] && after.row(1)[1] > before.row(1)[1]);
    }

    #[test]
    fn the_layers_compute_the_head() {
        let (vectors, head) = fitted();
        let v = vectors.get("kitten");
        let [(_, skip, skip_bias), (_, first, first_bias), (_, second, _)] = head.layers();
        let hidden: Vec<f64> =
            first_bias.unwrap().iter().enumerate().map(|(i, b)| gelu(dot(first.row(i), &v) + b)).collect();
        let mut y: Vec<f64> = skip_bias
            .unwrap()
            .iter()
            .enumerate()
            .map(|(j, b)| b + dot(skip.row(j), &v) + dot(second.row(j), &hidden))
            .collect();
        unit(&mut y);
        let expected = head.of(Matrix::from_rows(&[v]));
        assert!(y.iter().zip(expected.row(0)).all(|(a, b)| (a - b).abs() < 1e-12));
    }
}
