//! `relay.recipients` as the operator would write them.

use std::path::Path;

use serde::Serialize;

use super::super::check::{SecretOrigin, SecretOwner, spelled};
use super::super::settings::{CallForward, CallForwardTls, Ldap, RecipientSource};
use super::destinations::{ShownTls, tls_mode};

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Recipients<'s> {
    List(&'s [String]),
    File(&'s Path),
    Ldap(Box<ShownLdap<'s>>),
    CallForward(Box<ShownCallForward<'s>>),
}

#[derive(Serialize)]
pub(super) struct ShownLdap<'s> {
    url: &'s str,
    tls: DirectoryTls<'s>,
    base: &'s str,
    filter: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bind_dn: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_file: Option<&'s Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_env: Option<&'s str>,
    timeout: String,
}

#[derive(Serialize)]
struct DirectoryTls<'s> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<&'s Path>,
}

#[derive(Serialize)]
pub(super) struct ShownCallForward<'s> {
    host: String,
    tls: ShownCallForwardTls<'s>,
    timeout: String,
}

#[derive(Serialize)]
struct Opportunistic {
    mode: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ShownCallForwardTls<'s> {
    Opportunistic(Opportunistic),
    Configured(ShownTls<'s>),
}

impl<'s> ShownCallForwardTls<'s> {
    fn of(tls: &'s CallForwardTls) -> Self {
        match tls {
            CallForwardTls::Opportunistic => Self::Opportunistic(Opportunistic { mode: "opportunistic" }),
            CallForwardTls::Configured(tls) => Self::Configured(ShownTls::of(tls)),
        }
    }
}

impl<'s> Recipients<'s> {
    pub(super) fn of(
        number: usize,
        source: &'s RecipientSource,
        secrets: &'s [(SecretOwner, SecretOrigin)],
    ) -> Self {
        let owner = SecretOwner::Directory(number);
        match source {
            RecipientSource::List(list) => Self::List(list),
            RecipientSource::File(path) => Self::File(path),
            RecipientSource::Ldap(ldap) => {
                let secret = secrets.iter().find(|(other, _)| *other == owner).map(|(_, origin)| origin);
                Self::Ldap(Box::new(ShownLdap::of(ldap, secret)))
            }
            RecipientSource::CallForward(CallForward { host, port, tls, timeout }) => {
                let host =
                    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
                let tls = ShownCallForwardTls::of(tls);
                Self::CallForward(Box::new(ShownCallForward { host, tls, timeout: spelled(*timeout) }))
            }
        }
    }
}

impl<'s> ShownLdap<'s> {
    fn of(ldap: &'s Ldap, secret: Option<&'s SecretOrigin>) -> Self {
        let (password_file, password_env) = match secret {
            Some(SecretOrigin::File(path)) => (Some(&**path), None),
            Some(SecretOrigin::Variable(name)) => (None, Some(&**name)),
            None => (None, None),
        };
        Self {
            url: &ldap.url,
            tls: DirectoryTls { mode: tls_mode(ldap.tls), ca_file: ldap.ca_file.as_deref() },
            base: &ldap.base,
            filter: &ldap.filter,
            bind_dn: ldap.bind.as_ref().map(|(dn, _)| &**dn),
            password_file,
            password_env,
            timeout: spelled(ldap.timeout),
        }
    }
}
