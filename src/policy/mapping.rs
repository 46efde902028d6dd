//! Which messages go where: the first rule that matches decides.
//!
//! A [`RuleSet`] ends with a rule that matches anything, so exactly one rule decides every message. An index makes the
//! decision independent of the number of rules: see `index`.

pub mod explain;
mod facts;
pub mod glob;
mod index;
mod literal;
pub mod rule;
pub mod text;
mod words;

use jiff::tz::TimeZone;

pub(in crate::policy) use explain::listed;
pub use explain::{Clause, Explanation, Verdict};
pub use glob::Glob;
pub use rule::{Action, Delivery, Grouping, Keys, Match, Otherwise, Rule};
pub use text::TextPattern;

use crate::message::id::RuleName;
use crate::message::notice::Notice;
use index::Index;

/// What the configuration says of this gateway, for templates.
#[derive(Debug, Clone)]
pub struct Context {
    /// A free label; may be empty.
    pub site: String,
    /// The gateway's host name; may be empty.
    pub host: String,
    /// Of times in templates.
    pub timezone: TimeZone,
}

/// The rules in their order, indexed.
#[derive(Debug)]
pub struct RuleSet {
    rules: Box<[Rule]>,
    last: Rule,
    index: Index,
}

/// Why some rules are no [`RuleSet`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleSetError {
    /// There is no rule at all.
    #[error("there is no rule; at least one with `match: any` is needed")]
    Empty,
    /// A message could fall through.
    #[error("the last rule {0:?} does not match everything; end with one that has `match: any`")]
    LastIsNotAny(RuleName),
}

impl RuleSet {
    /// Indexes the rules.
    ///
    /// # Errors
    /// A set whose last rule is not [`Match::Any`], so that a message could match none.
    pub fn new(rules: Vec<Rule>) -> Result<Self, RuleSetError> {
        let last = rules.last().ok_or(RuleSetError::Empty)?.clone();
        if !matches!(last.when(), Match::Any) {
            return Err(RuleSetError::LastIsNotAny(last.name().clone()));
        }
        Ok(Self { index: Index::new(&rules), rules: rules.into(), last })
    }

    /// Indexes the rules and, after them, one that matches everything.
    #[must_use]
    pub fn with_end(mut rules: Vec<Rule>, name: RuleName, action: Action) -> Self {
        let last = Rule::new(name, Match::Any, action);
        rules.push(last.clone());
        Self { index: Index::new(&rules), rules: rules.into(), last }
    }

    /// The rule that decides this message. Allocates nothing for a message in ASCII unless a `text` pattern matches.
    #[must_use]
    pub fn decide(&self, notice: &Notice<'_>) -> &Rule {
        self.index.first_match(&self.rules, notice).unwrap_or(&self.last)
    }

    /// All rules, in order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// For every rule, in order, whether it matches and why, in words. Exactly one has [`Verdict::Decides`]; it is the
    /// one that [`Self::decide`] gives.
    #[must_use]
    pub fn explain(&self, notice: &Notice<'_>) -> Vec<(&Rule, Explanation)> {
        let mut decided = false;
        self.rules
            .iter()
            .map(|rule| {
                let explanation = explain::explain(rule, notice, &mut decided);
                (rule, explanation)
            })
            .collect()
    }
}

#[cfg(test)]
pub(crate) mod tests;
