//! `mailslotd oauth login`: a code to type into any browser (RFC 8628), and the refresh token that comes of it.
#![expect(clippy::disallowed_methods, reason = "the wait for a person is timed here")]

use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio::time::sleep_until;
use zeroize::Zeroizing;

use crate::cli::exit::Exit;
use crate::cli::output::{answer, note};
use crate::cli::table::plain;
use crate::config::settings::{ClientProof, Grant, OAuth, Settings};
use crate::delivery::oauth::{TokenSource, client_proof, head, keep_login, post, read};
use crate::message::id::DestinationName;
use crate::session::oauth::device::{DeviceLogin, Invitation, Step};
use crate::session::oauth::request::{TokenRequest, device_authorization};
use crate::wire::url::HttpUrl;

/// What a login needs.
struct Asking<'s> {
    source: TokenSource,
    client_id: &'s str,
    proof: Option<&'s ClientProof>,
    token_url: &'s HttpUrl,
}

/// Logs in: done when the refresh token is kept.
pub(super) async fn run(name: &DestinationName, oauth: &OAuth, settings: &Settings) -> Exit {
    match log_in(name, oauth, settings).await {
        Ok(file) => {
            answer(format_args!("Logged in; the refresh token is in {}.", file.display()));
            answer(format_args!("Next: mailslotd oauth test {name}"));
            Exit::Done
        }
        Err(reason) => {
            note(format_args!("mailslotd: {}", plain(&reason)));
            Exit::No
        }
    }
}

async fn log_in(name: &DestinationName, oauth: &OAuth, settings: &Settings) -> Result<PathBuf, String> {
    let Grant::RefreshToken { client_id, proof, file } = &oauth.grant else {
        let grant = oauth.grant.as_str();
        return Err(format!("{name} has `grant: {grant}`, which needs no login; `oauth test` tries it"));
    };
    let Some(device_url) = &oauth.device_url else {
        return Err("there is no device_url: add the provider's device authorization endpoint to auth.oauth"
            .to_owned());
    };
    let source = TokenSource::new(name.clone(), oauth, settings.outbound_proxy.as_ref())
        .map_err(|error| error.to_string())?;
    let asking = Asking { source, client_id, proof: proof.as_ref(), token_url: &oauth.token_url };
    let form = device_authorization(client_id, &oauth.scope);
    let response =
        asking.source.client().send(&post(device_url, form)).await.map_err(|fault| fault.to_string())?;
    let invitation = Invitation::parse(head(&response), &response.body)
        .map_err(|refusal| refusal.to_string().replace("DESTINATION", name.as_str()))?;
    answer(format_args!(
        "Open {} in any browser, and type {}",
        plain(&invitation.verification_uri),
        plain(&invitation.user_code)
    ));
    if let Some(uri) = &invitation.complete_uri {
        answer(format_args!("(or open {}).", plain(uri)));
    }
    answer("Log in there as the mailbox that sends. Waiting …");
    let refresh_token = asking.wait(&invitation).await?;
    keep(file, refresh_token).await?;
    Ok(file.clone())
}

impl Asking<'_> {
    async fn wait(&self, invitation: &Invitation) -> Result<Zeroizing<String>, String> {
        let mut login = DeviceLogin::new(invitation, Instant::now());
        let mut next = login.first();
        loop {
            sleep_until(next.into()).await;
            let proof = client_proof(self.proof, self.client_id, self.token_url)?;
            let device_code = &invitation.device_code;
            let request =
                TokenRequest::DeviceCode { client_id: self.client_id, proof: proof.as_proof(), device_code };
            let answer = self.source.client().send(&post(self.token_url, request.form())).await;
            let answer = answer.ok().map(|response| read(&response));
            match login.handle_answer(Instant::now(), answer) {
                Step::Ask(at) => next = at,
                Step::Over(refusal) => return Err(format!("no login: {refusal}")),
                Step::Done(granted) => {
                    return granted.refresh_token.ok_or_else(|| {
                        "the provider gave no refresh token; for Microsoft the scope must have offline_access".to_owned()
                    });
                }
            }
        }
    }
}

/// Keeps the token for the service: one that root writes belongs to whom its folder belongs.
async fn keep(file: &Path, refresh_token: Zeroizing<String>) -> Result<(), String> {
    keep_login(file, refresh_token).await?;
    if nix::unistd::geteuid().is_root()
        && let Some(folder) = file.parent()
        && let Ok(owner) = std::fs::metadata(folder)
    {
        chown(file, Some(owner.uid()), Some(owner.gid()))
            .map_err(|error| format!("{} cannot be given to the service's user: {error}", file.display()))?;
    }
    Ok(())
}
