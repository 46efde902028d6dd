//! The parameters of MAIL and RCPT (RFC 5321 §4.1.2, `esmtp-param`).

use super::{Body, CommandFault, Mail};
use crate::wire::smtp::dsn::{RecipientDsn, Ret, is_xtext};
use crate::wire::smtp::path::ReversePath;

/// MAIL with the parameters behind its path.
pub(super) fn of_mail(reverse_path: ReversePath, text: &str) -> Result<Mail, CommandFault> {
    let mut mail = Mail { reverse_path, size: None, body: None, smtputf8: false, ret: None, envid: None };
    let mut auth = None;
    for (keyword, value) in parameters(text) {
        match keyword.to_ascii_uppercase().as_str() {
            "SIZE" => once(&mut mail.size, value.and_then(number))?,
            "BODY" => once(&mut mail.body, value.and_then(body))?,
            "SMTPUTF8" if value.is_none() && !mail.smtputf8 => mail.smtputf8 = true,
            "SMTPUTF8" => return Err(CommandFault::ParameterValue),
            "RET" => once(&mut mail.ret, value.and_then(ret))?,
            "ENVID" => once(&mut mail.envid, value.and_then(envid))?,
            // RFC 4954 §5: who submitted it first. Nobody is believed, so it is only read.
            "AUTH" => once(&mut auth, value.filter(|value| *value == "<>" || is_xtext(value)))?,
            _ => return Err(CommandFault::UnknownParameter),
        }
    }
    Ok(mail)
}

/// The parameters behind RCPT's path.
pub(super) fn of_rcpt(text: &str) -> Result<RecipientDsn, CommandFault> {
    let mut dsn = RecipientDsn::default();
    for (keyword, value) in parameters(text) {
        match keyword.to_ascii_uppercase().as_str() {
            "NOTIFY" => once(&mut dsn.notify, value.and_then(|value| value.parse().ok()))?,
            "ORCPT" => once(&mut dsn.orcpt, value.and_then(orcpt))?,
            _ => return Err(CommandFault::UnknownParameter),
        }
    }
    Ok(dsn)
}

/// A number of up to 20 digits (RFC 1870 §6); `u64::MAX` where it is even larger.
pub(super) fn number(text: &str) -> Option<u64> {
    let fits = (1..=20).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit());
    fits.then(|| text.parse().unwrap_or(u64::MAX))
}

fn parameters(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let words = text.split(' ').filter(|word| !word.is_empty());
    words.map(|word| word.split_once('=').map_or((word, None), |(keyword, value)| (keyword, Some(value))))
}

/// A parameter has one value, and stands there once.
fn once<T>(place: &mut Option<T>, value: Option<T>) -> Result<(), CommandFault> {
    if place.is_some() || value.is_none() {
        return Err(CommandFault::ParameterValue);
    }
    *place = value;
    Ok(())
}

/// BINARYMIME (RFC 3030 §3) is not offered.
fn body(value: &str) -> Option<Body> {
    match value.to_ascii_uppercase().as_str() {
        "7BIT" => Some(Body::SevenBit),
        "8BITMIME" => Some(Body::EightBitMime),
        _ => None,
    }
}

fn ret(value: &str) -> Option<Ret> {
    match value.to_ascii_uppercase().as_str() {
        "FULL" => Some(Ret::Full),
        "HDRS" => Some(Ret::Headers),
        _ => None,
    }
}

fn envid(value: &str) -> Option<String> {
    ((1..=MAX_ENVID).contains(&value.len()) && is_xtext(value)).then(|| value.to_owned())
}

/// `address-type;address`, the latter in xtext or, of type `utf-8`, with letters outside ASCII (RFC 6533 §3).
fn orcpt(value: &str) -> Option<String> {
    let (kind, address) = value.split_once(';')?;
    let is_kind = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let is_address = if kind.eq_ignore_ascii_case("utf-8") {
        address.split(|c: char| !c.is_ascii()).all(is_xtext)
    } else {
        is_xtext(address)
    };
    let fits = !kind.is_empty() && kind.chars().all(is_kind) && !address.is_empty() && is_address;
    (fits && value.len() <= MAX_ORCPT).then(|| value.to_owned())
}

/// Octets of ENVID (RFC 3461 §4.4).
const MAX_ENVID: usize = 100;
/// Octets of ORCPT (RFC 3461 §4.2).
const MAX_ORCPT: usize = 500;
