//! Destinations of kind `nats`.

use std::net::IpAddr;
use std::time::Duration;

use zeroize::Zeroizing;

use super::super::problem::{Place, Problem};
use super::super::raw::{self, At, Lost};
use super::super::settings::{
    BrokerTls, Nats, NatsAuth, NatsCluster, NatsServer, Secret, StreamName, StreamPlan, check_subject_filter,
};
use super::queue::WrittenSecret;
use super::{Checking, SecretOrigin, Secrets, domain_fault};

/// A server's address as it was written.
struct WrittenServer {
    server: NatsServer,
    begins: Begins,
}

/// How an address begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begins {
    WithNats,
    WithTls,
}

impl Checking<'_> {
    pub(super) fn nats(&mut self, nats: raw::Nats) -> Option<Nats> {
        let raw::Nats { place, lost, servers, stream, create, tls, auth, event, limits } = nats;
        if cfg!(not(feature = "nats")) {
            let fix = "build with the Cargo feature `nats`, or remove the destination";
            self.problem(Problem::subject(&place, "this build has no NATS", fix));
        }
        let cluster = self.nats_cluster(servers, tls, auth, (&place, &lost));
        let create = create.map(|plan| self.stream_plan(plan.value));
        let limits = self.queue_limits(limits, DEFAULT_IN_FLIGHT);
        let Some(stream) = stream else {
            let fix = "add the stream that takes the events, for example `stream: MAILSLOT`";
            self.missing(&place, &lost, "stream", fix);
            return None;
        };
        let event = event.map(|event| event.value).unwrap_or_default();
        match StreamName::new(&stream.value) {
            Ok(name) => Some(Nats { cluster: cluster?, stream: name, create, event, limits }),
            Err(fault) => {
                let cause = format!("{:?} is no name of a stream: it {fault}", stream.value);
                self.problem(stream.problem(cause, "write one word, for example MAILSLOT"));
                None
            }
        }
    }

    fn nats_cluster(
        &mut self,
        servers: Option<At<raw::OneOrMany<String>>>,
        tls: Option<At<raw::BrokerTls>>,
        auth: Option<At<raw::NatsAuth>>,
        (place, lost): (&Place, &Lost),
    ) -> Option<NatsCluster> {
        let written: Vec<WrittenServer> = match servers {
            Some(servers) => servers.value.0.iter().filter_map(|url| self.nats_server(url)).collect(),
            None => {
                let fix = "add them, for example `servers: [\"nats://nats.plant.example:4222\"]`";
                self.missing(place, lost, "servers", fix);
                Vec::new()
            }
        };
        let by_address = written.iter().any(|server| server.begins == Begins::WithTls);
        let tls = match tls {
            Some(tls) => Some(self.broker_tls(Some(tls))),
            None => by_address.then(BrokerTls::default),
        };
        let servers: Vec<NatsServer> = written.into_iter().map(|written| written.server).collect();
        let auth = match auth {
            Some(auth) => {
                let place = auth.place.clone();
                let auth = self.nats_auth(auth.value);
                if tls.is_none() {
                    self.crosses_the_network(&auth, &servers, &place);
                }
                auth
            }
            None => NatsAuth::None,
        };
        (!servers.is_empty()).then_some(NatsCluster { servers, tls, auth })
    }

    fn nats_server(&mut self, url: &At<String>) -> Option<WrittenServer> {
        let scheme = self.scheme(url, &["nats", "tls"])?;
        let begins = if scheme == "tls" { Begins::WithTls } else { Begins::WithNats };
        let (_, address) = url.value.split_once("://")?;
        let address = address.trim_end_matches('/');
        if address.contains('@') {
            let cause = "credentials do not stand in the address";
            let fix = "write `nats://host:4222`, and who we are under `auth`";
            self.problem(Problem::new(&url.place, cause, fix));
            return None;
        }
        let Some(server) = host_and_port(address) else {
            let fix = "write a host name or an IP address and a port: nats://nats.plant.example:4222";
            self.problem(url.problem(format!("{:?} is no address of a server", url.value), fix));
            return None;
        };
        Some(WrittenServer { server, begins })
    }

    fn nats_auth(&mut self, auth: raw::NatsAuth) -> NatsAuth {
        if let Some((cause, second)) = second_way(&auth) {
            self.problem(Problem::new(second, cause, "keep one way to say who we are"));
            return NatsAuth::None;
        }
        let raw::NatsAuth { place, lost, user, password_file, password_env, .. } = auth;
        let raw::NatsAuth { token_file, token_env, nkey_file, credentials_file, .. } = auth;
        let (place, lost) = (&place, &lost);
        if let Some(user) = user {
            let file = ("password_file", password_file);
            let variable = ("password_env", password_env);
            let password = self.needed_secret(WrittenSecret { place, lost, file, variable });
            return password
                .map_or(NatsAuth::None, |password| NatsAuth::Password { user: user.value, password });
        }
        if password_file.is_some() || password_env.is_some() {
            self.missing(place, lost, "user", "add the user whose password it is");
            return NatsAuth::None;
        }
        let file = ("token_file", token_file);
        let token = self.secret(WrittenSecret { place, lost, file, variable: ("token_env", token_env) });
        let nkey = nkey_file.and_then(|path| self.nkey(&path));
        let credentials = credentials_file.and_then(|path| self.nats_credentials(&path));
        token
            .map(NatsAuth::Token)
            .or_else(|| nkey.map(NatsAuth::Nkey))
            .or_else(|| credentials.map(NatsAuth::Credentials))
            .unwrap_or(NatsAuth::None)
    }

    /// The seed of a user's NKey.
    fn nkey(&mut self, path: &At<String>) -> Option<Secret> {
        let origin = SecretOrigin::File(self.absolute(path)?);
        let text = self.secret_of_file(path).unwrap_or_default();
        if !text.is_empty() && !text.starts_with("SU") {
            let cause = "it holds no seed of a user's NKey, which begins with SU";
            self.problem(path.problem(cause, "make one with `nk -gen user`, and put the seed alone into it"));
        }
        Some(Secret { text, origin })
    }

    /// A credentials file, which has more than one line.
    fn nats_credentials(&mut self, path: &At<String>) -> Option<Secret> {
        let absolute = self.absolute(path)?;
        let origin = SecretOrigin::File(absolute.clone());
        let Secrets::Online { file, .. } = self.surroundings.secrets else {
            return Some(Secret { text: Zeroizing::default(), origin });
        };
        let shown = absolute.display();
        let text = match file(&absolute) {
            Ok(file) => file.text,
            Err(error) => {
                let fix = format!(
                    "put it there, and let the service's user read it: `chgrp mailslotd {shown} && chmod 640 {shown}`"
                );
                self.problem(path.problem(format!("{shown} cannot be read: {error}"), fix));
                return None;
            }
        };
        if !(text.contains("-----BEGIN NATS USER JWT-----")
            && text.contains("-----BEGIN USER NKEY SEED-----"))
        {
            let cause =
                format!("{shown} is no credentials file: it must hold a user's JWT and the seed of its NKey");
            self.problem(path.problem(cause, "write it with `nsc generate creds`"));
            return None;
        }
        Some(Secret { text, origin })
    }

    /// Warns of a secret that goes to another machine without TLS.
    fn crosses_the_network(&mut self, auth: &NatsAuth, servers: &[NatsServer], place: &Place) {
        let what = match auth {
            NatsAuth::Password { .. } => "the password",
            NatsAuth::Token(_) => "the token",
            NatsAuth::None | NatsAuth::Nkey(_) | NatsAuth::Credentials(_) => return,
        };
        if servers.iter().any(|server| !is_loopback(&server.host)) {
            let cause = format!("{what} goes over the network in clear");
            let fix = "write `tls://` in the address, or use an NKey, which is never sent";
            self.problems.warn(Problem::new(place, cause, fix));
        }
    }

    fn stream_plan(&mut self, plan: raw::StreamPlan) -> StreamPlan {
        let raw::StreamPlan {
            place,
            lost,
            subjects,
            replicas,
            max_age,
            max_bytes,
            max_messages,
            discard,
            duplicate_window,
        } = plan;
        if subjects.is_none() {
            let fix = "add the subjects that rules deliver to, for example `subjects: [\"plant.>\"]`";
            self.missing(&place, &lost, "subjects", fix);
        }
        let subjects = subjects.map(|subjects| subjects.value.0).unwrap_or_default();
        self.holds_something(max_bytes.as_ref(), "the stream would take nothing");
        StreamPlan {
            subjects: subjects.into_iter().filter_map(|subject| self.subject_filter(subject)).collect(),
            replicas: self.replicas(replicas, 1),
            max_age: max_age.and_then(|age| age.value.limit()),
            max_bytes: max_bytes.and_then(|size| size.value.limit()).map(|size| size.0),
            max_messages: max_messages.and_then(|count| count.value.limit()).map(u64::from),
            discard: discard.map(|discard| discard.value).unwrap_or_default(),
            duplicate_window: self.nonzero(duplicate_window, DEFAULT_DUPLICATE_WINDOW),
        }
    }

    fn subject_filter(&mut self, subject: At<String>) -> Option<String> {
        let Err(fault) = check_subject_filter(&subject.value) else { return Some(subject.value) };
        let cause = format!("{:?} is no subject: it {fault}", subject.value);
        self.problem(subject.problem(cause, "write tokens with dots between them, for example plant.>"));
        None
    }

    pub(super) fn replicas(&mut self, written: Option<At<u32>>, default: usize) -> usize {
        let Some(written) = written else { return default };
        match usize::try_from(written.value) {
            Ok(count) if count <= MOST_REPLICAS => count,
            Ok(_) | Err(_) => {
                let cause = format!("a stream cannot lie on {} servers", written.value);
                self.problem(written.problem(cause, format!("write 1, 3 or {MOST_REPLICAS}")));
                default
            }
        }
    }
}

/// Where a second way to say who we are stands, and what is wrong with it.
fn second_way(auth: &raw::NatsAuth) -> Option<(String, &Place)> {
    let token = auth.token_file.as_ref().or(auth.token_env.as_ref());
    let ways = [
        ("user", auth.user.as_ref()),
        ("token_file", token),
        ("nkey_file", auth.nkey_file.as_ref()),
        ("credentials_file", auth.credentials_file.as_ref()),
    ];
    let mut written = ways.into_iter().filter_map(|(key, at)| Some((key, at?)));
    let ((first, _), (_, second)) = (written.next()?, written.next()?);
    Some((format!("there is a `{first}` too"), &second.place))
}

/// `host`, `host:4222`, `[2001:db8::1]:4222`.
fn host_and_port(address: &str) -> Option<NatsServer> {
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok().filter(|port| *port > 0)?),
        Some(_) | None => (address, DEFAULT_PORT),
    };
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().ok()?.to_string(),
        None if domain_fault(host).is_none() => host.to_owned(),
        None => return None,
    };
    Some(NatsServer { host, port })
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The servers' own.
const DEFAULT_PORT: u16 = 4222;
/// Enough that a server on another continent is kept busy.
const DEFAULT_IN_FLIGHT: usize = 1024;
/// The servers' own.
const DEFAULT_DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// Of one stream.
const MOST_REPLICAS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        for (address, expected) in [
            ("nats.plant.example", Some("nats.plant.example:4222")),
            ("nats.plant.example:4333", Some("nats.plant.example:4333")),
            ("192.0.2.1:4222", Some("192.0.2.1:4222")),
            ("[2001:db8::1]", Some("[2001:db8::1]:4222")),
            ("[2001:db8::1]:1", Some("[2001:db8::1]:1")),
            ("2001:db8::1", None),
            ("nats.plant.example:0", None),
            ("nats.plant.example:x", None),
            ("nats.plant.example/x", None),
            ("", None),
        ] {
            assert_eq!(
                host_and_port(address).map(|server| server.to_string()).as_deref(),
                expected,
                "{address}"
            );
        }
    }
}
