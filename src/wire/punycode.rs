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
        }
    }

    #[test]
    fn a_label_without_end_is_given_up_without_a_panic() {
        let label = "\u{10ffff}".repeat(100_000);
        assert!(encode(&label).is_none_or(|encoded| encoded.len() > 63));
    }
}
