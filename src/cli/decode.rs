//! `mailslotd decode`: what is in some bytes, or in a capture of network traffic.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use super::Global;
use super::capture::{Capture, Packet, Skipped, Transport};
use super::describe;
use super::exit::Exit;
use super::output;
use crate::wire::oem_text::{CodePage, SenderText, Utf8};

/// Say what is in the bytes of a NetBIOS message, or in a capture, layer by layer
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The OEM code page of the sender
    #[arg(long, value_name = "CP", default_value_t = CodePage::Cp437)]
    code_page: CodePage,
    /// Take what is valid UTF-8 as such, which Samba sends for characters outside its code page
    #[arg(long)]
    utf8: bool,
    /// The port that bytes in hexadecimal were sent to; a capture tells it
    #[arg(long, value_enum, default_value_t = Port::Datagram)]
    port: Port,
    /// Bytes in hexadecimal, a pcap or pcapng file, a file with hexadecimal text, or - for such from standard input
    #[arg(value_name = "HEX | FILE | -", required = true)]
    input: Vec<String>,
}

/// A port of NetBIOS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Port {
    /// The name service, over UDP.
    #[value(name = "137")]
    NameService,
    /// The datagram service, over UDP.
    #[value(name = "138")]
    Datagram,
    /// The session service, over TCP.
    #[value(name = "139")]
    Session,
}

/// What was given to decode.
enum Input {
    Bytes(Vec<u8>),
    Capture(Box<Capture>),
}

/// Prints what is in the bytes.
#[must_use]
pub fn run(args: Args, global: &Global) -> Exit {
    let sender =
        SenderText { code_page: args.code_page, utf8: if args.utf8 { Utf8::Auto } else { Utf8::Never } };
    match input(&args.input) {
        Ok(Input::Bytes(bytes)) => {
            let text = describe(args.port, &bytes, sender);
            if global.json {
                output::answer(serde_json::json!({ "description": lines(&text) }));
            } else {
                output::answer(text.trim_end());
            }
            Exit::Done
        }
        Ok(Input::Capture(capture)) => run_capture(*capture, sender, global),
        Err(error) => {
            output::note(error);
            Exit::BadInput
        }
    }
}

fn run_capture(mut capture: Capture, sender: SenderText, global: &Global) -> Exit {
    let mut exit = Exit::Done;
    let (mut described, mut others) = (0_u64, 0_u64);
    for item in &mut capture {
        match item {
            Ok(packet) => match port_of(&packet).filter(|_| !packet.payload.is_empty()) {
                Some(port) => {
                    described += 1;
                    print(&packet, &describe(port, &packet.payload, sender), global);
                }
                None => others += 1,
            },
            Err(error) => {
                output::note(error);
                exit = Exit::BadInput;
            }
        }
    }
    if !global.quiet {
        let frames = capture.frames();
        output::note(format_args!("{frames} frames, {described} with NetBIOS, {others} of other services"));
        for line in skipped_lines(capture.skipped()) {
            output::note(line);
        }
    }
    exit
}

/// What of a capture could not be looked into, in lines for people.
pub(super) fn skipped_lines(skipped: Skipped) -> Vec<String> {
    let Skipped { other_protocols, cut_or_damaged, lone_fragments, unknown_link_types } = skipped;
    [
        (other_protocols, "frames hold neither UDP nor TCP"),
        (cut_or_damaged, "frames are damaged, or cut short when they were captured; `-s 0` avoids that"),
        (lone_fragments, "IP fragments lack their other part"),
        (unknown_link_types, "frames are of a link type that is not read here"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect()
}

fn print(packet: &Packet, description: &str, global: &Global) {
    let Packet { frame, at, source, destination, .. } = packet;
    let transport = match packet.transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
    };
    if global.json {
        output::answer(serde_json::json!({
            "frame": frame, "time": at, "transport": transport, "source": source, "destination": destination,
            "description": lines(description),
        }));
    } else {
        output::answer(format_args!(
            "frame {frame}  {at}  {transport} {source} > {destination}\n{description}"
        ));
    }
}

fn lines(description: &str) -> Vec<&str> {
    description.lines().collect()
}

fn describe(port: Port, bytes: &[u8], sender: SenderText) -> String {
    match port {
        Port::NameService => describe::name_service(bytes),
        Port::Datagram => describe::datagram(bytes, sender),
        Port::Session => describe::session(bytes, sender),
    }
}

fn port_of(packet: &Packet) -> Option<Port> {
    let is = |port| packet.destination.port() == port || packet.source.port() == port;
    match packet.transport {
        Transport::Udp if is(138) => Some(Port::Datagram),
        Transport::Udp if is(137) => Some(Port::NameService),
        Transport::Tcp if is(139) => Some(Port::Session),
        Transport::Udp | Transport::Tcp => None,
    }
}

/// A file where one is named, else hexadecimal digits.
fn input(words: &[String]) -> Result<Input, String> {
    match words {
        [word] if word == "-" => from_reader(io::stdin(), "standard input"),
        [word] if Path::new(word).is_file() => {
            let file = File::open(word).map_err(|error| format!("{word}: {error}"))?;
            from_reader(file, word)
        }
        words => hexadecimal(&words.concat()).map(Input::Bytes).map_err(|error| {
            let [word] = words else { return error };
            format!("{word:?} is no file, and not bytes in hexadecimal either: {error}")
        }),
    }
}

/// A capture, or hexadecimal text of at most [`MAX_TEXT`] bytes.
fn from_reader(mut reader: impl Read + 'static, name: &str) -> Result<Input, String> {
    let failed = |error: io::Error| format!("{name}: {error}");
    let mut head = Vec::new();
    reader.by_ref().take(4).read_to_end(&mut head).map_err(failed)?;
    if head.first_chunk().is_some_and(|head| Capture::begins_with(*head)) {
        let capture =
            Capture::new(Cursor::new(head).chain(reader)).map_err(|error| format!("{name}: {error}"))?;
        return Ok(Input::Capture(Box::new(capture)));
    }
    let mut text = String::new();
    Cursor::new(head).chain(reader.take(MAX_TEXT as u64)).read_to_string(&mut text).map_err(|_| {
        format!(
            "{name} is neither a pcap or pcapng file nor text; a compressed one must be decompressed first"
        )
    })?;
    if text.len() > MAX_TEXT {
        return Err(format!("{name}: more than 1 MiB of text; no packet has so many digits"));
    }
    hexadecimal(&text).map(Input::Bytes).map_err(|error| format!("{name}: {error}"))
}

/// Bytes of pairs of digits; blanks, `:`, `-`, `,`, `0x` and `\x` between them mean nothing.
fn hexadecimal(text: &str) -> Result<Vec<u8>, String> {
    let text = text.replace("0x", " ").replace("\\x", " ");
    let mut digits = Vec::with_capacity(text.len());
    for (place, character) in text.chars().enumerate() {
        match character.to_digit(16).and_then(|digit| u8::try_from(digit).ok()) {
            Some(digit) => digits.push(digit),
            None if character.is_whitespace() || matches!(character, ':' | '-' | ',') => {}
            None => return Err(format!("{character:?} at character {} is no hexadecimal digit", place + 1)),
        }
    }
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(format!("{} digits are half a byte too many", digits.len()));
    }
    if pairs.is_empty() {
        return Err("there are no bytes".to_owned());
    }
    Ok(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

/// The greatest UDP payload takes 128 KiB of digits.
const MAX_TEXT: usize = 1 << 20;
