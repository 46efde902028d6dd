//! Text of legacy senders: OEM code pages to Unicode and back.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use encoding_rs::{
    BIG5, EUC_KR, EncoderResult, Encoding, GBK, SHIFT_JIS, WINDOWS_1250, WINDOWS_1251, WINDOWS_1252,
    WINDOWS_1253, WINDOWS_1254, WINDOWS_1255, WINDOWS_1256, WINDOWS_1257, WINDOWS_1258,
};
use oem_cp::OEMCPHashMap;
use oem_cp::code_table as table;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A code page of a sender. Nothing on the wire says which one it is: the operator does.
///
/// Written as `cp932`; read as `CP932`, `932`, `windows-1252` or `utf-8` too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// Windows-31J: Shift_JIS with the extensions of NEC and IBM; 5C is the backslash and 7E the tilde.
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

impl CodePage {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 31] = [
        Self::Cp437,
        Self::Cp737,
        Self::Cp775,
        Self::Cp850,
        Self::Cp852,
        Self::Cp855,
        Self::Cp857,
        Self::Cp858,
        Self::Cp860,
        Self::Cp861,
        Self::Cp862,
        Self::Cp863,
        Self::Cp864,
        Self::Cp865,
        Self::Cp866,
        Self::Cp869,
        Self::Cp874,
        Self::Cp932,
        Self::Cp936,
        Self::Cp949,
        Self::Cp950,
        Self::Cp1250,
        Self::Cp1251,
        Self::Cp1252,
        Self::Cp1253,
        Self::Cp1254,
        Self::Cp1255,
        Self::Cp1256,
        Self::Cp1257,
        Self::Cp1258,
        Self::Utf8,
    ];

    /// Its number in Windows; 65001 is UTF-8.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Cp437 => 437,
            Self::Cp737 => 737,
            Self::Cp775 => 775,
            Self::Cp850 => 850,
            Self::Cp852 => 852,
            Self::Cp855 => 855,
            Self::Cp857 => 857,
            Self::Cp858 => 858,
            Self::Cp860 => 860,
            Self::Cp861 => 861,
            Self::Cp862 => 862,
            Self::Cp863 => 863,
            Self::Cp864 => 864,
            Self::Cp865 => 865,
            Self::Cp866 => 866,
            Self::Cp869 => 869,
            Self::Cp874 => 874,
            Self::Cp932 => 932,
            Self::Cp936 => 936,
            Self::Cp949 => 949,
            Self::Cp950 => 950,
            Self::Cp1250 => 1250,
            Self::Cp1251 => 1251,
            Self::Cp1252 => 1252,
            Self::Cp1253 => 1253,
            Self::Cp1254 => 1254,
            Self::Cp1255 => 1255,
            Self::Cp1256 => 1256,
            Self::Cp1257 => 1257,
            Self::Cp1258 => 1258,
            Self::Utf8 => 65001,
        }
    }

    /// Whether it is one of the East Asian pages, in which a character may take two bytes and text is often valid UTF-8
    /// by accident.
    #[must_use]
    pub const fn is_double_byte(self) -> bool {
        matches!(self, Self::Cp932 | Self::Cp936 | Self::Cp949 | Self::Cp950)
    }

    /// The text that `bytes` mean; borrowed where they are ASCII. Bytes without a meaning become U+FFFD, and the flag
    /// beside the text says so.
    ///
    /// The whole of a text must come at once: a double-byte character may be cut anywhere.
    #[must_use]
    pub fn decode<'a>(&self, bytes: &'a [u8]) -> (Cow<'a, str>, bool) {
        match str::from_utf8(bytes) {
            Ok(text) if *self == Self::Utf8 || text.is_ascii() => (Cow::Borrowed(text), false),
            _ => self.decode_beyond_ascii(bytes),
        }
    }

    fn decode_beyond_ascii<'a>(&self, bytes: &'a [u8]) -> (Cow<'a, str>, bool) {
        match self.charset() {
            Charset::Complete(upper, _) => single_byte(bytes, |index| upper.get(index).copied()),
            Charset::Incomplete(upper, _) => single_byte(bytes, |index| upper.get(index).copied().flatten()),
            Charset::Web(encoding) => {
                let (text, lossy) = encoding.decode_without_bom_handling(bytes);
                // The web's tables give the bytes that Windows leaves undefined to the C1 controls.
                if text.contains(is_c1) {
                    let replaced =
                        text.chars().map(|c| if is_c1(c) { char::REPLACEMENT_CHARACTER } else { c });
                    (Cow::Owned(replaced.collect()), true)
                } else {
                    (text, lossy)
                }
            }
            Charset::Unicode => (String::from_utf8_lossy(bytes), true),
        }
    }

    /// The bytes that mean `text`.
    ///
    /// # Errors
    /// The first character that this page cannot express.
    pub fn encode(&self, text: &str) -> Result<Vec<u8>, Unencodable> {
        let refuse = |character| Unencodable { character, code_page: *self };
        match self.charset() {
            Charset::Complete(_, codes) | Charset::Incomplete(_, codes) => {
                let byte = |c| match u8::try_from(c) {
                    Ok(byte) if byte.is_ascii() => Ok(byte),
                    _ => codes.get(&c).copied().ok_or_else(|| refuse(c)),
                };
                text.chars().map(byte).collect()
            }
            Charset::Web(encoding) => {
                if let Some(c) = text.chars().find(|&c| is_c1(c)) {
                    return Err(refuse(c));
                }
                let text = if *self == Self::Cp932 { as_windows_31j(text) } else { Cow::Borrowed(text) };
                let mut bytes = Vec::with_capacity(text.len().saturating_mul(2));
                let mut encoder = encoding.new_encoder();
                match encoder.encode_from_utf8_to_vec_without_replacement(&text, &mut bytes, true) {
                    (EncoderResult::Unmappable(character), _) => Err(refuse(character)),
                    (EncoderResult::InputEmpty | EncoderResult::OutputFull, _) => Ok(bytes),
                }
            }
            Charset::Unicode => Ok(text.as_bytes().to_vec()),
        }
    }

    fn charset(self) -> Charset {
        use Charset::{Complete, Incomplete, Unicode, Web};
        match self {
            Self::Cp437 => Complete(&table::DECODING_TABLE_CP437, &table::ENCODING_TABLE_CP437),
            Self::Cp737 => Complete(&table::DECODING_TABLE_CP737, &table::ENCODING_TABLE_CP737),
            Self::Cp775 => Complete(&table::DECODING_TABLE_CP775, &table::ENCODING_TABLE_CP775),
            Self::Cp850 => Complete(&table::DECODING_TABLE_CP850, &table::ENCODING_TABLE_CP850),
            Self::Cp852 => Complete(&table::DECODING_TABLE_CP852, &table::ENCODING_TABLE_CP852),
            Self::Cp855 => Complete(&table::DECODING_TABLE_CP855, &table::ENCODING_TABLE_CP855),
            Self::Cp857 => Incomplete(&table::DECODING_TABLE_CP857, &table::ENCODING_TABLE_CP857),
            Self::Cp858 => Complete(&table::DECODING_TABLE_CP858, &table::ENCODING_TABLE_CP858),
            Self::Cp860 => Complete(&table::DECODING_TABLE_CP860, &table::ENCODING_TABLE_CP860),
            Self::Cp861 => Complete(&table::DECODING_TABLE_CP861, &table::ENCODING_TABLE_CP861),
            Self::Cp862 => Complete(&table::DECODING_TABLE_CP862, &table::ENCODING_TABLE_CP862),
            Self::Cp863 => Complete(&table::DECODING_TABLE_CP863, &table::ENCODING_TABLE_CP863),
            Self::Cp864 => Incomplete(&table::DECODING_TABLE_CP864, &table::ENCODING_TABLE_CP864),
            Self::Cp865 => Complete(&table::DECODING_TABLE_CP865, &table::ENCODING_TABLE_CP865),
            Self::Cp866 => Complete(&table::DECODING_TABLE_CP866, &table::ENCODING_TABLE_CP866),
            Self::Cp869 => Complete(&table::DECODING_TABLE_CP869, &table::ENCODING_TABLE_CP869),
            Self::Cp874 => Incomplete(&table::DECODING_TABLE_CP874, &table::ENCODING_TABLE_CP874),
            Self::Cp932 => Web(SHIFT_JIS),
            Self::Cp936 => Web(GBK),
            Self::Cp949 => Web(EUC_KR),
            Self::Cp950 => Web(BIG5),
            Self::Cp1250 => Web(WINDOWS_1250),
            Self::Cp1251 => Web(WINDOWS_1251),
            Self::Cp1252 => Web(WINDOWS_1252),
            Self::Cp1253 => Web(WINDOWS_1253),
            Self::Cp1254 => Web(WINDOWS_1254),
            Self::Cp1255 => Web(WINDOWS_1255),
            Self::Cp1256 => Web(WINDOWS_1256),
            Self::Cp1257 => Web(WINDOWS_1257),
            Self::Cp1258 => Web(WINDOWS_1258),
            Self::Utf8 => Unicode,
        }
    }
}

/// `cp932`, `utf-8`.
impl fmt::Display for CodePage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::Utf8 { f.write_str("utf-8") } else { write!(f, "cp{}", self.number()) }
    }
}

/// A text that names no code page known here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no code page known here; `chcp` on the sender shows its number, for example cp437, cp850, cp852, cp866, \
     cp932, cp936, cp949, cp950 or cp1252; utf-8 is possible too"
)]
pub struct NotACodePage {
    /// What was written instead.
    pub text: String,
}

impl FromStr for CodePage {
    type Err = NotACodePage;

    fn from_str(text: &str) -> Result<Self, NotACodePage> {
        let lower = text.trim().to_ascii_lowercase();
        match lower.as_str() {
            "utf-8" | "utf8" => return Ok(Self::Utf8),
            "windows-31j" | "shift_jis" | "sjis" => return Ok(Self::Cp932),
            _ => {}
        }
        let digits = ["windows-", "cp", "ibm"].iter().find_map(|prefix| lower.strip_prefix(prefix));
        digits
            .unwrap_or(&lower)
            .parse()
            .ok()
            .and_then(|number: u16| Self::ALL.into_iter().find(|page| page.number() == number))
            .ok_or_else(|| NotACodePage { text: text.to_owned() })
    }
}

impl Serialize for CodePage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CodePage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A character that a code page cannot express.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{character:?} (U+{:04X}) has no place in {code_page}", u32::from(*character))]
pub struct Unencodable {
    /// The first one found.
    pub character: char,
    /// The page that lacks it.
    pub code_page: CodePage,
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
    /// Non-ASCII text that is valid UTF-8 is UTF-8 (Samba sends it for characters outside its page). Never together
    /// with CP932, 936, 949 or 950, whose text is often valid UTF-8 by accident.
    Auto,
}

/// Bytes of a sender as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// The text, controls and all.
    pub text: Cow<'a, str>,
    /// The page that was applied. [`CodePage::Utf8`] where the sender's own page is another marks a guess: the same
    /// bytes have a meaning in most single-byte pages too.
    pub code_page: CodePage,
    /// Some byte had no meaning and became U+FFFD.
    pub lossy: bool,
}

impl SenderText {
    /// Decodes one string of this sender. Each string of a message is judged by itself: Samba converts each by itself.
    #[must_use]
    pub fn decode<'a>(&self, bytes: &'a [u8]) -> Decoded<'a> {
        let page = self.code_page;
        let guess = self.utf8 == Utf8::Auto && !page.is_double_byte();
        match str::from_utf8(bytes) {
            Ok(text) if text.is_ascii() => {
                Decoded { text: Cow::Borrowed(text), code_page: page, lossy: false }
            }
            Ok(text) if guess => {
                Decoded { text: Cow::Borrowed(text), code_page: CodePage::Utf8, lossy: false }
            }
            _ => {
                let (text, lossy) = page.decode(bytes);
                Decoded { text, code_page: page, lossy }
            }
        }
    }
}

/// Where a code page comes from.
enum Charset {
    /// One byte each, all of them defined.
    Complete(&'static [char; 128], &'static OEMCPHashMap<char, u8>),
    /// One byte each, some of them undefined.
    Incomplete(&'static [Option<char>; 128], &'static OEMCPHashMap<char, u8>),
    /// As web browsers have it.
    Web(&'static Encoding),
    /// UTF-8.
    Unicode,
}

fn single_byte(bytes: &[u8], upper: impl Fn(usize) -> Option<char>) -> (Cow<'static, str>, bool) {
    let mut lossy = false;
    let text = bytes.iter().map(|&byte| match byte.checked_sub(0x80) {
        None => char::from(byte),
        // A table that is called complete fills its holes with C1 controls.
        Some(index) => upper(index.into()).filter(|&c| !is_c1(c)).unwrap_or_else(|| {
            lossy = true;
            char::REPLACEMENT_CHARACTER
        }),
    });
    let text = text.collect();
    (Cow::Owned(text), lossy)
}

const fn is_c1(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9F}')
}

/// The six characters that other systems write where Windows-31J has a different one for the same JIS X 0208 code.
fn as_windows_31j(text: &str) -> Cow<'_, str> {
    let twin = |c| match c {
        '\u{301C}' => '\u{FF5E}', // wave dash
        '\u{2016}' => '\u{2225}', // double vertical line
        '\u{2014}' => '\u{2015}', // em dash
        '\u{A2}' => '\u{FFE0}',   // cent
        '\u{A3}' => '\u{FFE1}',   // pound
        '\u{AC}' => '\u{FFE2}',   // not
        other => other,
    };
    if text.chars().any(|c| twin(c) != c) {
        Cow::Owned(text.chars().map(twin).collect())
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cp932(bytes: &[u8]) -> (String, bool) {
        let (text, lossy) = CodePage::Cp932.decode(bytes);
        (text.into_owned(), lossy)
    }

    #[test]
    fn cp932_is_windows_31j_with_its_extensions() {
        for (bytes, text) in [
            (b"\xB1\xB2\xDF".as_slice(), "ｱｲﾟ"),
            (b"\x95\x5C", "表"),
            (b"\x83\x5C", "ソ"),
            (b"\x87\x40", "①"),
            (b"\x87\x8A", "㈱"),
            (b"\xFB\xFC", "髙"),
            (b"\xED\x40", "纊"),
            (b"\x81\x60", "～"),
            (b"\x81\x7C", "－"),
            (b"C:\\~", "C:\\~"),
        ] {
            assert_eq!(cp932(bytes), (text.to_owned(), false), "{bytes:02X?}");
        }
    }

    #[test]
    fn a_backslash_in_a_trail_byte_stays_part_of_its_character() {
        assert_eq!(cp932(b"C:\\\x95\x5C\\\x83\x5C"), ("C:\\表\\ソ".to_owned(), false));
    }

    #[test]
    fn bytes_without_a_meaning_are_replaced_and_reported() {
        for (page, bytes) in [
            (CodePage::Cp932, b"a\x81".as_slice()),
            (CodePage::Cp932, b"\x80"),
            (CodePage::Cp932, b"\xFF"),
            (CodePage::Cp1252, b"\x81"),
            (CodePage::Cp857, b"\xD5"),
            (CodePage::Cp874, b"\xDB"),
            (CodePage::Cp869, b"\x80"),
            (CodePage::Utf8, b"\xFF"),
        ] {
            let (text, lossy) = page.decode(bytes);
            assert!(text.contains('\u{FFFD}') && lossy, "{page} {bytes:02X?} {text:?}");
        }
    }

    #[test]
    fn western_cyrillic_and_greek_pages_decode() {
        for (page, bytes, text) in [
            (CodePage::Cp437, b"\x81\xE1\x9B".as_slice(), "üß¢"),
            (CodePage::Cp850, b"\x81\xE1\xD5", "üßı"),
            (CodePage::Cp858, b"\xD5", "€"),
            (CodePage::Cp852, b"\xA7", "ž"),
            (CodePage::Cp866, b"\x8F\xE0\xA8", "При"),
            (CodePage::Cp1251, b"\xCF\xF0\xE8", "При"),
            (CodePage::Cp737, b"\x80\x98", "Αα"),
            (CodePage::Cp936, b"\xC4\xE3", "你"),
            (CodePage::Cp949, b"\xB0\xA1", "가"),
            (CodePage::Cp950, b"\xA7\x41", "你"),
        ] {
            assert_eq!(page.decode(bytes), (Cow::Borrowed(text), false), "{page}");
        }
    }

    #[test]
    fn ascii_is_borrowed_in_every_page() {
        for page in CodePage::ALL {
            assert!(
                matches!(page.decode(b"Disk full \\~"), (Cow::Borrowed("Disk full \\~"), false)),
                "{page}"
            );
        }
    }

    #[test]
    fn every_single_byte_that_decodes_encodes_back() {
        for page in CodePage::ALL.into_iter().filter(|page| !page.is_double_byte() && *page != CodePage::Utf8)
        {
            for byte in 0..=0xFF_u8 {
                let bytes = [byte];
                let (text, lossy) = page.decode(&bytes);
                if !lossy {
                    assert_eq!(page.encode(&text).as_deref(), Ok(bytes.as_slice()), "{page}");
                }
            }
        }
    }

    #[test]
    fn cp932_text_encodes_back_even_as_other_systems_type_it() {
        for text in ["表示ソフト①㈱髙ｱﾟ", "バッテリ 10% \\ ~"] {
            let bytes = CodePage::Cp932.encode(text).unwrap();
            assert_eq!(cp932(&bytes), (text.to_owned(), false));
        }
        assert_eq!(CodePage::Cp932.encode("〜−"), Ok(b"\x81\x60\x81\x7C".to_vec()));
    }

    #[test]
    fn a_character_without_a_place_is_named() {
        let error = CodePage::Cp850.encode("5 €").unwrap_err();
        assert_eq!(error.to_string(), "'€' (U+20AC) has no place in cp850");
        assert!(CodePage::Cp932.encode("😀").is_err());
        assert!(CodePage::Cp1252.encode("\u{81}").is_err());
    }

    #[test]
    fn code_pages_read_back_as_written_and_in_other_spellings() {
        for page in CodePage::ALL {
            assert_eq!(page.to_string().parse(), Ok(page));
            assert_eq!(page.number().to_string().parse(), Ok(page));
        }
        for (text, page) in [
            ("CP932", CodePage::Cp932),
            ("Windows-31J", CodePage::Cp932),
            ("windows-1252", CodePage::Cp1252),
            ("IBM850", CodePage::Cp850),
            ("UTF8", CodePage::Utf8),
        ] {
            assert_eq!(text.parse(), Ok(page));
        }
        let error = "latin1".parse::<CodePage>().unwrap_err();
        assert!(error.to_string().starts_with("\"latin1\" is no code page known here"), "{error}");
    }

    #[test]
    fn utf8_is_taken_only_where_the_operator_allows_it_and_is_marked() {
        let auto = SenderText { code_page: CodePage::Cp850, utf8: Utf8::Auto };
        let never = SenderText { utf8: Utf8::Never, ..auto };
        // smbclient with CP850 sends this for "5 €".
        let bytes = b"5 \xE2\x82\xAC";
        assert_eq!((&*auto.decode(bytes).text, auto.decode(bytes).code_page), ("5 €", CodePage::Utf8));
        assert_eq!((&*never.decode(bytes).text, never.decode(bytes).code_page), ("5 Ôé¼", CodePage::Cp850));
        assert_eq!(auto.decode(b"\x81").code_page, CodePage::Cp850, "not UTF-8, so its own page");
        assert_eq!(auto.decode(b"plain").code_page, CodePage::Cp850, "no guess is needed for ASCII");
    }

    #[test]
    fn two_half_width_kana_are_not_taken_for_utf8() {
        let sender = SenderText { code_page: CodePage::Cp932, utf8: Utf8::Auto };
        assert_eq!(&*sender.decode(b"\xC5\xBC").text, "ﾅｼ");
    }
}
