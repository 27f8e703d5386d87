//! The configuration: `config/monopod.toml` documents every key with its default.

mod access;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use runtime::prepare::HostRootfs;
use serde::{Deserialize, Serialize};

use crate::collection::Policy;

pub use self::access::{AccessConfig, ListenAddresses};

/// Where configuration is kept; containers do not see it.
pub const CONFIG_DIR: &str = "/etc/monopod";

/// Everything that can be configured. Command-line flags override the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What survives a reboot: database, images, sandboxes, volumes, token.
    pub state_dir: PathBuf,
    /// What is lost at reboot: sockets, runs. Best on a tmpfs.
    pub run_dir: PathBuf,
    /// The cgroup that all pods' cgroups are below, relative to each hierarchy's root. Where absent, the one that the
    /// keeper holds; without a keeper, `monopod`.
    pub cgroup_parent: Option<String>,
    /// First part of the names of kernel objects that are not below a directory or cgroup.
    pub name_prefix: String,
    /// Where HTTP listens beside the Unix socket; loopback only unless there is a certificate. Port 0 takes a free one.
    pub listen: ListenAddresses,
    /// What is logged, in the syntax of `RUST_LOG`.
    pub log_level: String,
    /// The group whose members may use the Unix socket.
    pub socket_group: String,
    /// Who may come in over TCP.
    pub access: AccessConfig,
    /// What this host offers.
    pub agent: AgentConfig,
    /// How containers are run.
    pub runtime: RuntimeConfig,
    /// How long what runs left stays.
    pub collection: CollectionConfig,
    /// Values that change what Marathon's API does.
    pub marathon: MarathonConfig,
}

/// What this host offers (`[agent]`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentConfig {
    /// As Mesos's `--resources`, such as `cpus:2;mem:1024`; what is absent is detected.
    pub resources: Option<String>,
    /// As Mesos's `--attributes`, such as `rack:abc;zone:a`.
    pub attributes: Option<String>,
    /// The host name that constraints and containers see; the host's own where absent.
    pub hostname: Option<String>,
    /// Host ports that are offered, such as `31000-32000`.
    pub port_range: Option<String>,
}

/// How containers are run (`[runtime]`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuntimeConfig {
    /// Root filesystem of containers without image.
    pub host_rootfs: HostRootfs,
    /// Whether cpus are also a hard limit (cfs quota), not only shares.
    pub cpu_quota: bool,
    /// Size in MiB at which stdout and stderr are rotated.
    pub log_file_mib: u32,
    /// Rotated files kept beside the current one.
    pub log_rotated_files: u32,
    /// Processes and threads a container may have.
    pub pids_limit: u64,
    /// Seconds after which the creation of a container is given up.
    pub create_timeout_seconds: u32,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            host_rootfs: HostRootfs::default(),
            cpu_quota: true,
            log_file_mib: 10,
            log_rotated_files: 4,
            pids_limit: 4096,
            create_timeout_seconds: 60,
        }
    }
}

/// How long what runs left stays (`[collection]`); the first three as Mesos's flags of these names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CollectionConfig {
    /// Seconds that a sandbox stays after its run's end, on an empty disk.
    pub gc_delay_seconds: u64,
    /// The part of the disk that is to stay free, in percent.
    pub gc_disk_headroom_percent: u8,
    /// Seconds between two looks at the disk.
    pub disk_watch_interval_seconds: u32,
    /// Ended runs of one instance whose sandboxes stay, the latest ones.
    pub runs_kept: u32,
}

impl Default for CollectionConfig {
    fn default() -> Self {
        Self {
            gc_delay_seconds: 7 * 24 * 60 * 60,
            gc_disk_headroom_percent: 10,
            disk_watch_interval_seconds: 60,
            runs_kept: 5,
        }
    }
}

impl CollectionConfig {
    /// What is configured, as the collector takes it.
    pub fn policy(&self) -> Policy {
        Policy {
            gc_delay: Duration::from_secs(self.gc_delay_seconds),
            headroom_permille: u64::from(self.gc_disk_headroom_percent) * 10,
            watch_interval: Duration::from_secs(self.disk_watch_interval_seconds.max(1).into()),
            runs_kept: self.runs_kept as usize,
        }
    }
}

/// Values that change what Marathon's API does (`[marathon]`); named as Marathon's flags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MarathonConfig {
    /// Name for container networks that have none; without it they are refused.
    pub default_network_name: Option<String>,
    /// Name under which `container/bridge` is shown.
    pub mesos_bridge_name: String,
    /// Role of pods that name none.
    pub mesos_role: String,
    /// Marathon's feature switches, such as `secrets`.
    pub enable_features: BTreeSet<String>,
    /// Put before the names of endpoint variables.
    pub env_vars_prefix: Option<String>,
    /// Deployments that may run at once.
    pub max_running_deployments: u32,
    /// Versions kept of each pod.
    pub max_versions: u32,
    /// Seconds within which a launch must be confirmed.
    pub task_launch_confirm_timeout_seconds: u32,
}

impl Default for MarathonConfig {
    fn default() -> Self {
        Self {
            default_network_name: None,
            mesos_bridge_name: "mesos-bridge".to_owned(),
            mesos_role: "*".to_owned(),
            enable_features: BTreeSet::from(["secrets".to_owned()]),
            env_vars_prefix: None,
            max_running_deployments: 100,
            max_versions: 50,
            task_launch_confirm_timeout_seconds: 300,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state_dir: PathBuf::from("/var/lib/monopod"),
            run_dir: PathBuf::from("/run/monopod"),
            cgroup_parent: None,
            name_prefix: "monopod".to_owned(),
            listen: ListenAddresses::default(),
            log_level: "info".to_owned(),
            socket_group: "monopod".to_owned(),
            access: AccessConfig::default(),
            agent: AgentConfig::default(),
            runtime: RuntimeConfig::default(),
            collection: CollectionConfig::default(),
            marathon: MarathonConfig::default(),
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read the configuration file {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML of the expected form.
    #[error("understand the configuration file {path}", path = path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A value is not acceptable.
    #[error("use the configuration: {key} {problem}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

impl Config {
    /// Reads a file; keys that are absent have their defaults, unknown keys are errors.
    ///
    /// # Errors
    /// [`ConfigError::Read`] and [`ConfigError::Parse`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        toml::from_str(&text).map_err(|source| ConfigError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }

    /// Refuses values that no daemon may run with.
    ///
    /// # Errors
    /// [`ConfigError::Value`], the first one found.
    pub fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key, problem: &str| {
            Err(ConfigError::Value {
                key,
                problem: problem.to_owned(),
            })
        };
        if let Some((key, problem)) = self.access.problem(&self.listen) {
            return refuse(key, problem);
        }
        for (key, dir) in [("state_dir", &self.state_dir), ("run_dir", &self.run_dir)] {
            if !dir.is_absolute() {
                return refuse(key, "must be an absolute path");
            }
        }
        if self.collection.gc_disk_headroom_percent > 100 {
            return refuse("collection.gc_disk_headroom_percent", "must be at most 100");
        }
        let parent = self.cgroup_parent.as_deref().unwrap_or("monopod");
        let parent = parent.trim_matches('/');
        if parent.is_empty()
            || parent
                .split('/')
                .any(|part| part.is_empty() || part.starts_with('.'))
        {
            return refuse(
                "cgroup_parent",
                "must name a cgroup of monopod's own, such as monopod",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_acceptable_and_survive_toml() {
        let config = Config::default();
        config.check().unwrap();
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), config);
        assert_eq!(toml::from_str::<Config>("").unwrap(), config);
    }

    /// The file that is installed, and that users read.
    const DOCUMENTED: &str = include_str!("../../../config/monopod.toml");

    #[test]
    fn the_documented_file_has_every_key_with_its_default() {
        assert_eq!(
            toml::from_str::<Config>(DOCUMENTED).unwrap(),
            Config::default()
        );
        let text = || Some("x".to_owned());
        let complete = Config {
            access: AccessConfig {
                tls_certificate: Some("x".into()),
                tls_key: Some("x".into()),
                ..AccessConfig::default()
            },
            cgroup_parent: text(),
            agent: AgentConfig {
                resources: text(),
                attributes: text(),
                hostname: text(),
                port_range: text(),
            },
            marathon: MarathonConfig {
                default_network_name: text(),
                env_vars_prefix: text(),
                ..MarathonConfig::default()
            },
            ..Config::default()
        };
        let mut keys = Vec::new();
        for (name, value) in toml::Table::try_from(complete).unwrap() {
            if let toml::Value::Table(members) = value {
                keys.extend(members.into_iter().map(|(key, _)| key));
            } else {
                keys.push(name);
            }
        }
        for key in keys {
            let shown = |line: &str| {
                line.trim_start_matches('#')
                    .starts_with(&format!("{key} = "))
            };
            assert!(
                DOCUMENTED.lines().any(shown),
                "{key} is not in config/monopod.toml"
            );
        }
    }

    fn listen(address: &str) -> ListenAddresses {
        ListenAddresses::new(vec![address.parse().unwrap()])
    }

    #[test]
    fn one_address_or_several() {
        let config: Config = toml::from_str("listen = ['127.0.0.1:1', '[::1]:2']").unwrap();
        config.check().unwrap();
        assert_eq!(config.listen.iter().count(), 2);
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), config);
        assert!(toml::from_str::<Config>("listen = 'here'").is_err());
        let remote = "listen = '0.0.0.0:8443'\n[access]\ntls_certificate = '/c'\ntls_key = '/k'";
        toml::from_str::<Config>(remote).unwrap().check().unwrap();
    }

    #[test]
    fn refuses_what_would_be_dangerous_or_misspelt() {
        let check = |change: fn(&mut Config), word: &str| {
            let mut config = Config::default();
            change(&mut config);
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        };
        check(|c| c.listen = listen("0.0.0.0:80"), "tls_certificate");
        check(|c| c.listen = ListenAddresses::new(Vec::new()), "listen");
        check(|c| c.access.tls_key = Some("/k".into()), "tls_certificate");
        check(|c| c.run_dir = "run".into(), "run_dir");
        check(
            |c| c.collection.gc_disk_headroom_percent = 101,
            "at most 100",
        );
        check(|c| c.cgroup_parent = Some("/".into()), "cgroup_parent");
        check(|c| c.cgroup_parent = Some("a/../b".into()), "cgroup_parent");
        assert!(toml::from_str::<Config>("stat_dir = '/x'").is_err());
    }
}
