//! TCP 139: session packets, and the messenger SMBs in them.

use std::ops::RangeInclusive;

use super::{Page, qualified};
use crate::wire::messenger::{Request, Response};
use crate::wire::oem_text::SenderText;
use crate::wire::reader::{Reader, WireError};
use crate::wire::session_service::{Endpoint, Packet, Received, RefusalCode};
use crate::wire::smb::{Command, Header, Status};

impl Page {
    pub(super) fn session(&mut self, stream: &[u8], sender: SenderText) {
        let mut rest = stream;
        while !rest.is_empty() {
            match Packet::parse(rest) {
                Ok(Received::Complete { packet, consumed }) => {
                    self.session_packet(&packet, sender);
                    rest = rest.get(consumed..).unwrap_or_default();
                }
                Ok(Received::Incomplete { missing }) => {
                    self.layer("part of a session packet", rest);
                    return self.field("missing", format_args!("at least {missing} bytes"));
                }
                Err(error) => {
                    self.layer("no session packet", rest);
                    return self.error(error);
                }
            }
        }
    }

    fn session_packet(&mut self, packet: &Packet<'_>, sender: SenderText) {
        match packet {
            Packet::Message(message) => {
                self.layer("session message", message);
                if let Err(error) = self.smb(message, sender) {
                    self.error(error);
                }
            }
            Packet::Request { called, calling } => {
                self.line("session request");
                for (field, Endpoint { name, scope }) in [("CALLED_NAME", called), ("CALLING_NAME", calling)]
                {
                    self.field(field, qualified(*name, scope));
                }
            }
            Packet::Positive => self.line("positive session response"),
            Packet::Negative(code) => {
                self.line("negative session response");
                self.field("ERROR_CODE", format_args!("0x{:02X} {}", code.0, refusal(*code)));
            }
            Packet::Retarget { address, port } => {
                self.line("session retarget response");
                self.field("RETARGET_IP_ADDRESS", address);
                self.field("PORT", port);
            }
            Packet::KeepAlive => self.line("session keepalive"),
        }
    }

    fn smb(&mut self, message: &[u8], sender: SenderText) -> Result<(), WireError> {
        let header = Header::parse(&mut Reader::new(message))?;
        self.field("Command", format_args!("0x{:02X} {}", header.command.0, command_name(header.command)));
        self.field(
            "PID, TID, UID, MID",
            format_args!("{}, {}, {}, {}", header.pid_low, header.tid, header.uid, header.mid),
        );
        if !MESSENGER.contains(&header.command.0) {
            self.field("", "not looked into: no SMB of the messenger service");
        } else if header.flags & Header::REPLY == 0 {
            let (_, request) = Request::parse(message)?;
            self.request(&request, sender);
        } else {
            let (_, response) = Response::parse(message)?;
            self.response(response);
        }
        Ok(())
    }

    fn request(&mut self, request: &Request<'_>, sender: SenderText) {
        match request {
            Request::Single(text) => {
                self.oem("OriginatorName", text.from, sender);
                self.oem("DestinationName", text.to, sender);
                self.oem("Text", text.text, sender);
            }
            Request::Start { from, to } => {
                self.oem("OriginatorName", from, sender);
                self.oem("DestinationName", to, sender);
            }
            Request::Block { group, text } => {
                self.field("MessageGroupId", group.0);
                self.oem("Text", text, sender);
            }
            Request::End { group } => self.field("MessageGroupId", group.0),
            Request::Obsolete(_) => self.field("request", "obsolete"),
        }
    }

    fn response(&mut self, response: Response) {
        match response {
            Response::Done => self.field("response", "done"),
            Response::Started { group } => {
                self.field("response", format_args!("started, MessageGroupId {}", group.0))
            }
            Response::Refused(status) => {
                self.field("response", format_args!("refused, {}", status_name(status)))
            }
        }
    }
}

const fn command_name(command: Command) -> &'static str {
    match command {
        Command::TRANSACTION => "SMB_COM_TRANSACTION",
        Command::SEND_MESSAGE => "SMB_COM_SEND_MESSAGE",
        Command::SEND_BROADCAST => "SMB_COM_SEND_BROADCAST_MESSAGE",
        Command::FORWARD_USER_NAME => "SMB_COM_FORWARD_USER_NAME",
        Command::CANCEL_FORWARD => "SMB_COM_CANCEL_FORWARD",
        Command::GET_MACHINE_NAME => "SMB_COM_GET_MACHINE_NAME",
        Command::START_MB => "SMB_COM_SEND_START_MB_MESSAGE",
        Command::END_MB => "SMB_COM_SEND_END_MB_MESSAGE",
        Command::TEXT_MB => "SMB_COM_SEND_TEXT_MB_MESSAGE",
        Command(0x72) => "SMB_COM_NEGOTIATE",
        Command(0x73) => "SMB_COM_SESSION_SETUP_ANDX",
        _ => "unknown",
    }
}

fn status_name(status: Status) -> String {
    let class = match status.class {
        0 => "success",
        1 => "ERRDOS",
        2 => "ERRSRV",
        3 => "ERRHRD",
        _ => "unknown class",
    };
    let code = match status {
        Status::REQUEST_NOT_ACCEPTED => ": request not accepted",
        Status::INVALID_PARAMETER => ": invalid parameter",
        Status::UNKNOWN_SMB => ": unknown SMB",
        _ => "",
    };
    format!("{class}/{}{code}", status.code)
}

const fn refusal(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::NOT_LISTENING_ON_CALLED_NAME => "not listening on called name",
        RefusalCode::NOT_LISTENING_FOR_CALLING_NAME => "not listening for calling name",
        RefusalCode::CALLED_NAME_NOT_PRESENT => "called name not present",
        RefusalCode::INSUFFICIENT_RESOURCES => "called name present, but insufficient resources",
        RefusalCode::UNSPECIFIED => "unspecified error",
        _ => "unknown",
    }
}

const MESSENGER: RangeInclusive<u8> = Command::SEND_MESSAGE.0..=Command::TEXT_MB.0;
