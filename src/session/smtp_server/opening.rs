//! What is said before and between transactions: EHLO, STARTTLS, and the commands that change nothing.

use super::holding::After;
use super::reply::{self, Reply};
use super::{Behind, Ending, Hello, Output, SmtpServer, State, TlsSession};
use crate::policy::account::Cleartext;
use crate::wire::smtp::command::ClientName;
use crate::wire::smtp::mechanism::Mechanism;
use crate::wire::smtp::quirk::Quirk;
use crate::wire::smtp::tolerance::Tolerance;

impl SmtpServer {
    /// EHLO and HELO end the open transaction, and change nothing else (RFC 5321 §4.1.4).
    pub(super) fn on_hello(&mut self, hello: Hello, behind: Behind) {
        // It cannot know yet whether it may send several commands at once. A device that does sends a script, and
        // takes no harm.
        if behind == Behind::Input && self.profile.tolerance == Tolerance::Strict {
            return self.refuse_early_talker();
        }
        self.abandon();
        let reply = match &hello {
            Hello::Esmtp(_) => Reply::lines(250, &self.greeting_lines()),
            Hello::Smtp(_) => Reply::lines(250, &[self.profile.hostname.to_string()]),
        };
        if !hello.name().is_lawful() {
            self.quirks.insert(Quirk::OddHelo);
        }
        self.hello = Some(hello);
        self.accept_idle(&reply, State::Idle);
    }

    fn greeting_lines(&self) -> Vec<String> {
        let mut lines = vec![self.profile.hostname.to_string()];
        let size = self.limits().message_size.map_or_else(String::new, |limit| format!(" {limit}"));
        let fixed = [
            ("PIPELINING", ""),
            ("SIZE", size.as_str()),
            ("8BITMIME", ""),
            ("SMTPUTF8", ""),
            ("ENHANCEDSTATUSCODES", ""),
            ("DSN", ""),
            ("CHUNKING", ""),
        ];
        let shown = fixed.iter().filter(|(keyword, _)| !self.hides(keyword));
        lines.extend(shown.map(|(keyword, parameters)| format!("{keyword}{parameters}")));
        if self.profile.offers.starttls && self.tls.is_none() && !self.hides("STARTTLS") {
            lines.push("STARTTLS".to_owned());
        }
        let mechanisms: Vec<&str> = self.usable_mechanisms().map(Mechanism::as_str).collect();
        if !mechanisms.is_empty() && !self.hides("AUTH") {
            let mechanisms = mechanisms.join(" ");
            lines.push(format!("AUTH {mechanisms}"));
            // As it was written before RFC 2554: some devices look for nothing else.
            if self.profile.tolerance == Tolerance::Device {
                lines.push(format!("AUTH={mechanisms}"));
            }
        }
        lines
    }

    /// Whether a keyword of EHLO is kept from this client.
    pub(super) fn hides(&self, keyword: &str) -> bool {
        self.profile.offers.hidden.iter().any(|hidden| hidden == keyword)
    }

    fn usable_mechanisms(&self) -> impl Iterator<Item = Mechanism> {
        let mechanisms = self.profile.offers.mechanisms.iter().copied();
        mechanisms.filter(|_| self.is_fit_for_auth())
    }

    /// Whether the connection is fit for AUTH. A mechanism that keeps the password to itself is no exception: who hears
    /// an exchange can try passwords on it at leisure, and who stands in between can go on with the session.
    pub(super) fn is_fit_for_auth(&self) -> bool {
        self.tls.is_some() || self.profile.offers.cleartext == Cleartext::Allowed
    }

    pub(super) fn on_starttls(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Idle);
        if self.hides("STARTTLS") {
            self.refuse_fault(reply::NOT_IMPLEMENTED, state);
        } else if self.tls.is_some() {
            self.refuse_fault(reply::TLS_ALREADY, state);
        } else if !matches!(state, State::Idle) {
            self.refuse_fault(reply::IN_TRANSACTION, state);
        } else if !self.profile.offers.starttls {
            self.refuse_fault(reply::TLS_UNAVAILABLE, state);
        } else {
            self.say(&reply::READY_FOR_TLS);
            self.state = State::Handshake;
            self.outputs.push_back(Output::StartTls);
        }
    }

    /// All that was learned before is forgotten, who the client is too (RFC 3207 §4.2).
    pub(super) fn on_tls_established(&mut self, tls: TlsSession) {
        if matches!(self.state, State::Handshake) {
            self.tls = Some(tls);
            self.hello = None;
            self.principal = None;
            self.state = State::Idle;
        }
    }

    pub(super) fn on_rset(&mut self) {
        self.abandon();
        self.accept_idle(&reply::OK, State::Idle);
    }

    pub(super) fn on_quit(&mut self) {
        self.abandon();
        self.say(&reply::BYE);
        self.end(Ending::Quit);
    }

    /// A command that leaves everything as it is.
    pub(super) fn on_idle_command(&mut self, reply: &Reply) {
        let state = std::mem::replace(&mut self.state, State::Idle);
        self.accept_idle(reply, state);
    }

    /// A line that is no command leaves everything as it is, too.
    pub(super) fn on_fault(&mut self, reply: Reply) {
        let state = std::mem::replace(&mut self.state, State::Idle);
        self.refuse_fault(reply, state);
    }

    /// Nothing that follows can be understood.
    pub(super) fn refuse_and_close(&mut self, reply: Reply, ending: Ending) {
        self.abandon();
        self.refuse(reply, After::Close(ending));
    }
}

impl Hello {
    pub(super) const fn name(&self) -> &ClientName {
        match self {
            Self::Esmtp(name) | Self::Smtp(name) => name,
        }
    }
}
