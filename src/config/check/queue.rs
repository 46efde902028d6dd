//! What all destinations that take events have in common.

use std::time::Duration;

use super::super::problem::{Place, Problem};
use super::super::raw::{self, At, Lost};
use super::super::settings::{BrokerTls, QueueLimits, Secret, TlsMode};
use super::certificates::WrittenFiles;
use super::{Checking, SecretOrigin, SecretOwner};

/// A secret as it is written: the keys that name its file and its variable.
pub(super) struct WrittenSecret<'w> {
    /// The map that has both keys.
    pub(super) place: &'w Place,
    pub(super) lost: &'w Lost,
    pub(super) file: (&'static str, Option<At<String>>),
    pub(super) variable: (&'static str, Option<At<String>>),
}

impl Checking<'_> {
    /// The limits of a broker, where `in_flight` is what its kind has by default.
    pub(super) fn queue_limits(
        &mut self,
        limits: Option<At<raw::QueueLimits>>,
        in_flight: usize,
    ) -> QueueLimits {
        let raw::QueueLimits { in_flight: written, rate, message_size, timeout, .. } =
            limits.map(|limits| limits.value).unwrap_or_default();
        QueueLimits {
            in_flight: self.in_flight(written, in_flight),
            rate: rate.and_then(|rate| rate.value.limit()),
            message_size: message_size.and_then(|size| size.value.limit()).map(|size| size.0),
            timeout: self.nonzero(timeout, DEFAULT_TIMEOUT),
        }
    }

    fn in_flight(&mut self, written: Option<At<u32>>, default: usize) -> usize {
        let Some(written) = written else { return default };
        match usize::try_from(written.value) {
            Ok(count) if (1..=MOST_IN_FLIGHT).contains(&count) => count,
            Ok(_) | Err(_) => {
                let cause = format!("{} events cannot be on their way at once", written.value);
                self.problem(written.problem(cause, format!("write a number from 1 to {MOST_IN_FLIGHT}")));
                default
            }
        }
    }

    /// What TLS with a broker needs.
    pub(super) fn broker_tls(&mut self, tls: Option<At<raw::BrokerTls>>) -> BrokerTls {
        let raw::BrokerTls { place, lost, ca_file, client_certificate, key_file } =
            tls.map(|tls| tls.value).unwrap_or_default();
        let ca_file = ca_file.and_then(|path| self.authorities(&path, TlsMode::Implicit));
        let client_certificate = match (client_certificate, key_file) {
            (None, None) => None,
            (certificate, key_file) => self.certificate_files(WrittenFiles {
                place: &place,
                lost: &lost,
                certificate_key: "client_certificate",
                certificate,
                key_file,
            }),
        };
        BrokerTls { ca_file, client_certificate }
    }

    /// A secret that need not be there; both places are one too many.
    pub(super) fn secret(&mut self, written: WrittenSecret<'_>) -> Option<Secret> {
        let WrittenSecret { place: _, lost: _, file: (file_key, file), variable: (_, variable) } = written;
        match (file, variable) {
            (None, None) => None,
            (Some(path), None) => {
                let origin = SecretOrigin::File(self.absolute(&path)?);
                self.secrets.push((SecretOwner::Settings, origin.clone()));
                Some(Secret { text: self.secret_of_file(&path).unwrap_or_default(), origin })
            }
            (None, Some(variable)) => {
                let text = self.secret_of_variable(&variable, file_key).unwrap_or_default();
                Some(Secret { text, origin: SecretOrigin::Variable(variable.value) })
            }
            (Some(_), Some(variable)) => {
                let cause = format!("there is a `{file_key}` too");
                self.problem(variable.problem(cause, "keep one of the two"));
                None
            }
        }
    }

    /// As [`Self::secret`], where there must be one.
    pub(super) fn needed_secret(&mut self, written: WrittenSecret<'_>) -> Option<Secret> {
        let WrittenSecret { place, lost, file, variable } = written;
        let (file_key, variable_key) = (file.0, variable.0);
        if file.1.is_none() && variable.1.is_none() && !lost.has(variable_key) {
            let fix = format!(
                "add `{file_key}: /etc/mailslotd/destination.secret`, or `{variable_key}:` with a variable's name"
            );
            self.missing(place, lost, file_key, fix);
        }
        self.secret(WrittenSecret { place, lost, file, variable })
    }

    /// The part before `://`, and a complaint where it is none of `schemes`.
    pub(super) fn scheme<'u>(&mut self, url: &'u At<String>, schemes: &[&str]) -> Option<&'u str> {
        let scheme = url.value.split_once("://").map(|(scheme, _)| scheme);
        if let Some(scheme) = scheme.filter(|scheme| schemes.contains(scheme)) {
            return Some(scheme);
        }
        let wanted: Vec<String> = schemes.iter().map(|scheme| format!("`{scheme}://`")).collect();
        let fix = format!("write an address that begins with {}", wanted.join(" or "));
        self.problem(Problem::new(&url.place, "is no address of such a server", fix));
        None
    }
}

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Each holds an event in memory.
const MOST_IN_FLIGHT: usize = 10_000;
