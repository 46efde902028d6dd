//! Which messages go where: the first rule that matches decides.

/// The rules, indexed.
#[derive(Debug)]
pub struct RuleSet;
