//! Measures a model on pictures that it has not learned from, in each weight format.
//!
//! Invariant: goes through the engine as the page does: stored weights, preprocessing, tokenizer, heads.

use super::photos::PhotoSet;
use super::sources::{self, Test};
use super::{Cache, Result, answers, build, features, report};
use cliplet::engine::{BackendChoice, Engine};
use cliplet::models::{Quantization, load_gguf, save_gguf};
use cliplet::tasks::{ImageEmbedding, LabelEmbedding};
use cliplet::tensor::Format;
use std::collections::BTreeSet;
use std::path::Path;

/// A photo's noun competes with the first nine of these that are not its own kind.
const COMMON_NOUNS: [&str; 12] =
    ["person", "cat", "dog", "car", "flower", "house", "book", "bird", "cup", "computer", "tree", "bicycle"];
const BIRDS: [&str; 13] = [
    "swan",
    "heron",
    "spoonbill",
    "kingfisher",
    "toucan",
    "northern harrier",
    "owl",
    "penguin",
    "duck",
    "chicken",
    "gosling",
    "scarlet macaw",
    "turkey",
];

/// Prints the tables, leaves a sentence on the shipped format for the model's card, and writes the page and the plot about
/// the photos.
pub fn run(cache: &Cache, output: &Path) -> Result<()> {
    photos(cache, output)?;
    drawings(cache)
}

/// Answers to label sets of ordinary photos.
fn photos(cache: &Cache, output: &Path) -> Result<()> {
    let calibration = build::checkpoint(cache)?.config.calibration;
    let asked = answers::ask(cache)?;
    println!("{}", report::table(&asked, &calibration));
    let folder = output.parent().and_then(Path::parent).unwrap_or(Path::new(".")).join("docs");
    std::fs::create_dir_all(&folder)?;
    let page = report::page(&asked, &calibration, &PhotoSet::load()?.packages);
    std::fs::write(folder.join("accuracy.md"), page)?;
    std::fs::write(cache.work("photos.txt"), report::sentence(&asked, &calibration))?;
    Ok(std::fs::write(folder.join("reliability.svg"), report::reliability_svg(&asked, &calibration))?)
}

/// Drawings with their own captions, and photos with the noun that names them.
fn drawings(cache: &Cache) -> Result<()> {
    let drawn = |tests: Vec<Test>| -> Vec<_> {
        tests.into_iter().filter_map(|test| Some((features::draw(&test.drawing).ok()?, test))).collect()
    };
    let (pictures, photos) = (drawn(sources::evaluation(cache)?), drawn(sources::photos(cache)?));
    let captions: BTreeSet<&str> = pictures.iter().map(|(_, test)| test.caption.as_str()).collect();
    println!("{} pictures with {} captions; {} photos\n", pictures.len(), captions.len(), photos.len());
    println!(
        "| weights | bytes | caption in top 10 | median rank | 1 of 10 categories | photos, 1 of 10 nouns |"
    );
    println!("|---|---|---|---|---|---|");
    let model = build::checkpoint(cache)?;
    let all = |format| (format, Quantization::all(format));
    let formats = [all(Format::F32), all(Format::F16), all(Format::Q8_0), all(Format::Q4_0)];
    let named = formats.map(|(format, quantization)| (format.to_string(), quantization));
    let eight = Quantization { token_table: Format::Q4_0, ..Quantization::all(Format::Q8_0) };
    let mixed = [("q8_0, tokens q4_0".to_owned(), eight), (SHIPPED.to_owned(), build::shipped())];
    for (name, quantization) in named.into_iter().chain(mixed) {
        let bytes = save_gguf(&model, &quantization)?;
        let engine = pollster::block_on(Engine::from_checkpoint(
            load_gguf(&bytes)?,
            bytes.len(),
            BackendChoice::Cpu,
            |_| {},
        ))?;
        let measured = pollster::block_on(measure(&engine, &pictures, &photos))?;
        let Measured { top_10, median_rank, categories, photos: nouns } = measured;
        println!(
            "| {name} | {} | {top_10:.1} % | {median_rank} | {categories:.1} % | {nouns:.1} % |",
            bytes.len()
        );
        if name == SHIPPED {
            let sentence = format!(
                "Of {} drawings that it never learned from, {top_10:.0} % have their own caption among the first ten \
                 of {} (median rank {median_rank}), and {categories:.0} % the right one of ten categories; of {} \
                 photos, {nouns:.0} % have the right one of ten nouns.",
                pictures.len(),
                captions.len(),
                photos.len(),
            );
            std::fs::write(cache.work("accuracy.txt"), sentence)?;
        }
    }
    Ok(())
}

const SHIPPED: &str = "shipped";

/// Shares in percent.
struct Measured {
    top_10: f64,
    median_rank: usize,
    categories: f64,
    photos: f64,
}

type Pictures = [(cliplet::image::Pixels, Test)];

async fn measure(engine: &Engine, pictures: &Pictures, photos: &Pictures) -> Result<Measured> {
    let mut images = Vec::new();
    for (pixels, _) in pictures.iter().chain(photos) {
        images.extend(engine.encode_images(&[engine.preprocess(pixels)]).await?);
    }
    let (images, photo_images) = images.split_at(pictures.len());

    let captions: BTreeSet<&str> = pictures.iter().map(|(_, test)| test.caption.as_str()).collect();
    let captions = labels(engine, captions, &["{label}"]).await?;
    let rank = |(image, (_, test)): (&ImageEmbedding, &(_, Test))| {
        let own = captions.iter().find(|label| label.label == test.caption)?.similarity(image);
        Some(1 + captions.iter().filter(|label| label.similarity(image) > own).count())
    };
    let mut ranks: Vec<usize> = images.iter().zip(pictures).filter_map(rank).collect();
    ranks.sort_unstable();
    let categories: BTreeSet<&str> = pictures.iter().filter_map(|(_, test)| test.category).collect();
    let categories = labels(engine, categories, &build::TEMPLATES).await?;
    let known: Vec<bool> = (images.iter().zip(pictures))
        .filter_map(|(image, (_, test))| Some(winner(image, categories.iter())? == test.category?))
        .collect();

    let nouns: BTreeSet<&str> =
        photos.iter().map(|(_, test)| test.caption.as_str()).chain(COMMON_NOUNS).collect();
    let nouns = labels(engine, nouns, &build::TEMPLATES).await?;
    let named: Vec<bool> = (photo_images.iter().zip(photos))
        .filter_map(|(image, (_, test))| {
            let noun = test.caption.as_str();
            let is_other = |other: &&str| *other != noun && !is_kind(noun, other);
            let others: Vec<&str> = COMMON_NOUNS.into_iter().filter(is_other).take(9).collect();
            let rivals = nouns.iter().filter(|l| l.label == noun || others.contains(&l.label.as_str()));
            Some(winner(image, rivals)? == noun)
        })
        .collect();
    let share = |n_right: usize, n: usize| 100.0 * n_right as f64 / n as f64;
    let of = |right: &[bool]| share(right.iter().filter(|right| **right).count(), right.len());
    Ok(Measured {
        top_10: share(ranks.iter().filter(|rank| **rank <= 10).count(), ranks.len()),
        median_rank: ranks[ranks.len() / 2],
        categories: of(&known),
        photos: of(&named),
    })
}

fn is_kind(noun: &str, kind: &str) -> bool {
    match kind {
        "bird" => BIRDS.contains(&noun),
        "cat" => noun == "kitten",
        "cup" => noun == "dishes",
        _ => false,
    }
}

async fn labels(engine: &Engine, names: BTreeSet<&str>, templates: &[&str]) -> Result<Vec<LabelEmbedding>> {
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let templates: Vec<String> = templates.iter().map(|template| (*template).to_owned()).collect();
    Ok(engine.embed_labels(&names, &engine.prompts(&templates)?).await?.readable)
}

fn winner<'a>(image: &ImageEmbedding, labels: impl Iterator<Item = &'a LabelEmbedding>) -> Option<&'a str> {
    let best = labels.max_by(|a, b| a.similarity(image).total_cmp(&b.similarity(image)));
    best.map(|label| label.label.as_str())
}
