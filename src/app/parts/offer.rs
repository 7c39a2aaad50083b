//! The recommended model in a line: which, what it costs, one press.
//!
//! Invariant: what an offer costs stands beside its button, downloaded and kept.

use super::icon::Button;
use crate::app::hooks::use_language;
use crate::app::models::picker::Offer;
use crate::app::state::Action;
use crate::app::strings;
use yew::prelude::*;

#[derive(PartialEq, Properties)]
pub struct OfferProps {
    pub offer: Offer,
    #[prop_or_default]
    pub can_dismiss: bool,
    pub send: Callback<Action>,
}

/// One line: which model, what it costs, one press.
#[component]
pub fn OfferLine(props: &OfferProps) -> Html {
    use_language();
    let OfferProps { offer, send, .. } = props;
    let (state, icon, label) = match &offer.stored {
        Some(_) => ("stored", "check", strings::OFFER_USE),
        None => ("offered", "download", strings::OFFER_TAKE),
    };
    let about = Some(AttrValue::from(offer.name.clone()));
    html! {
        <section class="offer" data-testid="offer" data-state={state} data-id={offer.id.clone()} aria-label={strings::OFFER}>
            <p>{ strings::offer(offer) }</p>
            <Button {icon} {label} {about} testid="offer-take" onclick={send.reform(|_| Action::TakeOffer)} />
            if props.can_dismiss {
                <Button icon="close" label={strings::OFFER_DISMISS} testid="offer-dismiss" class="dismiss" has_text={false}
                    onclick={send.reform(|_| Action::DismissOffer)} />
            }
        </section>
    }
}
