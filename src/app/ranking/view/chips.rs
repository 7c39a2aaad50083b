//! Labels as chips in one field.
//!
//! Invariant: everything that a pointer does here keys do too: Enter edits, Delete removes, Alt and arrows move.

use crate::app::edits::Edit;
use crate::app::parts::icon::{Button, icon};
use crate::app::settings::PRESETS;
use crate::app::state::Action;
use crate::app::strings;
use std::rc::Rc;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, HtmlInputElement};
use yew::prelude::*;

/// A press that moves less than this is a click.
const DRAG_PIXELS: i32 = 6;

#[derive(PartialEq, Properties)]
pub struct LabelFieldProps {
    pub labels: Vec<String>,
    pub input: NodeRef,
    pub send: Callback<Action>,
}

#[component]
pub fn LabelField(props: &LabelFieldProps) -> Html {
    let LabelFieldProps { labels, input, send } = props;
    let field = use_node_ref();
    let editing = use_state(|| None::<usize>);
    let drag = use_mut_ref(|| None::<Drag>);
    // Where the focus goes after a key moved or removed a chip.
    let focus = use_mut_ref(|| None::<usize>);
    {
        let (field, focus, input) = (field.clone(), focus.clone(), input.clone());
        use_effect_with(labels.clone(), move |labels| {
            if let Some(idx) = focus.take() {
                focus_chip(&field, &input, idx, labels.len());
            }
        });
    }

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
        let (add, send, n_labels) = (add.clone(), send.clone(), labels.len());
        Callback::from(move |event: KeyboardEvent| {
            let input: HtmlInputElement = event.target_unchecked_into();
            match event.key().as_str() {
                _ if event.is_composing() => {}
                "Enter" | "," => {
                    event.prevent_default();
                    add(&input);
                }
                "Backspace" if input.value().is_empty() && n_labels > 0 => {
                    event.prevent_default();
                    send.emit(Action::Edit(Edit::Remove(n_labels - 1)));
                }
                "ArrowLeft" if input.value().is_empty() && n_labels > 0 => {
                    let chips = input.closest(".chips").ok().flatten();
                    focus_nth(chips.as_ref(), n_labels - 1);
                }
                "Escape" => input.set_value(""),
                _ => {}
            }
        })
    };
    let onpaste = {
        let send = send.clone();
        Callback::from(move |event: Event| {
            let Some(event) = event.dyn_ref::<web_sys::ClipboardEvent>() else { return };
            let text = event.clipboard_data().and_then(|data| data.get_data("text").ok()).unwrap_or_default();
            // One label is pasted like any text; a list becomes chips at once.
            if text.contains([',', '\n', '\t', '\r']) {
                event.prevent_default();
                send.emit(Action::Edit(Edit::Add(text)));
            }
        })
    };
    let onblur = Callback::from(move |event: FocusEvent| add(&event.target_unchecked_into()));

    let chip = |(idx, label): (usize, &String)| {
        let is_editing = *editing == Some(idx);
        let edit = {
            let editing = editing.setter();
            Callback::from(move |_: ()| editing.set(Some(idx)))
        };
        let done = {
            let (editing, send, focus, old) = (editing.setter(), send.clone(), focus.clone(), label.clone());
            Callback::from(move |text: Option<String>| {
                editing.set(None);
                if let Some(text) = text.filter(|text| *text != old) {
                    focus.replace(Some(idx));
                    send.emit(Action::Edit(Edit::Rename { idx, text }));
                }
            })
        };
        let go = {
            let (focus, send, n_labels) = (focus.clone(), send.clone(), labels.len());
            Callback::from(move |event: KeyboardEvent| chip_key(&event, idx, n_labels, &focus, &send))
        };
        html! {
            <li key={label.clone()} class={classes!("chip", is_editing.then_some("editing"))} data-testid="chip" data-label={label.clone()}
                onpointerdown={drag_start(idx, &drag)}>
                if is_editing {
                    <ChipEditor label={label.clone()} {done} />
                } else {
                    <button type="button" class="text" data-testid="chip-edit" title={strings::CHIP_KEYS} aria-description={strings::CHIP_KEYS}
                        onclick={edit.reform(|_: MouseEvent| ())} onkeydown={go}>{ label }</button>
                    <button type="button" class="remove" data-testid="chip-remove" tabindex="-1" aria-label={strings::remove_label(label)}
                        onclick={send.reform(move |_: MouseEvent| Action::Edit(Edit::Remove(idx)))}>{ icon("close") }</button>
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
    html! {
        <section class="labels" aria-label={strings::LABELS}>
            <div class="labels-head">
                <label for="label-input">{ strings::LABELS }</label>
                if !labels.is_empty() {
                    <Button icon="trash" label={strings::LABELS_CLEAR} testid="clear" class="quiet" onclick={clear} />
                }
            </div>
            <ul class="chips field" ref={field.clone()} onclick={focus_input} onpointermove={drag_move(&field, &drag, send)}
                onpointerup={drag_end(&drag)} onpointercancel={drag_end(&drag)}>
                { for labels.iter().enumerate().map(chip) }
                <li key="" class="chip-input"><input id="label-input" ref={input.clone()} type="text" data-testid="label-input"
                    placeholder={strings::LABEL_PLACEHOLDER} aria-describedby="label-hint" autocomplete="off" autocapitalize="none" spellcheck="false" enterkeyhint="done"
                    {onkeydown} {onpaste} {onblur} /></li>
            </ul>
            <p class="sr" id="label-hint">{ strings::LABEL_HINT }</p>
            <div class="presets" role="group" aria-label={strings::PRESETS}>
                { for PRESETS.iter().enumerate().map(|(n, preset)| {
                    let take = send.reform(move |_: MouseEvent| {
                        let labels = PRESETS[n].labels.iter().map(|label| label.to_string()).collect();
                        Action::Edit(Edit::Replace { labels, why: strings::LABELS_PRESET })
                    });
                    html! { <button type="button" class="preset" data-testid={format!("preset-{n}")} onclick={take}>{ preset.name }</button> }
                }) }
            </div>
        </section>
    }
}

#[derive(PartialEq, Properties)]
struct ChipEditorProps {
    label: String,
    /// The new text, or `None` if it stays.
    done: Callback<Option<String>>,
}

#[component]
fn ChipEditor(props: &ChipEditorProps) -> Html {
    let input = use_node_ref();
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
        let done = props.done.clone();
        Callback::from(move |event: KeyboardEvent| {
            let input: HtmlInputElement = event.target_unchecked_into();
            match event.key().as_str() {
                "Enter" if !event.is_composing() => {
                    event.prevent_default();
                    done.emit(Some(input.value()));
                }
                "Escape" => done.emit(None),
                _ => {}
            }
        })
    };
    let done = props.done.clone();
    let onblur = Callback::from(move |event: FocusEvent| {
        done.emit(Some(event.target_unchecked_into::<HtmlInputElement>().value()));
    });
    let size = (props.label.chars().count() + 2).clamp(4, 40).to_string();
    html! {
        <input ref={input} type="text" class="chip-editor" data-testid="chip-editor" value={props.label.clone()} {size} aria-label={strings::LABELS}
            autocomplete="off" autocapitalize="none" spellcheck="false" {onkeydown} {onblur} />
    }
}

fn chip_key(
    event: &KeyboardEvent,
    idx: usize,
    n_labels: usize,
    focus: &std::cell::RefCell<Option<usize>>,
    send: &Callback<Action>,
) {
    let step = match event.key().as_str() {
        "ArrowLeft" | "ArrowUp" => -1,
        "ArrowRight" | "ArrowDown" => 1,
        "Delete" | "Backspace" => {
            event.prevent_default();
            focus.replace(Some(idx));
            send.emit(Action::Edit(Edit::Remove(idx)));
            return;
        }
        _ => return,
    };
    event.prevent_default();
    let Some(to) = idx.checked_add_signed(step) else { return };
    if event.alt_key() && to < n_labels {
        focus.replace(Some(to));
        send.emit(Action::Edit(Edit::Reorder { from: idx, to }));
    } else if !event.alt_key() {
        let target: HtmlElement = event.target_unchecked_into();
        focus_nth(target.closest(".chips").ok().flatten().as_ref(), to);
    }
}

/// The chip at `idx`, or the input behind the last.
fn focus_nth(chips: Option<&Element>, idx: usize) {
    let found = chips.and_then(|chips| chips.children().item(idx as u32));
    let inner = found.and_then(|chip| chip.query_selector("button, input").ok().flatten());
    if let Some(inner) = inner {
        drop(inner.unchecked_into::<HtmlElement>().focus());
    }
}

fn focus_chip(field: &NodeRef, input: &NodeRef, idx: usize, n_labels: usize) {
    match n_labels {
        0 => drop(input.cast::<HtmlElement>().map(|input| input.focus())),
        n => focus_nth(field.cast::<Element>().as_ref(), idx.min(n - 1)),
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
        let chips = field.children();
        let to = (0..chips.length()).find(|idx| chips.item(*idx).as_ref() == Some(&below));
        if let Some(to) = to.map(|to| to as usize).filter(|to| *to != held.idx) {
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
