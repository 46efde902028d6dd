//! SMTP next hops as the operator would write them.

use std::path::Path;

use serde::Serialize;

use super::super::check::{SecretOrigin, spelled};
use super::super::settings::{self, ProviderPreset, Sender, Submission};
use super::destinations::{ShownTls, mechanism};
use super::oauth::ShownOAuth;
use super::smtp::patterns;
use super::{limit, rate, size};
use crate::policy::replies::ReplyRule;

#[derive(Serialize)]
pub(super) struct ShownSubmission<'s> {
    #[serde(skip_serializing_if = "Option::is_none")]
    preset: Option<&'static str>,
    host: &'s str,
    port: u16,
    tls: ShownTls<'s>,
    auth: Auth<'s>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<From<'s>>,
    limits: Limits,
    timeout: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    replies: Vec<ShownReply<'s>>,
}

#[derive(Serialize)]
struct ShownReply<'s> {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    text: &'s str,
    means: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<&'s str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Auth<'s> {
    None(&'static str),
    User {
        user: &'s str,
        #[serde(skip_serializing_if = "Option::is_none")]
        password_file: Option<&'s Path>,
        #[serde(skip_serializing_if = "Option::is_none")]
        password_env: Option<&'s str>,
        mechanisms: Vec<&'static str>,
    },
    Bearer {
        oauth: Box<ShownOAuth<'s>>,
    },
}

#[derive(Serialize)]
pub(super) struct From<'s> {
    address: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep: Option<Vec<&'s str>>,
    display: &'s str,
}

#[derive(Serialize)]
struct Limits {
    max_connections: usize,
    rate: String,
    message_size: String,
    max_recipients: String,
}

impl<'s> ShownSubmission<'s> {
    pub(super) fn of(submission: &'s Submission, secret: Option<&'s SecretOrigin>) -> Self {
        let auth = match &submission.auth {
            None => Auth::None("none"),
            Some(settings::Auth::Bearer(bearer)) => {
                Auth::Bearer { oauth: Box::new(ShownOAuth::of_mailbox(bearer)) }
            }
            Some(settings::Auth::Password(credentials)) => Auth::User {
                user: &credentials.user,
                password_file: secret.and_then(|origin| match origin {
                    SecretOrigin::File(path) => Some(&**path),
                    SecretOrigin::Variable(_) => None,
                }),
                password_env: secret.and_then(|origin| match origin {
                    SecretOrigin::Variable(name) => Some(&**name),
                    SecretOrigin::File(_) => None,
                }),
                mechanisms: credentials.mechanisms.iter().copied().map(mechanism).collect(),
            },
        };
        Self {
            preset: submission.preset.map(ProviderPreset::as_str),
            host: &submission.host,
            port: submission.port,
            tls: ShownTls::of(&submission.tls),
            auth,
            from: submission.from.as_ref().map(From::of),
            limits: Limits {
                max_connections: submission.max_connections,
                rate: limit(submission.rate, rate),
                message_size: limit(submission.message_size, size),
                max_recipients: limit(submission.max_recipients, |count| count.to_string()),
            },
            timeout: spelled(submission.timeout),
            replies: submission.replies.rules().iter().map(ShownReply::of).collect(),
        }
    }
}

impl<'s> From<'s> {
    pub(super) fn of(sender: &'s Sender) -> Self {
        Self {
            address: sender.address.as_str(),
            keep: Some(patterns(&sender.keep)).filter(|keep| !keep.is_empty()),
            display: sender.display.as_str(),
        }
    }
}

impl<'s> ShownReply<'s> {
    fn of(rule: &'s ReplyRule) -> Self {
        Self {
            code: rule.code,
            status: rule.status.map(|status| status.to_string()),
            text: &rule.text,
            means: rule.meaning.as_str(),
            fix: rule.fix.as_deref(),
        }
    }
}
