//! Standard output and standard error: whole texts, JSON as DC/OS prints it.

use std::io::{IsTerminal, Write};

use serde_json::Value;

use crate::error::CliError;

/// Writes text to standard output.
///
/// # Errors
/// [`CliError::Output`]; a reader that went away is told apart by its kind and not reported.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|source| CliError::Output { source })
}

/// Writes text and a line end to standard output.
///
/// # Errors
/// As [`print`].
pub(crate) fn print_line(text: &str) -> Result<(), CliError> {
    print(&format!("{text}\n"))
}

/// Writes a JSON value to standard output, see [`json_text`].
///
/// # Errors
/// As [`print`].
pub(crate) fn print_json(value: Value) -> Result<(), CliError> {
    print_line(&json_text(value))
}

/// The value as DC/OS prints JSON: keys sorted, indented by two.
pub(crate) fn json_text(mut value: Value) -> String {
    value.sort_all_objects();
    serde_json::to_string_pretty(&value).expect("a JSON value can be written")
}

/// Writes a line to standard error. Nobody can be told if that fails.
pub(crate) fn tell(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = writeln!(stderr, "{text}");
}

/// One line on a terminal's standard error that is rewritten in place; elsewhere nothing.
#[derive(Debug)]
pub(crate) struct ProgressLine {
    terminal: bool,
    shown: String,
}

impl ProgressLine {
    /// Makes a line that is empty yet.
    pub(crate) fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            shown: String::new(),
        }
    }

    /// Whether anybody sees the line.
    pub(crate) fn is_visible(&self) -> bool {
        self.terminal
    }

    /// Replaces the line's text.
    pub(crate) fn show(&mut self, text: &str) {
        if !self.terminal || text == self.shown {
            return;
        }
        text.clone_into(&mut self.shown);
        let cut: String = text.chars().take(columns().saturating_sub(1)).collect();
        write_stderr(&format!("\r\x1b[K{cut}"));
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if !self.shown.is_empty() {
            write_stderr("\r\x1b[K");
        }
    }
}

/// Columns of the terminal that standard error is; 80 if it does not say.
fn columns() -> usize {
    match rustix::termios::tcgetwinsize(std::io::stderr()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        Ok(_) | Err(_) => 80,
    }
}

fn write_stderr(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_sorted_at_every_level() {
        let value = serde_json::json!({"b": [{"z": 1, "a": []}], "a": null});
        insta::assert_snapshot!(json_text(value), @r#"
        {
          "a": null,
          "b": [
            {
              "a": [],
              "z": 1
            }
          ]
        }
        "#);
    }
}
