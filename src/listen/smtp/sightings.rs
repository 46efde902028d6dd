//! What the inventory is told of clients: after each message, at the end of a session that brought none or was refused
//! something, and when a handshake fails.

use jiff::Timestamp;

use super::client::Client;
use super::content::Summary;
use super::listener::Listener;
use super::session::Session;
use super::tls::HandshakeFault;
use crate::inventory::{Acquaintance, AuthSeen, Quirk, Quirks, SmtpClientSeen, TlsSeen};
use crate::session::smtp_server::Stored;

impl Session {
    /// A message was stored, or was not.
    pub(super) fn note_message(&mut self, stored: Stored, told: &Summary) {
        let Some(seen) = self.seen() else { return };
        let messages = match stored {
            Stored::Accepted(_) => 1,
            // What is refused for good is counted with its reply.
            Stored::Full | Stored::Failed | Stored::Loop | Stored::HeaderTooLong => 0,
        };
        self.record(SmtpClientSeen {
            quirks: seen.quirks.union(told.quirks),
            reverse_path: Some(told.reverse_path.clone()),
            largest_message: told.octets,
            messages,
            ..seen
        });
    }

    /// The session is over.
    pub(super) fn note_end(&mut self) {
        if self.transactions > 0 && self.refusals == 0 {
            return;
        }
        if let Some(seen) = self.seen() {
            self.record(seen);
        }
    }

    fn record(&mut self, seen: SmtpClientSeen) {
        self.refusals = 0;
        if let Some(inventory) = &self.listener.shared.inventory {
            inventory.record(seen);
        }
    }

    /// What is known of the client now; `None` where there is no inventory.
    fn seen(&self) -> Option<SmtpClientSeen> {
        self.listener.shared.inventory.as_ref()?;
        let machine = &self.machine;
        let mut quirks = machine.quirks();
        if self.client.needs_hiding(&self.listener.settings) {
            quirks.insert(Quirk::HiddenKeywords);
        }
        let proved = machine.principal();
        let name = machine.client_name();
        Some(SmtpClientSeen {
            acquaintance: if proved.is_some() { Acquaintance::Own } else { acquaintance_of(&self.client) },
            client_name: (!name.is_empty()).then(|| name.to_owned()),
            tls: machine.tls().map_or(TlsSeen::None, |tls| TlsSeen::established(tls.version)),
            auth: proved
                .zip(self.mechanism)
                .map(|(principal, mechanism)| AuthSeen { mechanism, account: principal.name().to_owned() }),
            quirks,
            refused: self.refusals.into(),
            ..nothing_of(&self.client)
        })
    }
}

impl Listener {
    /// A client did not come to TLS.
    pub(super) fn note_failed_handshake(&self, fault: &HandshakeFault, client: &Client) {
        if let Some(inventory) = &self.shared.inventory {
            let tls = TlsSeen::Failed { newest: fault.newest() };
            inventory.record(SmtpClientSeen { tls, ..nothing_of(client) });
        }
    }
}

fn acquaintance_of(client: &Client) -> Acquaintance {
    if client.is_trusted() { Acquaintance::Own } else { Acquaintance::Stranger }
}

/// A client that is there.
fn nothing_of(client: &Client) -> SmtpClientSeen {
    #[expect(clippy::disallowed_methods, reason = "the edge where the time of a sighting is read")]
    let at = Timestamp::now();
    SmtpClientSeen {
        listener: client.listener().clone(),
        address: client.address(),
        acquaintance: acquaintance_of(client),
        client_name: None,
        reverse_path: None,
        tls: TlsSeen::None,
        auth: None,
        quirks: Quirks::NONE,
        largest_message: 0,
        messages: 0,
        refused: 0,
        at,
    }
}
