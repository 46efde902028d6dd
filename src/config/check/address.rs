//! Addresses at destinations, each in its destination's own terms.

use super::super::problem::{Place, Problem};
use super::super::raw::At;
use super::super::settings::{DestinationKind, WebhookBody};
use super::Checking;
use crate::message::id::RuleName;
use crate::policy::mapping::Context;
use crate::policy::route::FolderName;
use crate::policy::template::{AddressFault, AddressForm, AddressTemplate, Field, Origin, Template};
use crate::policy::webhook::{Body, Preset, ntfy_topic};
use crate::wire::smtp::path::Mailbox;

impl Checking<'_> {
    /// Notes what is wrong with a rule's address.
    pub(super) fn address(
        &mut self,
        to: &At<Template>,
        kind: &DestinationKind,
        rule: &RuleName,
        context: &Context,
    ) {
        let form = kind.address_form();
        match form {
            AddressForm::Mailbox => self.mailbox(to, rule, context),
            AddressForm::Folder => self.folder(to, rule, context),
            AddressForm::Display => self.addressee(to, rule, context),
            AddressForm::NatsSubject
            | AddressForm::RoutingKey
            | AddressForm::MqttTopic
            | AddressForm::RedisStream
            | AddressForm::EventSubject => {
                let template = AddressTemplate::new(to.value.clone(), form);
                let constant = |field: Field| field.constant(rule, context).map(str::to_owned);
                let template = template.with_constants(constant);
                let fault = template.check().err();
                self.address_fault(fault, to.value.as_str(), form, &to.place)
                    .and_then(|()| self.topic(kind, (to.value.as_str(), &template.sample()), &to.place));
            }
        }
    }

    /// Notes what is wrong with an address that has no fields; `None` then.
    pub(super) fn constant_address(&mut self, to: &At<String>, kind: &DestinationKind) -> Option<()> {
        let form = kind.address_form();
        match form {
            AddressForm::Mailbox => match Mailbox::parse_ascii(&to.value) {
                Ok(_) => Some(()),
                Err(error) => {
                    self.problem(to.problem(error.to_string(), error.fix()));
                    None
                }
            },
            AddressForm::Folder => self.folder_name(&to.value, &to.place).map(drop),
            AddressForm::Display => self.is_addressee(&to.value, &to.place).then_some(()),
            AddressForm::NatsSubject
            | AddressForm::RoutingKey
            | AddressForm::MqttTopic
            | AddressForm::RedisStream
            | AddressForm::EventSubject => {
                self.address_fault(form.check(&to.value).err(), &to.value, form, &to.place)?;
                self.topic(kind, (&to.value, &to.value), &to.place)
            }
        }
    }

    /// Notes a fault of a broker's address, and whether there is none.
    pub(super) fn address_fault(
        &mut self,
        fault: Option<AddressFault>,
        written: &str,
        form: AddressForm,
        place: &Place,
    ) -> Option<()> {
        let Some(fault) = fault else { return Some(()) };
        let cause = format!("{written:?} is no {}: it {fault}", form.as_str());
        self.problem(Problem::new(place, cause, fix(fault, form)));
        None
    }

    /// Notes a topic that ntfy will never have, whatever stands in its fields, and whether there is none.
    pub(super) fn topic(
        &mut self,
        kind: &DestinationKind,
        (written, sample): (&str, &str),
        place: &Place,
    ) -> Option<()> {
        let DestinationKind::Webhook(webhook) = kind else { return Some(()) };
        let WebhookBody::Other(Body::Preset(Preset::Ntfy)) = webhook.body else { return Some(()) };
        let Err(fault) = ntfy_topic(sample) else { return Some(()) };
        let cause = if written == sample {
            format!("{written:?} is no topic: {fault}")
        } else {
            format!("{written:?} makes what is no topic, such as {sample:?}: {fault}")
        };
        self.problem(Problem::new(place, cause, "write one, for example `ups-alarms`"));
        None
    }

    /// An address must be the operator's alone: nothing a sender writes may name a recipient.
    fn mailbox(&mut self, to: &At<Template>, rule: &RuleName, context: &Context) {
        let Some(address) = to.value.constant(rule, context) else {
            let field =
                to.value.fields().find(|field| field.origin() != Origin::Operator).map_or("", Field::as_str);
            let cause =
                format!("{{{field}}} is not the operator's, and nothing from outside may become an address");
            let fix = "write the address; one rule for each sender can send to different ones. {host}, {site} and {rule} may stand here";
            self.problem(to.problem(cause, fix));
            return;
        };
        if let Err(error) = Mailbox::parse_ascii(&address) {
            let several: Vec<&str> = address.split([',', ';']).map(str::trim).collect();
            if several.len() > 1 && several.iter().all(|one| Mailbox::parse_ascii(one).is_ok()) {
                let fix = "write an entry of its own in `deliver` for each";
                self.problem(to.problem(format!("{address:?} is more than one address"), fix));
                return;
            }
            let fix = format!("{}; to drop these messages, use `discard:`", error.fix());
            self.problem(to.problem(error.to_string(), fix));
        }
    }

    /// A folder is one step below its Maildir. What senders write into its name, the Maildir makes harmless.
    fn folder(&mut self, to: &At<Template>, rule: &RuleName, context: &Context) {
        let name = to.value.constant(rule, context).unwrap_or_else(|| to.value.as_str().to_owned());
        self.folder_name(&name, &to.place);
    }

    /// The folder with this name.
    pub(super) fn folder_name(&mut self, name: &str, place: &Place) -> Option<FolderName> {
        let fault = match FolderName::new(name) {
            Ok(folder) => return Some(folder),
            Err(fault) => fault,
        };
        let fix = "write a plain word, for example `operator`";
        self.problem(Problem::new(place, format!("{name:?} cannot be a folder: it {fault}"), fix));
        None
    }
}

/// How to add an address, where one is missing; `None`: at a destination that nothing is known of.
pub(super) fn missing(form: Option<AddressForm>) -> String {
    match form {
        None | Some(AddressForm::Mailbox | AddressForm::Folder | AddressForm::Display) => {
            "add `to:` with a mail address for submission, a folder for a Maildir, a name for displays"
                .to_owned()
        }
        Some(form) => format!("add the {}, for example `to: {}`", form.as_str(), form.example()),
    }
}

fn fix(fault: AddressFault, form: AddressForm) -> String {
    let example = form.example();
    match fault {
        AddressFault::Empty => format!("write one, for example `{example}`"),
        AddressFault::TooLong(_) => format!("write a shorter one, for example `{example}`"),
        AddressFault::Control | AddressFault::Blank => {
            format!("write words without it, for example `{example}`")
        }
        AddressFault::EmptyToken => format!("join words by single dots, for example `{example}`"),
        AddressFault::Wildcard(_) => {
            format!("write it out, for example `{example}`")
        }
        AddressFault::Reserved => format!("begin with a word of your own, for example `{example}`"),
    }
}
