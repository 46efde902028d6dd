//! OEM code pages to Unicode text.

use serde::{Deserialize, Serialize};

/// A code page of a sender. Nothing on the wire says which one it is: the operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the number is the meaning")]
pub enum CodePage {
    Cp437,
    Cp737,
    Cp775,
    Cp850,
    Cp852,
    Cp855,
    Cp857,
    Cp858,
    Cp860,
    Cp861,
    Cp862,
    Cp863,
    Cp864,
    Cp865,
    Cp866,
    Cp869,
    Cp874,
    Cp932,
    Cp936,
    Cp949,
    Cp950,
    Cp1250,
    Cp1251,
    Cp1252,
    Cp1253,
    Cp1254,
    Cp1255,
    Cp1256,
    Cp1257,
    Cp1258,
    /// UTF-8, which Samba sends for characters outside its code page.
    Utf8,
}

/// What one sender's bytes mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderText {
    /// Its OEM code page.
    pub code_page: CodePage,
    /// Whether text that is valid UTF-8 is taken as UTF-8 instead.
    pub utf8: Utf8,
}

/// Whether a sender may mean UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Utf8 {
    /// The code page decides alone.
    Never,
    /// Non-ASCII text that is valid UTF-8 is UTF-8 (Samba sends it for characters outside its page). Never together with CP932, 936, 949 or 950, whose text is often valid UTF-8 by accident.
    Auto,
}
