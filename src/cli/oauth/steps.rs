//! Steps that were taken, as they are printed.

use serde::Serialize;

use crate::cli::output::answer;
use crate::cli::table::plain;

/// A list of steps that ends with the first that fails.
#[derive(Debug, Serialize)]
pub(super) struct Steps {
    steps: Vec<Step>,
    #[serde(skip)]
    form: Form,
}

/// Whether steps are printed as they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Lines,
    Json,
}

#[derive(Debug, Serialize)]
struct Step {
    step: &'static str,
    outcome: Outcome,
    text: String,
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    /// As it should.
    Good,
    /// It works, but something is doubtful.
    Doubtful,
    /// It does not work.
    Bad,
}

/// A step that does not work: nothing after it can.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stopped;

impl Steps {
    pub(super) const fn new(form: Form) -> Self {
        Self { steps: Vec::new(), form }
    }

    pub(super) fn good(&mut self, step: &'static str, text: impl Into<String>) {
        self.add(step, Outcome::Good, text.into());
    }

    pub(super) fn doubtful(&mut self, step: &'static str, text: impl Into<String>) {
        self.add(step, Outcome::Doubtful, text.into());
    }

    pub(super) fn bad(&mut self, step: &'static str, text: impl Into<String>) -> Stopped {
        self.add(step, Outcome::Bad, text.into());
        Stopped
    }

    fn add(&mut self, step: &'static str, outcome: Outcome, text: String) {
        if self.form == Form::Lines {
            let mark = match outcome {
                Outcome::Good => "ok   ",
                Outcome::Doubtful => "warn ",
                Outcome::Bad => "FAIL ",
            };
            answer(format_args!("{mark} {step:<14} {}", plain(&text)));
        }
        self.steps.push(Step { step, outcome, text });
    }
}
