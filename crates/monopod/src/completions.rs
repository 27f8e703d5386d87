//! `monopod completions`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::{cli::Cli, error::CliError, output};

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// For which shell.
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// [`CliError::Output`].
pub(crate) fn run(args: &CompletionsArgs) -> Result<(), CliError> {
    output::print(&script(args.shell))
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "monopod", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_learns_the_verbs() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell);
            assert!(
                script.contains("deployment") && script.contains("import"),
                "{shell}"
            );
        }
    }
}
