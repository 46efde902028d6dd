//! The proxy through which HTTP leaves the network.

use super::super::problem::Problem;
use super::super::raw::{self, At};
use super::super::settings::{OutboundProxy, ProxyLogin};
use super::Checking;
use super::queue::WrittenSecret;
use crate::wire::url::{HttpUrl, Scheme, UrlError};

impl Checking<'_> {
    /// `None` where none is written: `outbound_proxy: {}` is none too.
    pub(super) fn outbound_proxy(
        &mut self,
        written: Option<At<raw::OutboundProxy>>,
    ) -> Option<OutboundProxy> {
        let raw::OutboundProxy { place, lost, url, user, password_file, password_env, except } =
            written?.value;
        let is_empty = url.is_none()
            && user.is_none()
            && password_file.is_none()
            && password_env.is_none()
            && except.is_none();
        if is_empty && lost.is_empty() {
            return None;
        }
        let secret = WrittenSecret {
            place: &place,
            lost: &lost,
            file: ("password_file", password_file),
            variable: ("password_env", password_env),
        };
        let login = self.proxy_login(user, secret);
        let Some(url) = url else {
            self.missing(&place, &lost, "url", "add it, for example `url: http://proxy.corp.example:3128`");
            return None;
        };
        let parsed = self.proxy_url(&url)?;
        let except = except.map(|list| list.value.0).unwrap_or_default();
        Some(OutboundProxy {
            host: parsed.host().clone(),
            port: parsed.port(),
            login,
            except: except.into_iter().map(|exception| exception.value).collect(),
        })
    }

    fn proxy_url(&mut self, url: &At<String>) -> Option<HttpUrl> {
        let parsed = match HttpUrl::parse(&url.value) {
            Ok(parsed) => parsed,
            Err(error) => {
                let fix = if error == UrlError::UserInfo {
                    "remove them, and write `user:` and `password_file:` beside it"
                } else {
                    "write `http://`, its host and its port, for example http://proxy.corp.example:3128"
                };
                self.problem(url.problem(format!("it {error}"), fix));
                return None;
            }
        };
        let fault = match (parsed.scheme(), parsed.target()) {
            (Scheme::Https, _) => {
                "a proxy is spoken to in clear text here; what goes through it has its own TLS"
            }
            (Scheme::Http, "/") => return Some(parsed),
            (Scheme::Http, _) => "a proxy has no path",
        };
        let (host, port) = (parsed.host(), parsed.port());
        self.problem(
            url.problem(fault, format!("write http://{host}:{port}, with the port that is for this")),
        );
        None
    }

    fn proxy_login(&mut self, user: Option<At<String>>, secret: WrittenSecret<'_>) -> Option<ProxyLogin> {
        let has_secret = secret.file.1.is_some() || secret.variable.1.is_some();
        match user {
            None if has_secret => {
                let (place, lost) = (secret.place, secret.lost);
                self.missing(place, lost, "user", "add the name that the proxy knows us by");
                None
            }
            None => None,
            Some(user) if user.value.contains(':') || user.value.chars().any(char::is_control) => {
                let cause =
                    "Basic, by which proxies are told, takes no colon and no control character in a name";
                self.problem(Problem::new(&user.place, cause, "write another user"));
                None
            }
            Some(user) => {
                let password = self.needed_secret(secret)?;
                Some(ProxyLogin { user: user.value, password })
            }
        }
    }
}
