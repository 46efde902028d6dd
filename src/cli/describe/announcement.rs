//! The data of the announcement mailslots: BROWSE, LANMAN, NETLOGON.

use super::Page;
use crate::wire::browser::{self, Announcement, DomainAnnouncement, Election};
use crate::wire::oem_text::SenderText;
use crate::wire::{lanman, netlogon};

impl Page {
    pub(super) fn browser(&mut self, data: &[u8], sender: SenderText) {
        let frame = match browser::Frame::parse(data) {
            Ok(frame) => frame,
            Err(error) => return self.error(error),
        };
        self.field("Opcode", frame.opcode());
        match frame {
            browser::Frame::HostAnnouncement(announcement)
            | browser::Frame::LocalMasterAnnouncement(announcement) => self.host(&announcement, sender),
            browser::Frame::DomainAnnouncement(announcement) => self.domain(&announcement, sender),
            browser::Frame::RequestElection(election) => self.election(&election, sender),
            browser::Frame::RequestAnnouncement { unused, response_name } => {
                self.field("Unused", unused);
                self.oem("ResponseName", response_name, sender);
            }
            browser::Frame::GetBackupListRequest { requested_count, token } => {
                self.field("RequestedCount", requested_count);
                self.field("Token", format_args!("0x{token:08X}"));
            }
            browser::Frame::GetBackupListResponse { token, servers } => {
                self.field("Token", format_args!("0x{token:08X}"));
                for server in servers {
                    self.oem("BackupServer", server, sender);
                }
            }
            browser::Frame::BecomeBackup { browser_to_promote } => {
                self.oem("BrowserToPromote", browser_to_promote, sender);
            }
            browser::Frame::MasterAnnouncement { master_browser } => {
                self.oem("MasterBrowser", master_browser, sender);
            }
            browser::Frame::ResetState { options } => self.field("Options", format_args!("0x{options:02X}")),
            browser::Frame::Unknown { body, .. } => self.bytes("Body", body),
        }
    }

    fn host(&mut self, announcement: &Announcement<'_>, sender: SenderText) {
        self.field("UpdateCount", announcement.update_count);
        self.field("Periodicity", format_args!("{} ms", announcement.period.as_millis()));
        self.oem("ServerName", announcement.server_name.text(), sender);
        self.field("OSVersion", announcement.os_version);
        self.server_type(announcement.server_type);
        self.field("BrowserVersion", announcement.browser_version);
        self.field("Signature", format_args!("0x{:04X}", announcement.signature));
        self.oem("Comment", announcement.comment, sender);
    }

    fn domain(&mut self, announcement: &DomainAnnouncement<'_>, sender: SenderText) {
        self.field("UpdateCount", announcement.update_count);
        self.field("Periodicity", format_args!("{} ms", announcement.period.as_millis()));
        self.oem("MachineGroup", announcement.machine_group.text(), sender);
        self.field("BrowserConfigVersion", announcement.browser_config_version);
        self.server_type(announcement.server_type);
        let [a, b, c, d] = announcement.trailer;
        self.field("Trailer", format_args!("{a:02X} {b:02X} {c:02X} {d:02X}"));
        self.oem("LocalMasterBrowser", announcement.local_master, sender);
    }

    fn election(&mut self, election: &Election<'_>, sender: SenderText) {
        let criteria = election.criteria;
        self.field("Version", election.version);
        self.field(
            "Criteria",
            format_args!(
                "0x{:08X} OS 0x{:02X}, revision {}, role 0x{:02X}",
                criteria.0,
                criteria.os(),
                criteria.revision(),
                criteria.role()
            ),
        );
        self.field("Uptime", format_args!("{} ms", election.uptime.as_millis()));
        self.oem("ServerName", election.server_name, sender);
    }

    fn server_type(&mut self, server_type: browser::ServerType) {
        self.field("ServerType", format_args!("0x{:08X} {server_type}", server_type.0));
    }

    pub(super) fn lanman(&mut self, data: &[u8], sender: SenderText) {
        let frame = match lanman::Frame::parse(data) {
            Ok(frame) => frame,
            Err(error) => return self.error(error),
        };
        self.field("Command", frame.command());
        match frame {
            lanman::Frame::Announce(announcement) => {
                self.server_type(announcement.server_type);
                self.field("OSVersion", announcement.os_version);
                self.field("Periodicity", format_args!("{} s", announcement.period.as_secs()));
                self.oem("ServerName", announcement.server_name, sender);
                self.oem("Comment", announcement.comment, sender);
            }
            lanman::Frame::Request { body } | lanman::Frame::Unknown { body, .. } => self.bytes("Body", body),
        }
    }

    pub(super) fn netlogon(&mut self, data: &[u8], sender: SenderText) {
        let frame = match netlogon::Frame::parse(data) {
            Ok(frame) => frame,
            Err(error) => return self.error(error),
        };
        self.field("Opcode", frame.opcode());
        match frame {
            netlogon::Frame::LogonRequest { computer_name, user_name, reply_mailslot } => {
                self.oem("ComputerName", computer_name, sender);
                self.oem("UserName", user_name, sender);
                self.oem("MailslotName", reply_mailslot, sender);
            }
            netlogon::Frame::LogonResponse { server_name } => self.oem("LogonServer", server_name, sender),
            netlogon::Frame::PrimaryQuery(query) => {
                self.oem("ComputerName", query.computer_name, sender);
                self.oem("MailslotName", query.reply_mailslot, sender);
                if let Some((name, version)) = query.nt {
                    self.field("UnicodeComputerName", format_args!("\"{name}\""));
                    self.nt_version(version);
                }
            }
            netlogon::Frame::PrimaryResponse(response) => {
                self.oem("PrimaryDCName", response.server_name, sender);
                if let Some((name, domain, version)) = response.nt {
                    self.field("UnicodePrimaryDCName", format_args!("\"{name}\""));
                    self.field("UnicodeDomainName", format_args!("\"{domain}\""));
                    self.nt_version(version);
                }
            }
            netlogon::Frame::UasChange { serial_number, server_name, domain_name } => {
                self.field("LowSerialNumber", serial_number);
                self.oem("PrimaryDCName", server_name, sender);
                self.oem("DomainName", domain_name, sender);
            }
            netlogon::Frame::SamLogonRequest(request) => self.sam_logon_request(&request, sender),
            netlogon::Frame::SamLogonResponse { server_name, user_name, domain_name, .. } => {
                self.field("UnicodeLogonServer", format_args!("\"{server_name}\""));
                self.field("UnicodeUserName", format_args!("\"{user_name}\""));
                self.field("UnicodeDomainName", format_args!("\"{domain_name}\""));
            }
            netlogon::Frame::SamLogonResponseEx { body, .. } | netlogon::Frame::Unknown { body, .. } => {
                self.bytes("Body", body);
            }
        }
    }

    fn sam_logon_request(&mut self, request: &netlogon::SamLogonRequest<'_>, sender: SenderText) {
        self.field("RequestCount", request.request_count);
        self.field("UnicodeComputerName", format_args!("\"{}\"", request.computer_name));
        self.field("UnicodeUserName", format_args!("\"{}\"", request.user_name));
        self.oem("MailslotName", request.reply_mailslot, sender);
        self.field("AccountControl", format_args!("0x{:08X}", request.account_control));
        self.bytes("DomainSid", request.domain_sid);
        self.nt_version(request.nt_version);
    }

    fn nt_version(&mut self, version: netlogon::NtVersion) {
        self.field("NtVersion", format_args!("0x{:08X}", version.0));
    }
}
