//! What is wrong with a configuration, where, and how to mend it.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
pub struct Place {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// The keys that lead there: `rules[1] "ups-alarms" deliver[0].to`; empty for the file itself.
    pub path: String,
}

impl Place {
    /// The place of `key` in the map that stands here.
    #[must_use]
    pub fn key(&self, key: &str, line: u32) -> Self {
        let joint = match self.path.chars().last() {
            None => "",
            Some('"') => " ",
            Some(_) => ".",
        };
        Self { file: Arc::clone(&self.file), line, path: format!("{}{joint}{key}", self.path) }
    }

    /// The place of the item with this number, from 0, in the list that stands here.
    #[must_use]
    pub fn item(&self, number: usize, line: u32) -> Self {
        Self { file: Arc::clone(&self.file), line, path: format!("{}[{number}]", self.path) }
    }
}

/// One thing that is wrong, in words for the operator.
///
/// Shown as `line 14  rules[1] "ups-alarms" deliver[0].to: "ops@" has no domain` and, indented on a line of its own,
/// `fix: write the whole address, for example ops@example.com`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    #[serde(flatten)]
    place: Place,
    cause: String,
    fix: String,
    #[serde(skip)]
    grammar: Grammar,
}

/// How the place and the cause make a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grammar {
    /// `port: a port is over 0`
    Remark,
    /// `rules[2] "doors" can never match: …`
    Subject,
}

impl Problem {
    /// A remark about what stands at `place`; neither text has a full stop.
    #[must_use]
    pub fn new(place: &Place, cause: impl Into<String>, fix: impl Into<String>) -> Self {
        let (cause, fix) = (cause.into(), fix.into());
        Self { place: place.clone(), cause, fix, grammar: Grammar::Remark }
    }

    /// A sentence of which the place is the subject.
    #[must_use]
    pub fn subject(place: &Place, cause: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { grammar: Grammar::Subject, ..Self::new(place, cause, fix) }
    }

    /// Where it is.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// What is wrong.
    #[must_use]
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// How to mend it.
    #[must_use]
    pub fn fix(&self) -> &str {
        &self.fix
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, cause, fix, grammar } = self;
        let joint = match grammar {
            _ if place.path.is_empty() => "",
            Grammar::Remark => ": ",
            Grammar::Subject => " ",
        };
        write!(f, "line {}  {}{joint}{cause}\n  fix: {fix}", place.line, place.path)
    }
}

/// Everything that was found, sorted by file and line.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Problems {
    /// What keeps the configuration from being used.
    pub problems: Vec<Problem>,
    /// What does not, but is probably not meant.
    pub warnings: Vec<Problem>,
}

impl Problems {
    /// Notes what keeps the configuration from being used.
    pub fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Notes what is probably not meant.
    pub fn warn(&mut self, warning: Problem) {
        self.warnings.push(warning);
    }

    /// Notes all that others found, each at its place.
    pub fn append(&mut self, more: Self) {
        let files = |list: &[Problem]| list.iter().map(|problem| Arc::clone(&problem.place.file)).collect();
        let mut known: Vec<Arc<str>> = files(&self.problems);
        known.extend::<Vec<_>>(files(&self.warnings));
        self.problems.extend(more.problems);
        self.warnings.extend(more.warnings);
        self.sort(&known);
    }

    /// Sorts both by file, in the order the files were given, and line.
    pub(super) fn sort(&mut self, files: &[Arc<str>]) {
        let rank = |problem: &Problem| {
            let file = files.iter().position(|file| *file == problem.place.file);
            (file.unwrap_or(usize::MAX), problem.place.line)
        };
        self.problems.sort_by_key(rank);
        self.warnings.sort_by_key(rank);
    }
}

/// For each file a line with the number of problems and then these; the warnings the same way after them.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (list, one, many) in
            [(&self.problems, "problem", "problems"), (&self.warnings, "warning", "warnings")]
        {
            for of_file in list.chunk_by(|a, b| a.place.file == b.place.file) {
                let Some(Problem { place: Place { file, .. }, .. }) = of_file.first() else { continue };
                let noun = if of_file.len() == 1 { one } else { many };
                let line_break = if std::mem::take(&mut first) { "" } else { "\n" };
                write!(f, "{line_break}{file}: {} {noun}", of_file.len())?;
                of_file.iter().try_for_each(|problem| write!(f, "\n{problem}"))?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
