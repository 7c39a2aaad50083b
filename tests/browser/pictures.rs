//! Pictures in the page's decoders: the awkward ones give what they give natively, and Pillow's own set, too.

use crate::awkward;
use crate::golden::{crop_in, engine_page};
use crate::webdriver::Browser;
use cliplet::image::Preprocess;

/// Largest and mean difference of two crops.
fn difference(a: &[u8], b: &[u8]) -> (u8, f64) {
    assert_eq!(a.len(), b.len());
    let differences = || a.iter().zip(b).map(|(a, b)| a.abs_diff(*b));
    (differences().max().unwrap_or(0), differences().map(f64::from).sum::<f64>() / a.len() as f64)
}

/// What is wrong with the page's crop beside the command's. A canvas lays transparency under with an error of 1.
fn complaint(browser: &Browser, address: &str, native: Option<&[u8]>, is_lossy: bool) -> Option<String> {
    match (crop_in(browser, address), native) {
        (Ok(page), Some(native)) => {
            let (max, mean) = difference(&page, native);
            let is_same = if is_lossy { max <= 12 && mean <= 1.0 } else { max <= 1 };
            (!is_same).then(|| format!("{address}: max {max}, mean {mean:.3}"))
        }
        (Err(_), None) => None,
        (Err(error), Some(_)) => Some(format!("{address}: the page refuses it: {error}")),
        (Ok(_), None) => Some(format!("{address}: the page reads it")),
    }
}

#[test]
fn awkward_files_give_the_page_what_they_give_the_command() {
    let folder = std::env::temp_dir().join(format!("cliplet-awkward-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let (server, browser) = engine_page();
    server.mount("/awkward", &folder);
    let mut complaints = Vec::new();
    let all = awkward::all();
    assert!(all.len() >= 70, "only {}", all.len());
    for awkward::Awkward { name, bytes, picture } in all {
        std::fs::write(folder.join(&name), bytes).expect("a file");
        let crop = picture.map(|picture| Preprocess::CLIP.crop(&picture).rgb);
        complaints.extend(complaint(&browser, &format!("/awkward/{name}"), crop.as_deref(), false));
        // The control: the page's picture is compared, and not only its being there.
        if let Some(mut crop) = crop {
            crop.reverse();
            let address = format!("/awkward/{name}");
            assert!(
                complaint(&browser, &address, Some(&crop), false).is_some(),
                "{name} looks alike from below"
            );
        }
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
    std::fs::remove_dir_all(folder).expect("the folder goes");
}

mod heavy {
    use super::{complaint, engine_page};
    use crate::pillow_set::cases;
    use cliplet::image::{Preprocess, decode};

    #[test]
    fn pillows_pictures_give_the_page_what_they_give_the_command() {
        let (server, browser) = engine_page();
        server.mount("/pillow", std::env::var_os("CLIPLET_PILLOW").expect("a folder"));
        let mut complaints = Vec::new();
        let mut others = Vec::new();
        for case in cases() {
            let crop = decode(&case.bytes).ok().map(|pixels| Preprocess::CLIP.crop(&pixels).rgb);
            let found =
                complaint(&browser, &format!("/pillow/{}", case.name), crop.as_deref(), case.is_lossy());
            if case.may_sides_differ() { &mut others } else { &mut complaints }.extend(found);
        }
        assert!(complaints.is_empty(), "{complaints:#?}");
        assert_eq!(others.len(), 2, "the table says that more differ: {others:#?}");
    }
}
