//! An answer as a picture: the photo with its bars, to be saved or given to other programs.
//!
//! Invariant: what leaves is what the reader sees: the photo as it is shown, and the first lines of the ranking.

use super::super::export::Record;
use super::super::strings;
use super::*;
use crate::facts::RankedLabel;
use web_sys::{FilePropertyBag, HtmlImageElement};

/// Widths of phones' screens.
const WIDTH: f64 = 1080.0;
/// The photo is no higher than wide, so that the bars are in view.
const MAX_PHOTO: f64 = 1080.0;
const MAX_LINES: usize = 5;
const MARGIN: f64 = 48.0;
const LINE: f64 = 88.0;
const BAR: f64 = 72.0;
const FOOT: f64 = 56.0;
const FONT: &str = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif";
/// The page's light theme.
const PAPER: &str = "#fffefb";
const INK: &str = "#1d1c19";
const SOFT: &str = "#5f5b53";
const EMPTY: &str = "#ece9e2";
const FILL: &str = "#c6e2dc";
const FIRST: &str = "#8ccabf";

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    Shared,
    Saved,
    /// The reader closed the sheet.
    Kept,
}

/// Draws the answer beside the photo at `url`, and gives it to the system's share sheet where there is one for files, else to
/// the browser as a download.
pub async fn give(url: &str, record: &Record, name: &str) -> Result<Given, JsValue> {
    let poster = draw_poster(url, record).await?;
    let options = FilePropertyBag::new();
    options.set_type("image/png");
    let file = web_sys::File::new_with_blob_sequence_and_options(&Array::of1(&poster), name, &options)?;
    let sheet = js_sys::Object::new();
    Reflect::set(&sheet, &"files".into(), &Array::of1(&file))?;
    let navigator: JsValue = gloo::utils::window().navigator().into();
    let call = |name: &str| -> Result<JsValue, JsValue> {
        Reflect::get(&navigator, &name.into())?.dyn_into::<js_sys::Function>()?.call1(&navigator, &sheet)
    };
    // Where there is no such function, there is no sheet.
    if call("canShare").is_ok_and(|can| can.is_truthy()) {
        let shared: js_sys::Promise = call("share")?.dyn_into()?;
        return match JsFuture::from(shared).await {
            Ok(_) => Ok(Given::Shared),
            Err(error) if error_name(&error) == "AbortError" => Ok(Given::Kept),
            Err(_) => save_blob(name, &file).map(|()| Given::Saved),
        };
    }
    save_blob(name, &file).map(|()| Given::Saved)
}

async fn draw_poster(url: &str, record: &Record) -> Result<Blob, JsValue> {
    let photo = HtmlImageElement::new()?;
    photo.set_src(url);
    JsFuture::from(photo.decode()).await?;
    let (width, height) =
        (f64::from(photo.natural_width()).max(1.0), f64::from(photo.natural_height()).max(1.0));
    let scale = (WIDTH / width).min(MAX_PHOTO / height);
    let (photo_width, photo_height) = (width * scale, height * scale);
    let lines = &record.ranked.labels[..record.ranked.labels.len().min(MAX_LINES)];
    let whole = photo_height + MARGIN + LINE * lines.len() as f64 + FOOT + MARGIN / 2.0;

    let canvas = OffscreenCanvas::new(WIDTH as u32, whole.ceil() as u32)?;
    let context: OffscreenCanvasRenderingContext2d =
        canvas.get_context("2d")?.ok_or("no 2d context")?.unchecked_into();
    context.set_fill_style_str(PAPER);
    context.fill_rect(0.0, 0.0, WIDTH, whole);
    context.set_fill_style_str(EMPTY);
    context.fill_rect(0.0, 0.0, WIDTH, photo_height);
    let left = (WIDTH - photo_width) / 2.0;
    context.draw_image_with_html_image_element_and_dw_and_dh(&photo, left, 0.0, photo_width, photo_height)?;
    context.set_text_baseline("middle");
    for (idx, line) in lines.iter().enumerate() {
        draw_line(&context, photo_height + MARGIN + LINE * idx as f64, line, idx == 0)?;
    }
    context.set_font(&format!("28px {FONT}"));
    context.set_fill_style_str(SOFT);
    context.set_text_align("left");
    let foot =
        fitting(&context, &format!("{} · {}", strings::NAME, record.model.name), WIDTH - 2.0 * MARGIN)?;
    context.fill_text(&foot, MARGIN, whole - MARGIN / 2.0 - FOOT / 2.0)?;
    JsFuture::from(canvas.convert_to_blob()?).await.map(JsCast::unchecked_into)
}

fn draw_line(
    context: &OffscreenCanvasRenderingContext2d,
    top: f64,
    RankedLabel { label, probability, .. }: &RankedLabel,
    is_first: bool,
) -> Result<(), JsValue> {
    let width = WIDTH - 2.0 * MARGIN;
    context.set_fill_style_str(EMPTY);
    context.fill_rect(MARGIN, top, width, BAR);
    context.set_fill_style_str(if is_first { FIRST } else { FILL });
    context.fill_rect(MARGIN, top, width * f64::from(*probability).clamp(0.0, 1.0), BAR);
    let (style, weight) = (if label.is_none() { "italic " } else { "" }, if is_first { 650 } else { 450 });
    context.set_font(&format!("{style}{weight} 38px {FONT}"));
    context.set_fill_style_str(INK);
    let percent = strings::percent(*probability);
    let room = width - 72.0 - context.measure_text(&percent)?.width();
    let name = fitting(context, strings::label_or_none(label.as_deref()), room)?;
    context.set_text_align("left");
    context.fill_text(&name, MARGIN + 24.0, top + BAR / 2.0)?;
    context.set_text_align("right");
    context.fill_text(&percent, WIDTH - MARGIN - 24.0, top + BAR / 2.0)
}

/// The beginning of a text that is no wider than this.
fn fitting(context: &OffscreenCanvasRenderingContext2d, text: &str, width: f64) -> Result<String, JsValue> {
    let chars: Vec<char> = text.chars().collect();
    let start = |n: usize| -> String {
        let rest = if n < chars.len() { "…" } else { "" };
        chars[..n].iter().collect::<String>() + rest
    };
    let (mut fits, mut too_many) = (0, chars.len() + 1);
    while too_many - fits > 1 {
        let n = (fits + too_many) / 2;
        if context.measure_text(&start(n))?.width() <= width { fits = n } else { too_many = n }
    }
    Ok(start(fits))
}
