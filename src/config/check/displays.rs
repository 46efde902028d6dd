//! Destinations of kind `netbios`: messages on legacy displays.

use super::super::problem::{Place, Problem};
use super::super::raw::{self, At};
use super::super::settings::{DestinationKind, Displays, Mode, Netbios, Unconfirmed};
use super::Checking;
use super::destinations::Destinations;
use crate::message::id::RuleName;
use crate::message::net_send::{Addressee, NetSend};
use crate::policy::mapping::{Action, Context, RuleSet};
use crate::policy::rate::Rate;
use crate::policy::template::Template;
use crate::wire::oem_text::CodePage;

impl Checking<'_> {
    pub(super) fn displays(&mut self, displays: raw::Displays) -> Displays {
        let raw::Displays { from, code_page, unconfirmed, max_text, rate, .. } = displays;
        let code_page = code_page.map(|page| page.value);
        let page = code_page.unwrap_or(CodePage::Cp850);
        let from = from.and_then(|from| match NetSend::new(&from.value, &Addressee::Everyone, "", page) {
            Ok(_) => Some(from.value),
            Err(error) => {
                let fix = "write a name of at most 15 characters that the displays can show";
                self.problem(from.problem(error.to_string(), fix));
                None
            }
        });
        Displays {
            from,
            code_page,
            unconfirmed: unconfirmed.map_or(Unconfirmed::Never, |unconfirmed| unconfirmed.value),
            max_text: self.max_text(max_text),
            rate: rate.map_or(Some(DEFAULT_RATE), |rate| rate.value.limit()),
        }
    }

    fn max_text(&mut self, written: Option<At<raw::Size>>) -> usize {
        let Some(At { value: raw::Size(bytes), place }) = written else { return DEFAULT_TEXT };
        match usize::try_from(bytes) {
            Ok(bytes) if (LEAST_TEXT..=MOST_TEXT).contains(&bytes) => bytes,
            Ok(_) | Err(_) => {
                let cause = format!("{bytes} bytes are no length for a message on a display");
                self.problem(Problem::new(&place, cause, "write a size from 64B to 16KiB"));
                DEFAULT_TEXT
            }
        }
    }

    /// The receiver that a rule names.
    pub(super) fn addressee(&mut self, to: &At<Template>, rule: &RuleName, context: &Context) {
        let Some(text) = to.value.constant(rule, context) else {
            let cause = "nothing that a sender writes may choose the display";
            let fix = "write the name; one rule for each sender can send to different ones. {host}, {site} and {rule} may stand here";
            self.problem(to.problem(cause, fix));
            return;
        };
        self.is_addressee(&text, &to.place);
    }

    /// Whether this names a receiver; what is wrong is noted.
    pub(super) fn is_addressee(&mut self, text: &str, place: &Place) -> bool {
        let fault = match text.parse::<Addressee>() {
            Err(error) => error.to_string(),
            // What its letters are in the displays' code page is not known here.
            Ok(addressee) if text.is_ascii() => match NetSend::new("X", &addressee, "", CodePage::Cp850) {
                Ok(_) => return true,
                Err(error) => error.to_string(),
            },
            Ok(_) => return true,
        };
        let fix = "write a name of at most 15 characters, `*` for everyone, or /domain:NAME for a workgroup";
        self.problem(Problem::new(place, format!("{text:?} is no receiver: {fault}"), fix));
        false
    }

    /// Displays are only reached in mode answer, and none of them is this gateway.
    pub(super) fn displays_are_others(
        &mut self,
        destinations: &Destinations,
        rules: &RuleSet,
        context: &Context,
        netbios: &Netbios,
    ) {
        for (destination, place) in &destinations.known {
            let (DestinationKind::Netbios(displays), Some(place)) = (&destination.kind, place) else {
                continue;
            };
            let Mode::Answer(claims) = &netbios.mode else {
                if !self.is_sound("netbios.mode") {
                    continue;
                }
                let fix = "write `netbios: { mode: answer }`: in mode observe not one NetBIOS packet is sent";
                self.incomplete(place, "sends to displays, which mode observe does not", fix);
                continue;
            };
            let page = displays.code_page.unwrap_or(CodePage::Cp850);
            for (rule, to) in receivers(rules, context, destination.name.as_str()) {
                let message = to.parse().ok().and_then(|to| NetSend::new("X", &to, "", page).ok());
                if message.is_some_and(|message| claims.has(message.destination_name())) {
                    let cause =
                        format!("gets messages of rule {rule:?} for {to}, a name of this gateway itself");
                    let fix = "name another receiver in that rule, or take the name out of `netbios`";
                    self.problem(Problem::subject(place, cause, fix));
                }
            }
        }
    }
}

/// The rules that deliver to a destination, each with whom it names there.
fn receivers<'r>(
    rules: &'r RuleSet,
    context: &'r Context,
    destination: &'r str,
) -> impl Iterator<Item = (&'r str, String)> {
    rules.rules().iter().flat_map(move |rule| {
        let deliveries = match rule.action() {
            Action::Deliver(deliveries) => deliveries.as_slice(),
            Action::Discard(_) => &[],
        };
        let targets = deliveries.iter().flat_map(|delivery| {
            let otherwise = delivery.otherwise.iter().map(|otherwise| (&otherwise.via, &otherwise.to));
            std::iter::once((&delivery.via, &delivery.to)).chain(otherwise)
        });
        let here = targets.filter(move |(via, _)| via.as_str() == destination);
        here.filter_map(move |(_, to)| {
            Some((rule.name().as_str(), to.template().constant(rule.name(), context)?))
        })
    })
}

const DEFAULT_TEXT: usize = 1 << 10;
const LEAST_TEXT: usize = 64;
const MOST_TEXT: usize = 16 << 10;
const DEFAULT_RATE: Rate = Rate { count: 30, period: std::time::Duration::from_secs(60) };
