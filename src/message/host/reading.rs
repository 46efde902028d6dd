//! From a decoded message to what it tells of its sender.

use super::line::bounded_line;
use super::{
    Channel, HostName, HostSighting, MOST_COMMENT, MOST_NAME, MessageSeen, Presence, Purpose, Role, Roles,
    SystemGuess,
};
use crate::message::notice::{Kind, Notice};
use crate::wire::announcement::Announcement;
use crate::wire::message_text::name_text;
use crate::wire::netbios_name::NameType;
use crate::wire::oem_text::CodePage;
use crate::wire::{browser, lanman, netlogon};

/// What `notice` tells.
pub(super) fn read(notice: &Notice<'_>) -> HostSighting {
    let source = &notice.source_name;
    let mut sighting = HostSighting {
        at: notice.arrival.at,
        address: notice.arrival.source.ip().to_canonical(),
        name: name(&source.text).map(|name| match source.name_type {
            NameType::MESSENGER => HostName::Messenger(name),
            _ => HostName::Computer(name),
        }),
        workgroup: None,
        system: None,
        roles: Roles::of_name_type(source.name_type),
        comment: None,
        presence: Presence::Stays,
        channel: Channel::of(notice),
        octets: u64::try_from(notice.data.len()).unwrap_or(u64::MAX),
        message: None,
    };
    if notice.kind == Kind::Announcement {
        sighting.workgroup = workgroup(notice);
        match notice.announcement() {
            Some(Announcement::Browser(frame)) => sighting.browser(&frame, notice.encoding.code_page),
            Some(Announcement::Lanman(frame)) => sighting.lanman(&frame, notice.encoding.code_page),
            Some(Announcement::Netlogon(frame)) => sighting.netlogon(&frame, notice.encoding.code_page),
            None => {}
        }
    } else if sighting.channel.purpose() != Purpose::Logon {
        sighting.message = Some(MessageSeen {
            from: upper(&bounded_line(&notice.originator, MOST_NAME)),
            to: upper(&bounded_line(&notice.to, MOST_NAME)),
        });
    }
    sighting
}

/// Upper case, as NetBIOS names are by convention: senders differ in it, the name service does not.
pub(super) fn upper(name: &str) -> String {
    name.to_uppercase()
}

impl HostSighting {
    fn browser(&mut self, frame: &browser::Frame<'_>, page: CodePage) {
        use browser::Frame;
        match frame {
            Frame::HostAnnouncement(host) | Frame::LocalMasterAnnouncement(host) => {
                self.own_name(host.server_name.text(), page);
                self.announced(host.server_type, SystemGuess::of_announcement(host));
                self.comment = line(host.comment, page, MOST_COMMENT);
                if matches!(frame, Frame::LocalMasterAnnouncement(_)) {
                    self.role(Role::MasterBrowser);
                }
            }
            Frame::DomainAnnouncement(domain) => {
                self.own_name(domain.local_master, page);
                self.workgroup = line(domain.machine_group.text(), page, MOST_NAME).map(|name| upper(&name));
                self.role(Role::MasterBrowser);
            }
            Frame::RequestElection(election) => {
                self.own_name(election.server_name, page);
                self.system = SystemGuess::of_election(election.criteria);
            }
            Frame::RequestAnnouncement { response_name: name, .. }
            | Frame::MasterAnnouncement { master_browser: name } => {
                self.own_name(name, page);
                if matches!(frame, Frame::MasterAnnouncement { .. }) {
                    self.role(Role::MasterBrowser);
                }
            }
            // These tell of others, who will tell of themselves.
            Frame::GetBackupListRequest { .. }
            | Frame::GetBackupListResponse { .. }
            | Frame::BecomeBackup { .. }
            | Frame::ResetState { .. }
            | Frame::Unknown { .. } => {}
        }
    }

    fn lanman(&mut self, frame: &lanman::Frame<'_>, page: CodePage) {
        let lanman::Frame::Announce(host) = frame else { return };
        self.own_name(host.server_name, page);
        self.announced(host.server_type, SystemGuess::of_lanman(host));
        self.comment = line(host.comment, page, MOST_COMMENT);
    }

    fn netlogon(&mut self, frame: &netlogon::Frame<'_>, page: CodePage) {
        use netlogon::Frame;
        match frame {
            Frame::LogonRequest { computer_name, .. } => {
                self.own_name(computer_name, page);
                self.role(Role::LogonClient);
            }
            Frame::PrimaryQuery(query) => {
                self.own_name(query.computer_name, page);
                self.role(Role::LogonClient);
            }
            Frame::SamLogonRequest(request) => {
                self.own_wide_name(request.computer_name);
                self.role(Role::LogonClient);
            }
            Frame::LogonResponse { server_name }
            | Frame::PrimaryResponse(netlogon::PrimaryResponse { server_name, .. })
            | Frame::UasChange { server_name, .. } => {
                self.own_name(server_name, page);
                self.role(Role::DomainController);
            }
            Frame::SamLogonResponse { server_name, .. } => {
                self.own_wide_name(*server_name);
                self.role(Role::DomainController);
            }
            Frame::SamLogonResponseEx { .. } => self.role(Role::DomainController),
            Frame::Unknown { .. } => {}
        }
    }

    /// What a host calls itself inside its frame tells more than the name under which it was sent.
    fn own_name(&mut self, bytes: &[u8], page: CodePage) {
        // Servers of logons write their name with backslashes in front.
        let bytes = bytes.strip_prefix(br"\\").unwrap_or(bytes);
        if let Some(name) = line(bytes, page, MOST_NAME) {
            self.name = Some(HostName::Computer(upper(&name)));
        }
    }

    fn own_wide_name(&mut self, name: netlogon::Utf16<'_>) {
        let text: String = name.chars().take(MOST_NAME.saturating_add(2)).collect();
        if let Some(name) = self::name(text.trim_start_matches('\\')) {
            self.name = Some(HostName::Computer(name));
        }
    }

    /// A server type of zero is a goodbye, and says nothing else: without its bits even Samba looks like a Windows.
    fn announced(&mut self, server_type: browser::ServerType, system: Option<SystemGuess>) {
        if server_type == browser::ServerType(0) {
            self.presence = Presence::Leaves;
        } else {
            self.system = system;
        }
        self.roles = self.roles.union(Roles::of_server_type(server_type));
    }

    fn role(&mut self, role: Role) {
        self.roles = self.roles.union([role].into_iter().collect());
    }
}

/// The workgroup or domain whose name an announcement is sent to.
fn workgroup(notice: &Notice<'_>) -> Option<String> {
    let to = &notice.destination_name;
    let of_group = match to.name_type {
        NameType::LOCAL_MASTER
        | NameType::BROWSER_ELECTION
        | NameType::DOMAIN_MASTER
        | NameType::DOMAIN_CONTROLLERS => true,
        // To a workgroup LAN Managers announce themselves, and to a computer nobody.
        NameType::WORKSTATION => notice.mailslot == r"\MAILSLOT\LANMAN",
        _ => false,
    };
    if of_group { name(&to.text).filter(|name| name != MSBROWSE) } else { None }
}

/// A name in one line and in upper case; `None` for none, and for the wildcard.
fn name(text: &str) -> Option<String> {
    let name = upper(bounded_line(text, MOST_NAME).trim());
    (!name.is_empty() && name != "*").then_some(name)
}

/// A text of a frame in one line; `None` where there is none.
fn line(bytes: &[u8], page: CodePage, most: usize) -> Option<String> {
    let bytes = bytes.get(..most.saturating_mul(4)).unwrap_or(bytes);
    let text = bounded_line(&name_text(page.decode(bytes).0), most);
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// Where all master browsers hear, which is no workgroup.
const MSBROWSE: &str = "__MSBROWSE__";
