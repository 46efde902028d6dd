//! Passwords and authorities, which stand in files or variables of their own.

use std::io;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::super::problem::Place;
use super::super::raw::{At, Lost};
use super::super::settings::TlsMode;
use super::{Checking, Readers, SecretOrigin, SecretOwner, Secrets};

impl Checking<'_> {
    /// The password of `owner`, of which exactly one place must be written. Empty offline.
    pub(super) fn password(
        &mut self,
        owner: &SecretOwner,
        file: Option<At<String>>,
        variable: Option<At<String>>,
        (place, lost): (&Place, &Lost),
    ) -> Zeroizing<String> {
        match (file, variable) {
            (Some(path), None) => self.password_of_file(owner, &path).unwrap_or_default(),
            (None, Some(variable)) => self.password_of_variable(owner, &variable).unwrap_or_default(),
            (Some(_), Some(variable)) => {
                let cause = "there is a `password_file` too";
                self.problem(variable.problem(cause, "keep one of the two"));
                Zeroizing::default()
            }
            (None, None) => {
                let fix = "add `password_file: /etc/mailslotd/smarthost.pw`, or `password_env:` with a variable's name";
                if !lost.has("password_env") {
                    self.missing(place, lost, "password_file", fix);
                }
                Zeroizing::default()
            }
        }
    }

    fn password_of_file(&mut self, owner: &SecretOwner, path: &At<String>) -> Option<Zeroizing<String>> {
        let absolute = self.absolute(path)?;
        self.secrets.push((owner.clone(), SecretOrigin::File(absolute)));
        self.secret_of_file(path)
    }

    /// The one line of a file; `None` offline.
    pub(super) fn secret_of_file(&mut self, path: &At<String>) -> Option<Zeroizing<String>> {
        let absolute = self.absolute(path)?;
        let Secrets::Online { file, .. } = self.surroundings.secrets else { return None };
        let shown = absolute.display();
        let secret = match file(&absolute) {
            Ok(secret) => secret,
            Err(error) => {
                let fix = if error.kind() == io::ErrorKind::NotFound {
                    format!(
                        "put the password there: `install -m 0640 -g mailslotd /dev/stdin {shown}`; the service's user must be able to read it"
                    )
                } else {
                    format!(
                        "let the service's user read it: `chgrp mailslotd {shown} && chmod 640 {shown}`; as another user, check with `sudo -u mailslotd mailslotd check`"
                    )
                };
                self.problem(path.problem(format!("{shown} cannot be read: {error}"), fix));
                return None;
            }
        };
        if secret.readers == Readers::Everybody {
            let cause = format!("every user of this machine may read {shown}");
            self.problems.warn(path.problem(cause, format!("chmod o= {shown}")));
        }
        let password = secret.text.trim_end_matches(['\r', '\n']);
        let fault = if password.is_empty() {
            "is empty"
        } else if password.contains(['\r', '\n']) {
            "has more than one line"
        } else {
            return Some(Zeroizing::new(password.to_owned()));
        };
        self.problem(path.problem(format!("{shown} {fault}"), "put the password alone into it, on one line"));
        None
    }

    fn password_of_variable(
        &mut self,
        owner: &SecretOwner,
        variable: &At<String>,
    ) -> Option<Zeroizing<String>> {
        self.secrets.push((owner.clone(), SecretOrigin::Variable(variable.value.clone())));
        self.secret_of_variable(variable, "password_file")
    }

    /// What an environment variable holds; `None` offline. `file_key` is what would name a file instead.
    pub(super) fn secret_of_variable(
        &mut self,
        variable: &At<String>,
        file_key: &str,
    ) -> Option<Zeroizing<String>> {
        let Secrets::Online { variable: read, .. } = self.surroundings.secrets else { return None };
        let password = read(&variable.value).filter(|password| !password.is_empty());
        if password.is_none() {
            let cause = format!("the environment variable {:?} is not set, or empty", variable.value);
            self.problem(variable.problem(cause, format!("set it for the service, or use `{file_key}`")));
        }
        password
    }

    /// A file with authorities to trust instead of the system's.
    pub(super) fn authorities(&mut self, path: &At<String>, mode: TlsMode) -> Option<PathBuf> {
        if mode == TlsMode::None {
            self.problem(
                path.problem("there is no TLS to check with it", "remove it, or write `mode: starttls`"),
            );
        }
        let absolute = self.absolute(path)?;
        if let Secrets::Online { file, .. } = self.surroundings.secrets {
            match file(&absolute) {
                Ok(pem) if pem.text.contains("-----BEGIN CERTIFICATE-----") => {}
                Ok(_) => {
                    let cause = format!("{} has no certificate in PEM form", absolute.display());
                    let fix = "put a file there with lines `-----BEGIN CERTIFICATE-----`";
                    self.problem(path.problem(cause, fix));
                }
                Err(error) => {
                    let cause = format!("{} cannot be read: {error}", absolute.display());
                    let fix = "put the file there, or let the service's user read it";
                    self.problem(path.problem(cause, fix));
                }
            }
        }
        Some(absolute)
    }
}
