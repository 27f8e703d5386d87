//! The command line: global options and the tree of verbs.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::{
    cleanup,
    client::{Client, ClientError},
    completions, daemon_verb, debug, delay, deployment, doctor,
    error::CliError,
    events, group, image, info, keeper, openapi, pod, schema, task,
    tls::Trust,
    token, validate, version,
};

/// Runs Marathon pods on this host.
///
/// Exit status: 0 done, 1 refused or failed, 2 wrong command line, 3 no daemon answers, 4 the pod failed.
#[derive(Debug, Parser)]
#[command(name = "monopod", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Which daemon is meant.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Connection {
    /// Run directory of the daemon [default: /run/monopod].
    #[arg(long, global = true, value_name = "DIR", env = "MONOPOD_RUN_DIR")]
    pub(crate) run_dir: Option<PathBuf>,
    /// A daemon reached by TCP instead, such as http://127.0.0.1:8080.
    #[arg(long, global = true, value_name = "URL", env = "MONOPOD_URL")]
    pub(crate) url: Option<String>,
    /// What that daemon's `monopod token show` printed.
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        env = "MONOPOD_TOKEN",
        hide_env_values = true
    )]
    pub(crate) token: Option<String>,
    /// PEM file of certificates to trust for https, instead of the system's.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "MONOPOD_CA_CERTIFICATE"
    )]
    pub(crate) ca_certificate: Option<PathBuf>,
}

impl Connection {
    /// Where a daemon is unless told otherwise.
    const DEFAULT_RUN_DIR: &str = "/run/monopod";

    /// The run directory, also where none was given.
    pub(crate) fn run_dir(&self) -> PathBuf {
        self.run_dir
            .clone()
            .unwrap_or_else(|| PathBuf::from(Self::DEFAULT_RUN_DIR))
    }

    /// The client for the daemon that is meant.
    ///
    /// # Errors
    /// [`ClientError::Url`].
    pub(crate) fn client(&self) -> Result<Client, ClientError> {
        match &self.url {
            Some(url) => {
                let certificates = self.ca_certificate.clone();
                Client::remote(url, self.token.clone(), Trust { certificates })
            }
            None => Ok(Client::local(self.run_dir().join("monopod.sock"))),
        }
    }
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run the service.
    Daemon(Box<daemon_verb::DaemonArgs>),
    /// Hold the cgroup of all pods under systemd; monopod-pods.service runs it.
    #[command(hide = true)]
    Keeper(keeper::KeeperArgs),
    /// Add, look at and change pods.
    #[command(subcommand)]
    Pod(pod::PodVerb),
    /// Look at running deployments, and end them.
    #[command(subcommand)]
    Deployment(deployment::DeploymentVerb),
    /// Look at groups of pods, and remove them.
    #[command(subcommand)]
    Group(group::GroupVerb),
    /// Look at containers by their task ids, and kill them.
    #[command(subcommand)]
    Task(task::TaskVerb),
    /// Find out why pods wait to be launched.
    #[command(subcommand)]
    Debug(debug::DebugVerb),
    /// Forget delays after failures.
    #[command(subcommand)]
    Delay(delay::DelayVerb),
    /// Print events as they come.
    Events(events::EventsArgs),
    /// Import images and list them.
    #[command(subcommand)]
    Image(image::ImageVerb),
    /// Check a pod definition without a daemon.
    Validate(validate::ValidateArgs),
    /// Tell where the daemon listens, keeps its files and which version it is.
    Info(info::InfoArgs),
    /// Find out what keeps pods from running on this host, and what to do about it.
    Doctor(doctor::DoctorArgs),
    /// The tokens that clients over TCP need.
    #[command(subcommand)]
    Token(token::TokenVerb),
    /// Stop all pods and remove what monopod left on this host.
    Cleanup(cleanup::CleanupArgs),
    /// Print the API as an OpenAPI document.
    Openapi,
    /// Print the JSON Schema of pod definitions, for editors.
    Schema,
    /// Print completions for a shell.
    Completions(completions::CompletionsArgs),
    /// Print the version.
    Version,
}

impl Cli {
    /// Does what the command line says.
    ///
    /// # Errors
    /// Whatever kept the verb from success.
    pub(crate) fn run(self) -> Result<(), CliError> {
        let connection = &self.connection;
        match self.verb {
            Verb::Daemon(args) => daemon_verb::run(*args, connection),
            Verb::Cleanup(args) => cleanup::run(&args, connection),
            Verb::Keeper(args) => keeper::run(&args, connection),
            Verb::Validate(args) => validate::run(&args),
            Verb::Completions(args) => completions::run(&args),
            Verb::Openapi => openapi::run(),
            Verb::Schema => schema::run(),
            Verb::Version => version::run(),
            Verb::Pod(verb) => block_on(verb.run(&connection.client()?)),
            Verb::Deployment(verb) => block_on(verb.run(&connection.client()?)),
            Verb::Group(verb) => block_on(verb.run(&connection.client()?)),
            Verb::Task(verb) => block_on(verb.run(&connection.client()?)),
            Verb::Debug(verb) => block_on(verb.run(&connection.client()?)),
            Verb::Delay(verb) => block_on(verb.run(&connection.client()?)),
            Verb::Events(args) => block_on(events::run(&args, &connection.client()?)),
            Verb::Image(verb) => block_on(verb.run(&connection.client()?)),
            Verb::Doctor(args) => block_on(doctor::run(&args, connection)),
            Verb::Info(args) => block_on(info::run(&args, connection)),
            Verb::Token(verb) => block_on(verb.run(connection)),
        }
    }
}

fn block_on<F: Future<Output = Result<(), CliError>>>(verb: F) -> Result<(), CliError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| CliError::Start { source })?
        .block_on(verb)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_tree_of_verbs_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn dcos_grammar_is_understood() {
        let lines = [
            "pod add pod.json",
            "pod add",
            "pod list",
            "pod list --json",
            "pod list --quiet",
            "pod show /a/b",
            "pod update --force /a",
            "pod update /a pod.json --wait --timeout 5",
            "pod remove --force a",
            "pod kill a",
            "pod kill a i-1 i-2",
            "deployment list --json /a",
            "deployment list --quiet",
            "deployment watch --max-count=3 --interval=2 d-1",
            "deployment stop d-1",
            "deployment rollback d-1",
            "group list --json",
            "group show /a",
            "group remove --force /a",
            "task list /a",
            "task list --quiet",
            "task show t",
            "task stop --wipe t",
            "task kill --wipe --json t u",
            "debug list --json",
            "debug summary /a",
            "debug details /a --json",
            "delay reset /a",
            "events --type instance_changed_event --pod /a --count 1 --json",
            "pod plan pod.json --json",
            "pod restart --force /a --wait",
            "pod history /a",
            "pod history --runs --json /a",
            "pod rollback /a 2026-11-22T13:58:26.477Z --wait",
            "--run-dir /tmp/x pod logs a -f --tail 5 --container c",
            "image import ./layout --name busybox",
            "token show",
            "token rotate",
            "token create --read-only --name grafana",
            "token list --json",
            "token revoke grafana",
            "keeper",
            "cleanup --state --yes",
            "keeper --config /x reload",
            "keeper stop --within 5",
            "openapi",
            "schema",
        ];
        for line in lines {
            let words = std::iter::once("monopod").chain(line.split(' '));
            Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn wrong_command_lines_are_usage_errors() {
        for line in [
            "pod",
            "pod show",
            "pod list --json --quiet",
            "pod add --timeout 5",
            "podd",
            "token create --name full",
        ] {
            let words = std::iter::once("monopod").chain(line.split(' '));
            let error = Cli::try_parse_from(words).unwrap_err();
            assert_eq!(
                error.exit_code(),
                i32::from(crate::exit_code::USAGE),
                "{line}"
            );
        }
    }
}
