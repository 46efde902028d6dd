//! The walls between the modules of one package: which may use which, and where nothing touches the world.
//!
//! A single package has no crate walls, so this test builds them: it reads every path in `src` (groups, `self` and
//! `super` resolved; comments, strings and what is compiled for tests only left out) and holds it against the tables at the end.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A path in the source that a module may not use.
#[derive(Debug, PartialEq, Eq)]
struct Breach {
    file: String,
    line: usize,
    path: String,
    why: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: `{}`: {}", self.file, self.line, self.path, self.why)
    }
}

#[test]
fn every_module_uses_only_what_its_layer_permits() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect_sources(&src, &mut files);
    assert!(files.len() > 30, "only {} files found below {}", files.len(), src.display());
    let mut breaches = Vec::new();
    for file in files {
        let name = file.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
        breaches.extend(breaches_of(&name, &fs::read_to_string(&file).unwrap()));
    }
    let lines: Vec<String> = breaches.iter().map(Breach::to_string).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

fn collect_sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
}

/// What one file, named relative to `src`, uses without permission.
fn breaches_of(name: &str, source: &str) -> Vec<Breach> {
    let modules: Vec<&str> = name
        .trim_end_matches(".rs")
        .split('/')
        .filter(|part| !matches!(*part, "mod" | "lib" | "main"))
        .collect();
    let breach = |line, path: String, why: String| Breach { file: format!("src/{name}"), line, path, why };
    if name == "lib.rs" || modules.contains(&"tests") {
        return Vec::new();
    }
    let own = *modules.first().unwrap_or(&"main");
    let Some((_, permitted, world)) = LAYERS.iter().find(|(module, ..)| *module == own) else {
        let why = "add the module to the table in tests/layering.rs".to_owned();
        return vec![breach(1, own.to_owned(), why)];
    };
    let mut found = Vec::new();
    for used in paths(source, &modules) {
        let path = used.segments.join("::");
        match used.segments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["crate"] => found.push(breach(used.line, path, "name the module behind `crate::`".to_owned())),
            ["crate" | "mailslotd", module, ..] if *module != own && !permitted.contains(module) => {
                let known = LAYERS.iter().any(|(name, ..)| name == module);
                if known {
                    let all = permitted.join(", ");
                    let why =
                        format!("{own} may use only: {}", if all.is_empty() { "nothing" } else { &all });
                    found.push(breach(used.line, path, why));
                }
            }
            segments if *world == Untouched => {
                if let Some(why) = touches_the_world(segments) {
                    found.push(breach(used.line, path, why.to_owned()));
                }
            }
            _ => {}
        }
    }
    found
}

/// Why these segments have no place in a layer that only decides.
fn touches_the_world(segments: &[&str]) -> Option<&'static str> {
    match segments {
        ["tokio" | "tokio_util" | "socket2" | "nix", ..] => return Some("no I/O in L0 to L2"),
        ["std", "fs" | "env" | "process" | "thread", ..] => {
            return Some("no files, processes or threads in L0 to L2");
        }
        ["std", "os", "unix", "net", ..] => return Some("no sockets in L0 to L2"),
        ["tracing" | "prometheus", ..] => return Some("L0 to L2 return facts; they log and count nothing"),
        _ => {}
    }
    segments.windows(2).find_map(|pair| match pair {
        ["net", kind] if ["Socket", "Stream", "Listener"].iter().any(|end| kind.ends_with(end)) => {
            Some("no sockets in L0 to L2")
        }
        ["Instant" | "SystemTime" | "Timestamp" | "Zoned", "now"] => Some("time is an argument in L0 to L2"),
        _ => None,
    })
}

/// A path as written or, where it begins with `self` or `super`, from `crate` on; each member of a group by itself.
#[derive(Debug, PartialEq, Eq)]
struct UsedPath {
    line: usize,
    segments: Vec<String>,
}

/// Every path outside `#[cfg(test)]` modules of a file that is the module `modules`.
fn paths(source: &str, modules: &[&str]) -> Vec<UsedPath> {
    let mut walk = Walk {
        tokens: tokens(source),
        at: 0,
        modules: modules.iter().map(|&module| module.to_owned()).collect(),
        open: Vec::new(),
        found: Vec::new(),
    };
    walk.file();
    walk.found
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    PathSeparator,
    Sign(char),
}

struct Walk {
    tokens: Vec<(usize, Token)>,
    at: usize,
    modules: Vec<String>,
    /// For each open brace, whether it is that of an inline module.
    open: Vec<bool>,
    found: Vec<UsedPath>,
}

impl Walk {
    fn sign(&self, ahead: usize, sign: char) -> bool {
        self.tokens.get(self.at + ahead).is_some_and(|(_, token)| *token == Token::Sign(sign))
    }

    fn word(&self, ahead: usize) -> Option<&str> {
        match self.tokens.get(self.at + ahead) {
            Some((_, Token::Word(word))) => Some(word),
            _ => None,
        }
    }

    fn file(&mut self) {
        while let Some((_, token)) = self.tokens.get(self.at) {
            match token {
                Token::Sign('#') if self.is_cfg_test() => self.skip_test_item(),
                Token::Word(word) if word == "mod" && self.word(1).is_some() && self.sign(2, '{') => {
                    let name = self.word(1).unwrap().to_owned();
                    self.modules.push(name);
                    self.open.push(true);
                    self.at += 3;
                }
                Token::Word(word) if word == "pub" && self.sign(1, '(') => {
                    while self.at < self.tokens.len() && !self.sign(0, ')') {
                        self.at += 1;
                    }
                }
                Token::Word(_) => self.path(Vec::new()),
                Token::Sign('{') => {
                    self.open.push(false);
                    self.at += 1;
                }
                Token::Sign('}') => {
                    if self.open.pop() == Some(true) {
                        self.modules.pop();
                    }
                    self.at += 1;
                }
                Token::Sign(_) | Token::PathSeparator => self.at += 1,
            }
        }
    }

    fn is_cfg_test(&self) -> bool {
        self.sign(1, '[') && self.word(2) == Some("cfg") && self.sign(3, '(') && self.word(4) == Some("test")
    }

    /// Skips to the end of the item that follows: its closing brace, or a semicolon before any brace.
    fn skip_test_item(&mut self) {
        let mut depth = 0;
        while let Some((_, token)) = self.tokens.get(self.at) {
            self.at += 1;
            match token {
                Token::Sign('{') => depth += 1,
                Token::Sign('}') if depth == 1 => return,
                Token::Sign('}') => depth -= 1,
                Token::Sign(';') if depth == 0 => return,
                Token::Word(_) | Token::PathSeparator | Token::Sign(_) => {}
            }
        }
    }

    /// Reads one path, or one member of a group that stands after `before`.
    fn path(&mut self, before: Vec<String>) {
        let line = self.tokens[self.at].0;
        let mut segments = before;
        while let Some(word) = self.word(0) {
            self.add(word.to_owned(), &mut segments);
            self.at += 1;
            if self.tokens.get(self.at).is_none_or(|(_, token)| *token != Token::PathSeparator) {
                break;
            }
            self.at += 1;
            if self.sign(0, '{') {
                self.group(&segments);
                return;
            }
            if self.sign(0, '*') {
                self.at += 1;
            }
        }
        self.found.push(UsedPath { line, segments });
    }

    fn group(&mut self, before: &[String]) {
        self.at += 1;
        while self.at < self.tokens.len() && !self.sign(0, '}') {
            if self.word(0) == Some("as") {
                self.at += 2;
            } else if self.word(0).is_some() {
                self.path(before.to_vec());
            } else {
                self.at += 1;
            }
        }
        self.at += 1;
    }

    fn add(&self, word: String, segments: &mut Vec<String>) {
        let inside = || std::iter::once("crate".to_owned()).chain(self.modules.iter().cloned());
        match (word.as_str(), segments.is_empty()) {
            ("self", true) if self.tokens.get(self.at + 1).is_some_and(|t| t.1 == Token::PathSeparator) => {
                segments.extend(inside());
            }
            ("super", true) => {
                segments.extend(inside());
                segments.pop();
            }
            ("super", false) => {
                segments.pop();
            }
            ("self", false) => {}
            _ => segments.push(word),
        }
    }
}

/// Words, `::` and single signs with their lines; comments, strings, characters, lifetimes and numbers left out.
fn tokens(source: &str) -> Vec<(usize, Token)> {
    let chars: Vec<char> = source.chars().collect();
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let begin = at;
        match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => at = end_of_line(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => at = end_of_comment(&chars, at),
            '"' => at = end_of_string(&chars, at),
            '\'' => at = end_of_character(&chars, at),
            'r' | 'b' | 'c' if raw_hashes(&chars, at).is_some() => at = end_of_raw_string(&chars, at),
            ':' if chars.get(at + 1) == Some(&':') => {
                found.push((line, Token::PathSeparator));
                at += 2;
            }
            letter if letter.is_alphanumeric() || letter == '_' => {
                at += chars[at..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').count();
                if !letter.is_ascii_digit() {
                    found.push((line, Token::Word(chars[begin..at].iter().collect())));
                }
            }
            space if space.is_whitespace() => at += 1,
            sign => {
                found.push((line, Token::Sign(sign)));
                at += 1;
            }
        }
        line += chars[begin..at].iter().filter(|&&c| c == '\n').count();
    }
    found
}

fn end_of_line(chars: &[char], at: usize) -> usize {
    at + chars[at..].iter().take_while(|&&c| c != '\n').count()
}

fn end_of_comment(chars: &[char], begin: usize) -> usize {
    let (mut at, mut depth) = (begin, 0);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (at, depth) = (at + 2, depth + 1),
            ('*', Some('/')) if depth == 1 => return at + 2,
            ('*', Some('/')) => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    at
}

fn end_of_string(chars: &[char], begin: usize) -> usize {
    let mut at = begin + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// The end of `'x'` or `'\n'`; of a lifetime only the quote, so that its name is read as a word, which does no harm.
fn end_of_character(chars: &[char], begin: usize) -> usize {
    match (chars.get(begin + 1), chars.get(begin + 2)) {
        (Some('\\'), _) => {
            let from = begin + 3;
            (from + chars[from.min(chars.len())..].iter().take_while(|&&c| c != '\'').count() + 1)
                .min(chars.len())
        }
        (Some(_), Some('\'')) => begin + 3,
        _ => begin + 1,
    }
}

/// How many hashes a raw string that begins here has.
fn raw_hashes(chars: &[char], begin: usize) -> Option<usize> {
    if begin > 0 && (chars[begin - 1].is_alphanumeric() || chars[begin - 1] == '_') {
        return None;
    }
    let after = begin + chars[begin..].iter().take_while(|c| matches!(**c, 'b' | 'c' | 'r')).count();
    let hashes = chars[after..].iter().take_while(|c| **c == '#').count();
    let raw = chars[begin..after].contains(&'r') && after - begin <= 2;
    (raw && chars.get(after + hashes) == Some(&'"')).then_some(hashes)
}

fn end_of_raw_string(chars: &[char], begin: usize) -> usize {
    let hashes = raw_hashes(chars, begin).unwrap_or_default();
    let open = begin + chars[begin..].iter().take_while(|c| **c != '"').count() + 1;
    let closes =
        |at: &usize| chars[*at] == '"' && chars[at + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
    (open..chars.len()).find(closes).map_or(chars.len(), |at| at + 1 + hashes)
}

/// Whether a module may touch clock, files, sockets, threads, logs.
#[derive(Debug, PartialEq, Eq)]
enum World {
    Untouched,
    Touched,
}
use World::{Touched, Untouched};

/// Each module, what it may use beside itself, and whether it touches the world; bottom up.
const LAYERS: &[(&str, &[&str], World)] = &[
    ("wire", &[], Untouched),
    ("message", &["wire"], Untouched),
    ("decode", &["wire", "message"], Untouched),
    ("policy", &["wire", "message"], Untouched),
    ("session", &["wire", "message", "policy"], Untouched),
    ("config", &["wire", "message", "policy"], Untouched),
    ("telemetry", &["message"], Touched),
    ("spool", &["message", "policy", "telemetry", "net"], Touched),
    // It names what the wire knows: versions of TLS, mechanisms, paths.
    ("inventory", &["wire", "message", "telemetry"], Touched),
    // Its announcements name the hosts that would fall silent.
    ("switch", &["message", "policy", "config", "inventory", "telemetry"], Touched),
    // Connections to other hosts, whatever is said over them, and by which interfaces.
    ("net", &["wire", "policy", "config"], Touched),
    // Sources come from the settings, and a next hop is asked in its own language.
    ("directory", &["wire", "message", "policy", "session", "config", "telemetry", "net"], Touched),
    (
        "delivery",
        &["wire", "message", "decode", "policy", "session", "config", "spool", "switch", "telemetry", "net"],
        Touched,
    ),
    // What listeners and destinations prove themselves by, and when it ends: the operator is told by mail.
    ("credentials", &["wire", "message", "policy", "config", "spool", "telemetry", "delivery"], Touched),
    (
        "listen",
        &[
            "wire",
            "message",
            "decode",
            "policy",
            "session",
            "config",
            "spool",
            "directory",
            "inventory",
            "switch",
            "telemetry",
            "net",
        ],
        Touched,
    ),
    // It shows what listeners and destinations do, and pauses these for the operator.
    (
        "admin",
        &[
            "wire",
            "message",
            "decode",
            "policy",
            "session",
            "config",
            "spool",
            "inventory",
            "switch",
            "telemetry",
            "delivery",
            "listen",
            "credentials",
        ],
        Touched,
    ),
    ("app", &ALL_BELOW_APP, Touched),
    ("cli", &ALL_BELOW_CLI, Touched),
    ("main", &["cli"], Touched),
];

const ALL_BELOW_APP: [&str; 16] = [
    "credentials",
    "switch",
    "net",
    "wire",
    "message",
    "decode",
    "policy",
    "session",
    "config",
    "telemetry",
    "spool",
    "inventory",
    "directory",
    "delivery",
    "listen",
    "admin",
];

const ALL_BELOW_CLI: [&str; 17] = [
    "credentials",
    "switch",
    "net",
    "wire",
    "message",
    "decode",
    "policy",
    "session",
    "config",
    "telemetry",
    "spool",
    "inventory",
    "directory",
    "delivery",
    "listen",
    "admin",
    "app",
];

mod the_guard_itself {
    use super::*;

    fn found(name: &str, source: &str) -> Vec<(usize, String)> {
        breaches_of(name, source).into_iter().map(|breach| (breach.line, breach.path)).collect()
    }

    #[test]
    fn a_lower_layer_that_uses_a_higher_one_is_named_with_its_line() {
        let source = "//! Doc.\n\nuse crate::message::id::QueueId;\n";
        let [breach] = breaches_of("wire/datagram.rs", source).try_into().unwrap();
        assert_eq!(
            breach.to_string(),
            "src/wire/datagram.rs:3: `crate::message::id::QueueId`: wire may use only: nothing"
        );
        assert_eq!(found("message/mail.rs", source), []);
        assert_eq!(found("wire/datagram.rs", "pub(crate) fn f() {}\npub(in crate::wire) fn g() {}"), []);
    }

    #[test]
    fn groups_nested_groups_and_globs_are_looked_into() {
        let source =
            "use crate::{wire::reader::{Reader, WireError}, spool::*,\n  listen::{datagram::X as Y}};";
        assert_eq!(
            found("policy/mapping.rs", source),
            [(1, "crate::spool".to_owned()), (2, "crate::listen::datagram::X".to_owned())]
        );
    }

    #[test]
    fn a_path_in_the_middle_of_code_counts_as_much_as_an_import() {
        let source = "fn f() -> usize {\n    crate::spool::limits(1, 'a', \"crate::x\")\n}";
        assert_eq!(found("session/sasl.rs", source), [(2, "crate::spool::limits".to_owned())]);
    }

    #[test]
    fn super_cannot_be_used_to_climb_out() {
        let source = "mod inner {\n    use super::super::super::spool::Spool;\n    use super::ok::Fine;\n}";
        assert_eq!(found("policy/rate.rs", source), [(2, "crate::spool::Spool".to_owned())]);
        assert_eq!(found("policy/mod.rs", "use super::spool::Spool;").len(), 1);
        assert_eq!(found("policy/rate.rs", "use super::retry::Retry;"), []);
    }

    #[test]
    fn comments_strings_raw_strings_and_lifetimes_hide_nothing_and_accuse_nobody() {
        let source = r##"
            // use crate::spool::A;
            /* use crate::spool::B; /* nested */ tokio::spawn */
            const S: &str = "crate::spool::C \" tokio::spawn";
            const R: &[u8] = br#"crate::spool::D " tokio::spawn"#;
            fn f<'a>(x: &'a str, q: char) -> bool { q == '"' || q == '\'' }
            use crate::spool::E;
        "##;
        assert_eq!(found("wire/smb.rs", source), [(7, "crate::spool::E".to_owned())]);
    }

    #[test]
    fn the_clock_sockets_files_and_the_runtime_are_refused_below_the_edges() {
        for source in [
            "use tokio::sync::mpsc;",
            "use tokio as t;",
            "fn f() { std::fs::read(p); }",
            "use std::{fmt, fs::File};",
            "use std::net::{IpAddr, UdpSocket};",
            "use std::net;\nfn f(s: net::TcpStream) {}",
            "use std::os::unix::net::UnixDatagram;",
            "fn f() { let t = Instant::now(); }",
            "fn f() { jiff::Timestamp::now(); }",
            "use tracing::warn;",
        ] {
            for file in ["wire/reader.rs", "message/id.rs", "decode.rs", "policy/rate.rs", "session/sasl.rs"]
            {
                assert_eq!(found(file, source).len(), 1, "{file}: {source}");
            }
            assert_eq!(found("listen/datagram.rs", source), [], "{source}");
        }
        assert_eq!(
            found("policy/rate.rs", "use std::net::{IpAddr, SocketAddr}; use std::time::Instant;"),
            []
        );
    }

    #[test]
    fn tests_inside_a_module_may_use_what_they_need_but_what_follows_them_may_not() {
        let source = "#[cfg(test)]\nmod tests { use crate::spool::A; fn f() { tokio::spawn(()); } }\nuse crate::spool::B;";
        assert_eq!(found("wire/smb.rs", source), [(3, "crate::spool::B".to_owned())]);
        assert_eq!(found("wire/smb/tests.rs", "use crate::spool::A;"), []);
        assert_eq!(found("spool/tests/mod.rs", "use crate::wire::A;"), []);
    }

    #[test]
    fn the_crate_under_another_name_and_a_module_nobody_placed_are_refused() {
        assert_eq!(found("wire/smb.rs", "use crate as everything;"), [(1, "crate".to_owned())]);
        assert_eq!(found("nobody_placed_this/mod.rs", ""), [(1, "nobody_placed_this".to_owned())]);
        assert_eq!(found("main.rs", "fn main() { mailslotd::spool::open(); }").len(), 1);
    }
}
