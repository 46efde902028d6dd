//! Addresses at destinations, made of templates.
//!
//! What the operator writes stays as it is. What stands in braces becomes exactly one token of a subject, a routing key or
//! a topic, whatever it holds: no sender can add a token, leave one out, or write a wildcard.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::line::is_invisible;
use super::{Field, Part, Template, TemplateField};

/// What an address at a destination is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressForm {
    /// A mail address.
    Mailbox,
    /// A folder of a Maildir.
    Folder,
    /// A name of a display, a workgroup, or everybody.
    Display,
    /// Tokens joined by dots: `plant.ups.alarm`.
    NatsSubject,
    /// Words joined by dots (AMQP 0.9.1 §3.1.3.3).
    RoutingKey,
    /// Levels joined by slashes (MQTT 5 §4.7).
    MqttTopic,
    /// The key of a stream.
    RedisStream,
    /// The attribute `subject` of an event.
    EventSubject,
}

/// Why a text is no address of its form; it goes on after "is no NATS subject: it".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressFault {
    /// Nothing is there.
    #[error("is empty")]
    Empty,
    /// More than the protocol, or its servers, take.
    #[error("is longer than {0} bytes")]
    TooLong(usize),
    /// A character that nobody sees.
    #[error("has a control character")]
    Control,
    /// A blank, which ends a subject.
    #[error("has a blank")]
    Blank,
    /// Two separators side by side, or one at an end.
    #[error("has an empty token: a dot at its beginning or its end, or two side by side")]
    EmptyToken,
    /// What only readers may write.
    #[error("has the wildcard `{0}`, which only those who read may write")]
    Wildcard(char),
    /// `$SYS` and its like.
    #[error("begins with `$`, which is the broker's own")]
    Reserved,
}

impl AddressForm {
    /// For "… is no NATS subject".
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mailbox => "mail address",
            Self::Folder => "folder",
            Self::Display => "display",
            Self::NatsSubject => "NATS subject",
            Self::RoutingKey => "routing key",
            Self::MqttTopic => "MQTT topic",
            Self::RedisStream => "Redis stream",
            Self::EventSubject => "subject of an event",
        }
    }

    /// One that is right, for examples.
    #[must_use]
    pub const fn example(self) -> &'static str {
        match self {
            Self::Mailbox => "ops@example.com",
            Self::Folder => "operator",
            Self::Display => "OPERATOR",
            Self::NatsSubject | Self::RoutingKey => "plant.ups.alarm",
            Self::MqttTopic => "plant/ups/alarm",
            Self::RedisStream => "plant:ups",
            Self::EventSubject => "ups",
        }
    }

    /// Whether `address` may be sent to.
    ///
    /// # Errors
    /// The first [`AddressFault`]. Forms that are no broker's have checks of their own and are not looked at here.
    pub fn check(self, address: &str) -> Result<(), AddressFault> {
        let first_of = |letters: &[char]| address.chars().find(|letter| letters.contains(letter));
        let is_tokens = !address.split('.').any(str::is_empty);
        let wildcards: &[char] = match self {
            Self::Mailbox | Self::Folder | Self::Display => return Ok(()),
            Self::NatsSubject => &['*', '>'],
            Self::RoutingKey => &['*', '#'],
            Self::MqttTopic => &['+', '#'],
            Self::RedisStream | Self::EventSubject => &[],
        };
        if address.is_empty() {
            Err(AddressFault::Empty)
        } else if address.len() > self.most_octets() {
            Err(AddressFault::TooLong(self.most_octets()))
        } else if address.chars().any(char::is_control) {
            Err(AddressFault::Control)
        } else if self == Self::NatsSubject && address.contains(char::is_whitespace) {
            Err(AddressFault::Blank)
        } else if let Some(wildcard) = first_of(wildcards) {
            Err(AddressFault::Wildcard(wildcard))
        } else if self == Self::NatsSubject && !is_tokens {
            Err(AddressFault::EmptyToken)
        } else if matches!(self, Self::NatsSubject | Self::MqttTopic) && address.starts_with('$') {
            Err(AddressFault::Reserved)
        } else {
            Ok(())
        }
    }

    /// Octets of an address. A routing key is a short string; elsewhere it is our own bound, far below what brokers take.
    const fn most_octets(self) -> usize {
        match self {
            Self::RoutingKey => 255,
            Self::Mailbox
            | Self::Folder
            | Self::Display
            | Self::NatsSubject
            | Self::MqttTopic
            | Self::RedisStream
            | Self::EventSubject => 512,
        }
    }

    /// Whether what is sent there is an event; then fields are escaped.
    #[must_use]
    pub const fn is_of_event(self) -> bool {
        match self {
            Self::Mailbox | Self::Folder | Self::Display => false,
            Self::NatsSubject
            | Self::RoutingKey
            | Self::MqttTopic
            | Self::RedisStream
            | Self::EventSubject => true,
        }
    }

    /// Whether a character of a field stays as it is. `%` never does, since it begins what is escaped.
    fn keeps(self, letter: char) -> bool {
        let common = letter.is_alphanumeric() || matches!(letter, '-' | '_' | '@' | '=');
        match self {
            Self::EventSubject => !is_invisible(letter) && !matches!(letter, '%' | '/'),
            Self::MqttTopic | Self::RedisStream => common || matches!(letter, '.' | ','),
            Self::NatsSubject | Self::RoutingKey => common,
            Self::Mailbox | Self::Folder | Self::Display => true,
        }
    }

    /// Appends a field's value as one token.
    ///
    /// What the form does not keep becomes `%` and two hexadecimal digits for each octet of its UTF-8; the empty value
    /// becomes `%-`; of a value that would have more than [`MOST_TOKEN`] octets the beginning stays, and `%~` and a hash
    /// of all of it follow. So different values give different tokens.
    fn push_token(self, value: &str, out: &mut String) {
        if value.is_empty() {
            out.push_str(EMPTY_TOKEN);
            return;
        }
        let mut token = String::new();
        for letter in value.chars() {
            if self.keeps(letter) {
                token.push(letter);
            } else {
                let mut octets = [0; 4];
                for octet in letter.encode_utf8(&mut octets).bytes() {
                    // Writing to a String cannot fail.
                    write!(token, "%{octet:02X}").unwrap_or_default();
                }
            }
            if token.len() > MOST_TOKEN {
                shorten(&mut token, MOST_TOKEN, value);
                break;
            }
        }
        out.push_str(&token);
    }
}

/// A template whose text is an address at a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressTemplate<F: TemplateField = Field> {
    template: Template<F>,
    form: AddressForm,
}

impl<F: TemplateField> AddressTemplate<F> {
    /// The template for addresses of this form.
    #[must_use]
    pub const fn new(template: Template<F>, form: AddressForm) -> Self {
        Self { template, form }
    }

    /// The same address for every message.
    #[must_use]
    pub fn constant(address: &str, form: AddressForm) -> Self {
        Self { template: Template::literal(address), form }
    }

    /// The template itself.
    #[must_use]
    pub const fn template(&self) -> &Template<F> {
        &self.template
    }

    /// What it makes.
    #[must_use]
    pub const fn form(&self) -> AddressForm {
        self.form
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.template.as_str()
    }

    /// The address for one message. Of a form that has no tokens it is one line, as [`Template::render_line`] makes it.
    #[must_use]
    pub fn render(&self, values: F::Values<'_>) -> String {
        if !self.form.is_of_event() {
            return self.template.render_line(values);
        }
        let mut address = String::new();
        for part in &self.template.parts {
            match part {
                Part::Literal(text) => address.push_str(text),
                Part::Field(field) => {
                    field.with_value(values, |value| self.form.push_token(value, &mut address));
                }
            }
        }
        if address.len() > self.form.most_octets() {
            let whole = address.clone();
            shorten(&mut address, self.form.most_octets(), &whole);
        }
        address
    }

    /// With the values that are the same for every message put in; what [`Self::as_str`] gives stays.
    #[must_use]
    pub fn with_constants(self, constant: impl Fn(F) -> Option<String>) -> Self {
        let Self { template: Template { source, parts }, form } = self;
        let put_in = |part| match part {
            Part::Field(field) => match constant(field) {
                Some(value) if form.is_of_event() => {
                    let mut token = String::new();
                    form.push_token(&value, &mut token);
                    Part::Literal(token.into())
                }
                Some(value) => Part::Literal(value.into()),
                None => Part::Field(field),
            },
            literal @ Part::Literal(_) => literal,
        };
        let parts = Vec::from(parts).into_iter().map(put_in).collect();
        Self { template: Template { source, parts }, form }
    }

    /// Whether what it makes may be sent to, with `x` for every field.
    ///
    /// # Errors
    /// [`AddressForm::check`].
    pub fn check(&self) -> Result<(), AddressFault> {
        self.form.check(&self.sample())
    }

    /// What it makes, with `x` for every field: what is wrong with this is wrong with every address that it makes.
    #[must_use]
    pub fn sample(&self) -> String {
        let of = |part: &Part<F>| match part {
            Part::Literal(text) => text.to_string(),
            Part::Field(_) => "x".to_owned(),
        };
        self.template.parts.iter().map(of).collect()
    }
}

/// Cuts `text` so that a mark and a hash of `whole` fit behind it.
fn shorten(text: &mut String, most: usize, whole: &str) {
    let end = text.floor_char_boundary(most.saturating_sub(MARK_LENGTH));
    text.truncate(end);
    if let Some(escape) = text.rfind('%')
        && end.saturating_sub(escape) < ESCAPE_LENGTH
    {
        text.truncate(escape);
    }
    text.push_str(CUT_MARK);
    for octet in Sha256::digest(whole).iter().take(HASH_OCTETS) {
        // Writing to a String cannot fail.
        write!(text, "{octet:02x}").unwrap_or_default();
    }
}

/// Octets of a token that a field makes. NetBIOS names have 15, which may be three each.
const MOST_TOKEN: usize = 128;
/// A token for the value that has no characters.
const EMPTY_TOKEN: &str = "%-";
/// What stands between the beginning of a value and its hash.
const CUT_MARK: &str = "%~";
const HASH_OCTETS: usize = 12;
const MARK_LENGTH: usize = CUT_MARK.len() + 2 * HASH_OCTETS;
/// `%XX`
const ESCAPE_LENGTH: usize = 3;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::message::id::RuleName;
    use crate::policy::mapping::tests::{context, notice};
    use crate::policy::template::{MailField, MailValues, Values};
    use crate::wire::smtp::path::Mailbox;

    const OF_BROKERS: [AddressForm; 5] = [
        AddressForm::NatsSubject,
        AddressForm::RoutingKey,
        AddressForm::MqttTopic,
        AddressForm::RedisStream,
        AddressForm::EventSubject,
    ];

    fn render(form: AddressForm, template: &str, originator: &str) -> String {
        let mut notice = notice();
        notice.originator = originator.to_owned().into();
        let rule = RuleName::new("ups").unwrap();
        let context = context();
        let template = AddressTemplate::<Field>::new(Template::parse(template).unwrap(), form);
        template.render(Values { notice: &notice, rule: &rule, context: &context })
    }

    #[test]
    fn the_operators_words_stay_and_a_name_is_one_token() {
        for (form, template, originator, expected) in [
            (AddressForm::NatsSubject, "plant.{originator}.alarm", "UPS-1", "plant.UPS-1.alarm"),
            (AddressForm::NatsSubject, "plant.{originator}", "a.b>*", "plant.a%2Eb%3E%2A"),
            (AddressForm::NatsSubject, "{originator}.x", "$SYS", "%24SYS.x"),
            (AddressForm::NatsSubject, "{host}", "", "gw1%2Eplant%2Eexample"),
            (AddressForm::NatsSubject, "plant.{originator}", "", "plant.%-"),
            (AddressForm::RoutingKey, "plant.{originator}", "a.#", "plant.a%2E%23"),
            (AddressForm::MqttTopic, "plant/{originator}/x", "../+/#", "plant/..%2F%2B%2F%23/x"),
            (AddressForm::MqttTopic, "{originator}/x", "$share", "%24share/x"),
            (AddressForm::RedisStream, "plant:{originator}", "{a}:b*", "plant:%7Ba%7D%3Ab%2A"),
            (AddressForm::EventSubject, "ups/{originator}", "a b/\r\nc", "ups/a b%2F%0D%0Ac"),
            (AddressForm::NatsSubject, "{originator}", "100%", "100%25"),
            (AddressForm::NatsSubject, "{originator}", "工場Ｂ", "工場Ｂ"),
        ] {
            assert_eq!(render(form, template, originator), expected);
        }
    }

    #[test]
    fn no_name_breaks_an_address_and_different_names_give_different_ones() {
        let long = |letter: &str| letter.repeat(300);
        let names = [
            "",
            " ",
            "%-",
            "%2E",
            ".",
            "..",
            "*",
            ">",
            "#",
            "+",
            "$",
            "/",
            "\0",
            "\r\n",
            "\u{85}",
            "\u{202E}",
            "a",
            "A",
            "a.b",
            "a%2Eb",
            "a/b",
            ":",
            "{",
            "}",
            "[",
            "é",
            "e\u{301}",
            "電",
            "\u{10FFFF}",
            "%~",
            "~",
            &long("a"),
            &long("b"),
            &format!("{}c", long("a")),
            &long("電"),
            &long("\u{1}"),
            &long("%"),
        ];
        for form in OF_BROKERS {
            let mut made = HashSet::new();
            for name in names {
                let address = render(form, "a.{originator}.z", name);
                assert_eq!(form.check(&address), Ok(()), "{form:?} {name:?} {address:?}");
                assert!(address.starts_with("a.") && address.ends_with(".z"), "{address:?}");
                if matches!(form, AddressForm::NatsSubject | AddressForm::RoutingKey) {
                    assert_eq!(address.split('.').count(), 3, "{address:?}");
                }
                assert_eq!(address.matches('/').count(), 0, "{address:?}");
                assert!(made.insert(address.clone()), "{form:?} {name:?} {address:?}");
            }
        }
    }

    #[test]
    fn many_long_names_do_not_make_a_routing_key_too_long() {
        let template = "{originator}.{originator}.{originator}.{originator}";
        let made: HashSet<String> = ["a", "b", "é", "."]
            .into_iter()
            .map(|letter| render(AddressForm::RoutingKey, template, &letter.repeat(200)))
            .collect();
        assert_eq!(made.len(), 4);
        for key in made {
            assert_eq!(AddressForm::RoutingKey.check(&key), Ok(()), "{key}");
        }
    }

    #[test]
    fn what_can_never_be_sent_to_is_refused() {
        use AddressFault as Fault;
        let check = |form, template: &str| {
            AddressTemplate::<Field>::new(Template::parse(template).unwrap(), form).check()
        };
        for (form, template, expected) in [
            (AddressForm::NatsSubject, "plant.{site}.ups", Ok(())),
            (AddressForm::NatsSubject, "", Err(Fault::Empty)),
            (AddressForm::NatsSubject, "plant ups", Err(Fault::Blank)),
            (AddressForm::NatsSubject, "plant..ups", Err(Fault::EmptyToken)),
            (AddressForm::NatsSubject, "plant.{site}.", Err(Fault::EmptyToken)),
            (AddressForm::NatsSubject, "plant.>", Err(Fault::Wildcard('>'))),
            (AddressForm::NatsSubject, "$SYS.ups", Err(Fault::Reserved)),
            (AddressForm::RoutingKey, "plant ups", Ok(())),
            (AddressForm::RoutingKey, "plant.#", Err(Fault::Wildcard('#'))),
            (AddressForm::MqttTopic, "/plant/ups", Ok(())),
            (AddressForm::MqttTopic, "plant/+", Err(Fault::Wildcard('+'))),
            (AddressForm::MqttTopic, "$SYS/ups", Err(Fault::Reserved)),
            (AddressForm::RedisStream, "plant:*", Ok(())),
            (AddressForm::EventSubject, "a\u{7}", Err(Fault::Control)),
        ] {
            assert_eq!(check(form, template), expected, "{form:?} {template:?}");
        }
        assert_eq!(check(AddressForm::RoutingKey, &"x".repeat(256)), Err(Fault::TooLong(255)));
    }

    #[test]
    fn a_mails_address_holds_the_operators_values_from_the_start() {
        let template = Template::parse("mail.{site}.{domain}.{local_part}.{sender}").unwrap();
        let template = AddressTemplate::<MailField>::new(template, AddressForm::NatsSubject)
            .with_constants(|field| (field == MailField::Site).then(|| "plant.1".to_owned()));
        let recipient = Mailbox::parse("\"a b\"@corp.example").unwrap();
        let address = template.render(MailValues { recipient: &recipient, sender: None });
        assert_eq!(address, "mail.plant%2E1.corp%2Eexample.%22a%20b%22.%-");
        assert_eq!(template.as_str(), "mail.{site}.{domain}.{local_part}.{sender}");
    }
}
