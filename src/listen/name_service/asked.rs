//! Names that are asked for and answered by nobody, for the inventory.

use std::net::Ipv4Addr;
use std::time::Instant;

use jiff::Timestamp;

use crate::config::settings::Decoding;
use crate::inventory::Inventory;
use crate::message::host::NameQuerySeen;
use crate::session::name_questions::NameQuestions;
use crate::wire::name_service::{Kind, Packet, RecordType};
use crate::wire::netbios_name::NameType;

/// What was asked lately.
#[derive(Debug)]
pub(super) struct Asked {
    questions: NameQuestions,
    /// Names are in the code page of their asker.
    decoding: Decoding,
    inventory: Option<Inventory>,
}

impl Asked {
    pub(super) fn new(decoding: Decoding, inventory: Option<Inventory>) -> Self {
        Self { questions: NameQuestions::new(), decoding, inventory }
    }

    /// Reads names by this from now on.
    pub(super) fn adopt(&mut self, decoding: Decoding) {
        self.decoding = decoding;
    }

    /// A packet that `asker` broadcast. Only questions for names of the messenger matter: programs ask for all others
    /// too, and nobody waits for a message there.
    pub(super) fn take(&mut self, packet: &Packet<'_>, asker: Ipv4Addr, now: Instant) {
        if packet.flags.kind() != Kind::Query {
            return;
        }
        for question in packet.questions.iter().take(1) {
            let is_messenger = question.name.name_type() == NameType::MESSENGER;
            if is_messenger && question.record_type == RecordType::NB {
                self.questions.handle_question(now, asker.into(), question.name);
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.questions.poll_timeout()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.questions.handle_timeout(now);
        while let Some(unanswered) = self.questions.poll_output() {
            let sender = self.decoding.of(unanswered.asker);
            let at = Timestamp::now();
            let seen = NameQuerySeen::new(at, unanswered.asker, &unanswered.name, sender, unanswered.silence);
            tracing::debug!(
                name = %unanswered.name,
                asker = %seen.asker,
                silence = ?seen.silence,
                "A name was asked for, and nobody was heard to answer."
            );
            if let Some(inventory) = &self.inventory {
                inventory.record_name(seen);
            }
        }
    }
}
