//! What hosts tell of themselves and of each other, through whichever mailslot, in one line.

use super::message_text::name_text;
use super::oem_text::CodePage;
use super::reader::WireError;
use super::{browser, lanman, netlogon};

/// The data of a mailslot in which hosts announce themselves or look for each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announcement<'a> {
    /// `\MAILSLOT\BROWSE`.
    Browser(browser::Frame<'a>),
    /// `\MAILSLOT\LANMAN`.
    Lanman(lanman::Frame<'a>),
    /// `\MAILSLOT\NET\NETLOGON` and `\MAILSLOT\NET\NTLOGON`.
    Netlogon(netlogon::Frame<'a>),
}

impl<'a> Announcement<'a> {
    /// Reads the data of the mailslot with the name `mailslot`, in upper case; `None` where it is no announcement
    /// mailslot.
    ///
    /// # Errors
    /// The field that is truncated or malformed; its offset counts from the start of the data.
    pub fn parse(mailslot: &str, data: &'a [u8]) -> Option<Result<Self, WireError>> {
        match mailslot {
            r"\MAILSLOT\BROWSE" => Some(browser::Frame::parse(data).map(Self::Browser)),
            r"\MAILSLOT\LANMAN" => Some(lanman::Frame::parse(data).map(Self::Lanman)),
            r"\MAILSLOT\NET\NETLOGON" | r"\MAILSLOT\NET\NTLOGON" => {
                Some(netlogon::Frame::parse(data).map(Self::Netlogon))
            }
            _ => None,
        }
    }

    /// One line for a person, without control characters; the texts in it decoded from `code_page`.
    #[must_use]
    pub fn summary(&self, code_page: CodePage) -> String {
        match self {
            Self::Browser(frame) => browser_summary(frame, code_page),
            Self::Lanman(frame) => lanman_summary(frame, code_page),
            Self::Netlogon(frame) => netlogon_summary(frame, code_page),
        }
    }
}

fn browser_summary(frame: &browser::Frame<'_>, page: CodePage) -> String {
    use browser::Frame;
    let opcode = frame.opcode();
    match frame {
        Frame::HostAnnouncement(host) | Frame::LocalMasterAnnouncement(host) => {
            let about = about(host.os_version, host.server_type, text(host.comment, page));
            format!("{opcode} of {}: {about}", text(host.server_name.text(), page))
        }
        Frame::DomainAnnouncement(domain) => {
            let group = text(domain.machine_group.text(), page);
            format!("{opcode} of {group}: its local master browser is {}", text(domain.local_master, page))
        }
        Frame::RequestAnnouncement { response_name: name, .. }
        | Frame::BecomeBackup { browser_to_promote: name }
        | Frame::MasterAnnouncement { master_browser: name } => format!("{opcode} for {}", text(name, page)),
        Frame::RequestElection(election) => {
            let criteria = election.criteria.0;
            format!("{opcode} by {}: criteria {criteria:08X}", text(election.server_name, page))
        }
        Frame::GetBackupListRequest { requested_count, .. } => {
            format!("{opcode} for {requested_count} servers")
        }
        Frame::GetBackupListResponse { servers, .. } => {
            let servers: Vec<_> = servers.iter().map(|server| text(server, page)).collect();
            format!("{opcode}: {}", servers.join(", "))
        }
        Frame::ResetState { options } => format!("{opcode}: options {options:#04x}"),
        Frame::Unknown { body, .. } => format!("{opcode}: {} bytes", body.len()),
    }
}

fn lanman_summary(frame: &lanman::Frame<'_>, page: CodePage) -> String {
    let command = frame.command();
    match frame {
        lanman::Frame::Announce(host) => {
            let about = about(host.os_version, host.server_type, text(host.comment, page));
            format!("LANMAN {command} of {}: {about}", text(host.server_name, page))
        }
        lanman::Frame::Request { .. } => format!("LANMAN {command}"),
        lanman::Frame::Unknown { body, .. } => format!("LANMAN {command}: {} bytes", body.len()),
    }
}

fn netlogon_summary(frame: &netlogon::Frame<'_>, page: CodePage) -> String {
    use netlogon::Frame;
    let opcode = frame.opcode();
    match frame {
        Frame::LogonRequest { computer_name, user_name, .. } => {
            format!("{opcode} by {} on {}", text(user_name, page), text(computer_name, page))
        }
        Frame::LogonResponse { server_name } => format!("{opcode} from {}", text(server_name, page)),
        Frame::PrimaryQuery(query) => format!("{opcode} by {}", text(query.computer_name, page)),
        Frame::PrimaryResponse(response) => format!("{opcode} from {}", text(response.server_name, page)),
        Frame::UasChange { server_name, domain_name, .. } => {
            format!("{opcode} from {} for {}", text(server_name, page), text(domain_name, page))
        }
        Frame::SamLogonRequest(request) => {
            format!("{opcode} by {} on {}", utf16(request.user_name), utf16(request.computer_name))
        }
        Frame::SamLogonResponse { server_name, domain_name, .. } => {
            format!("{opcode} from {} for {}", utf16(*server_name), utf16(*domain_name))
        }
        Frame::SamLogonResponseEx { body, .. } | Frame::Unknown { body, .. } => {
            format!("{opcode}: {} bytes", body.len())
        }
    }
}

/// What a host tells of itself. A server type of zero is its goodbye.
fn about(os_version: browser::Version, server_type: browser::ServerType, comment: String) -> String {
    let comment = if comment.is_empty() { comment } else { format!(", \"{comment}\"") };
    if server_type == browser::ServerType(0) {
        format!("it goes away{comment}")
    } else {
        format!("version {os_version}, {server_type}{comment}")
    }
}

fn text(bytes: &[u8], page: CodePage) -> String {
    name_text(page.decode(bytes).0).into_owned()
}

fn utf16(text: netlogon::Utf16<'_>) -> String {
    name_text(text.chars().collect::<String>().into()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(mailslot: &str, data: &[u8]) -> String {
        Announcement::parse(mailslot, data).unwrap().unwrap().summary(CodePage::Cp850)
    }

    /// A host announcement with this server type.
    fn host(server_type: u32) -> Vec<u8> {
        let mut data = b"\x01\x00\x60\xEA\x00\x00SMBALPHA\0\0\0\0\0\0\0\0\x06\x01".to_vec();
        data.extend(server_type.to_le_bytes());
        data.extend(b"\x0F\x01\x55\xAAB\x81ro\r\nPC\0");
        data
    }

    #[test]
    fn a_host_is_summed_up_in_one_line_of_its_code_page() {
        assert_eq!(
            summary(r"\MAILSLOT\BROWSE", &host(3)),
            "HostAnnouncement (0x01) of SMBALPHA: version 6.1, workstation, server, \"BüroPC\""
        );
    }

    #[test]
    fn a_server_type_of_zero_is_a_goodbye() {
        let text = summary(r"\MAILSLOT\BROWSE", &host(0));
        assert_eq!(text, "HostAnnouncement (0x01) of SMBALPHA: it goes away, \"BüroPC\"");
    }

    #[test]
    fn samba_asks_for_announcements_with_a_stray_nul_and_is_understood() {
        let text = summary(r"\MAILSLOT\BROWSE", b"\x02\x01\0SMBALPHA");
        assert!(text.ends_with(" for SMBALPHA"), "{text}");
    }

    #[test]
    fn other_mailslots_are_no_announcements_and_a_cut_frame_is_an_error() {
        assert_eq!(Announcement::parse(r"\MAILSLOT\MESSNGR", b"\x01"), None);
        assert!(matches!(Announcement::parse(r"\MAILSLOT\BROWSE", b"\x01\x00"), Some(Err(_))));
        assert!(matches!(Announcement::parse(r"\MAILSLOT\NET\NTLOGON", b""), Some(Err(_))));
    }

    #[test]
    fn a_lanman_host_is_summed_up_too() {
        let text = summary(r"\MAILSLOT\LANMAN", b"\x01\0\x03\x00\x00\x00\x06\x01\x3C\0OLD\0BOX\0");
        assert!(
            text.starts_with("LANMAN ")
                && text.ends_with("of OLD: version 6.1, workstation, server, \"BOX\""),
            "{text}"
        );
    }
}
