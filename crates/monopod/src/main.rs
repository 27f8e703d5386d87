//! `monopod`: the one binary. It dispatches verbs, prints, and turns ends into exit codes; it decides nothing.

mod changes;
mod cleanup;
mod cli;
mod client;
mod completions;
mod daemon_verb;
mod debug;
mod definition_source;
mod delay;
mod deployment;
mod doctor;
mod error;
mod events;
mod exit_code;
mod group;
mod image;
mod info;
mod keeper;
mod logging;
mod openapi;
mod output;
mod pod;
mod pod_status;
mod refusal;
mod schema;
mod table;
mod task;
mod tls;
mod token;
mod validate;
mod version;
mod waiting;

use std::process::ExitCode;

use clap::Parser as _;

/// The first argument that makes this process an executor. Users never type it.
const EXECUTOR: &str = "executor";

fn main() -> ExitCode {
    // Before any thread, runtime or parser exists: the executor forks without exec.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == EXECUTOR)
    {
        return runtime::executor::main();
    }
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit_code::USAGE));
        }
    };
    if !matches!(cli.verb, cli::Verb::Daemon(_) | cli::Verb::Keeper(_)) {
        report_bugs_by_exit_code();
    }
    match cli.run() {
        Ok(()) => ExitCode::from(exit_code::OK),
        Err(error) => {
            if let Some(text) = error.text() {
                output::tell(&text);
            }
            ExitCode::from(error.exit_code())
        }
    }
}

/// Ends a panicking command by exit code instead of a core dump. The daemon keeps the abort.
fn report_bugs_by_exit_code() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        output::tell("This is a bug of monopod.");
        #[expect(clippy::exit, reason = "a panic hook has no caller to return to")]
        std::process::exit(exit_code::BUG.into());
    }));
}
