//! `monopod daemon`: the configuration file, the flags over it, the log, then the service.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use daemon::config::{Config, ListenAddresses};
use tracing_subscriber::EnvFilter;

use crate::{cli::Connection, error::CliError, logging};

/// The configuration file where none is named; it may be missing.
const DEFAULT_CONFIG: &str = "/etc/monopod/monopod.toml";

/// Arguments of `daemon`. What is given here wins over the configuration file. The global `--run-dir` counts too.
#[derive(Debug, Default, Args)]
pub(crate) struct DaemonArgs {
    /// Configuration file [default: /etc/monopod/monopod.toml, if there is one].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What survives a reboot: database, images, sandboxes.
    #[arg(long, value_name = "DIR", env = "MONOPOD_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// The cgroup that all pods are below [default: the keeper's, else monopod].
    #[arg(long, value_name = "CGROUP")]
    cgroup_parent: Option<String>,
    /// Address to listen on, loopback unless there is a certificate; port 0 takes a free one. Can be repeated.
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<SocketAddr>,
    /// PEM file with the certificate for TLS.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// PEM file with the certificate's key.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Group whose members may use the Unix socket.
    #[arg(long, value_name = "GROUP")]
    socket_group: Option<String>,
    /// Further name under which clients call this host. Can be repeated.
    #[arg(long, value_name = "NAME")]
    allowed_host: Vec<String>,
    /// First part of the names of kernel objects.
    #[arg(long, value_name = "WORD")]
    name_prefix: Option<String>,
    /// Host ports that are offered to pods, such as 31000-32000.
    #[arg(long, value_name = "FIRST-LAST")]
    port_range: Option<String>,
    /// Resources that are offered to pods instead of those found, such as 'cpus:2;mem:1024'.
    #[arg(long, value_name = "RESOURCES")]
    resources: Option<String>,
    /// Attributes of this host for constraints, such as 'rack:a;zone:b'.
    #[arg(long, value_name = "ATTRIBUTES")]
    attributes: Option<String>,
    /// Host name that constraints and containers see.
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Name for container networks that have none.
    #[arg(long, value_name = "NAME")]
    default_network_name: Option<String>,
    /// What is logged, in the syntax of RUST_LOG.
    #[arg(long, value_name = "FILTER")]
    log_level: Option<String>,
}

/// Runs the service until it is asked to stop.
///
/// # Errors
/// [`CliError::Daemon`].
pub(crate) fn run(args: DaemonArgs, connection: &Connection) -> Result<(), CliError> {
    let config = configure(args, connection).map_err(|source| CliError::Daemon { source })?;
    serve(config).map_err(|source| CliError::Daemon { source })
}

fn configure(args: DaemonArgs, connection: &Connection) -> anyhow::Result<Config> {
    let mut config = read_config(args.config.as_deref(), connection)?;
    override_config(&mut config, args);
    config.check()?;
    Ok(config)
}

/// The configuration in this file, else in the usual one, else the defaults; with the run directory that the command
/// line names.
///
/// # Errors
/// A file that is there cannot be used.
pub(crate) fn read_config(file: Option<&Path>, connection: &Connection) -> anyhow::Result<Config> {
    let default = Path::new(DEFAULT_CONFIG);
    let mut config = match file {
        Some(file) => Config::read(file)?,
        None if default.exists() => Config::read(default)?,
        None => Config::default(),
    };
    set(&mut config.run_dir, connection.run_dir.clone());
    Ok(config)
}

/// Sets what the command line names.
fn override_config(config: &mut Config, args: DaemonArgs) {
    set(&mut config.state_dir, args.state_dir);
    set_some(&mut config.cgroup_parent, args.cgroup_parent);
    set(&mut config.socket_group, args.socket_group);
    if !args.listen.is_empty() {
        config.listen = ListenAddresses::new(args.listen);
    }
    set_some(&mut config.access.tls_certificate, args.tls_certificate);
    set_some(&mut config.access.tls_key, args.tls_key);
    config.access.allowed_hosts.extend(args.allowed_host);
    set(&mut config.name_prefix, args.name_prefix);
    set(&mut config.log_level, args.log_level);
    set_some(&mut config.agent.port_range, args.port_range);
    set_some(&mut config.agent.resources, args.resources);
    set_some(&mut config.agent.attributes, args.attributes);
    set_some(&mut config.agent.hostname, args.hostname);
    set_some(
        &mut config.marathon.default_network_name,
        args.default_network_name,
    );
}

fn set<T>(key: &mut T, given: Option<T>) {
    if let Some(value) = given {
        *key = value;
    }
}

fn set_some<T>(key: &mut Option<T>, given: Option<T>) {
    if given.is_some() {
        *key = given;
    }
}

fn serve(config: Config) -> anyhow::Result<()> {
    let filter = logging::filter(&config.log_level)?;
    logging::begin(keep_audit(filter, &config.log_level)?);
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the asynchronous runtime")?
        .block_on(daemon::run(config))
}

/// Keeps audit lines in the log at any level, unless the filter itself says what becomes of them.
fn keep_audit(filter: EnvFilter, level: &str) -> anyhow::Result<EnvFilter> {
    if level.contains("audit") {
        return Ok(filter);
    }
    let directive = "audit=info".parse().context("keep audit lines")?;
    Ok(filter.add_directive(directive))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("monopod.toml");
        std::fs::write(
            &file,
            "state_dir = '/a'\nrun_dir = '/b'\n[agent]\nresources = 'cpus:1'\n",
        )
        .unwrap();
        let args = DaemonArgs {
            config: Some(file),
            state_dir: Some("/flag".into()),
            attributes: Some("rack:a".to_owned()),
            ..DaemonArgs::default()
        };
        let config = configure(args, &Connection::default()).unwrap();
        assert_eq!(config.state_dir, PathBuf::from("/flag"));
        assert_eq!(config.run_dir, PathBuf::from("/b"));
        assert_eq!(config.agent.resources.as_deref(), Some("cpus:1"));
        assert_eq!(config.agent.attributes.as_deref(), Some("rack:a"));
    }

    #[test]
    fn dangerous_values_are_refused_before_anything_starts() {
        let args = DaemonArgs {
            listen: vec!["0.0.0.0:1".parse().unwrap()],
            ..DaemonArgs::default()
        };
        let error = configure(args, &Connection::default()).unwrap_err();
        assert!(error.to_string().contains("loopback"), "{error}");
    }
}
