//! Punycode (RFC 3492): how a label of an internationalised domain name is written in ASCII.

/// The digits that stand for this label behind `xn--`, in lower case.
///
/// Nothing is mapped or refused here: that the text is a label in the form that IDNA wants (lower case, NFC) is for the
/// caller to see to. `None` for a label so long that no domain could have it.
#[must_use]
pub fn encode(label: &str) -> Option<String> {
    let mut encoded: String = label.chars().filter(char::is_ascii).collect();
    let basic = u32::try_from(encoded.len()).ok()?;
    let length = u32::try_from(label.chars().count()).ok()?;
    if basic > 0 {
        encoded.push('-');
    }
    let (mut n, mut delta, mut bias, mut handled) = (INITIAL_N, 0_u32, INITIAL_BIAS, basic);
    while handled < length {
        let next = label.chars().map(u32::from).filter(|&point| point >= n).min()?;
        let steps = next.checked_sub(n)?.checked_mul(handled.checked_add(1)?)?;
        delta = delta.checked_add(steps)?;
        n = next;
        for point in label.chars().map(u32::from) {
            if point < n {
                delta = delta.checked_add(1)?;
            }
            if point == n {
                push_integer(&mut encoded, delta, bias)?;
                let first = if handled == basic { First::Yes } else { First::No };
                handled = handled.checked_add(1)?;
                bias = adapt(delta, handled, first)?;
                delta = 0;
            }
        }
        delta = delta.checked_add(1)?;
        n = n.checked_add(1)?;
    }
    Some(encoded)
}

/// The label that the digits behind `xn--` stand for (§6.2); `None` where they stand for none. Takes time that grows with
/// the square of their count: ask about labels of at most 63 octets.
///
/// What comes is not checked to be a label: encode it again and compare, for several texts might decode to one.
#[must_use]
pub fn decode(digits: &str) -> Option<String> {
    let (basic, extended) = digits.rsplit_once('-').unwrap_or(("", digits));
    let mut label: Vec<char> = basic.chars().collect();
    let (mut n, mut place, mut bias) = (INITIAL_N, 0_u32, INITIAL_BIAS);
    let mut octets = extended.bytes();
    while octets.len() > 0 {
        let before = place;
        place = before.checked_add(take_integer(&mut octets, bias)?)?;
        let points = u32::try_from(label.len()).ok()?.checked_add(1)?;
        let first = if before == 0 { First::Yes } else { First::No };
        bias = adapt(place.checked_sub(before)?, points, first)?;
        n = n.checked_add(place.checked_div(points)?)?;
        place = place.checked_rem(points)?;
        label.insert(usize::try_from(place).ok()?, char::from_u32(n)?);
        place = place.checked_add(1)?;
    }
    Some(label.into_iter().collect())
}

/// Whether the bias is adapted for the first time.
enum First {
    Yes,
    No,
}

/// A generalised variable-length integer (§3.3).
fn push_integer(encoded: &mut String, value: u32, bias: u32) -> Option<()> {
    let mut rest = value;
    let mut k = BASE;
    loop {
        let threshold = k.saturating_sub(bias).clamp(T_MIN, T_MAX);
        if rest < threshold {
            encoded.push(digit(rest)?);
            return Some(());
        }
        let above = rest.checked_sub(threshold)?;
        let radix = BASE.checked_sub(threshold)?;
        encoded.push(digit(threshold.checked_add(above.checked_rem(radix)?)?)?);
        rest = above.checked_div(radix)?;
        k = k.checked_add(BASE)?;
    }
}

/// The generalised variable-length integer at the front (§3.3).
fn take_integer(octets: &mut std::str::Bytes<'_>, bias: u32) -> Option<u32> {
    let (mut value, mut weight, mut k) = (0_u32, 1_u32, BASE);
    loop {
        let digit = value_of(octets.next()?)?;
        value = value.checked_add(digit.checked_mul(weight)?)?;
        let threshold = k.saturating_sub(bias).clamp(T_MIN, T_MAX);
        if digit < threshold {
            return Some(value);
        }
        weight = weight.checked_mul(BASE.checked_sub(threshold)?)?;
        k = k.checked_add(BASE)?;
    }
}

/// The value of a digit, in either case.
fn value_of(octet: u8) -> Option<u32> {
    let as_base_36 = char::from(octet).to_digit(BASE)?;
    match as_base_36.checked_sub(10) {
        Some(letter) => Some(letter),
        None => as_base_36.checked_add(T_MAX),
    }
}

/// `a` to `z` are 0 to 25, `0` to `9` are 26 to 35 (§5).
fn digit(value: u32) -> Option<char> {
    let as_base_36 = match value.checked_sub(T_MAX) {
        None => value.checked_add(10)?,
        Some(above_letters) => above_letters,
    };
    char::from_digit(as_base_36, BASE)
}

/// Bias adaptation (§6.1).
fn adapt(delta: u32, points: u32, first: First) -> Option<u32> {
    let damped = match first {
        First::Yes => delta.checked_div(DAMP)?,
        First::No => delta.checked_div(2)?,
    };
    let mut delta = damped.checked_add(damped.checked_div(points)?)?;
    let mut k = 0_u32;
    while delta > LIMIT {
        delta = delta.checked_div(BASE_MINUS_T_MIN)?;
        k = k.checked_add(BASE)?;
    }
    let scaled = BASE_MINUS_T_MIN.checked_add(1)?.checked_mul(delta)?;
    k.checked_add(scaled.checked_div(delta.checked_add(SKEW)?)?)
}

const BASE: u32 = 36;
const T_MIN: u32 = 1;
const T_MAX: u32 = 26;
const SKEW: u32 = 38;
const DAMP: u32 = 700;
const INITIAL_BIAS: u32 = 72;
const INITIAL_N: u32 = 128;
const BASE_MINUS_T_MIN: u32 = BASE - T_MIN;
/// `((base - tmin) * tmax) / 2`.
const LIMIT: u32 = BASE_MINUS_T_MIN * T_MAX / 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_written_as_the_standard_and_the_registries_write_them() {
        for (label, encoded) in [
            // RFC 3492 §7.1: Arabic, Chinese, Czech, Japanese, Russian; the registries' own names.
            ("ليهمابتكلموشعربي؟", "egbpdaj6bu4bxfgehfvwxn"),
            ("他们为什么不说中文", "ihqwcrb4cv8a8dqg056pqjye"),
            ("Pročprostěnemluvíčesky", "Proprostnemluvesky-uyb24dma41a"),
            ("なぜみんな日本語を話してくれないのか", "n8jok5ay5dzabd5bym9f0cm5685rrjetr6pdxa"),
            ("почемужеонинеговорятпорусски", "b1abfaaepdrnnbgefbadotcwatmq2g4l"),
            ("3年b組金八先生", "3b-ww4c5e180e575a65lsy2b"),
            ("bücher", "bcher-kva"),
            ("例え", "r8jz45g"),
            ("ascii", "ascii-"),
        ] {
            assert_eq!(encode(label).as_deref(), Some(encoded), "{label}");
            assert_eq!(decode(encoded).as_deref(), Some(label), "{encoded}");
        }
    }

    #[test]
    fn digits_that_stand_for_no_label_are_told() {
        // No digit, cut short, past the last code point.
        for digits in ["bcher-kv\u{e4}", "bcher-kv9", "99999999", "bcher-k!a"] {
            assert_eq!(decode(digits), None, "{digits}");
        }
        assert_eq!(decode("BCHER-KVA").as_deref(), Some("BüCHER"));
    }

    #[test]
    fn a_label_without_end_is_given_up_without_a_panic() {
        let label = "\u{10ffff}".repeat(100_000);
        assert!(encode(&label).is_none_or(|encoded| encoded.len() > 63));
    }
}
