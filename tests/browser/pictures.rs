//! Pictures in the page's decoders: the awkward ones give what they give natively, and Pillow's own set, too.

use crate::awkward;
use crate::golden::{crop_in, engine_page_in};
use crate::webdriver::Kind;
use cliplet::image::Preprocess;

/// Largest and mean difference of two crops.
fn difference(a: &[u8], b: &[u8]) -> (u8, f64) {
    assert_eq!(a.len(), b.len());
    let differences = || a.iter().zip(b).map(|(a, b)| a.abs_diff(*b));
    (differences().max().unwrap_or(0), differences().map(f64::from).sum::<f64>() / a.len() as f64)
}

/// What is wrong with the page's crop beside the command's. A canvas lays transparency under with an error of 1.
fn complaint(page: &Result<Vec<u8>, String>, native: Option<&[u8]>, is_lossy: bool) -> Option<String> {
    match (page, native) {
        (Ok(page), Some(native)) => {
            let (max, mean) = difference(page, native);
            let is_same = if is_lossy { max <= 12 && mean <= 1.0 } else { max <= 1 };
            (!is_same).then(|| format!("max {max}, mean {mean:.3}"))
        }
        (Err(_), None) => None,
        (Err(error), Some(_)) => Some(format!("the page refuses it: {error}")),
        (Ok(_), None) => Some("the page reads it".to_owned()),
    }
}

#[test]
fn awkward_files_give_the_page_what_they_give_the_command() {
    awkward_files_in(Kind::Chromium);
}

pub fn awkward_files_in(kind: Kind) {
    let folder = std::env::temp_dir().join(format!("cliplet-awkward-{kind:?}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let (server, browser) = engine_page_in(kind);
    server.mount("/awkward", &folder);
    let mut complaints = Vec::new();
    let all = awkward::all();
    assert!(all.len() >= 70, "only {}", all.len());
    for awkward::Awkward { name, bytes, picture } in all {
        std::fs::write(folder.join(&name), bytes).expect("a file");
        let page = crop_in(&browser, &format!("/awkward/{name}"));
        let native = picture.map(|picture| Preprocess::CLIP.crop(&picture).rgb);
        complaints.extend(complaint(&page, native.as_deref(), false).map(|what| format!("{name}: {what}")));
        // The control: the page's picture is compared, and not only its being there.
        if let Some(mut upside_down) = native {
            upside_down.reverse();
            assert!(complaint(&page, Some(&upside_down), false).is_some(), "{name} looks alike from below");
        }
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
    std::fs::remove_dir_all(folder).expect("the folder goes");
}

mod heavy {
    use super::{Kind, complaint, crop_in, engine_page_in};
    use crate::pillow_set::cases;
    use cliplet::image::{Preprocess, decode};

    #[test]
    fn pillows_pictures_give_the_page_what_they_give_the_command() {
        let (server, browser) = engine_page_in(Kind::Chromium);
        server.mount("/pillow", std::env::var_os("CLIPLET_PILLOW").expect("a folder"));
        let mut complaints = Vec::new();
        let mut others = Vec::new();
        for case in cases() {
            let crop = decode(&case.bytes).ok().map(|pixels| Preprocess::CLIP.crop(&pixels).rgb);
            let page = crop_in(&browser, &format!("/pillow/{}", case.name));
            let found = complaint(&page, crop.as_deref(), case.is_lossy())
                .map(|what| format!("{}: {what}", case.name));
            if case.may_sides_differ() { &mut others } else { &mut complaints }.extend(found);
        }
        assert!(complaints.is_empty(), "{complaints:#?}");
        assert_eq!(others.len(), 2, "the table says that more differ: {others:#?}");
    }
}
