//! Which called names are answered on TCP 139: those that messages are taken for.

use crate::wire::netbios_name::{NameType, Scope};
use crate::wire::session_service::{Endpoint, RefusalCode};

/// The names that sessions may be opened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalledNames {
    /// The host's own, without its type.
    host: Box<[u8]>,
    /// Further ones, without their type.
    aliases: Box<[Box<[u8]>]>,
    scope: Scope,
}

/// Whether a session may be opened to a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalledNameVerdict {
    /// Messages are taken for it.
    Messenger,
    /// The name is this host's, but it stands for a service that is not offered, such as files: 83 80.
    NotListening,
    /// The name is none of ours, or in another scope: 83 82.
    NotPresent,
}

impl CalledNameVerdict {
    /// What a negative session response says of it (RFC 1002 §4.3.4); `None` where the session is opened.
    #[must_use]
    pub const fn refusal(self) -> Option<RefusalCode> {
        match self {
            Self::Messenger => None,
            Self::NotListening => Some(RefusalCode::NOT_LISTENING_ON_CALLED_NAME),
            Self::NotPresent => Some(RefusalCode::CALLED_NAME_NOT_PRESENT),
        }
    }
}

impl CalledNames {
    /// The host's own name and its aliases, as text in the OEM code page and without their types; `scope` is the one that
    /// is heard.
    #[must_use]
    pub fn new<'a>(host: &[u8], aliases: impl IntoIterator<Item = &'a [u8]>, scope: Scope) -> Self {
        Self { host: host.into(), aliases: aliases.into_iter().map(Box::from).collect(), scope }
    }

    /// Decides about the called name of a session request. ASCII letters are compared without regard to case: senders that
    /// do not convert a name to upper case mean the same.
    #[must_use]
    pub fn decide(&self, called: &Endpoint) -> CalledNameVerdict {
        if !called.scope.text().eq_ignore_ascii_case(self.scope.text()) {
            return CalledNameVerdict::NotPresent;
        }
        let is = |own: &[u8]| called.name.text().eq_ignore_ascii_case(own);
        let is_host = is(&self.host) || is(ANY_SERVER);
        match called.name.name_type() {
            NameType::MESSENGER if is(&self.host) || self.aliases.iter().any(|alias| is(alias)) => {
                CalledNameVerdict::Messenger
            }
            NameType::WORKSTATION | NameType::FILE_SERVER if is_host => CalledNameVerdict::NotListening,
            _ => CalledNameVerdict::NotPresent,
        }
    }
}

/// What clients call who know no more than the address of a file server.
const ANY_SERVER: &[u8] = b"*SMBSERVER";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::netbios_name::NetbiosName;

    fn names() -> CalledNames {
        CalledNames::new(b"GW1", [b"ALERTS".as_slice(), b"FIRST LAST"], Scope::default())
    }

    fn called(text: &[u8], kind: NameType) -> Endpoint {
        Endpoint::new(NetbiosName::new(text, kind).unwrap())
    }

    #[test]
    fn messages_are_taken_for_the_host_and_its_aliases_whatever_the_case() {
        for name in [b"GW1".as_slice(), b"ALERTS", b"alerts", b"First Last"] {
            let verdict = names().decide(&called(name, NameType::MESSENGER));
            assert_eq!((verdict, verdict.refusal()), (CalledNameVerdict::Messenger, None));
        }
    }

    #[test]
    fn a_file_server_is_not_listening_and_other_names_are_not_present() {
        for (name, kind, code) in [
            (b"GW1".as_slice(), NameType::FILE_SERVER, 0x80),
            (b"GW1", NameType::WORKSTATION, 0x80),
            (b"*SMBSERVER", NameType::FILE_SERVER, 0x80),
            (b"ALERTS", NameType::FILE_SERVER, 0x82),
            (b"ALERTS", NameType::WORKSTATION, 0x82),
            (b"*SMBSERVER", NameType::MESSENGER, 0x82),
            (b"NOSUCHNAME", NameType::MESSENGER, 0x82),
            (b"ALERTS2", NameType::MESSENGER, 0x82),
            (b"", NameType::MESSENGER, 0x82),
        ] {
            let verdict = names().decide(&called(name, kind));
            assert_eq!(verdict.refusal(), Some(RefusalCode(code)), "{}{kind}", name.escape_ascii());
        }
    }

    #[test]
    fn a_name_in_another_scope_is_another_name() {
        let scope = Scope::new(b"PLANT.LOCAL").unwrap();
        let named =
            |scope: &Scope| Endpoint { scope: scope.clone(), ..called(b"ALERTS", NameType::MESSENGER) };
        assert_eq!(names().decide(&named(&scope)), CalledNameVerdict::NotPresent);
        let scoped = CalledNames::new(b"GW1", [b"ALERTS".as_slice()], Scope::new(b"plant.local").unwrap());
        assert_eq!(scoped.decide(&named(&scope)), CalledNameVerdict::Messenger);
        assert_eq!(scoped.decide(&named(&Scope::default())), CalledNameVerdict::NotPresent);
    }
}
