//! Generates definitions: well formed, and as completed as reading one leaves them.

use std::collections::BTreeMap;

use model::{
    id::PodId,
    pod::{
        Artifact, BackoffStrategy, Check, Command, Constraint, ConstraintOperator, Container,
        Endpoint, EnvironmentValue, Exec, ExecProbe, ExecutorResources, HealthCheck, HttpProbe,
        HttpScheme, Image, ImageKind, IpcInfo, IpcMode, KillSelection, Lifecycle, Limit, LinuxInfo,
        Network, NetworkMode, PersistentVolume, PersistentVolumeKind, Placement, PodDefinition,
        Probe, PullConfig, ResourceLimits, RestartPolicy, Scaling, Scheduling, Seccomp,
        SecretSource, TcpProbe, UnreachableStrategy, UpgradeStrategy, Volume, VolumeMount,
        VolumeSource,
    },
    resources::{Resources, bytes_from_mib},
    time::Timestamp,
};
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    sample::select,
};

const MAX: u32 = i32::MAX as u32;

/// Any definition that can be read.
pub(crate) fn any_definition() -> impl Strategy<Value = PodDefinition> {
    let plain = (
        "(/[a-z0-9]([-.][a-z0-9]){0,2}){1,3}"
            .prop_map(|id| PodId::parse(&id).expect("generated as one")),
        labels(),
        option::of((0i64..4_102_444_800_000).prop_map(Timestamp::from_millis)),
        option::of(text()),
        environment(),
        vec(container(), 1..4),
        btree_map("[a-z]{1,3}", source(), 0..3),
    );
    let rest = (
        vec(volume(), 0..4),
        vec(network(), 0..3),
        (0..MAX).prop_map(|instances| Scaling::Fixed { instances }),
        scheduling(),
        resources(100, 32_000, 10_000).prop_map(|resources| {
            ExecutorResources(Resources {
                gpus: 0,
                ..resources
            })
        }),
        option::of(not_empty()),
        option::of(linux_info()),
        any::<bool>(),
    );
    (plain, rest).prop_map(|(plain, rest)| {
        let (id, labels, version, user, environment, containers, secrets) = plain;
        let (volumes, networks, scaling, scheduling, executor_resources, role, linux_info, shared) =
            rest;
        PodDefinition {
            id,
            labels,
            version,
            user,
            environment,
            containers,
            secrets,
            volumes,
            networks,
            scaling,
            scheduling,
            executor_resources,
            role,
            linux_info,
            legacy_shared_cgroups: shared,
        }
    })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,8}", "\\PC{0,4}", Just("\0\n\"\\".to_owned())]
}

fn not_empty() -> impl Strategy<Value = String> {
    "[ -~é]{1,8}"
}

fn name() -> impl Strategy<Value = String> {
    "[a-z0-9]([-a-z0-9]{0,5}[a-z0-9])?"
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(text(), text(), 0..3)
}

fn environment() -> impl Strategy<Value = BTreeMap<String, EnvironmentValue>> {
    let value = prop_oneof![
        text().prop_map(EnvironmentValue::Text),
        not_empty().prop_map(|secret| EnvironmentValue::Secret { secret }),
    ];
    btree_map("[a-zA-Z_][a-zA-Z0-9_]{0,4}", value, 0..3)
}

fn source() -> impl Strategy<Value = SecretSource> {
    not_empty().prop_map(|source| SecretSource { source })
}

/// Amounts of at least so many thousandths.
fn resources(cpus: u64, mem: u64, disk: u64) -> impl Strategy<Value = Resources> {
    (cpus..10_000_000, mib(mem), mib(disk), 0..u64::from(MAX)).prop_map(
        |(cpus_milli, mem_bytes, disk_bytes, gpus)| Resources {
            cpus_milli,
            mem_bytes,
            disk_bytes,
            gpus,
        },
    )
}

/// Bytes, from thousandths of a MiB of at least `least` to thousands of TiB.
fn mib(least: u64) -> impl Strategy<Value = u64> {
    (least..(1 << 42)).prop_map(|milli| bytes_from_mib(milli as f64 / 1000.0).expect("in range"))
}

fn limit(amount: impl Strategy<Value = u64> + 'static) -> impl Strategy<Value = Option<Limit>> {
    option::of(prop_oneof![
        Just(Limit::Unlimited),
        amount.prop_map(Limit::Amount),
    ])
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        not_empty().prop_map(Command::Shell),
        vec(text(), 1..4).prop_map(Command::Argv),
    ]
}

fn container() -> impl Strategy<Value = Container> {
    let exec = (command(), option::of(any::<bool>())).prop_map(|(command, over)| Exec {
        command,
        override_entrypoint: over,
    });
    let limits = (limit(0..9_000_000u64), limit(mib(0)))
        .prop_map(|(cpus, mem)| ResourceLimits { cpus, mem });
    let lifecycle = option::of(0..u64::from(MAX)).prop_map(|kill_grace_period_ms| Lifecycle {
        kill_grace_period_ms,
    });
    let first = (
        name(),
        option::of(exec),
        resources(1, 1, 0),
        option::of(limits),
        vec(endpoint(), 0..3),
        option::of(image()),
        environment(),
        option::of(text()),
    );
    let second = (
        option::of(health_check()),
        option::of(check()),
        vec(mount(), 0..3),
        vec(artifact(), 0..3),
        labels(),
        option::of(lifecycle),
        option::of(any::<bool>()),
        option::of(linux_info()),
    );
    (first, second).prop_map(|(first, second)| {
        let (name, exec, resources, resource_limits, endpoints, image, environment, user) = first;
        let (health_check, check, volume_mounts, artifacts, labels, lifecycle, tty, linux_info) =
            second;
        Container {
            name,
            exec,
            resources,
            resource_limits,
            endpoints,
            image,
            environment,
            user,
            health_check,
            check,
            volume_mounts,
            artifacts,
            labels,
            lifecycle,
            tty,
            linux_info,
        }
    })
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    (
        name(),
        option::of(any::<u16>()),
        option::of(any::<u16>()),
        vec(not_empty(), 0..3),
        labels(),
        vec(name(), 0..3),
    )
        .prop_map(
            |(name, container_port, host_port, protocol, labels, network_names)| Endpoint {
                name,
                container_port,
                host_port,
                protocol,
                labels,
                network_names,
            },
        )
}

fn image() -> impl Strategy<Value = Image> {
    (
        select(vec![ImageKind::Docker, ImageKind::Oci]),
        not_empty(),
        option::of(any::<bool>()),
        option::of(text().prop_map(|secret| PullConfig { secret })),
        labels(),
    )
        .prop_map(|(kind, id, force_pull, pull_config, labels)| Image {
            kind,
            id,
            force_pull,
            pull_config,
            labels,
        })
}

fn probe() -> impl Strategy<Value = Probe> {
    let scheme = select(vec![HttpScheme::Http, HttpScheme::Https]);
    let http = (name(), option::of(not_empty()), scheme);
    prop_oneof![
        http.prop_map(|(endpoint, path, scheme)| Probe::Http(HttpProbe {
            endpoint,
            path,
            scheme
        })),
        name().prop_map(|endpoint| Probe::Tcp(TcpProbe { endpoint })),
        command().prop_map(|command| Probe::Exec(ExecProbe { command })),
    ]
}

fn health_check() -> impl Strategy<Value = HealthCheck> {
    (probe(), [0..MAX, 0..MAX, 0..MAX, 0..MAX, 0..MAX]).prop_map(
        |(probe, [grace, interval, failures, timeout, delay])| HealthCheck {
            probe,
            grace_period_seconds: grace,
            interval_seconds: interval,
            max_consecutive_failures: failures,
            timeout_seconds: timeout,
            delay_seconds: delay,
        },
    )
}

fn check() -> impl Strategy<Value = Check> {
    (probe(), [0..MAX, 0..MAX, 0..MAX]).prop_map(|(probe, [interval, timeout, delay])| Check {
        probe,
        interval_seconds: interval,
        timeout_seconds: timeout,
        delay_seconds: delay,
    })
}

fn mount() -> impl Strategy<Value = VolumeMount> {
    (name(), not_empty(), option::of(any::<bool>())).prop_map(|(name, mount_path, read_only)| {
        VolumeMount {
            name,
            mount_path,
            read_only,
        }
    })
}

fn artifact() -> impl Strategy<Value = Artifact> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (not_empty(), flags, option::of(not_empty())).prop_map(
        |(uri, (extract, executable, cache), dest_path)| Artifact {
            uri,
            extract,
            executable,
            cache,
            dest_path,
        },
    )
}

fn linux_info() -> impl Strategy<Value = LinuxInfo> {
    let seccomp =
        (option::of(text()), any::<bool>()).prop_map(|(profile_name, unconfined)| Seccomp {
            profile_name,
            unconfined,
        });
    let mode = select(vec![IpcMode::Private, IpcMode::ShareParent]);
    let ipc_info =
        (mode, option::of(0..MAX)).prop_map(|(mode, shm_size)| IpcInfo { mode, shm_size });
    (option::of(seccomp), option::of(ipc_info))
        .prop_map(|(seccomp, ipc_info)| LinuxInfo { seccomp, ipc_info })
}

fn volume() -> impl Strategy<Value = Volume> {
    let source = prop_oneof![
        Just(VolumeSource::Ephemeral {}),
        not_empty().prop_map(|host| VolumeSource::Host { host }),
        not_empty().prop_map(|secret| VolumeSource::Secret { secret }),
        persistent().prop_map(|persistent| VolumeSource::Persistent { persistent }),
    ];
    (name(), source).prop_map(|(name, source)| Volume { name, source })
}

fn persistent() -> impl Strategy<Value = PersistentVolume> {
    let kind = select(vec![
        PersistentVolumeKind::Root,
        PersistentVolumeKind::Path,
        PersistentVolumeKind::Mount,
    ]);
    let size = 0..i64::MAX as u64;
    (
        option::of(kind),
        size.clone(),
        option::of(size),
        option::of(text()),
        constraints(),
    )
        .prop_map(
            |(kind, size, max_size, profile_name, constraints)| PersistentVolume {
                kind,
                size,
                max_size,
                profile_name,
                constraints,
            },
        )
}

fn network() -> impl Strategy<Value = Network> {
    let mode = select(vec![
        NetworkMode::Container,
        NetworkMode::Bridge,
        NetworkMode::Host,
    ]);
    (mode, option::of("[a-z]_?[a-z]"), labels()).prop_map(|(mode, name, labels)| Network {
        mode,
        name,
        labels,
    })
}

fn constraints() -> impl Strategy<Value = Vec<Constraint>> {
    let operator = select(vec![
        ConstraintOperator::Unique,
        ConstraintOperator::Cluster,
        ConstraintOperator::GroupBy,
        ConstraintOperator::Like,
        ConstraintOperator::Unlike,
        ConstraintOperator::MaxPer,
        ConstraintOperator::Is,
    ]);
    let constraint =
        (text(), operator, option::of(text())).prop_map(|(field_name, operator, value)| {
            Constraint {
                field_name,
                operator,
                value,
            }
        });
    // They are a set: none comes twice.
    vec(constraint, 0..3).prop_map(|constraints| {
        let mut set = Vec::new();
        for constraint in constraints {
            if !set.contains(&constraint) {
                set.push(constraint);
            }
        }
        set
    })
}

fn scheduling() -> impl Strategy<Value = Scheduling> {
    let ms = || 0..u64::from(MAX);
    let backoff =
        (ms(), 0.0..10.0, ms()).prop_map(|(backoff_ms, backoff_factor, max)| BackoffStrategy {
            backoff_ms,
            backoff_factor,
            max_launch_delay_ms: max,
        });
    let upgrade = (0.0..=1.0, 0.0..=1.0).prop_map(|(health, over)| UpgradeStrategy {
        minimum_health_capacity: health,
        maximum_over_capacity: over,
    });
    let placement = (constraints(), vec(text(), 0..3)).prop_map(|(constraints, roles)| Placement {
        constraints,
        accepted_resource_roles: roles,
    });
    let seconds = || 0..i64::MAX as u64;
    let unreachable = prop_oneof![
        Just(UnreachableStrategy::Disabled),
        (seconds(), seconds()).prop_map(|(inactive, expunge)| UnreachableStrategy::Enabled {
            inactive_after_seconds: inactive,
            expunge_after_seconds: expunge,
        }),
    ];
    let selection = select(vec![
        KillSelection::YoungestFirst,
        KillSelection::OldestFirst,
    ]);
    let restart = select(vec![
        RestartPolicy::Always,
        RestartPolicy::OnFailure,
        RestartPolicy::Never,
    ]);
    (backoff, upgrade, placement, selection, unreachable, restart).prop_map(
        |(backoff, upgrade, placement, kill_selection, unreachable_strategy, restart_policy)| {
            Scheduling {
                backoff,
                upgrade,
                placement,
                kill_selection,
                unreachable_strategy,
                restart_policy,
            }
        },
    )
}
