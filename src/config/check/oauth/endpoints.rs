//! Where a provider is asked for tokens, and for codes to type.

use super::super::super::presets::Tokens;
use super::super::super::raw::{self, At};
use super::Checking;
use crate::wire::url::{Host, HttpUrl, Scheme};

impl Checking<'_> {
    pub(super) fn token_url(&mut self, oauth: &raw::OAuth, tokens: Option<Tokens>) -> Option<HttpUrl> {
        match (&oauth.token_url, &oauth.tenant) {
            (Some(url), tenant) => {
                if tenant.is_some() {
                    self.problem(url.problem("there is a `tenant` too", "keep one of the two"));
                }
                self.endpoint(url)
            }
            (None, Some(tenant)) => self.of_tenant(tenant, "token"),
            (None, None) if tokens == Some(Tokens::Google) => HttpUrl::parse(GOOGLE_TOKENS).ok(),
            (None, None) => None,
        }
    }

    pub(super) fn device_url(&mut self, oauth: &raw::OAuth, tokens: Option<Tokens>) -> Option<HttpUrl> {
        match (&oauth.device_url, &oauth.tenant, &oauth.token_url) {
            (Some(url), _, _) => self.endpoint(url),
            (None, Some(tenant), None) => of_tenant(&tenant.value, "devicecode"),
            (None, None, Some(url)) => {
                let base = url.value.strip_suffix("/oauth2/v2.0/token")?;
                HttpUrl::parse(&format!("{base}/oauth2/v2.0/devicecode")).ok()
            }
            (None, None, None) if tokens == Some(Tokens::Google) => HttpUrl::parse(GOOGLE_DEVICES).ok(),
            (None, _, _) => None,
        }
    }

    /// An endpoint that secrets are sent to.
    fn endpoint(&mut self, written: &At<String>) -> Option<HttpUrl> {
        match HttpUrl::parse(&written.value) {
            Ok(url) => {
                if !is_safe(&url) {
                    let cause = "secrets would go over the network in clear";
                    self.problem(written.problem(cause, "write it with https://"));
                }
                Some(url)
            }
            Err(error) => {
                self.problem(written.problem(error.to_string(), error.fix()));
                None
            }
        }
    }

    fn of_tenant(&mut self, tenant: &At<String>, what: &str) -> Option<HttpUrl> {
        let url = of_tenant(&tenant.value, what);
        if url.is_none() {
            let cause = format!("{:?} is neither the ID nor a domain name of a tenant", tenant.value);
            let fix = "write for example example.onmicrosoft.com, or the Directory (tenant) ID";
            self.problem(tenant.problem(cause, fix));
        }
        url
    }
}

fn of_tenant(tenant: &str, what: &str) -> Option<HttpUrl> {
    let fits = !tenant.is_empty()
        && tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    let url = format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/{what}");
    fits.then(|| HttpUrl::parse(&url).ok())?
}

/// Whether nobody else can read what is sent there.
pub(in crate::config::check) fn is_safe(url: &HttpUrl) -> bool {
    match (url.scheme(), url.host()) {
        (Scheme::Https, _) => true,
        (Scheme::Http, Host::Address(address)) => address.is_loopback(),
        (Scheme::Http, Host::Name(name)) => name == "localhost",
    }
}

/// Where Google gives tokens.
pub(super) const GOOGLE_TOKENS: &str = "https://oauth2.googleapis.com/token";
const GOOGLE_DEVICES: &str = "https://oauth2.googleapis.com/device/code";
