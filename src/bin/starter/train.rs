//! Trains the heads: closed-form ridge regression from picture features to text vectors.
//!
//! A picture's features are the tower's 1,280 pooled values, the means of three earlier blocks' maps (112, 192 and 320
//! values, which know less of ImageNet's classes and more of how a thing is drawn), and 1,000 *class units*
//! `gelu(2 · (logit − 5))`, ImageNet's class head kept as the first layer of the image head: it is where the knowledge of
//! photos lies. The target is the mean of the picture's word vectors, centred. Besides real pictures there are pseudo
//! pictures of photos: features around the photos' mean that make one class's logit high, moved there along the features'
//! covariance, whose target is the class's description. The regression is pulled towards class unit → class description (ConSE), so that what clip
//! art does not show is kept.
//!
//! Invariant: deterministic: no clock, no thread, one seed.

use super::features::{ImageTower, SHORTCUTS, TextTower};
use super::matrix::{Matrix, dot, gelu, subtract, unit};
use super::sources::{self, Example};
use super::words::{Sightings, TextHead};
use super::{Cache, Result, build, pickle};
use cliplet::tensor::{Format, Tensor};
use cliplet::weights::Weights;
use std::collections::{BTreeMap, BTreeSet};

const N_PSEUDO: usize = 6000;
/// A pseudo picture counts as much of a real one.
const PSEUDO_WEIGHT: f64 = 0.3;
/// How strongly weights are pulled to their start, for each picture: of means, of class units.
const PULL: (f64, f64) = (0.9, 0.11);
/// Length of a class unit's weights at the start.
const START: f64 = 0.07;
/// Directions that pictures rarely take are stretched: the embedding covariance's power.
const WHITEN: f64 = -0.3;
/// A class unit is `gelu(SLOPE · (logit − THRESHOLD))`.
const SLOPE: f64 = 2.0;
const THRESHOLD: f64 = 5.0;
/// A keyword is as good as so many titles, a class's description as so many names, and a pseudo picture as so many
/// pictures, where the text head learns what words look like.
const KEYWORD_WEIGHT: f64 = 0.5;
const DESCRIPTION_WEIGHT: f64 = 0.5;
const PSEUDO_SIGHTING: f64 = 0.1;
/// A class's names beyond these are rarely used.
const N_CLASS_NAMES: usize = 4;
/// Training pictures this near to one of the evaluation are dropped.
const MAX_LIKENESS: f64 = 0.97;
/// Hidden units come in blocks of 32: quantized rows need it.
const N_HIDDEN: usize = 1024;

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Draws every training and evaluation picture and keeps its features.
pub fn features(cache: &Cache) -> Result<()> {
    let tower = ImageTower::new(&build::towers(cache)?)?;
    let tests = sources::evaluation(cache)?;
    save(cache, "evaluation.f32", &tower.all(tests.iter().map(|test| &test.drawing))?)?;
    let examples = sources::training(cache)?;
    println!("{} pictures to learn from", examples.len());
    save(cache, "training.f32", &tower.all(examples.iter().map(|example| &example.drawing))?)
}

/// Rows of f32; zeros for a picture that cannot be drawn.
fn save(cache: &Cache, name: &str, rows: &[Option<Vec<f32>>]) -> Result<()> {
    let width = rows.iter().flatten().map(Vec::len).max().unwrap_or(0);
    let values = rows.iter().flat_map(|row| row.clone().unwrap_or(vec![0.0; width]));
    let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
    Ok(std::fs::write(cache.work(name), bytes)?)
}

fn load(cache: &Cache, name: &str) -> Result<Vec<Vec<f32>>> {
    let bytes = std::fs::read(cache.work(name))?;
    let values: Vec<f32> = bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
    Ok(values.chunks_exact(N_MEANS).map(<[f32]>::to_vec).collect())
}

const N_POOLED: usize = 1280;
/// The widths of the maps of [`SHORTCUTS`].
const N_CHANNELS: [usize; 3] = [112, 192, 320];
const N_MEANS: usize = N_POOLED + N_CHANNELS[0] + N_CHANNELS[1] + N_CHANNELS[2];

/// What pictures are turned into before the regression.
struct Units {
    mean: Vec<f64>,
    deviation: Vec<f64>,
    /// The class head, centred over the classes: the softmax does not care.
    class_weight: Matrix,
    class_bias: Vec<f64>,
}

impl Units {
    /// Rows of means to `[n, N_MEANS + 1000]`.
    fn of(&self, means: &Matrix) -> Matrix {
        let logits = means.times_transposed(&self.class_weight);
        let n_cols = means.cols + logits.cols;
        let mut units = Matrix::zeros(means.rows, n_cols);
        for i in 0..means.rows {
            let row = units.row_mut(i);
            for (j, value) in means.row(i).iter().enumerate() {
                row[j] = (value - self.mean[j]) / self.deviation[j];
            }
            for (j, logit) in logits.row(i).iter().enumerate() {
                row[means.cols + j] = gelu(SLOPE * (logit + self.class_bias[j] - THRESHOLD));
            }
        }
        units
    }
}

/// Trains, and leaves `heads.gguf` in the cache.
pub fn run(cache: &Cache) -> Result<()> {
    let towers = build::towers(cache)?;
    let text = TextTower::new(&towers)?;
    let all = load(cache, "training.f32")?;
    let kept = unlike(&all, &load(cache, "evaluation.f32")?);
    let (examples, pooled): (Vec<Example>, Vec<Vec<f32>>) = (sources::training(cache)?.into_iter())
        .zip(all)
        .zip(kept)
        .filter(|((example, _), kept)| *kept && (example.title.is_some() || !example.keywords.is_empty()))
        .map(|(pair, _)| pair)
        .unzip();
    println!("{} pictures to learn from, after those like an evaluation picture are dropped", examples.len());
    let pooled = Matrix::from_rows(&pooled);

    let class_words = sources::classes(cache)?;
    let words = examples.iter().flat_map(|example| example.title.iter().chain(&example.keywords));
    let vectors = Vectors::new(
        words.chain(class_words.iter().flat_map(|(names, about)| names.iter().chain(about))),
        &text,
    )?;

    // Targets: centred unit vectors.
    let (mut targets, class_vectors) =
        (example_targets(&examples, &vectors), class_targets(&class_words, &vectors));
    let mut class_targets = class_vectors.clone();
    let centre: Vec<f64> =
        targets.mean_row().iter().zip(class_targets.mean_row()).map(|(a, b)| 0.5 * (a + b)).collect();
    for matrix in [&mut targets, &mut class_targets] {
        for i in 0..matrix.rows {
            let row = matrix.row_mut(i);
            subtract(row, &centre);
            unit(row);
        }
    }

    // The class head, and what the features are like.
    let values = |name: &str| -> Result<Vec<f64>> {
        Ok(towers.weights.tensor(name)?.to_f32().into_iter().map(f64::from).collect())
    };
    // It sees the pooled values alone.
    let mut class_weight = Matrix::zeros(1000, N_MEANS);
    for (i, weights) in values("vision.classifier.weight")?.chunks_exact(N_POOLED).enumerate() {
        class_weight.row_mut(i)[..N_POOLED].copy_from_slice(weights);
    }
    let mut class_bias = values("vision.classifier.bias")?;
    let mean_weight = class_weight.mean_row();
    (0..1000).for_each(|i| subtract(class_weight.row_mut(i), &mean_weight));
    let mean_bias = class_bias.iter().sum::<f64>() / 1000.0;
    class_bias.iter_mut().for_each(|bias| *bias -= mean_bias);
    let mean = pooled.mean_row();
    let mut centred = pooled.clone();
    (0..centred.rows).for_each(|i| subtract(centred.row_mut(i), &mean));
    let mut covariance = centred.transposed_times(&centred);
    covariance.values.iter_mut().for_each(|value| *value /= pooled.rows as f64);
    let deviation = (0..N_MEANS).map(|j| covariance.values[j * N_MEANS + j].sqrt() + 0.02).collect();
    let photo_mean = photo_mean(cache)?;
    let likeness = photo_likeness(&photo_mean, &mean, &covariance);
    let units = Units { mean, deviation, class_weight, class_bias };

    let (pseudo, classes) = pseudo_pictures(&centred, &units, &covariance, &photo_mean);
    let pseudo_targets: Vec<Vec<f64>> =
        classes.iter().map(|&class| class_targets.row(class).to_vec()).collect();
    let (pseudo, pseudo_targets) = (units.of(&pseudo), Matrix::from_rows(&pseudo_targets));
    let inputs = units.of(&pooled);

    let image = regress(&inputs, &targets, &pseudo, &pseudo_targets, &class_targets);
    let (mut embeddings, mut pseudo_embeddings) = (inputs.times(&image), pseudo.times(&image));
    let mut sightings = Sightings::default();
    for (row, Example { title, keywords, .. }) in examples.iter().enumerate() {
        let embedding = embeddings.row_mut(row);
        unit(embedding);
        title.iter().for_each(|title| sightings.add(title, 1.0, embedding));
        keywords.iter().for_each(|word| sightings.add(word, KEYWORD_WEIGHT, embedding));
    }
    for (row, &class) in classes.iter().enumerate() {
        let (names, description) = &class_words[class];
        let embedding = pseudo_embeddings.row_mut(row);
        unit(embedding);
        names.iter().take(N_CLASS_NAMES).for_each(|name| sightings.add(name, PSEUDO_SIGHTING, embedding));
        let weight = PSEUDO_SIGHTING * DESCRIPTION_WEIGHT;
        description.iter().for_each(|description| sightings.add(description, weight, embedding));
    }
    let text_head = TextHead::fit(&sightings, &vectors, &centre);
    let words = examples.iter().flat_map(|example| example.title.iter().chain(&example.keywords));
    let classes = (&class_vectors, mean_spread(words.collect(), &class_vectors, &vectors));
    write_heads(cache, &image, &units, &likeness, &text_head, classes)
}

/// The mean over photos of what is learned from, without a photo: a batch norm's scale and shift say how its values are
/// spread over those that the tower learned from.
fn photo_mean(cache: &Cache) -> Result<Vec<f64>> {
    let weights = pickle::read(&std::fs::read(cache.source(build::IMAGE_WEIGHTS)?)?)?;
    let values = |name: &str| -> Result<Vec<f64>> {
        Ok(weights.tensor(name)?.to_f32().into_iter().map(f64::from).collect())
    };
    let mut mean = Vec::with_capacity(N_MEANS);
    for (scale, shift) in values("_bn1.weight")?.into_iter().zip(values("_bn1.bias")?) {
        let scale = scale.abs() + 1e-6;
        // Of a normal distribution behind a ReLU; ReLU6 is the difference of two.
        let above = |mean: f64| {
            let z = mean / scale;
            scale * (gelu(z) + (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt())
        };
        mean.push(above(shift) - above(shift - 6.0));
    }
    // A stage's blocks add up, and nothing is between their last batch norm and the sum.
    for (first, last) in STAGES {
        let mut sum = values(&format!("_blocks.{first}._bn2.bias"))?;
        for block in first + 1..=last {
            let more = values(&format!("_blocks.{block}._bn2.bias"))?;
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
        mean.extend(sum);
    }
    Ok(mean)
}

/// First and last block of the stages that end with [`SHORTCUTS`].
const STAGES: [(usize, usize); 3] = [(8, SHORTCUTS[0]), (11, SHORTCUTS[1]), (15, SHORTCUTS[2])];

/// What tells photos from drawings: weights of the pooled values, and a bias. Drawings are at 0 on average, photos at 1.
///
/// Fisher's discriminant between the drawings' mean and [`photo_mean`], with the drawings' covariance, regularised by
/// `RIDGE` times the mean variance.
fn photo_likeness(photo_mean: &[f64], mean: &[f64], covariance: &Matrix) -> (Vec<f64>, f64) {
    const RIDGE: f64 = 10.0;
    let difference = photo_mean.iter().zip(mean).take(N_POOLED).map(|(photo, mean)| vec![photo - mean]);
    let difference = Matrix::from_rows(&difference.collect::<Vec<_>>());
    let mut within = Matrix::zeros(N_POOLED, N_POOLED);
    for i in 0..N_POOLED {
        within.row_mut(i).copy_from_slice(&covariance.row(i)[..N_POOLED]);
    }
    let variance = (0..N_POOLED).map(|i| within.row(i)[i]).sum::<f64>() / N_POOLED as f64;
    (0..N_POOLED).for_each(|i| within.row_mut(i)[i] += RIDGE * variance);
    let mut weights = within.solve(difference.clone()).values;
    let apart = dot(&weights, &difference.values);
    weights.iter_mut().for_each(|weight| *weight /= apart);
    let bias = -dot(&weights, &mean[..N_POOLED]);
    (weights, bias)
}

/// How words spread over the classes on average, each word once.
fn mean_spread(words: BTreeSet<&String>, classes: &Matrix, vectors: &Vectors) -> Vec<f64> {
    let rows: Vec<Vec<f64>> = words.into_iter().map(|word| vectors.get(word)).collect();
    let mut spread = Matrix::from_rows(&rows).times_transposed(classes);
    for i in 0..spread.rows {
        let row = spread.row_mut(i);
        row.iter_mut().for_each(|value| *value = (f64::from(build::CLASSES.sharpness) * *value).exp());
        let sum: f64 = row.iter().sum();
        row.iter_mut().for_each(|value| *value /= sum);
    }
    spread.mean_row()
}

/// Which training pictures are far from every evaluation picture, by the cosine of their centred pooled values.
fn unlike(training: &[Vec<f32>], evaluation: &[Vec<f32>]) -> Vec<bool> {
    let pooled = |rows: &[Vec<f32>]| {
        Matrix::from_rows(&rows.iter().map(|row| row[..N_POOLED].to_vec()).collect::<Vec<_>>())
    };
    let (mut training, mut evaluation) = (pooled(training), pooled(evaluation));
    let mean = training.mean_row();
    for matrix in [&mut training, &mut evaluation] {
        for i in 0..matrix.rows {
            let row = matrix.row_mut(i);
            if row.iter().any(|value| *value != 0.0) {
                subtract(row, &mean);
                unit(row);
            }
        }
    }
    let likeness = training.times_transposed(&evaluation);
    let is_kept = |i: usize| {
        let is_drawn = training.row(i).iter().any(|value| *value != 0.0);
        is_drawn && likeness.row(i).iter().all(|likeness| *likeness <= MAX_LIKENESS)
    };
    (0..training.rows).map(is_kept).collect()
}

/// The weighted mean of a picture's word vectors: the title first; rare keywords say more than common ones.
fn example_targets(examples: &[Example], vectors: &Vectors) -> Matrix {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    examples
        .iter()
        .flat_map(|example| &example.keywords)
        .for_each(|word| *counts.entry(word).or_default() += 1);
    let mut rows = Vec::new();
    for Example { title, keywords, is_emoji, .. } in examples {
        let rarity = |word: &String| match counts.get(word.as_str()) {
            Some(&count) if count <= 150 => 1.0 / (count as f64 + 1.0).sqrt(),
            _ => 0.05,
        };
        let rarities: f64 = keywords.iter().map(rarity).sum();
        let title_weight = if *is_emoji { 1.6 } else { 1.0 };
        let mut row = vec![0.0; vectors.width];
        title.iter().for_each(|title| vectors.add(&mut row, title, title_weight));
        keywords.iter().for_each(|word| vectors.add(&mut row, word, 0.9 * rarity(word) / rarities));
        let total =
            if title.is_some() { title_weight } else { 0.0 } + if keywords.is_empty() { 0.0 } else { 0.9 };
        row.iter_mut().for_each(|value| *value /= total);
        rows.push(row);
    }
    Matrix::from_rows(&rows)
}

/// A class is its common name, all its names, and half its description.
fn class_targets(classes: &[(Vec<String>, Option<String>)], vectors: &Vectors) -> Matrix {
    let target = |(names, description): &(Vec<String>, Option<String>)| {
        let mut row = vec![0.0; vectors.width];
        vectors.add(&mut row, &names[0], 1.0);
        names.iter().for_each(|name| vectors.add(&mut row, name, 1.0 / names.len() as f64));
        description.iter().for_each(|description| vectors.add(&mut row, description, 0.5));
        unit(&mut row);
        row
    };
    Matrix::from_rows(&classes.iter().map(target).collect::<Vec<_>>())
}

/// Each text's unit vector, computed once.
pub struct Vectors {
    pub by_text: BTreeMap<String, Vec<f32>>,
    pub width: usize,
}

impl Vectors {
    fn new<'a>(texts: impl Iterator<Item = &'a String>, tower: &TextTower) -> Result<Self> {
        let mut texts: Vec<String> = texts.cloned().collect();
        // Equal lengths side by side keep the packed batches small.
        texts.sort_by_cached_key(|text| (text.len(), text.clone()));
        texts.dedup();
        let vectors = tower.vectors(&texts)?;
        let width = vectors.first().map_or(0, Vec::len);
        Ok(Self { by_text: texts.into_iter().zip(vectors).collect(), width })
    }

    /// The vector of one of the texts.
    pub fn get(&self, text: &str) -> Vec<f64> {
        let vector = self.by_text.get(text);
        vector.map_or(vec![0.0; self.width], |vector| vector.iter().map(|value| f64::from(*value)).collect())
    }

    fn add(&self, row: &mut [f64], text: &str, weight: f64) {
        if let Some(vector) = self.by_text.get(text) {
            row.iter_mut().zip(vector).for_each(|(value, part)| *value += weight * f64::from(*part));
        }
    }
}

/// Means of imagined photos, and the class of each.
fn pseudo_pictures(
    centred: &Matrix,
    units: &Units,
    covariance: &Matrix,
    photo_mean: &[f64],
) -> (Matrix, Vec<usize>) {
    let mut random = Random(1);
    // Along this the class's logit rises by 1, and other features as they usually do with it.
    let mut directions = units.class_weight.times(covariance);
    for class in 0..directions.rows {
        let gain = dot(directions.row(class), units.class_weight.row(class));
        directions.row_mut(class).iter_mut().for_each(|value| *value /= gain);
    }
    let mut pooled = Matrix::zeros(N_PSEUDO, centred.cols);
    let mut classes = Vec::with_capacity(N_PSEUDO);
    for i in 0..N_PSEUDO {
        let (first, second) = (random.below(centred.rows), random.below(centred.rows));
        let (mix, amount) = (random.between(0.3, 0.9), random.between(0.25, 0.8));
        let (class, wanted) = (random.below(1000), random.between(6.0, 12.0));
        let length = (mix * mix + (1.0 - mix) * (1.0 - mix)).sqrt();
        let row = pooled.row_mut(i);
        for (j, value) in row.iter_mut().enumerate() {
            let mixed = centred.row(first)[j] * mix + centred.row(second)[j] * (1.0 - mix);
            *value = photo_mean[j] + amount * mixed / length;
        }
        let logit = dot(row, units.class_weight.row(class)) + units.class_bias[class];
        let missing = (wanted - logit).max(0.0);
        for (j, value) in row.iter_mut().enumerate() {
            *value += missing * directions.row(class)[j];
            // Behind a ReLU.
            if j < N_POOLED {
                *value = value.max(0.0);
            }
        }
        classes.push(class);
    }
    (pooled, classes)
}

/// Ridge regression around the start, then whitening: units to embeddings `[N_MEANS + 1000, width]`.
fn regress(
    inputs: &Matrix,
    targets: &Matrix,
    pseudo: &Matrix,
    pseudo_targets: &Matrix,
    classes: &Matrix,
) -> Matrix {
    let mut gram = inputs.transposed_times(inputs);
    gram.add(PSEUDO_WEIGHT, &pseudo.transposed_times(pseudo));
    let mut right = inputs.transposed_times(targets);
    right.add(PSEUDO_WEIGHT, &pseudo.transposed_times(pseudo_targets));
    for i in 0..gram.rows {
        let pull = inputs.rows as f64 * if i < N_MEANS { PULL.0 } else { PULL.1 };
        gram.values[i * gram.cols + i] += pull;
        if i >= N_MEANS {
            let start = classes.row(i - N_MEANS);
            right.row_mut(i).iter_mut().zip(start).for_each(|(value, start)| *value += pull * START * start);
        }
    }
    let weights = gram.solve(right);
    let mut embeddings = inputs.times(&weights);
    let mean = embeddings.mean_row();
    (0..embeddings.rows).for_each(|i| subtract(embeddings.row_mut(i), &mean));
    let mut covariance = embeddings.transposed_times(&embeddings);
    covariance.values.iter_mut().for_each(|value| *value /= inputs.rows as f64);
    weights.times(&covariance.symmetric_power(1e-3, WHITEN))
}

/// Bakes centring and deviations into the layers.
fn write_heads(
    cache: &Cache,
    weights: &Matrix,
    units: &Units,
    (likeness, likeness_bias): &(Vec<f64>, f64),
    text_head: &TextHead,
    (class_vectors, mean_spread): (&Matrix, Vec<f64>),
) -> Result<()> {
    let width = weights.cols;
    let mut means = Matrix::zeros(width, N_MEANS);
    let mut second = Matrix::zeros(width, N_HIDDEN);
    for i in 0..weights.rows {
        for (j, weight) in weights.row(i).iter().enumerate() {
            match i.checked_sub(N_MEANS) {
                None => means.row_mut(j)[i] = weight / units.deviation[i],
                Some(class) => second.row_mut(j)[class] = *weight,
            }
        }
    }
    let skip_bias = (0..width).map(|j| -dot(means.row(j), &units.mean)).collect();
    let part = |first: usize, len: usize| {
        let rows = (0..width).map(|j| means.row(j)[first..first + len].to_vec());
        Matrix::from_rows(&rows.collect::<Vec<_>>())
    };
    let mut first = Matrix::zeros(N_HIDDEN, N_POOLED);
    let mut first_bias = vec![0.0; N_HIDDEN];
    for (class, bias) in units.class_bias.iter().enumerate() {
        first_bias[class] = SLOPE * (bias - THRESHOLD);
        let row = first.row_mut(class).iter_mut().zip(units.class_weight.row(class));
        row.for_each(|(value, weight)| *value = SLOPE * weight);
    }
    // Behind the classes, for `models/classes.rs`; nothing else reads it.
    first.row_mut(units.class_bias.len()).copy_from_slice(likeness);
    first_bias[units.class_bias.len()] = *likeness_bias;
    let mut layers = vec![
        ("image_head.skip".to_owned(), part(0, N_POOLED), Some(skip_bias)),
        ("image_head.0".to_owned(), first, Some(first_bias)),
        ("image_head.1".to_owned(), second, None),
    ];
    let mut start = N_POOLED;
    for (block, n_channels) in SHORTCUTS.into_iter().zip(N_CHANNELS) {
        layers.push((format!("image_head.blocks.{block}"), part(start, n_channels), None));
        start += n_channels;
    }
    layers.extend(text_head.layers().map(|(name, weight, bias)| (name.to_owned(), weight, bias)));
    layers.push(("text_head.classes".to_owned(), class_vectors.clone(), None));
    let mut heads = Weights::default();
    heads.insert("text_head.spread", tensor(&[mean_spread.len()], &mean_spread)?);
    for (name, weight, bias) in layers {
        let shape = [weight.rows, weight.cols];
        heads.insert(format!("{name}.weight"), tensor(&shape, &weight.values)?);
        if let Some(bias) = bias {
            heads.insert(format!("{name}.bias"), tensor(&[bias.len()], &bias)?);
        }
    }
    build::save_heads(cache, &heads)
}

fn tensor(shape: &[usize], values: &[f64]) -> Result<Tensor> {
    let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
    Ok(Tensor::from_f32(shape, &values, Format::F32)?)
}
