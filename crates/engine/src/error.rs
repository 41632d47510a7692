//! What may a step say when it does not succeed? `?` means *try again*; `.terminal()` means *final*.
//!
//! [`StepError`] is what a step returns, [`Failure`] is what is stored and what callers get back:
//! plain data, because it may be read by another program version than the one that wrote it.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The result of a step.
pub type StepResult<T> = Result<T, StepError>;

/// Why an attempt of a step did not succeed, and what that means.
///
/// Any error becomes one with `?`, and then means: try again, bounded by the step's
/// [`Retry`](crate::Retry). It is deliberately not a [`std::error::Error`] itself; that is what
/// makes `?` work for all of them.
///
/// ```
/// use keystep::{StepError, StepResult, StepResultExt};
///
/// fn charge(answer: Result<u64, std::io::Error>, declined: bool) -> StepResult<u64> {
///     if declined {
///         return Err(StepError::terminal("the card was declined").code("card_declined"));
///     }
///     let amount = answer?; // try again
///     let small = u64::try_from(i128::from(amount)).terminal()?; // final
///     Ok(small)
/// }
/// assert!(charge(Ok(3), true).is_err_and(|e| e.is_terminal()));
/// ```
pub struct StepError {
    meaning: Meaning,
    /// Whether it is known that nothing was done.
    not_done: bool,
    code: Option<Cow<'static, str>>,
    cause: Box<dyn Error + Send + Sync>,
}

/// What an error of a step means for the execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Try again, after the policy's delay or the one given.
    Retry(Option<Duration>),
    /// No further try now; a later call may resume.
    Stop,
    /// Final.
    Terminal,
}

impl StepError {
    /// An error that is tried again, bounded by the step's retry policy. The same as `?`.
    pub fn retry(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Meaning::Retry(None), cause)
    }

    /// An error that is tried again not before `delay` has passed.
    pub fn retry_after(cause: impl Into<Box<dyn Error + Send + Sync>>, delay: Duration) -> Self {
        Self::new(Meaning::Retry(Some(delay)), cause)
    }

    /// An error that is tried again and says that nothing was done, for a step that is done
    /// [at most once](crate::SchemaBuilder::at_most_once): a connection that was refused, a request that
    /// was never sent.
    pub fn not_done(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            not_done: true,
            ..Self::new(Meaning::Retry(None), cause)
        }
    }

    /// A final failure: recorded, and what every later call of the key gets.
    pub fn terminal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Meaning::Terminal, cause)
    }

    /// An error that trying again can not mend, but a deploy may: no further try now.
    pub(crate) fn stop(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Meaning::Stop, cause)
    }

    fn new(meaning: Meaning, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            meaning,
            not_done: false,
            code: None,
            cause: cause.into(),
        }
    }

    /// Adds a stable code for programs, such as `card_declined`. It is stored: a promise.
    #[must_use]
    pub fn code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Whether the failure is final.
    pub fn is_terminal(&self) -> bool {
        self.meaning == Meaning::Terminal
    }

    /// Whether it is known what the attempt did: nothing, or what the failure says.
    pub(crate) fn is_of_known_effect(&self) -> bool {
        self.not_done || self.is_terminal()
    }

    pub(crate) fn meaning(&self) -> Meaning {
        self.meaning
    }

    pub(crate) fn code_text(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// The message with its chain of causes, cut to `limit` bytes.
    pub(crate) fn message(&self, limit: usize) -> String {
        let mut text = self.cause.to_string();
        let mut next = self.cause.source();
        while let Some(cause) = next {
            let cause_text = cause.to_string();
            // Many error types repeat their source in their own text.
            if !text.contains(&cause_text) {
                text.push_str(": ");
                text.push_str(&cause_text);
            }
            next = cause.source();
        }
        cut(text, limit)
    }
}

/// Cuts a text at a character boundary, so that one long message can not fill a database.
pub(crate) fn cut(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        let end = (0..=limit)
            .rev()
            .find(|&at| text.is_char_boundary(at))
            .unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

impl fmt::Debug for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepError")
            .field("meaning", &self.meaning)
            .field("code", &self.code)
            .field("cause", &self.cause)
            .finish()
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for StepError {
    fn from(cause: E) -> Self {
        Self::retry(cause)
    }
}

/// Says what an error means, in the place where `?` is written.
pub trait StepResultExt<T> {
    /// This error is final.
    ///
    /// # Errors
    /// The error itself, as a terminal [`StepError`].
    fn terminal(self) -> StepResult<T>;

    /// This error has a stable code for programs.
    ///
    /// # Errors
    /// The error itself, with the code.
    fn code(self, code: &'static str) -> StepResult<T>;
}

impl<T, E: Into<StepError>> StepResultExt<T> for Result<T, E> {
    fn terminal(self) -> StepResult<T> {
        self.map_err(|error| {
            let mut error = error.into();
            error.meaning = Meaning::Terminal;
            error
        })
    }

    fn code(self, code: &'static str) -> StepResult<T> {
        self.map_err(|error| error.into().code(code))
    }
}

/// A failure as data: stored with the execution, and what its callers get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The step that failed.
    pub step: String,
    /// Which attempt of it, from 1.
    pub attempt: u32,
    /// What it means.
    pub kind: FailureKind,
    /// The stable code, if the step gave one.
    pub code: Option<String>,
    /// For people; cut to a limit.
    pub message: String,
}

/// What a failure means. The words are stored: they are a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// Will be tried again without anybody's help.
    Temporary,
    /// Tries are used up; the next call resumes at this step, unless it asks otherwise.
    Exhausted,
    /// A step said that it is final; the next call gets it again, unless it asks otherwise.
    Terminal,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step `{}` failed at attempt {}", self.step, self.attempt)?;
        if let Some(code) = &self.code {
            write!(f, " ({code})")?;
        }
        write!(f, ": {}", self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(kind: &str) -> StepResult<()> {
        match kind {
            "io" => Err(std::io::Error::other("disk"))?,
            "text" => Err("plain words")?,
            "terminal" => Err(std::io::Error::other("disk")).terminal()?,
            "inner" => fails("terminal").code("inner_code")?,
            _ => {}
        }
        Ok(())
    }

    #[test]
    fn a_question_mark_means_try_again() {
        for kind in ["io", "text"] {
            let error = fails(kind).expect_err("an error");
            assert_eq!(error.meaning(), Meaning::Retry(None), "{kind}");
        }
    }

    #[test]
    fn terminal_and_code_survive_a_second_question_mark() {
        let error = fails("inner").expect_err("an error");
        assert!(error.is_terminal());
        assert_eq!(error.code_text(), Some("inner_code"));
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let error = StepError::retry("ä".repeat(100));
        assert_eq!(error.message(11), format!("{}…", "ä".repeat(5)));
    }
}
