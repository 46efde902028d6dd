//! Where a broker is, and who we are there.

use super::super::problem::{Place, Problem};
use super::super::raw::{self, At, Lost};
use super::super::settings::{Broker, Secret, WrittenBroker, WrittenUrl};
use super::broker_url::BrokerUrl;
use super::queue::WrittenSecret;
use super::{Checking, SecretOrigin};

/// The keys of a broker as they are written.
pub(super) struct BrokerKeys<'w> {
    /// The map that has them.
    pub(super) place: &'w Place,
    pub(super) lost: &'w Lost,
    pub(super) url: Option<At<String>>,
    pub(super) url_file: Option<At<String>>,
    pub(super) url_env: Option<At<String>>,
    pub(super) user: Option<At<String>>,
    pub(super) password_file: Option<At<String>>,
    pub(super) password_env: Option<At<String>>,
    pub(super) tls: Option<At<raw::BrokerTls>>,
}

/// How addresses of one kind of broker begin, and the ports that they need not name.
pub(super) struct Schemes {
    pub(super) clear: &'static str,
    pub(super) clear_port: u16,
    pub(super) tls: &'static str,
    pub(super) tls_port: u16,
}

/// A broker, and what stands behind the slash of its address.
pub(super) struct CheckedBroker {
    pub(super) broker: Broker,
    pub(super) path: Option<At<String>>,
}

/// An address and whether it may have a password in it.
struct Address {
    url: At<String>,
    written: WrittenUrl,
    secret: Option<Secret>,
}

impl Checking<'_> {
    /// A broker. Where its address cannot be read, that is noted, and it has no host; the same when secrets are not read.
    pub(super) fn broker(&mut self, keys: BrokerKeys<'_>, schemes: &Schemes) -> CheckedBroker {
        let origin = |key: &Option<At<String>>| key.as_ref().map(|key| key.value.clone());
        let written = match (origin(&keys.url), origin(&keys.url_file), origin(&keys.url_env)) {
            (Some(url), ..) => WrittenUrl::Plain(url),
            (None, Some(path), _) => WrittenUrl::Secret(SecretOrigin::File(path.into())),
            (None, None, name) => WrittenUrl::Secret(SecretOrigin::Variable(name.unwrap_or_default())),
        };
        let user = origin(&keys.user);
        self.addressed_broker(keys, schemes).unwrap_or_else(|| CheckedBroker {
            broker: Broker {
                host: String::new(),
                port: schemes.clear_port,
                tls: None,
                user: user.clone(),
                password: None,
                written: WrittenBroker { url: written, user },
            },
            path: None,
        })
    }

    fn addressed_broker(&mut self, keys: BrokerKeys<'_>, schemes: &Schemes) -> Option<CheckedBroker> {
        let BrokerKeys { place, lost, url, url_file, url_env, user, password_file, password_env, tls } = keys;
        let (file, variable) = (("password_file", password_file), ("password_env", password_env));
        let password = self.secret(WrittenSecret { place, lost, file, variable });
        let address = self.broker_address((place, lost), url, url_file, url_env, schemes)?;
        let url = self.broker_url(&address, schemes)?;
        let in_clear = url.scheme == schemes.clear;
        let tls = self.tls_as_the_scheme_has_it(tls, in_clear.then_some(schemes));
        let port = url.port.unwrap_or(if in_clear { schemes.clear_port } else { schemes.tls_port });
        if let (Some(user), Some(_)) = (&user, &url.user) {
            let cause = "there is a name in the address too";
            self.problem(user.problem(cause, "keep one of the two"));
        }
        let password = match (password, url.password.clone(), &address.secret) {
            (Some(_), Some(_), _) => {
                let cause = "has a password in it, and there is a key for another";
                self.problem(address.url.problem(cause, "keep one of the two"));
                None
            }
            (None, Some(text), Some(secret)) => Some(Secret { text, origin: secret.origin.clone() }),
            (password, _, _) => password,
        };
        if in_clear && password.is_some() && !is_on_this_host(&url.host) {
            let cause = format!("the password goes to {} in clear text", url.host);
            let fix = format!("write `{}://` where the broker has TLS", schemes.tls);
            self.problems.warn(address.url.problem(cause, fix));
        }
        let path = url.path.map(|value| At { value, place: address.url.place.clone() });
        let user_key = user.map(|user| user.value);
        let broker = Broker {
            host: url.host,
            port,
            tls,
            user: url.user.or_else(|| user_key.clone()),
            password,
            written: WrittenBroker { url: address.written, user: user_key },
        };
        Some(CheckedBroker { broker, path })
    }

    fn broker_address(
        &mut self,
        (place, lost): (&Place, &Lost),
        url: Option<At<String>>,
        url_file: Option<At<String>>,
        url_env: Option<At<String>>,
        schemes: &Schemes,
    ) -> Option<Address> {
        if let Some(url) = url {
            if let Some(other) = url_file.or(url_env) {
                self.problem(other.problem("there is a `url` too", "keep one of the two"));
            }
            let written = WrittenUrl::Plain(url.value.clone());
            return Some(Address { url, written, secret: None });
        }
        if url_file.is_none() && url_env.is_none() {
            let fix = format!(
                "add the broker's address, for example `url: {}://broker.plant.example:{}`, or `url_file:` with a file that holds it",
                schemes.tls, schemes.tls_port
            );
            if !lost.has("url_file") && !lost.has("url_env") {
                self.missing(place, lost, "url", fix);
            }
            return None;
        }
        let url_place = [&url_file, &url_env].into_iter().flatten().map(|url| url.place.clone()).next()?;
        let (file, variable) = (("url_file", url_file), ("url_env", url_env));
        let secret = self.secret(WrittenSecret { place, lost, file, variable })?;
        // Nothing was read, or what was wrong is noted.
        if secret.text.is_empty() {
            return None;
        }
        let url = At { value: secret.text.trim().to_owned(), place: url_place };
        Some(Address { url, written: WrittenUrl::Secret(secret.origin.clone()), secret: Some(secret) })
    }

    fn broker_url<'a>(&mut self, address: &'a Address, schemes: &Schemes) -> Option<BrokerUrl<'a>> {
        self.scheme(&address.url, &[schemes.clear, schemes.tls])?;
        let url = match BrokerUrl::parse(&address.url.value) {
            Ok(url) => url,
            Err(fault) => {
                self.problem(Problem::new(&address.url.place, fault.cause(), fault.fix()));
                return None;
            }
        };
        if url.password.is_some() && address.secret.is_none() {
            let cause = "has a password in it, and secrets do not stand in the configuration";
            let fix = "put the whole address into a file and name that in `url_file`, or the password alone and name it in `password_file`";
            self.problem(Problem::new(&address.url.place, cause, fix));
            return None;
        }
        Some(url)
    }

    /// `in_clear` are the schemes where the address wants no TLS.
    fn tls_as_the_scheme_has_it(
        &mut self,
        tls: Option<At<raw::BrokerTls>>,
        in_clear: Option<&Schemes>,
    ) -> Option<super::super::settings::BrokerTls> {
        let Some(schemes) = in_clear else { return Some(self.broker_tls(tls)) };
        if let Some(tls) = tls {
            let cause = format!("there is no TLS with `{}://`", schemes.clear);
            let fix = format!("begin the address with `{}://`, or remove this", schemes.tls);
            self.problem(Problem::new(&tls.place, cause, fix));
        }
        None
    }
}

fn is_on_this_host(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
