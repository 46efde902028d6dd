//! UDP 138: the datagram, the transaction, the mailslot write, and its data.

use super::{Page, qualified};
use crate::wire::datagram::{
    Datagram, Direct, ErrorCode, Flags, Fragment, Header, MsgType, Place, QueryKind,
};
use crate::wire::mailslot::{MailslotName, MailslotWrite};
use crate::wire::messenger::Text;
use crate::wire::oem_text::SenderText;
use crate::wire::smb::Transaction;

impl Page {
    pub(super) fn datagram(&mut self, payload: &[u8], sender: SenderText) {
        self.layer("datagram", payload);
        match Datagram::parse(payload) {
            Ok(Datagram::Direct(direct)) => {
                self.direct(&direct);
                self.transaction(direct.user_data, sender);
            }
            Ok(Datagram::Fragment(fragment)) => self.fragment(&fragment),
            Ok(Datagram::Error { header, code }) => {
                self.datagram_header("0x13 DATAGRAM ERROR", &header);
                self.field("ERROR_CODE", format_args!("0x{:02X} {}", code.0, error_name(code)));
            }
            Ok(Datagram::Query { header, kind, name, scope }) => {
                self.datagram_header(query_name(kind), &header);
                self.field("DESTINATION_NAME", qualified(name, &scope));
            }
            Err(error) => self.error(error),
        }
    }

    fn datagram_header(&mut self, msg_type: &str, header: &Header) {
        self.field("MSG_TYPE", msg_type);
        self.field("FLAGS", flags(header.flags));
        self.field("DGM_ID", format_args!("0x{:04X}", header.dgm_id));
        self.field("SOURCE_IP", header.source_ip);
        self.field("SOURCE_PORT", header.source_port);
    }

    fn direct(&mut self, direct: &Direct<'_>) {
        self.datagram_header(msg_type(direct.msg_type), &direct.header);
        let lies = if direct.length_mismatch() { ", not what is there" } else { "" };
        self.field("DGM_LENGTH", format_args!("{}{lies}", direct.dgm_length));
        self.field("PACKET_OFFSET", direct.packet_offset);
        self.field("SOURCE_NAME", qualified(direct.source_name, &direct.source_scope));
        self.field("DESTINATION_NAME", qualified(direct.destination_name, &direct.destination_scope));
    }

    fn fragment(&mut self, fragment: &Fragment<'_>) {
        self.datagram_header(msg_type(fragment.msg_type), &fragment.header);
        self.field("DGM_LENGTH", fragment.dgm_length);
        self.field("PACKET_OFFSET", fragment.packet_offset);
        match fragment.place {
            Place::First { names_length } => {
                self.field("fragment", format_args!("first, {names_length} bytes of names"));
            }
            Place::Middle => self.field("fragment", "middle"),
            Place::Last => self.field("fragment", "last"),
        }
        self.bytes("body", fragment.body);
    }

    fn transaction(&mut self, user_data: &[u8], sender: SenderText) {
        self.layer("SMB_COM_TRANSACTION", user_data);
        let transaction = match Transaction::parse(user_data) {
            Ok(transaction) => transaction,
            Err(error) => return self.error(error),
        };
        let header = transaction.header;
        self.field("Flags, Flags2", format_args!("0x{:02X}, 0x{:04X}", header.flags, header.flags2));
        self.field(
            "PID, TID, UID, MID",
            format_args!("{}, {}, {}, {}", header.pid_low, header.tid, header.uid, header.mid),
        );
        self.field("Transaction Flags", format_args!("0x{:04X}", transaction.flags));
        self.field("Timeout", format_args!("{} ms", transaction.timeout));
        match MailslotWrite::parse(user_data) {
            Ok(write) => self.mailslot_write(&write, sender),
            Err(error) => self.error(error),
        }
    }

    fn mailslot_write(&mut self, write: &MailslotWrite<'_>, sender: SenderText) {
        self.layer(format_args!("write to {}", write.name), write.data);
        self.field("Priority", write.priority);
        self.field("Class", write.class.0);
        let data = write.data;
        if write.name == MailslotName::MESSNGR {
            match Text::parse(data) {
                Ok(text) => {
                    self.oem("From", text.from, sender);
                    self.oem("To", text.to, sender);
                    self.oem("Text", text.text, sender);
                }
                Err(error) => self.error(error),
            }
        } else if write.name == MailslotName::BROWSE {
            self.browser(data, sender);
        } else if write.name == MailslotName::LANMAN {
            self.lanman(data, sender);
        } else if write.name == MailslotName::NETLOGON
            || write.name == MailslotName::NTLOGON
            || write.name.as_str().starts_with(LOGON_ANSWERS)
        {
            self.netlogon(data, sender);
        } else {
            self.bytes("Data", data);
        }
    }
}

const fn msg_type(msg_type: MsgType) -> &'static str {
    match msg_type {
        MsgType::DirectUnique => "0x10 DIRECT_UNIQUE DATAGRAM",
        MsgType::DirectGroup => "0x11 DIRECT_GROUP DATAGRAM",
        MsgType::Broadcast => "0x12 BROADCAST DATAGRAM",
    }
}

const fn query_name(kind: QueryKind) -> &'static str {
    match kind {
        QueryKind::Request => "0x14 DATAGRAM QUERY REQUEST",
        QueryKind::Positive => "0x15 DATAGRAM POSITIVE QUERY RESPONSE",
        QueryKind::Negative => "0x16 DATAGRAM NEGATIVE QUERY RESPONSE",
    }
}

const fn error_name(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::DESTINATION_NAME_NOT_PRESENT => "DESTINATION NAME NOT PRESENT",
        ErrorCode::INVALID_SOURCE_NAME => "INVALID SOURCE NAME FORMAT",
        ErrorCode::INVALID_DESTINATION_NAME => "INVALID DESTINATION NAME FORMAT",
        _ => "unknown",
    }
}

fn flags(flags: Flags) -> String {
    let node = match flags.0 >> 2 & 3 {
        0 => "B node",
        1 => "P node",
        2 => "M node",
        _ => "NBDD or H node",
    };
    let first = if flags.first() { ", FIRST" } else { "" };
    let more = if flags.more() { ", MORE" } else { "" };
    format!("0x{:02X} {node}{first}{more}", flags.0)
}

/// Clients choose the mailslot for the answer themselves; those seen begin so.
const LOGON_ANSWERS: &str = r"\MAILSLOT\NET\GETDC";
