//! An exchange of an AMQP 0-9-1 broker.

use super::super::problem::Problem;
use super::super::raw::{self, At};
use super::super::settings::Amqp;
use super::Checking;
use super::broker::{BrokerKeys, CheckedBroker, Schemes};
use crate::wire::amqp::ShortString;

impl Checking<'_> {
    pub(super) fn amqp(&mut self, amqp: raw::Amqp) -> Amqp {
        if cfg!(not(feature = "amqp")) {
            let fix = "build with the Cargo feature `amqp`, or remove the destination";
            self.problem(Problem::subject(&amqp.place, "this build has no AMQP", fix));
        }
        let limits = self.queue_limits(amqp.limits, DEFAULT_IN_FLIGHT);
        let (place, lost) = (&amqp.place, &amqp.lost);
        let keys = BrokerKeys {
            place,
            lost,
            url: amqp.url,
            url_file: amqp.url_file,
            url_env: amqp.url_env,
            user: amqp.user,
            password_file: amqp.password_file,
            password_env: amqp.password_env,
            tls: amqp.tls,
        };
        let CheckedBroker { broker, path } = self.broker(keys, &SCHEMES);
        let shows_certificate = broker.tls.as_ref().is_some_and(|tls| tls.client_certificate.is_some());
        match (&broker.user, &broker.password) {
            // Without a host the address is not known, and a name may be in it.
            _ if broker.host.is_empty() => {}
            (None, None) if !shows_certificate => {
                let cause = "does not say who we are";
                let fix = "add `user:` and `password_file:`, or `tls.client_certificate` where the broker knows us by that";
                self.incomplete(place, cause, fix);
            }
            (Some(user), None) => {
                let cause = format!("has a user, {user:?}, and no password");
                self.incomplete(
                    place,
                    cause,
                    "add `password_file:` or, where a certificate says it, remove the user",
                );
            }
            (None, Some(_)) => {
                self.incomplete(place, "has a password and no `user`", "add the user that it is for");
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        if amqp.exchange.is_none() {
            let fix = "add the exchange, for example `exchange: mailslot`; `''` is the default exchange";
            self.missing(place, lost, "exchange", fix);
        }
        Amqp {
            broker,
            virtual_host: self.virtual_host(path),
            exchange: amqp.exchange.map(|exchange| exchange.value).unwrap_or_default(),
            unroutable: amqp.mandatory.map(|mandatory| mandatory.value).unwrap_or_default(),
            delivery_mode: amqp.persistent.map(|persistent| persistent.value).unwrap_or_default(),
            event: amqp.event.map(|event| event.value).unwrap_or_default(),
            limits,
        }
    }

    /// A slash with nothing behind it means nothing else than none: a virtual host without a name is hardly ever meant.
    fn virtual_host(&mut self, path: Option<At<String>>) -> ShortString {
        let root = || ShortString::new("/").unwrap_or_default();
        let Some(path) = path.filter(|path| !path.value.is_empty()) else { return root() };
        ShortString::new(path.value.as_str()).unwrap_or_else(|error| {
            let cause = format!("the virtual host {error}");
            self.problem(path.problem(cause, "shorten it"));
            root()
        })
    }
}

const SCHEMES: Schemes = Schemes { clear: "amqp", clear_port: 5672, tls: "amqps", tls_port: 5671 };
const DEFAULT_IN_FLIGHT: usize = 256;
