//! Where tokens come from.

mod endpoints;

use std::path::PathBuf;

use jiff::civil::Date;
use rustls::SignatureAlgorithm;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

use super::super::presets::Tokens;
use super::super::problem::Problem;
use super::super::raw::{self, At, GrantWord};
use super::super::settings::{
    BearerCredentials, BearerMechanism, BrokerTls, CertificateFiles, ClientProof, Grant, OAuth, Tls, TlsMode,
};
use super::certificates::WrittenFiles;
use super::queue::WrittenSecret;
use super::{Checking, Secrets};
use crate::message::id::DestinationName;
use crate::policy::expiry::Stage;
use crate::wire::oauth::service_account::ServiceAccount;
use crate::wire::smtp::path::Mailbox;
use crate::wire::url::HttpUrl;
use endpoints::GOOGLE_TOKENS;
pub(super) use endpoints::is_safe;

/// What the tokens are for.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenUse<'u> {
    /// The destination that uses them.
    pub(super) name: &'u DestinationName,
    /// Whose they are, where a preset says.
    pub(super) tokens: Option<Tokens>,
    /// The scope that is asked for unless the operator wrote one.
    pub(super) scope: Option<&'static str>,
    /// The user whom a service account acts for unless the operator wrote one.
    pub(super) user: Option<&'u str>,
}

impl Checking<'_> {
    /// A mailbox that logs in to an SMTP next hop by tokens.
    pub(super) fn bearer(
        &mut self,
        name: &DestinationName,
        mut oauth: raw::OAuth,
        tls: &Tls,
        tokens: Option<Tokens>,
    ) -> Option<BearerCredentials> {
        if tls.mode == TlsMode::None {
            let cause = "a token would go over the network in clear, and whoever reads it can use it";
            self.problem(Problem::new(&oauth.place, cause, "write `tls: { mode: starttls }`"));
        }
        let user = self.token_user(&oauth);
        let mechanisms = self.bearer_mechanisms(oauth.mechanisms.take());
        let tokens = tokens.or_else(|| provider_of(&oauth));
        let grant = oauth.grant.as_ref().map(|grant| grant.value);
        let scope = match (tokens, grant) {
            (Some(Tokens::Google), _) => Some(GOOGLE_SCOPE),
            (Some(Tokens::Microsoft), Some(GrantWord::RefreshToken)) => Some(MICROSOFT_USER_SCOPE),
            (Some(Tokens::Microsoft), _) => Some(MICROSOFT_SCOPE),
            (None, _) => None,
        };
        let oauth = self.oauth(oauth, TokenUse { name, tokens, scope, user: user.as_deref() });
        Some(BearerCredentials { user: user?, mechanisms, oauth: oauth? })
    }

    fn token_user(&mut self, oauth: &raw::OAuth) -> Option<String> {
        let Some(user) = &oauth.user else {
            let fix = "add the mailbox that logs in, for example `user: alerts@example.com`";
            self.missing(&oauth.place, &oauth.lost, "user", fix);
            return None;
        };
        match Mailbox::parse(&user.value) {
            Ok(_) => Some(user.value.clone()),
            Err(error) => {
                self.problem(user.problem(error.to_string(), error.fix()));
                None
            }
        }
    }

    fn bearer_mechanisms(
        &mut self,
        mechanisms: Option<At<raw::Many<BearerMechanism>>>,
    ) -> Vec<BearerMechanism> {
        let Some(list) = mechanisms else {
            return vec![BearerMechanism::Xoauth2, BearerMechanism::OauthBearer];
        };
        if list.value.0.is_empty() {
            let fix = "name one, for example `[xoauth2]`, or remove the key";
            self.problem(Problem::new(&list.place, "the list is empty", fix));
        }
        list.value.0.iter().map(|mechanism| mechanism.value).collect()
    }

    /// Where tokens come from.
    pub(super) fn oauth(&mut self, mut oauth: raw::OAuth, wanted: TokenUse<'_>) -> Option<OAuth> {
        let Some(grant) = oauth.grant.take() else {
            let fix = "add `grant: client-credentials`, `refresh-token` or `jwt-bearer`";
            self.missing(&oauth.place, &oauth.lost, "grant", fix);
            return None;
        };
        self.foreign_keys(&oauth, grant.value);
        let token_url = self.token_url(&oauth, wanted.tokens);
        let device_url = self.device_url(&oauth, wanted.tokens);
        let ca_file = oauth.ca_file.take().and_then(|path| self.authorities(&path, TlsMode::Implicit));
        let scope = self.scope(&oauth, grant.value, wanted.scope);
        let (grant, own_url) = match grant.value {
            GrantWord::JwtBearer => self.service_account(&mut oauth, wanted.user)?,
            GrantWord::ClientCredentials => {
                let client_id = self.client_id(&oauth);
                let proof = self.client_proof(&mut oauth);
                if proof.is_none() && !has_proof(&oauth) {
                    let fix = "add `client_secret_file: /etc/mailslotd/oauth.secret`, or `client_certificate` and `key_file`";
                    self.missing(&oauth.place, &oauth.lost, "client_secret_file", fix);
                }
                (Grant::ClientCredentials { client_id: client_id?, proof: proof? }, None)
            }
            GrantWord::RefreshToken => {
                let client_id = self.client_id(&oauth);
                let proof = self.client_proof(&mut oauth);
                let file = self.refresh_token(&oauth, wanted.name);
                (Grant::RefreshToken { client_id: client_id?, proof, file: file? }, None)
            }
        };
        let Some(token_url) = token_url.or(own_url) else {
            if oauth.token_url.is_none() && oauth.tenant.is_none() {
                let fix = "add `tenant: example.onmicrosoft.com` for Microsoft, or the provider's `token_url: https://…`";
                self.missing(&oauth.place, &oauth.lost, "token_url", fix);
            }
            return None;
        };
        let tls = BrokerTls { ca_file, client_certificate: None };
        Some(OAuth { grant, token_url, device_url, scope, tls })
    }

    /// Notes keys that this grant has no use for: what was meant by them would not happen.
    fn foreign_keys(&mut self, oauth: &raw::OAuth, grant: GrantWord) {
        let clients: &[GrantWord] = &[GrantWord::ClientCredentials, GrantWord::RefreshToken];
        for (key, written, grants) in [
            ("client_id", &oauth.client_id, clients),
            ("client_secret_file", &oauth.client_secret_file, clients),
            ("client_secret_env", &oauth.client_secret_env, clients),
            ("client_certificate", &oauth.client_certificate, clients),
            ("key_file", &oauth.key_file, clients),
            ("refresh_token_file", &oauth.refresh_token_file, &[GrantWord::RefreshToken]),
            ("service_account_file", &oauth.service_account_file, &[GrantWord::JwtBearer]),
            ("subject", &oauth.subject, &[GrantWord::JwtBearer]),
        ] {
            if let Some(written) = written.as_ref().filter(|_| !grants.contains(&grant)) {
                let of: Vec<String> = grants.iter().map(|grant| format!("`{}`", grant.as_str())).collect();
                let cause = format!("has no part in `grant: {}`", grant.as_str());
                let fix = format!("remove `{key}`, or write `grant:` with {}", of.join(" or "));
                self.problem(written.problem(cause, fix));
            }
        }
    }

    fn client_id(&mut self, oauth: &raw::OAuth) -> Option<String> {
        let written = oauth.client_id.as_ref().filter(|id| !id.value.is_empty());
        if written.is_none() {
            let fix = "add the application's ID, as the provider shows it";
            self.missing(&oauth.place, &oauth.lost, "client_id", fix);
        }
        written.map(|id| id.value.clone())
    }

    fn client_proof(&mut self, oauth: &mut raw::OAuth) -> Option<ClientProof> {
        let secret = [&oauth.client_secret_file, &oauth.client_secret_env].into_iter().flatten().next();
        let certificate = [&oauth.client_certificate, &oauth.key_file].into_iter().flatten().next();
        if let (Some(_), Some(certificate)) = (secret, certificate) {
            let cause = "there is a client secret too";
            self.problem(certificate.problem(cause, "keep one of the two: a certificate is the safer one"));
            return None;
        }
        let expires = oauth.client_secret_expires.take();
        if certificate.is_some() {
            if let Some(expires) = expires {
                let fix = "remove it: the certificate says itself when it ends";
                self.problem(expires.problem("there is no client secret", fix));
            }
            return self.client_certificate(oauth);
        }
        let secret = self.secret(WrittenSecret {
            place: &oauth.place,
            lost: &oauth.lost,
            file: ("client_secret_file", oauth.client_secret_file.clone()),
            variable: ("client_secret_env", oauth.client_secret_env.clone()),
        })?;
        if let Some(expires) = &expires {
            self.secret_ends(expires);
        }
        Some(ClientProof::Secret { secret, expires: expires.map(|day| day.value) })
    }

    fn secret_ends(&mut self, expires: &At<Date>) {
        let Secrets::Online { now, .. } = self.surroundings.secrets else { return };
        let end = crate::policy::expiry::end_of(expires.value);
        if let Some(stage) = end.and_then(|end| Stage::at(end, now)) {
            let cause = format!("the client secret {}", stage.told(expires.value));
            let fix = "make another at the provider, put it into its file, and write its last day here";
            self.problems.warn(expires.problem(cause, fix));
        }
    }

    fn client_certificate(&mut self, oauth: &mut raw::OAuth) -> Option<ClientProof> {
        let key = oauth.key_file.clone();
        let files = self.certificate_files(WrittenFiles {
            place: &oauth.place,
            lost: &oauth.lost,
            certificate_key: "client_certificate",
            certificate: oauth.client_certificate.take(),
            key_file: oauth.key_file.take(),
        })?;
        if let Some(key) = key {
            self.key_is_rsa(&key, &files);
        }
        let algorithm = oauth.algorithm.take().map(|algorithm| algorithm.value).unwrap_or_default();
        Some(ClientProof::Certificate { files, algorithm })
    }

    fn key_is_rsa(&mut self, written: &At<String>, files: &CertificateFiles) {
        let Secrets::Online { file, .. } = self.surroundings.secrets else { return };
        let Ok(pem) = file(&files.key_file) else { return };
        let Ok(key) = PrivateKeyDer::from_pem_slice(pem.text.as_bytes()) else { return };
        let Ok(key) = rustls::crypto::ring::sign::any_supported_type(&key) else { return };
        if key.algorithm() != SignatureAlgorithm::RSA {
            let cause =
                format!("the key in {} is no RSA key, which the signature of tokens needs", written.value);
            let fix = "make a certificate with one: `openssl req -x509 -newkey rsa:2048 -nodes -days 730 -keyout oauth.key -out oauth.pem`";
            self.problem(written.problem(cause, fix));
        }
    }

    /// The file of the refresh token. It need not be there yet.
    fn refresh_token(&mut self, oauth: &raw::OAuth, name: &DestinationName) -> Option<PathBuf> {
        let Some(path) = &oauth.refresh_token_file else {
            let fix = format!(
                "add a file below state_dir, for example `refresh_token_file: /var/lib/mailslotd/{name}.refresh`"
            );
            self.missing(&oauth.place, &oauth.lost, "refresh_token_file", fix);
            return None;
        };
        let absolute = self.absolute(path)?;
        if let Secrets::Online { file, .. } = self.surroundings.secrets {
            match file(&absolute) {
                Ok(_) => drop(self.secret_of_file(path)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    let cause = format!("{} is not there yet, so nobody has logged in", absolute.display());
                    let fix = format!("run `mailslotd oauth login {name}` as the service's user");
                    self.problems.warn(path.problem(cause, fix));
                }
                Err(_) => drop(self.secret_of_file(path)),
            }
        }
        Some(absolute)
    }

    /// The grant, and the token endpoint that its file names.
    fn service_account(
        &mut self,
        oauth: &mut raw::OAuth,
        user: Option<&str>,
    ) -> Option<(Grant, Option<HttpUrl>)> {
        let Some(path) = oauth.service_account_file.take() else {
            let fix = "add Google's JSON file: `service_account_file: /etc/mailslotd/google.json`";
            self.missing(&oauth.place, &oauth.lost, "service_account_file", fix);
            return None;
        };
        let service_account = self.absolute(&path)?;
        let subject = oauth.subject.take().map(|subject| subject.value).or_else(|| user.map(str::to_owned));
        let mut token_url = HttpUrl::parse(GOOGLE_TOKENS).ok();
        if let Secrets::Online { file, .. } = self.surroundings.secrets {
            let shown = service_account.display();
            let account = match file(&service_account) {
                Ok(secret) => ServiceAccount::parse(&secret.text).map_err(|error| {
                    let fix = "put the JSON file there that Google gives for a key of a service account";
                    (format!("{shown} {error}"), fix.to_owned())
                }),
                Err(error) => Err((
                    format!("{shown} cannot be read: {error}"),
                    format!(
                        "put it there, or let the service's user read it: `chgrp mailslotd {shown} && chmod 640 {shown}`"
                    ),
                )),
            };
            match account {
                Ok(account) => {
                    let own = account.token_uri.and_then(|url| HttpUrl::parse(&url).ok());
                    token_url = own.filter(is_safe).or(token_url);
                }
                Err((cause, fix)) => self.problem(path.problem(cause, fix)),
            }
        }
        Some((Grant::JwtBearer { service_account, subject }, token_url))
    }

    fn scope(&mut self, oauth: &raw::OAuth, grant: GrantWord, default: Option<&str>) -> String {
        match (&oauth.scope, default) {
            (Some(scope), _) => scope.value.clone(),
            (None, Some(scope)) => scope.to_owned(),
            (None, None) if grant == GrantWord::RefreshToken => String::new(),
            (None, None) => {
                let fix =
                    "add what the token is for, for example `scope: https://outlook.office365.com/.default`";
                self.missing(&oauth.place, &oauth.lost, "scope", fix);
                String::new()
            }
        }
    }
}

impl GrantWord {
    /// As the configuration spells it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client-credentials",
            Self::RefreshToken => "refresh-token",
            Self::JwtBearer => "jwt-bearer",
        }
    }
}

/// Whose tokens these keys ask for, without a preset.
fn provider_of(oauth: &raw::OAuth) -> Option<Tokens> {
    let at = oauth.token_url.as_ref().map_or("", |url| &url.value);
    if oauth.tenant.is_some() || at.starts_with("https://login.microsoftonline.com/") {
        Some(Tokens::Microsoft)
    } else if at.starts_with("https://oauth2.googleapis.com/")
        || oauth.grant.as_ref().is_some_and(|grant| grant.value == GrantWord::JwtBearer)
    {
        Some(Tokens::Google)
    } else {
        None
    }
}

fn has_proof(oauth: &raw::OAuth) -> bool {
    let texts =
        [&oauth.client_secret_file, &oauth.client_secret_env, &oauth.client_certificate, &oauth.key_file];
    texts.into_iter().any(Option::is_some) || oauth.lost.has("client_secret_env")
}

const MICROSOFT_SCOPE: &str = "https://outlook.office365.com/.default";
const MICROSOFT_USER_SCOPE: &str = "https://outlook.office.com/SMTP.Send offline_access";
const GOOGLE_SCOPE: &str = "https://mail.google.com/";
