//! Labels as chips in one field.
//!
//! Invariant: everything that a pointer does here keys do too: Enter edits, Delete removes, Alt and arrows move.
//! Invariant: the Tab key stops at one chip, arrows go on from there; of many labels only those in view are drawn.

use super::is_composing;
use super::sets::Sets;
use crate::app::edits::Edit;
use crate::app::hooks::{use_language, use_window};
use crate::app::language;
use crate::app::parts::icon::{Button, icon, room};
use crate::app::settings::{LabelSet, Refused};
use crate::app::state::Action;
use crate::app::strings;
use crate::app::window::LONG;
use crate::text::labels;
use crate::worker::problem::Code;
use std::rc::Rc;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, HtmlInputElement};
use yew::prelude::*;

/// A press that moves less than this is a click.
const DRAG_PIXELS: i32 = 6;

#[derive(PartialEq, Properties)]
pub struct LabelFieldProps {
    pub labels: Vec<String>,
    pub sets: Vec<LabelSet>,
    /// Labels that could not be taken: they go back into the field.
    pub refused: Option<Refused>,
    pub n_refused: u32,
    pub input: NodeRef,
    /// The model reads English labels, and the page speaks another language.
    pub is_english_only: bool,
    /// What is told over the field.
    pub toasts: Html,
    pub send: Callback<Action>,
}

#[component]
pub fn LabelField(props: &LabelFieldProps) -> Html {
    use_language();
    let LabelFieldProps { labels, sets, refused, n_refused, input, send, .. } = props;
    let field = use_node_ref();
    let editing = use_state(|| None::<usize>);
    let filter = use_state(String::new);
    let drag = use_mut_ref(|| None::<Drag>);
    // The one chip that the Tab key stops at.
    let current = use_state(|| 0_usize);
    // Where the focus goes once that chip is drawn.
    let focus = use_mut_ref(|| None::<Target>);

    let n_labels = labels.len();
    let is_long = n_labels > LONG;
    let wanted = labels::key(filter.trim());
    let is_filtered = is_long && !wanted.is_empty();
    let shown: Rc<Vec<usize>> =
        use_memo((labels.clone(), wanted, is_filtered), |(labels, wanted, is_filtered)| {
            let is_shown = |idx: &usize| !is_filtered || labels::key(&labels[*idx]).contains(wanted);
            (0..labels.len()).filter(is_shown).collect()
        });
    let (window, onscroll) = use_window(&field, shown.len(), is_long);
    let drawn = if is_long { window.rows() } else { 0..shown.len() };
    let stop = shown[drawn.clone()].iter().find(|idx| **idx == *current).or(shown.get(drawn.start)).copied();

    {
        let (field, focus, input) = (field.clone(), focus.clone(), input.clone());
        use_effect(move || {
            let target = *focus.borrow();
            let found = match target {
                None => return,
                Some(Target::Input) => input.cast::<HtmlElement>(),
                Some(Target::Chip(idx)) => chip_text(&field, idx),
            };
            if let Some(found) = found {
                focus.take();
                drop(found.focus());
            }
        });
    }
    {
        let (input, text) = (input.clone(), refused.as_ref().map(|refused| refused.text.clone()));
        use_effect_with(*n_refused, move |_| {
            if let (Some(input), Some(text)) = (input.cast::<HtmlInputElement>(), text) {
                input.set_value(&text);
            }
        });
    }

    // To the chip at a place among those shown; behind the last comes the field.
    let go_to = {
        let (focus, field, shown, current) = (focus.clone(), field.clone(), shown.clone(), current.setter());
        let again = use_force_update();
        Rc::new(move |place: usize| {
            let target = shown.get(place).map_or(Target::Input, |idx| Target::Chip(*idx));
            focus.replace(Some(target));
            if let (Target::Chip(idx), Some(list)) = (target, field.cast::<Element>()) {
                current.set(idx);
                if is_long {
                    list.set_scroll_top(window.top_that_shows(place).round() as i32);
                }
            }
            again.force_update();
        })
    };
    let add = {
        let send = send.clone();
        Rc::new(move |input: &HtmlInputElement| {
            let text = input.value();
            input.set_value("");
            if !text.trim().is_empty() {
                send.emit(Action::Edit(Edit::Add(text)));
            }
        })
    };
    let onkeydown = {
        let (add, send, go_to, n_shown) = (add.clone(), send.clone(), go_to.clone(), shown.len());
        Callback::from(move |event: KeyboardEvent| {
            let input: HtmlInputElement = event.target_unchecked_into();
            match event.key().as_str() {
                _ if is_composing(&event) => {}
                "Enter" | "," | "，" | "、" | ";" | "；" => {
                    event.prevent_default();
                    add(&input);
                }
                "Backspace" if input.value().is_empty() && n_labels > 0 => {
                    event.prevent_default();
                    send.emit(Action::Edit(Edit::Remove(n_labels - 1)));
                }
                key if [language::arrows().0, "ArrowUp"].contains(&key)
                    && input.value().is_empty()
                    && n_shown > 0 =>
                {
                    event.prevent_default();
                    go_to(n_shown - 1);
                }
                "Escape" => input.set_value(""),
                _ => {}
            }
        })
    };
    // Keyboards of phones and input methods put a comma in without a key that says so.
    let add_at_comma = {
        let add = add.clone();
        Rc::new(move |input: &HtmlInputElement| {
            if input
                .value()
                .chars()
                .next_back()
                .is_some_and(|last| labels::has_separator(last.encode_utf8(&mut [0; 4])))
            {
                add(input);
            }
        })
    };
    let oninput = {
        let add_at_comma = add_at_comma.clone();
        Callback::from(move |event: InputEvent| {
            if !event.is_composing() {
                add_at_comma(&event.target_unchecked_into());
            }
        })
    };
    // The key that ends a composition, which is part of it when it goes down.
    let onkeyup = Callback::from(move |event: KeyboardEvent| {
        if !event.is_composing() {
            add_at_comma(&event.target_unchecked_into());
        }
    });
    let onblur = Callback::from(move |event: FocusEvent| add(&event.target_unchecked_into()));

    let chip = |place: usize| {
        let idx = shown[place];
        let label = &labels[idx];
        let is_editing = *editing == Some(idx);
        let edit = {
            let editing = editing.setter();
            Callback::from(move |_: ()| editing.set(Some(idx)))
        };
        let done = {
            let (editing, send, focus, old) = (editing.setter(), send.clone(), focus.clone(), label.clone());
            let shown = shown.clone();
            Callback::from(move |end: End| {
                editing.set(None);
                // By a key, the focus goes on from here; a label that was emptied gives it to the next.
                let text = match end {
                    End::Left(text) => text,
                    End::Taken(text) => {
                        let is_gone = labels::split(&text).is_empty();
                        focus.replace(Some(if is_gone {
                            successor(&shown, place)
                        } else {
                            Target::Chip(idx)
                        }));
                        text
                    }
                    End::Dropped => {
                        focus.replace(Some(Target::Chip(idx)));
                        return;
                    }
                };
                if text != old {
                    send.emit(Action::Edit(Edit::Rename { idx, text }));
                }
            })
        };
        let go = {
            let (focus, send, go_to, shown) = (focus.clone(), send.clone(), go_to.clone(), shown.clone());
            Callback::from(move |event: KeyboardEvent| {
                let step = |forward: bool| if forward { Some(place + 1) } else { place.checked_sub(1) };
                let (back, forth) = language::arrows();
                let to = match event.key().as_str() {
                    "ArrowUp" => step(false),
                    "ArrowDown" => step(true),
                    key if key == back => step(false),
                    key if key == forth => step(true),
                    "Home" => Some(0),
                    "End" => shown.len().checked_sub(1),
                    "Delete" | "Backspace" => {
                        event.prevent_default();
                        focus.replace(Some(successor(&shown, place)));
                        return send.emit(Action::Edit(Edit::Remove(idx)));
                    }
                    _ => return,
                };
                event.prevent_default();
                match to {
                    // Among those found, places are no places of the list.
                    Some(to) if event.alt_key() && !is_filtered && to < shown.len() => {
                        focus.replace(Some(Target::Chip(to)));
                        send.emit(Action::Edit(Edit::Reorder { from: idx, to }));
                    }
                    Some(to) if !event.alt_key() => go_to(to),
                    _ => {}
                }
            })
        };
        let onfocus = {
            let current = current.setter();
            Callback::from(move |_: FocusEvent| current.set(idx))
        };
        let remove = {
            let (focus, send, shown) = (focus.clone(), send.clone(), shown.clone());
            Callback::from(move |_: MouseEvent| {
                focus.replace(Some(successor(&shown, place)));
                send.emit(Action::Edit(Edit::Remove(idx)));
            })
        };
        let tabindex = if stop == Some(idx) { "0" } else { "-1" };
        html! {
            <li key={label.clone()} class={classes!("chip", is_editing.then_some("editing"))} data-testid="chip" data-label={label.clone()}
                data-row={idx.to_string()} aria-posinset={(idx + 1).to_string()} aria-setsize={n_labels.to_string()} onpointerdown={drag_start(idx, &drag)}>
                if is_editing {
                    <ChipEditor label={label.clone()} {done} />
                } else {
                    <button type="button" class="text" data-testid="chip-edit" {tabindex} title={strings::CHIP_KEYS} aria-description={strings::CHIP_KEYS}
                        onclick={edit.reform(|_: MouseEvent| ())} onkeydown={go} {onfocus} dir="auto">{ label }</button>
                    <button type="button" class="remove" data-testid="chip-remove" tabindex="-1" aria-label={strings::remove_label(label)}
                        onclick={remove}>{ icon("close") }</button>
                }
            </li>
        }
    };
    let clear =
        send.reform(|_| Action::Edit(Edit::Replace { labels: Vec::new(), why: strings::LABELS_CLEARED }));
    let focus_input = {
        let input = input.clone();
        Callback::from(move |event: MouseEvent| {
            let is_empty_space = event
                .target()
                .is_some_and(|target| target.unchecked_into::<Element>().matches(".chips").unwrap_or(false));
            if let Some(input) = input.cast::<HtmlElement>().filter(|_| is_empty_space) {
                drop(input.focus());
            }
        })
    };
    let on_filter = {
        let filter = filter.setter();
        Callback::from(move |event: InputEvent| {
            filter.set(event.target_unchecked_into::<HtmlInputElement>().value())
        })
    };
    let room = |pixels: f64, which: &'static str| {
        is_long.then(|| html! { <li key={which} class="room" role="presentation" aria-hidden="true">{ room(pixels) }</li> })
    };
    let (above, below) = window.room();
    html! {
        <section class="labels" aria-label={strings::LABELS}>
            <div class="labels-head" data-next="label-input">
                <label for="label-input">{ strings::LABELS }</label>
                if is_long {
                    <span class="hint count" data-testid="label-count" role="status">{ strings::labels_shown(shown.len(), n_labels) }</span>
                }
                if !labels.is_empty() {
                    <Button icon="trash" label={strings::LABELS_CLEAR} testid="clear" class="quiet" onclick={clear} />
                }
            </div>
            if is_long {
                <input type="search" class="field filter" data-testid="label-filter" aria-label={strings::LABELS_FIND} placeholder={strings::LABELS_FIND}
                    value={(*filter).clone()} autocomplete="off" autocapitalize="none" spellcheck="false" oninput={on_filter} />
            }
            <div class="label-bar">{ props.toasts.clone() }
            <ul class={classes!("chips", "field", is_long.then_some("long"))} ref={field.clone()} onclick={focus_input} {onscroll}
                onpointermove={drag_move(&field, &drag, send)} onpointerup={drag_end(&drag)} onpointercancel={drag_end(&drag)}>
                { room(above, " above") }
                { for drawn.map(chip) }
                { room(below, " below") }
                <li key="" class="chip-input"><input id="label-input" ref={input.clone()} type="text" data-testid="label-input"
                    placeholder={strings::LABEL_PLACEHOLDER} aria-describedby="label-hint" autocomplete="off" autocapitalize="none" spellcheck="false" enterkeyhint="done"
                    {onkeydown} {oninput} {onkeyup} {onblur} dir="auto" /></li>
            </ul>
            </div>
            if let Some(refused) = refused { { refusal(refused, send) } }
            <p class="sr" id="label-hint">{ strings::LABEL_HINT }</p>
            <Sets sets={sets.clone()} has_labels={!labels.is_empty()} send={send.clone()} />
            if props.is_english_only { <p class="hint" data-testid="reads-english">{ strings::READS_ENGLISH }</p> }
        </section>
    }
}

/// Why labels could not be taken, where they were typed.
fn refusal(refused: &Refused, send: &Callback<Action>) -> Html {
    let [title, todo] = strings::refused(refused);
    html! {
        <div class="message error" role="alert" data-testid="alert" data-code={Code::LabelsRefused.name()}>
            { icon("alert") }
            <div><p class="title">{ title }</p><p>{ todo }</p></div>
            <Button icon="close" label={strings::DISMISS} testid="dismiss" class="dismiss" has_text={false}
                onclick={send.reform(|_| Action::DismissRefusal)} />
        </div>
    }
}

/// Where the focus goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// The label at this place of the list.
    Chip(usize),
    Input,
}

/// What takes the place of the chip that is being removed.
fn successor(shown: &[usize], place: usize) -> Target {
    match (shown.get(place + 1), place.checked_sub(1).and_then(|before| shown.get(before))) {
        // The list moves up by one.
        (Some(next), _) => Target::Chip(next - 1),
        (None, Some(before)) => Target::Chip(*before),
        (None, None) => Target::Input,
    }
}

fn chip_text(field: &NodeRef, idx: usize) -> Option<HtmlElement> {
    let selector = format!("[data-row=\"{idx}\"] .text");
    field.cast::<Element>()?.query_selector(&selector).ok()??.dyn_into().ok()
}

#[derive(PartialEq, Properties)]
struct ChipEditorProps {
    label: String,
    done: Callback<End>,
}

/// How the editing of a chip ended, with its text.
enum End {
    /// The focus went elsewhere.
    Left(String),
    Taken(String),
    Dropped,
}

#[component]
fn ChipEditor(props: &ChipEditorProps) -> Html {
    use_language();
    let input = use_node_ref();
    // What ends the editing takes the field away, which is a leaving too.
    let done = {
        let (done, is_done) = (props.done.clone(), use_mut_ref(|| false));
        Callback::from(move |end: End| {
            if !is_done.replace(true) {
                done.emit(end);
            }
        })
    };
    {
        let input = input.clone();
        use_effect_with((), move |()| {
            if let Some(input) = input.cast::<HtmlInputElement>() {
                drop(input.focus());
                input.select();
            }
        });
    }
    let onkeydown = {
        let done = done.clone();
        Callback::from(move |event: KeyboardEvent| {
            let input: HtmlInputElement = event.target_unchecked_into();
            match event.key().as_str() {
                _ if is_composing(&event) => {}
                "Enter" => {
                    event.prevent_default();
                    done.emit(End::Taken(input.value()));
                }
                "Escape" => done.emit(End::Dropped),
                _ => {}
            }
        })
    };
    let onblur = Callback::from(move |event: FocusEvent| {
        done.emit(End::Left(event.target_unchecked_into::<HtmlInputElement>().value()));
    });
    let size = (props.label.chars().count() + 2).clamp(4, 40).to_string();
    html! {
        <input ref={input} type="text" class="chip-editor" data-testid="chip-editor" value={props.label.clone()} {size} aria-label={strings::LABELS}
            autocomplete="off" autocapitalize="none" spellcheck="false" {onkeydown} {onblur} dir="auto" />
    }
}

/// A chip held by the pointer.
struct Drag {
    idx: usize,
    from: (i32, i32),
    is_moving: bool,
}

type DragRef = Rc<std::cell::RefCell<Option<Drag>>>;

fn drag_start(idx: usize, drag: &DragRef) -> Callback<PointerEvent> {
    let drag = drag.clone();
    Callback::from(move |event: PointerEvent| {
        if event.button() == 0 {
            drag.replace(Some(Drag { idx, from: (event.client_x(), event.client_y()), is_moving: false }));
        }
    })
}

fn drag_move(field: &NodeRef, drag: &DragRef, send: &Callback<Action>) -> Callback<PointerEvent> {
    let (field, drag, send) = (field.clone(), drag.clone(), send.clone());
    Callback::from(move |event: PointerEvent| {
        let mut held = drag.borrow_mut();
        let Some(held) = held.as_mut() else { return };
        let (x, y) = (event.client_x(), event.client_y());
        if (x - held.from.0).abs().max((y - held.from.1).abs()) < DRAG_PIXELS && !held.is_moving {
            return;
        }
        let Some(field) = field.cast::<Element>() else { return };
        if !held.is_moving {
            held.is_moving = true;
            // The field, not the chip: the chip moves within the page, which would end its capture.
            drop(field.set_pointer_capture(event.pointer_id()));
        }
        let below = gloo::utils::document().element_from_point(x as f32, y as f32);
        let Some(below) = below.and_then(|below| below.closest(".chip").ok().flatten()) else { return };
        let to = below.get_attribute("data-row").and_then(|row| row.parse().ok());
        if let Some(to) = to.filter(|to| *to != held.idx) {
            send.emit(Action::Edit(Edit::Reorder { from: held.idx, to }));
            held.idx = to;
        }
    })
}

fn drag_end(drag: &DragRef) -> Callback<PointerEvent> {
    let drag = drag.clone();
    Callback::from(move |event: PointerEvent| {
        if drag.take().is_some_and(|held| held.is_moving) {
            event.prevent_default();
        }
    })
}
