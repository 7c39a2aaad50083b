//! What was measured on the photos, for people: a page of tables and a reliability plot.
//!
//! Invariant: every number comes from [`answers`](super::answers); nothing is typed in.

use super::answers::{
    self, Answer, Asked, Bin, CALIBRATION_ERROR, CLEAR_RIGHT, Figure, N_BINS, NONE_PRECISION, NONE_RECALL,
    RIGHT,
};
use super::photos::{Half, KINDS, PhotoSource};
use cliplet::models::Calibration;
use std::fmt::Write;

const HALVES: [(Half, &str); 2] = [(Half::Fit, "fit"), (Half::Test, "test")];

/// The table of both halves, in Markdown.
pub fn table(asked: &[Asked], calibration: &Calibration) -> String {
    let mut text = String::new();
    let n_photos = |half: Half| {
        let mut photos: Vec<usize> =
            asked.iter().filter(|asked| asked.half == half).map(|asked| asked.example.photo).collect();
        photos.dedup();
        photos.len()
    };
    let _ = writeln!(
        text,
        "| | fit ({} photos) | test ({} photos) |\n|---|---|---|",
        n_photos(Half::Fit),
        n_photos(Half::Test)
    );
    let mut row =
        |name: &str, kinds: &[&str], with_none: bool, figure: Figure, count: Option<fn(&Answer) -> bool>| {
            let cells = HALVES.map(|(half, _)| {
                let answers = answers::answers(asked, half, kinds, calibration, with_none);
                let n = count.map(|is_counted| answers.iter().filter(|answer| is_counted(answer)).count());
                let of = n.map(|n| format!(" of {n}")).unwrap_or_default();
                match (answers::interval(&answers, figure), figure as usize == CALIBRATION_ERROR as usize) {
                    (Some(found), true) => format!("{:.3} ({:.3}–{:.3})", found.value, found.low, found.high),
                    (Some(found), false) => format!(
                        "{:.1} %{of} ({:.1}–{:.1})",
                        100.0 * found.value,
                        100.0 * found.low,
                        100.0 * found.high
                    ),
                    (None, _) => "never said".to_owned(),
                }
            });
            let _ = writeln!(text, "| {name} | {} | {} |", cells[0], cells[1]);
        };
    let has_right = &KINDS[..4];
    row("label sets right, \"none of these\" on", has_right, true, RIGHT, Some(|answer| answer.has_right));
    row("label sets right, \"none of these\" off", has_right, false, RIGHT, Some(|answer| answer.has_right));
    for kind in has_right {
        row(&format!("… of the kind \"{kind}\", on"), &[kind], true, RIGHT, Some(|answer| answer.has_right));
        row(
            &format!("… of the kind \"{kind}\", off"),
            &[kind],
            false,
            RIGHT,
            Some(|answer| answer.has_right),
        );
    }
    row("misses answered \"none of these\"", &KINDS, true, NONE_RECALL, Some(|answer| !answer.has_right));
    row("\"none of these\" is right", &KINDS, true, NONE_PRECISION, Some(|answer| answer.is_none));
    row("\"A clear match\" is right", &KINDS, true, CLEAR_RIGHT, Some(|answer| answer.is_clear));
    row("calibration error, \"none of these\" on", &KINDS, true, CALIBRATION_ERROR, None);
    text
}

/// The sentence on the model's card.
pub fn sentence(asked: &[Asked], calibration: &Calibration) -> String {
    let answers = answers::answers(asked, Half::Test, &KINDS[..4], calibration, true);
    let found = answers::interval(&answers, RIGHT).unwrap_or_default();
    let [value, low, high] = [found.value, found.low, found.high].map(|share| 100.0 * share);
    format!(
        "Of {} sets of labels for ordinary photos that fitted nothing, {value:.0} % are answered right (95 % interval: {low:.0} \
         to {high:.0} %).",
        answers.len()
    )
}

/// The page that goes with the plot.
pub fn page(asked: &[Asked], calibration: &Calibration, packages: &[PhotoSource]) -> String {
    let source = |PhotoSource { package, licence, licence_source }: &PhotoSource| {
        format!("| {} {} | {licence} | {licence_source} |\n", package.name, package.version)
    };
    let sources: String = packages.iter().map(source).collect();
    format!(
        "# How good the starter's answers are\n\n\
         Measured on ordinary photos with label sets written by eye before any model had seen them: \
         `src/bin/starter/photos.json` names the packages, their licences, each photo and its labels. They are cut by photo: \
         the half \"fit\" fitted the temperature and the levels, the half \"test\" fitted nothing. No weight was trained on \
         either. Of each photo's five sets four hold a right label (different things, near neighbours, a person's own kinds \
         of words, free ones), and the fifth, the miss, holds none. In parentheses: 95 % intervals, bootstrapped by photo.\n\n\
         {}\n\
         The calibration error is the mean difference of the first line's probability and how often it is right, over \
         {N_BINS} bins of equally many answers, misses included.\n\n\
         ![How often first lines of about one probability are right](reliability.svg)\n\n\
         ## Where the photos are from\n\n\
         | package | licence of the photos | stated in |\n|---|---|---|\n{}",
        table(asked, calibration),
        sources
    )
}

/// Each point is a bin of answers: their mean probability, how often they are right, and beside it how many they are.
pub fn reliability_svg(asked: &[Asked], calibration: &Calibration) -> String {
    const SIDE: f64 = 360.0;
    const LEFT: f64 = 64.0;
    const TOP: f64 = 40.0;
    let x = |share: f64| LEFT + SIDE * share;
    let y = |share: f64| TOP + SIDE * (1.0 - share);
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 460 450\" role=\"img\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <title>How often first lines of about one probability are right</title>\n\
         <style>\n\
         .paper { fill: #ffffff } .ink { fill: #1d2129 } .line { stroke: #8a919e; fill: none }\n\
         .fit { fill: #b35900; stroke: #b35900 } .test { fill: #1f5fbf; stroke: #1f5fbf }\n\
         path.fit, path.test { fill: none; stroke-width: 1.5 }\n\
         @media (prefers-color-scheme: dark) {\n\
         .paper { fill: #16181d } .ink { fill: #e6e8ec }\n\
         .fit { fill: #ffb066; stroke: #ffb066 } .test { fill: #85b4ff; stroke: #85b4ff }\n\
         path.fit, path.test { fill: none }\n\
         }\n\
         </style>\n\
         <rect class=\"paper\" width=\"460\" height=\"450\"/>\n",
    );
    for tick in 0..=5 {
        let share = f64::from(tick) / 5.0;
        let _ = writeln!(
            svg,
            "<path class=\"line\" stroke-opacity=\"0.35\" d=\"M{:.1} {:.1}H{:.1}M{:.1} {:.1}V{:.1}\"/>\n\
             <text class=\"ink\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{} %</text>\n\
             <text class=\"ink\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{} %</text>",
            x(0.0),
            y(share),
            x(1.0),
            x(share),
            y(0.0),
            y(1.0),
            x(0.0) - 6.0,
            y(share) + 4.0,
            tick * 20,
            x(share),
            y(0.0) + 18.0,
            tick * 20,
        );
    }
    let _ = writeln!(
        svg,
        "<path class=\"line\" stroke-dasharray=\"4 4\" d=\"M{:.1} {:.1}L{:.1} {:.1}\"/>\n\
         <text class=\"ink\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">probability of the first line (mean of a bin)</text>\n\
         <text class=\"ink\" transform=\"translate(16 {:.1}) rotate(-90)\" text-anchor=\"middle\">how often it is right</text>",
        x(0.0),
        y(0.0),
        x(1.0),
        y(1.0),
        x(0.5),
        y(0.0) + 40.0,
        y(0.5),
    );
    for (i, (half, name)) in HALVES.into_iter().enumerate() {
        let answers = answers::answers(asked, half, &KINDS, calibration, true);
        let answers: Vec<&Answer> = answers.iter().collect();
        let bins = answers::bins(&answers);
        let points: Vec<String> =
            bins.iter().map(|bin| format!("{:.1} {:.1}", x(bin.probability), y(bin.share))).collect();
        let _ = writeln!(svg, "<path class=\"{name}\" d=\"M{}\"/>", points.join("L"));
        for Bin { n, probability, share } in &bins {
            let _ = writeln!(
                svg,
                "<circle class=\"{name}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\"><title>{name}: {n} answers at {:.1} %, {:.1} % \
                 right</title></circle>\n\
                 <text class=\"ink\" font-size=\"9\" x=\"{:.1}\" y=\"{:.1}\">{n}</text>",
                x(*probability),
                y(*share),
                100.0 * probability,
                100.0 * share,
                x(*probability) + 6.0,
                y(*share) + if i == 0 { -5.0 } else { 12.0 },
            );
        }
        let legend = 12.0 + 16.0 * i as f64;
        let _ = writeln!(
            svg,
            "<circle class=\"{name}\" cx=\"{:.1}\" cy=\"{legend:.1}\" r=\"4\"/>\n\
             <text class=\"ink\" x=\"{:.1}\" y=\"{:.1}\">{name}: {} answers, how many stands at each point</text>",
            LEFT + 10.0,
            LEFT + 20.0,
            legend + 4.0,
            answers.len(),
        );
    }
    svg.push_str("</svg>\n");
    svg
}
