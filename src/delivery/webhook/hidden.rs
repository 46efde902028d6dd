//! A URL that is a secret, and answers that repeat it: pages of errors say what was asked for, redirects where to ask.

use crate::config::settings;

/// The parts of a URL that are left out of what is told of an answer. Never shown.
#[derive(Clone)]
pub(super) struct Hidden(Vec<String>);

impl Hidden {
    /// Nothing of a URL that stands in the configuration, where everybody may read it.
    pub(super) fn of(settings: &settings::Webhook) -> Self {
        match &settings.url_origin {
            None => Self(Vec::new()),
            Some(_) => Self::in_target(settings.url.target()),
        }
    }

    /// In parts, since an answer may have the path in another form, or a part of it only.
    pub(super) fn in_target(target: &str) -> Self {
        let mut parts: Vec<String> = target
            .split(['/', '?', '&', '=', ';'])
            .filter(|part| part.len() >= SHORTEST)
            .map(str::to_owned)
            .collect();
        // One may be the beginning of another.
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        Self(parts)
    }

    /// The text without them.
    pub(super) fn leave_out(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, part| text.replace(part.as_str(), "…"))
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden(…)")
    }
}

/// What is shorter protects nothing, and would be found in other words.
const SHORTEST: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_whatever_form_its_url_comes_back() {
        let hidden = Hidden::in_target("/services/T0/B0000/sesame-open?sig=abracadabra&v=2");
        for text in [
            "Cannot POST /services/T0/B0000/sesame-open?sig=abracadabra&amp;v=2",
            "https://hooks.example/services/T0/B0000/sesame-open/",
        ] {
            let shown = hidden.leave_out(text);
            let secret = ["B0000", "sesame", "abracadabra"].iter().find(|secret| shown.contains(**secret));
            assert_eq!(secret, None, "{shown}");
        }
        assert_eq!(Hidden::in_target("/").leave_out("a / b"), "a / b");
        assert_eq!(format!("{hidden:?}"), "Hidden(…)");
    }
}
