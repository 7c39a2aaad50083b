//! The page.
//!
//! ```text
//! state     what the machines know, put together, and the actions between them (pure)
//! loading, notices, edits                 machines that all views share          (pure)
//! settings, share, strings                what is kept, linked, said             (pure)
//! language                                in which language it is said: tables, plural forms, numbers
//! given, export, history, window          what comes in, goes out, can be taken back; long lists (pure)
//! ranking   the view that ranks labels for a picture: its machines, its components
//! models    the view that finds and keeps models: its machine, its components
//! page      owns the reducer, wires hooks to components
//! hooks     effects: worker, storage, camera, drops, keys, motion
//! services  the browser's files, clipboard, storage, camera
//! parts     small pure components that views share
//! ```
//!
//! Invariant: a view has a folder: its machines, which are pure, and `view`, its components.
//! Invariant: components get props and emit actions; hooks alone have effects; services alone touch the browser.
//! Invariant: no inline style, no inline script, no raw HTML: the page runs under a strict content security policy.
//!
//! # What browser tests hold on to
//!
//! | `data-testid` | is |
//! |---|---|
//! | `file-input` | the hidden file input |
//! | `stage` | drop area; `data-view` = `empty`, `picture`, `camera` |
//! | `sample-NAME` | sample button: cat, coffee, rocket, astronaut, flower, … |
//! | `picture` | the `img` on the stage |
//! | `camera-open`, `camera-stop`, `camera-shoot`, `camera-switch`, `camera-mirror`, `camera-live` | camera buttons |
//! | `camera-video`, `live-rate`, `live-top` | the video and what lies over it |
//! | `label-input` | the field that adds labels |
//! | `chip` (`data-label`), `chip-edit`, `chip-remove` | one label; of many those in view |
//! | `label-count`, `label-filter` | over many labels: how many, and the field that finds some |
//! | `tray`, `tray-picture` (`data-name`), `tray-label` | pictures that came together, each with its best label |
//! | `preset-N` | preset buttons from 0 |
//! | `set` (`data-name`), `set-take`, `set-remove`, `set-keep`, `set-name` | the reader's own sets beside them |
//! | `results` | the ranking: `data-state` = `ready`, `ranking`, `settled`; a settled one has `data-question` |
//! | `result` | a line, of many those in view: `data-label`, `data-percent` (0 to 100), `data-none` on "none of these" |
//! | `winner`, `winner-percent`, `confidence` | the winner, large |
//! | `mode-softmax`, `mode-independent`, `has-none`, `none-help`, `template-N`, `template-add`, `template-remove` | how labels are compared (inside `more`) |
//! | `status` | badge: `data-engine` = `starting`, `loading`, `ready`, `failed`; `data-backend` |
//! | `loading`, `cancel` | the progress card and its button |
//! | `alert` | error message: `data-code` = the stable code; `retry`, `dismiss` inside |
//! | `notice` | message that is no error: `data-code` where it has one; `undo` inside |
//! | `cut-notice`, `unreadable-notice`, `same-notice`, `background-notice` | labels that the model reads in part, not at all, or as one; what was laid under the picture |
//! | `offer` (`data-id`) | the recommended model in a line, under the ranking and on top of `dialog-models`: `data-state` = `offered`, `stored`; `offer-take`, `offer-dismiss` inside |
//! | `offer-progress` | its download where it was asked for: `data-state` = `running`, `paused`; `offer-pause`, `offer-resume`, `offer-cancel` inside |
//! | `before-after` | the starter's answer beside its successor's: `data-state` = `waiting`, `compared`, `alone`; `before`, `after`, `take-back`, `trial-dismiss` inside |
//! | `badge-offer` | the recommended model in the badge |
//! | `sees-open`, `sees` | buttons on the stage and in the details that open `dialog-sees` |
//! | `sees-square` | there: `data-state` = `waiting`, `shown`; `data-size`; `sees-picture` (a canvas), `sees-size`, `sees-cut`, `sees-background` inside |
//! | `share`, `details`, `shortcuts`, `privacy` | header and footer buttons; each opens `dialog-NAME` (share copies) |
//! | `copy-table`, `copy-json`, `save-json`, `save-csv`, `save-picture`, `exported`, `models` | inside `dialog-details`; `models` and `status` open `dialog-models` |
//! | `model-starter`, `forget`, `model-use`, `model-delete`, `in-use`, `room` | there: what is on this device |
//! | `unfinished`, `unfinished-resume`, `unfinished-discard` | a download that was begun |
//! | `shelved` (`data-id`, `data-recommended`), `model-download`, `recommended` | a model of the curated list |
//! | `model-id`, `model-id-hint`, `model-id-download` | by id or address |
//! | `model-open`, `model-input` | from files |
//! | `model-options`, `format-q8_0` …, `hub`, `hub-hint`, `hub-reset` | how it is kept, where it comes from |
//! | `job` | what is under way: `data-state` = `running`, `paused`, `failed`; `job-figures`, `job-pause`, `job-resume`, `job-cancel`, `job-problem` (`data-code`) inside |
//! | `job-line` | the same in the header |
//! | `question`, `question-delete`, `question-keep` | asked before something is deleted |
//! | `model-back` | in a notice: back to the built-in model |
//! | `language` | the choice of the page's language; its value is the language that is spoken |
//! | `reads-english` | in another language than English: that the built-in model reads English labels |
//! | `keep-mine`, `take-theirs` | in the notice that another tab has other labels |

pub mod edits;
pub mod export;
pub mod given;
pub mod history;
pub mod language;
pub mod loading;
pub mod models;
pub mod notices;
pub mod ranking;
pub mod settings;
pub mod share;
pub mod state;
pub mod strings;
pub mod window;

#[cfg(feature = "web")]
mod hooks;
#[cfg(feature = "web")]
pub mod page;
#[cfg(feature = "web")]
mod parts;
#[cfg(feature = "web")]
mod services;
