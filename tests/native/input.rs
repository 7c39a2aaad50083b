//! What is given to the page and what leaves it: files, text, stored settings, exports; and the rows of long lists.

use cliplet::app::export::{self, Record, RecordModel};
use cliplet::app::given::{Given, GivenFile, Place, Taken};
use cliplet::app::settings::Settings;
use cliplet::app::window::Window;
use cliplet::facts::table::{Cell, Table};
use cliplet::facts::{Confidence, Mode, RankedLabel, RankedLabels};
use cliplet::image::FileKind;
use cliplet::text::TextError;
use cliplet::text::labels::{self, MAX_LABELS};
use proptest::prelude::*;

fn given(files: &[(&str, &str)], text: &str, is_table: bool) -> Given {
    let file = |(name, media_type): &(&str, &str)| GivenFile {
        name: name.to_string(),
        media_type: media_type.to_string(),
    };
    Given { files: files.iter().map(file).collect(), text: text.to_owned(), is_table }
}

fn pictures(pictures: &[usize], left_out: &[&str]) -> Taken {
    Taken::Pictures {
        pictures: pictures.to_vec(),
        left_out: left_out.iter().map(|name| name.to_string()).collect(),
    }
}

const PICTURE: (&str, &str) = ("image.png", "image/png");

#[test]
fn text_and_picture_together_mean_what_the_place_says() {
    let cells = "bus\ttrain\nvan\tx\n";
    let labels = Taken::Labels(cells.to_owned());
    // A spreadsheet's cells, which come with a picture of themselves.
    let table = given(&[PICTURE], cells, true);
    for place in [Place::Page, Place::LabelField] {
        assert_eq!(table.taken(place), labels, "{place:?}");
    }
    assert_eq!(table.taken(Place::OtherField), Taken::LeftToField);
    // No table, but the label field has the focus.
    assert_eq!(given(&[PICTURE], cells, false).taken(Place::LabelField), labels);
    assert_eq!(given(&[PICTURE], "one cell\r\n", true).taken(Place::LabelField), Taken::LeftToField);
    // A picture with a word on what it is.
    for place in [Place::Page, Place::OtherField] {
        assert_eq!(given(&[PICTURE], "a caption", false).taken(place), pictures(&[0], &[]));
    }
    // A file copied from a folder brings its name.
    for text in ["cat.jpg", "file:///home/me/cat.jpg"] {
        let copied = given(&[("cat.jpg", "image/jpeg")], text, false);
        assert_eq!(copied.taken(Place::LabelField), pictures(&[0], &[]), "{text}");
    }
}

#[test]
fn text_alone_becomes_labels_wherever_nothing_else_wants_it() {
    let text = |text: &str, place| given(&[], text, false).taken(place);
    assert_eq!(text("bus\ntrain", Place::Page), Taken::Labels("bus\ntrain".into()));
    assert_eq!(text("bus", Place::Page), Taken::Labels("bus".into()));
    assert_eq!(text("bus, train", Place::LabelField), Taken::Labels("bus, train".into()));
    assert_eq!(text("- bus", Place::LabelField), Taken::Labels("- bus".into()));
    assert_eq!(text("bus", Place::LabelField), Taken::LeftToField);
    assert_eq!(text("bus\ntrain", Place::OtherField), Taken::LeftToField);
    assert_eq!(text("https://example.org/cat.jpg", Place::Page), Taken::Address);
    assert_eq!(text("see https://example.org", Place::Page), Taken::Labels("see https://example.org".into()));
    for place in [Place::Page, Place::LabelField, Place::OtherField] {
        assert_eq!(text(" \n", place), Taken::Nothing);
    }
}

/// A folder's content comes with what its system left there.
#[test]
fn a_systems_own_files_are_neither_taken_nor_named() {
    let of_page = |files: &[(&str, &str)]| given(files, "", false).taken(Place::Page);
    let own =
        [("._cat.jpg", "image/jpeg"), (".DS_Store", ""), ("Thumbs.db", ""), ("desktop.ini", "text/plain")];
    let files = [&own[..], &[("cat.jpg", "image/jpeg"), ("notes.txt", "text/plain")]].concat();
    assert_eq!(of_page(&files), pictures(&[4], &["notes.txt"]));
    let files = [&own[..], &[("._mine.gguf", ""), ("mine.gguf", "")]].concat();
    assert_eq!(of_page(&files), Taken::Model { files: vec![5], left_out: Vec::new() });
    assert_eq!(of_page(&own), Taken::Nothing);
}

#[test]
fn of_several_files_none_is_left_out_without_a_word() {
    let taken = |files: &[(&str, &str)]| given(files, "", false).taken(Place::Page);
    let (cat, dog) = (("cat.jpg", "image/jpeg"), ("dog.HEIC", ""));
    assert_eq!(taken(&[cat, dog, PICTURE]), pictures(&[0, 2, 1], &[]));
    let json = ("notes.json", "application/json");
    assert_eq!(taken(&[json, cat]), pictures(&[1], &["notes.json"]));
    assert_eq!(taken(&[cat, ("labels.txt", "text/plain")]), pictures(&[0], &["labels.txt"]));
    assert_eq!(taken(&[("labels.csv", "text/csv")]), Taken::LabelFile(0));
    let model = |files: &[usize], left_out: &[&str]| Taken::Model {
        files: files.to_vec(),
        left_out: left_out.iter().map(|name| name.to_string()).collect(),
    };
    let weights = ("model.safetensors", "");
    assert_eq!(taken(&[weights, json, ("merges.txt", "text/plain")]), model(&[0, 1, 2], &[]));
    assert_eq!(taken(&[weights, json, cat]), model(&[0, 1], &["cat.jpg"]));
    assert_eq!(taken(&[json]), model(&[0], &[]));
    assert_eq!(taken(&[("config.json", ""), ("README", "")]), model(&[0, 1], &[]));
    assert_eq!(taken(&[]), Taken::Nothing);
}

#[test]
fn one_unknown_value_in_storage_takes_no_other_with_it() {
    let own = Settings {
        labels: vec!["axolotl".into(), "quokka".into()],
        templates: vec!["my {label}".into()],
        mode: Mode::Independent,
        is_mirrored: true,
        ..Settings::default()
    };
    let stored = serde_json::to_value(&own).unwrap();
    assert_eq!(Settings::read(&stored.to_string()), own);
    for (name, unknown) in [
        ("mode", serde_json::json!("by_committee")),
        ("format", serde_json::json!("q5_k")),
        ("has_none", serde_json::json!("yes")),
        ("model", serde_json::json!({"key": 7})),
        ("templates", serde_json::json!(null)),
        ("hub", serde_json::json!(["a"])),
        ("of_another_version", serde_json::json!({"x": 1})),
    ] {
        let mut changed = stored.clone();
        changed[name] = unknown.clone();
        let read = Settings::read(&changed.to_string());
        assert_eq!(read.labels, own.labels, "{name}");
        assert_eq!(read.is_mirrored, own.is_mirrored, "{name}");
        let default = serde_json::to_value(Settings::default()).unwrap();
        assert_eq!(
            serde_json::to_value(&read).unwrap().get(name),
            default.get(name),
            "{name} is as at the start"
        );
    }
    // Within what has parts, too.
    let mut changed = stored.clone();
    changed["earlier"] =
        serde_json::json!({"labels": ["mine"], "comparison": {"mode": "new", "has_none": false}});
    let earlier = Settings::read(&changed.to_string()).earlier.unwrap();
    assert_eq!(
        (earlier.labels, earlier.comparison.map(|comparison| comparison.has_none)),
        (vec!["mine".into()], Some(false))
    );
    changed["labels"] = serde_json::json!(["axolotl", null, 3, "quokka"]);
    assert_eq!(Settings::read(&changed.to_string()).labels, own.labels);
    changed["sets"] = serde_json::json!([{"name": "a", "labels": ["x", {}]}, {"labels": 7}]);
    let sets = Settings::read(&changed.to_string()).sets;
    assert_eq!((sets.len(), &sets[0].labels[..]), (1, &["x".to_owned()][..]));
    for nothing in [serde_json::json!(5), serde_json::json!({"comparison": "x"})] {
        changed["earlier"] = nothing;
        assert_eq!(Settings::read(&changed.to_string()).earlier, None, "nothing to come back");
    }
    for damaged in ["", "null", "[]", "{\"labels\": [\"a\""] {
        assert_eq!(Settings::read(damaged), Settings::default());
    }
}

#[test]
fn what_there_is_no_room_for_is_given_back() {
    let numbers = |range: std::ops::Range<usize>| range.map(|n| format!("label {n}")).collect::<Vec<_>>();
    let mut settings = Settings { labels: Vec::new(), ..Settings::default() };
    assert_eq!(settings.add(&numbers(0..MAX_LABELS - 1).join("\n")), Ok(MAX_LABELS - 1));
    let refused = settings.add("one more, \"and, another\", label 0, last").unwrap_err();
    assert_eq!(settings.labels.len(), MAX_LABELS);
    assert_eq!(settings.labels.last().map(String::as_str), Some("one more"));
    assert_eq!((refused.n_labels, refused.error), (2, TextError::ManyLabels { max: MAX_LABELS }));
    assert_eq!(labels::split(&refused.text), ["and, another", "last"]);
    // One that is too long keeps no other from being taken.
    let mut settings = Settings { labels: vec!["a".into()], ..Settings::default() };
    let long = "x".repeat(1001);
    let refused = settings.add(&format!("b, {long}, c")).unwrap_err();
    assert_eq!(settings.labels, ["a", "b", "c"]);
    assert_eq!(refused.text, long);
    let before = settings.clone();
    let refused = settings.rename(1, &format!("d, {long}")).unwrap_err();
    assert_eq!((settings, refused.text), (before, format!("d, {long}")));
}

fn record(picture: &str, label: &str) -> Record {
    let line = |label: Option<&str>, probability| RankedLabel {
        label: label.map(str::to_owned),
        probability,
        similarity: -0.25,
    };
    Record {
        picture: picture.into(),
        date: "2026-11-25T06:52:00.000Z".into(),
        model: RecordModel { name: "Starter".into(), file: "starter.gguf".into(), sha256: "0a".into() },
        templates: vec!["a photo of a {label}".into(), "{label}".into()],
        ranked: RankedLabels {
            mode: Mode::Softmax,
            labels: vec![line(Some(label), 0.75), line(None, 0.25)],
            confidence: Confidence::Likely,
        },
    }
}

#[test]
fn exports_say_what_was_asked() {
    let cat = record("cat, asleep.jpg", "cat");
    assert_eq!(
        export::to_table(std::slice::from_ref(&cat)).to_csv(),
        "label,probability,similarity,picture,model,templates,mode,date\r\n\
         cat,0.750000,-0.250000,\"cat, asleep.jpg\",Starter,a photo of a {label}; {label},softmax,2026-11-25T06:52:00.000Z\r\n\
         none of these,0.250000,-0.250000,\"cat, asleep.jpg\",Starter,a photo of a {label}; {label},softmax,2026-11-25T06:52:00.000Z\r\n"
    );
    let json: serde_json::Value =
        serde_json::from_str(&export::to_json(std::slice::from_ref(&cat)).unwrap()).unwrap();
    assert_eq!(json["picture"], "cat, asleep.jpg");
    assert_eq!(json["model"]["file"], "starter.gguf");
    assert_eq!(json["templates"][0], "a photo of a {label}");
    assert_eq!((&json["mode"], &json["date"]), (&"softmax".into(), &"2026-11-25T06:52:00.000Z".into()));
    assert_eq!(json["labels"][0]["label"], "cat");
    let both = [cat, record("dog.png", "dog")];
    let json: serde_json::Value = serde_json::from_str(&export::to_json(&both).unwrap()).unwrap();
    assert_eq!(json[1]["picture"], "dog.png");
    assert_eq!(export::to_table(&both).to_csv().lines().count(), 5);
    assert_eq!(export::file_name(&both[1..], "csv"), "dog-ranking.csv");
    assert_eq!(export::file_name(&both, "csv"), "ranking.csv");
    assert_eq!(export::file_name(&[record("../../.", "x")], "json"), "ranking.json");
    assert_eq!(export::file_name(&[record("../\u{1f408}\n/..", "x")], "json"), "\u{1f408}-ranking.json");
}

#[test]
fn tables_keep_each_text_in_its_cell() {
    let mut table = Table::new(&["label", "n"]);
    for text in ["a\tb", "a,b", "say \"hi\"", "two\nlines", "=1+1", "-x"] {
        table.push(vec![Cell::text(text), Cell::number(-0.5)]);
    }
    assert_eq!(
        table.to_csv(),
        "label,n\r\n\"a\tb\",-0.500000\r\n\"a,b\",-0.500000\r\n\"say \"\"hi\"\"\",-0.500000\r\n\"two\nlines\",-0.500000\r\n'=1+1,-0.500000\r\n'-x,-0.500000\r\n"
    );
    let tsv = table.to_tsv();
    assert!(tsv.contains("\"a\tb\"\t-0.500000\r\n") && tsv.contains("\r\na,b\t-0.500000"), "{tsv}");
}

#[test]
fn files_that_are_no_pictures_have_names() {
    let kinds: [(&[u8], Option<FileKind>); 22] = [
        (b"", Some(FileKind::Empty)),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", Some(FileKind::Jpeg)),
        (b"\x89PNG\r\n\x1a\n", Some(FileKind::Png)),
        (b"RIFF\0\0\0\0WEBPVP8 ", Some(FileKind::WebP)),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", Some(FileKind::Heic)),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1miaf", Some(FileKind::Avif)),
        (b"\0\0\0\x18ftypisom\0\0\0\0isomavc1", Some(FileKind::Video)),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", Some(FileKind::Video)),
        (b"\x1a\x45\xdf\xa3\x01\0\0\0", Some(FileKind::Video)),
        (b"RIFF\0\0\0\0AVI LIST", Some(FileKind::Video)),
        (b"II*\0\x08\0\0\0", Some(FileKind::Tiff)),
        (b"MM\0*\0\0\0\x08", Some(FileKind::Tiff)),
        (b"\xff\x0a\0\0", Some(FileKind::JpegXl)),
        (b"%PDF-1.7\n%\xe2\xe3", Some(FileKind::Pdf)),
        (b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>", Some(FileKind::Svg)),
        (b"\xef\xbb\xbf<?xml version=\"1.0\"?>\n<!-- x -->\n<SVG/>", Some(FileKind::Svg)),
        (b"<!DOCTYPE html><html><svg/></html>", Some(FileKind::WebPage)),
        (b"GIF89a", Some(FileKind::Gif)),
        (b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0", Some(FileKind::Bmp)),
        (b"no picture at all", None),
        (b"I wrote <svg> here", None),
        (b"\0\0\0", None),
    ];
    for (bytes, kind) in kinds {
        assert_eq!(FileKind::of(bytes), kind, "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn a_long_list_draws_what_is_in_view() {
    let window = Window { n_rows: 2000, row_height: 36.0, top: 3600.0, height: 360.0 };
    assert_eq!(window.rows(), 92..118);
    assert_eq!(window.top_that_shows(100), 3600.0);
    assert_eq!(window.top_that_shows(99), 3564.0);
    assert_eq!(window.top_that_shows(110), 3636.0);
    assert_eq!(
        Window { n_rows: 3, ..window }.rows(),
        0..3,
        "a list that became shorter than it was scrolled"
    );
}

proptest! {
    #[test]
    fn rows_in_view_are_drawn_and_the_list_keeps_its_height(
        n_rows in 0usize..5000, row_height in 1.0f64..80.0, top in -100.0f64..400_000.0, height in 0.0f64..2000.0,
    ) {
        let window = Window { n_rows, row_height, top, height };
        let rows = window.rows();
        let (above, below) = window.room();
        let whole = above + rows.len() as f64 * row_height + below;
        prop_assert!((whole - n_rows as f64 * row_height).abs() < 1e-6, "{rows:?} of {n_rows}: {whole}");
        prop_assert!(rows.end <= n_rows);
        for row in 0..n_rows {
            let (start, end) = (row as f64 * row_height, (row + 1) as f64 * row_height);
            if end > top && start < top + height {
                prop_assert!(rows.contains(&row), "{row} of {rows:?}");
            }
        }
        for row in [0, n_rows / 2, n_rows.saturating_sub(1)] {
            let top = window.top_that_shows(row);
            let start = row as f64 * row_height;
            prop_assert!(start >= top - 1e-6 || row_height > height);
            prop_assert!(start + row_height <= top + height + 1e-6 || row_height > height);
        }
    }
}

mod state {
    //! The page's state beside what is given to it.

    use super::super::page::{answer, answered, asked, edit, ready, show, told, with_labels};
    use cliplet::app::edits::Edit;
    use cliplet::app::history::Direction;
    use cliplet::app::notices::Notice;
    use cliplet::app::ranking::answer::Phase;
    use cliplet::app::ranking::stage::Picture;
    use cliplet::app::settings::{PRESETS, Settings};
    use cliplet::app::state::{Action, State, Whose};
    use cliplet::app::strings;
    use cliplet::facts::{Confidence, Mode};
    use cliplet::image::FileKind;
    use cliplet::worker::problem::{Code, Problem};
    use cliplet::worker::protocol::{Event, Question};

    fn on_stage(state: &State) -> Option<u64> {
        state.stage.picture.as_ref().map(|picture| picture.id)
    }

    fn unreadable() -> Problem {
        Problem::new(Code::PictureUnreadable, "no").of(Some(FileKind::Heic))
    }

    fn rejected(state: State) -> State {
        let id = asked(&state).id;
        told(state, Event::Rejected { id, problem: unreadable() })
    }

    #[test]
    fn a_wrong_file_takes_no_pictures_place() {
        let good = answered(show(ready(&["cat", "dog"]), 1), Confidence::Likely);
        let answer = good.ranking.answer.clone();
        // One wrong file after the other.
        let state = rejected(show(rejected(show(good, 2)), 3));
        assert_eq!((on_stage(&state), state.phase()), (Some(1), Phase::Settled));
        assert_eq!(state.ranking.answer, answer);
        assert_eq!(state.notices.problem, Some(unreadable()));
        assert!(state.payloads_in_use().contains(&Some(1)));
        // The worker is asked once more, as it has read another file since: the message outlasts that answer, not the next.
        let state = answered(state, Confidence::Likely);
        assert_eq!(state.notices.problem, Some(unreadable()));
        let state = answered(edit(state, Edit::Add("bird".into())), Confidence::Likely);
        assert_eq!(state.notices.problem, None);
        // With other labels than before the answer is no answer.
        let state = rejected(edit(show(state, 4), Edit::Add("fish".into())));
        assert_eq!((on_stage(&state), state.phase()), (Some(1), Phase::Ranking));
        assert_eq!(asked(&state).pictures, [1]);
        // Two wrong files before either was read.
        let state = rejected(show(show(answered(state, Confidence::Likely), 5), 6));
        assert_eq!(on_stage(&state), Some(1));
    }

    #[test]
    fn what_the_browser_cannot_draw_is_refused_before_there_is_a_model() {
        let state = show(show(State::new(with_labels(&["cat"])), 1), 2);
        let broken = |picture| Action::Broken { picture, problem: unreadable() };
        let state = state.after(broken(1));
        assert_eq!(on_stage(&state), Some(2), "it is not on the stage any more");
        let state = state.after(broken(2));
        assert_eq!((on_stage(&state), &state.notices.problem), (Some(1), &Some(unreadable())));
        // The worker's word counts where it was asked.
        let asking = show(ready(&["cat"]), 1).after(broken(1));
        assert_eq!(on_stage(&asking), Some(1));
    }

    #[test]
    fn several_pictures_are_kept_and_counted() {
        let picture = |id: u64| Picture { id, name: format!("{id}.png"), url: format!("blob:{id}") };
        let state = ready(&["cat"]).after(Action::ShowAll(vec![picture(1), picture(2), picture(3)]));
        assert_eq!((on_stage(&state), state.stage.tray.len()), (Some(1), 3));
        assert!(matches!(state.notices.latest(), Some(Notice::Counted(text)) if text.contains('3')));
        // One that cannot be read leaves the tray, and the stage to another.
        let state = answered(state, Confidence::Likely);
        let state = rejected(state.after(Action::Show(picture(2))));
        assert_eq!((on_stage(&state), state.stage.tray.len()), (Some(1), 2));
        let state = show(state, 9);
        assert_eq!(state.stage.tray.len(), 3, "another picture joins them");
        assert!([1, 3, 9].iter().all(|id| state.payloads_in_use().contains(&Some(*id))));
    }

    /// The answer to the question of the moment, for one of its pictures.
    fn answer_for(state: State, picture: u64) -> State {
        let question = asked(&state);
        assert!(question.pictures.contains(&picture), "{picture} of {:?}", question.pictures);
        let first = Question { pictures: vec![picture], ..question };
        told(state, answer(&first))
    }

    #[test]
    fn pictures_that_came_together_are_ranked_together() {
        let picture = |id: u64| Picture { id, name: format!("{id}.png"), url: format!("blob:{id}") };
        let state = ready(&["cat"]).after(Action::ShowAll(vec![picture(1), picture(2), picture(3)]));
        assert_eq!(asked(&state).pictures, [1, 2, 3]);
        let state = answer_for(answer_for(state, 1), 2);
        assert_eq!((state.phase(), state.stage.answers.len()), (Phase::Settled, 2));
        let id = asked(&state).id;
        let failed = told(state, Event::PictureFailed { id, picture: 3, problem: unreadable() });
        assert_eq!((failed.stage.tray.len(), on_stage(&failed)), (2, Some(1)));
        assert!(matches!(failed.notices.latest(), Some(Notice::Counted(text)) if text.contains("3.png")));
        // The next is there at once, and labels are for all.
        let second = failed.after(Action::Show(picture(2)));
        assert_eq!((second.phase(), &asked(&second).pictures[..]), (Phase::Settled, &[2, 1][..]));
        let edited = edit(second, Edit::Add("dog".into()));
        assert_eq!((edited.phase(), edited.stage.answers.len()), (Phase::Ranking, 0));
        let edited = answer_for(edited, 1);
        assert_eq!(edited.phase(), Phase::Ranking, "another picture's answer is not this one's");
        assert_eq!(answer_for(edited.clone(), 2).phase(), Phase::Settled);
        // The first of several that cannot be read leaves the stage to the next.
        let id = asked(&edited).id;
        let failed = told(edited.clone(), Event::PictureFailed { id, picture: 2, problem: unreadable() });
        assert_eq!((on_stage(&failed), &failed.notices.problem), (Some(1), &Some(unreadable())));
        let removed = edited.after(Action::ClearPicture);
        assert_eq!((on_stage(&removed), removed.stage.tray.len()), (Some(1), 0));
        assert_eq!(on_stage(&removed.after(Action::ClearPicture)), None);
    }

    #[test]
    fn labels_are_kept_under_names() {
        let state =
            edit(State::new(with_labels(&["bus", "train"])), Edit::KeepSet("  My \u{200b} fleet ".into()));
        let set = |state: &State| {
            state.settings.sets.iter().map(|set| (set.name.clone(), set.labels.len())).collect::<Vec<_>>()
        };
        assert_eq!(set(&state), [("My fleet".to_owned(), 2)]);
        let state = edit(edit(state, Edit::Add("van".into())), Edit::KeepSet("My fleet".into()));
        assert_eq!(set(&state), [("My fleet".to_owned(), 3)]);
        let state = edit(state, Edit::KeepSet(" ".into()));
        assert_eq!(set(&state)[1], ("bus".to_owned(), 3), "without a name the first label's");
        let stored = serde_json::to_string(&state.kept_settings()).unwrap();
        assert_eq!(Settings::read(&stored).sets, state.settings.sets);
        // Another tab's are this one's.
        let state = state.after(Action::Elsewhere(Box::new(with_labels(&["bus", "train", "van"]))));
        assert_eq!((set(&state), state.notices.latest()), (Vec::new(), None));
        let empty = edit(State::new(with_labels(&[])), Edit::KeepSet("x".into()));
        assert!(edit(empty, Edit::RemoveSet(3)).settings.sets.is_empty());
    }

    #[test]
    fn steps_go_back_and_forth_over_labels_and_pictures() {
        let step = |state: State, direction| state.after(Action::Step(direction));
        let (back, forth) = (Direction::Back, Direction::Forth);
        let state = show(ready(&["cat"]), 1);
        let state = edit(edit(state, Edit::Add("dog".into())), Edit::Mode(Mode::Independent));
        let state = show(state, 2);
        let state = step(state, back);
        assert_eq!((on_stage(&state), state.settings.mode), (Some(1), Mode::Independent));
        assert!(state.payloads_in_use().contains(&Some(2)), "what may come back is kept");
        let state = step(step(state, back), back);
        assert_eq!(
            (&state.settings.labels[..], state.settings.mode),
            (&["cat".to_owned()][..], Mode::Softmax)
        );
        let empty = step(state.clone(), back);
        assert_eq!(
            (on_stage(&empty), step(empty.clone(), back)),
            (None, empty),
            "the first step is the last back"
        );
        let state = step(step(step(state, forth), forth), forth);
        assert_eq!((on_stage(&state), state.settings.labels.len()), (Some(2), 2));
        assert_eq!(asked(&state).pictures, [2]);
        // Something new ends what was ahead; what changes nothing is no step.
        let state = edit(step(state, back), Edit::Add("bird".into()));
        assert_eq!(on_stage(&step(state.clone(), forth)), Some(1));
        let same = edit(edit(state, Edit::Add("bird".into())), Edit::IsMirrored(true));
        assert_eq!(step(same, back).settings.labels, ["cat", "dog"]);
    }

    #[test]
    fn pasted_text_becomes_labels_and_can_be_undone() {
        let of_preset = State::new(Settings::default());
        let pasted = edit(of_preset, Edit::Paste("1. bus\n2. train".into()));
        assert_eq!(pasted.settings.labels, ["bus", "train"]);
        assert_eq!(pasted.notices.latest(), Some(&Notice::Replaced(strings::LABELS_PASTED)));
        assert_eq!(pasted.after(Action::Undo).settings.labels, PRESETS[0].labels);
        let own = edit(State::new(with_labels(&["mine"])), Edit::Paste("bus, mine".into()));
        assert_eq!(own.settings.labels, ["mine", "bus"]);
        assert_eq!(own.after(Action::Undo).settings.labels, ["mine"]);
        let nothing = edit(State::new(Settings::default()), Edit::Paste(" , ".into()));
        assert_eq!((&nothing.settings.labels, nothing.notices.latest()), (&Settings::default().labels, None));
    }

    #[test]
    fn labels_without_room_come_back_once_each_time() {
        let state = State::new(with_labels(&["a"]));
        let long = "x".repeat(2000);
        let state = edit(state, Edit::Add(format!("b, {long}")));
        assert_eq!(state.settings.labels, ["a", "b"]);
        assert_eq!((state.n_refused, state.refused.as_ref().map(|refused| &refused.text)), (1, Some(&long)));
        let again = edit(state.clone(), Edit::Add(long));
        assert_eq!(again.n_refused, 2);
        assert_eq!(again.after(Action::DismissRefusal).refused, None);
        assert_eq!(edit(state, Edit::Add("c".into())).refused, None);
    }

    #[test]
    fn another_link_in_the_same_tab_is_taken_and_back_gives_back() {
        let own = Settings { mode: Mode::Independent, ..with_labels(&["mine"]) };
        let go = |state: State, fragment: &str| state.after(Action::GoTo(fragment.into()));
        let state = go(State::new(own.clone()), "#labels=first&score=softmax");
        assert_eq!(
            (&state.settings.labels[..], state.settings.mode),
            (&["first".to_owned()][..], Mode::Softmax)
        );
        assert!(state.is_borrowed());
        let state = go(state, "#labels=second");
        assert_eq!(state.settings.labels, ["second"]);
        assert_eq!(state.kept_settings(), own, "nothing of either link is kept");
        let back = go(state.clone(), "");
        assert_eq!((back.settings.clone(), back.is_borrowed()), (own.clone(), false));
        assert_eq!(state.after(Action::Undo).settings, own);
        // After an edit the labels are the person's, and an address without labels takes nothing.
        let edited = edit(go(back, "#labels=first"), Edit::Add("more".into()));
        assert_eq!(go(edited, "").settings.labels, ["first", "more"]);
        // An answer to the labels before is none.
        let settled = answered(show(ready(&["cat"]), 1), Confidence::Likely);
        assert_eq!(go(settled, "#labels=dog").phase(), Phase::Ranking);
    }

    #[test]
    fn another_tabs_labels_wait_for_the_reader() {
        let elsewhere = |state: State, settings: Settings| state.after(Action::Elsewhere(Box::new(settings)));
        let (mine, theirs) = (with_labels(&["mine"]), with_labels(&["theirs"]));
        let state = elsewhere(State::new(mine.clone()), Settings { is_mirrored: true, ..theirs.clone() });
        assert_eq!(
            (&state.settings.labels, state.notices.latest()),
            (&mine.labels, Some(&Notice::Elsewhere))
        );
        assert!(state.settings.is_mirrored, "what is no label's is taken");
        assert_eq!(state.kept_settings().labels, theirs.labels, "theirs are not overwritten");
        let taken = state.clone().after(Action::Decide(Whose::Theirs));
        assert_eq!(taken.settings.labels, theirs.labels);
        assert_eq!(taken.after(Action::Undo).settings.labels, mine.labels);
        let kept = state.clone().after(Action::Decide(Whose::Mine));
        assert_eq!((kept.kept_settings().labels, kept.notices.latest()), (mine.labels.clone(), None));
        // Who goes on here has decided.
        let edited = edit(state.clone(), Edit::Add("more".into()));
        assert_eq!(edited.kept_settings().labels, ["mine", "more"]);
        assert_eq!(edited.notices.latest(), None);
        // They came to agree.
        assert_eq!(elsewhere(state, mine.clone()).notices.latest(), None);
        // Under a link, which is not kept, the own labels are the other tab's from now on.
        let linked = State::with_shared(mine, with_labels(&["link"]));
        let linked = elsewhere(linked, theirs.clone());
        assert_eq!(
            (&linked.settings.labels[..], linked.kept_settings().labels),
            (&["link".to_owned()][..], theirs.labels)
        );
    }
}
