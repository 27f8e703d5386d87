//! Reads containers (marathon: `docs/docs/rest-api/public/api/v2/types/podContainer.raml`).

use super::{
    MAX_INT, any_text, check, environment, linux_info,
    place::{Members, Place},
    text::{self, NAME, NETWORK_NAME, NOT_EMPTY, PATH},
    volume,
};
use crate::{
    pod::{
        Artifact, Command, Container, Endpoint, Exec, Image, ImageKind, Lifecycle, Limit,
        PullConfig, ResourceLimits,
    },
    resources::{MIB, Resources, bytes_from_mib, milli_from_decimal},
};

/// The containers of a pod, at least one.
pub(super) fn list(place: &Place<'_>) -> Option<Vec<Container>> {
    if place.is_empty_list() {
        return place.refuse("error.minLength");
    }
    place.list(container)
}

fn container(place: &Place<'_>) -> Option<Container> {
    place.object(|members| {
        let name = members.required("name", |place| place.text(NAME));
        let exec = members.optional("exec", exec);
        let resources = members.required("resources", resources);
        members.optional("restartPolicy", restart_policy);
        let container = Container {
            name: name.clone().unwrap_or_default(),
            exec,
            resources: resources.unwrap_or_default(),
            resource_limits: members.optional("resourceLimits", resource_limits),
            endpoints: members.list("endpoints", endpoint),
            image: members.optional("image", image),
            environment: environment(members),
            user: members.optional("user", any_text),
            health_check: members.optional("healthCheck", check::health_check),
            check: members.optional("check", check::check),
            volume_mounts: members.list("volumeMounts", volume::mount),
            artifacts: members.list("artifacts", artifact),
            labels: labels(members),
            lifecycle: members.optional("lifecycle", lifecycle),
            tty: members.optional("tty", Place::boolean),
            linux_info: members.optional("linuxInfo", linux_info),
        };
        name.and(resources).map(|_| container)
    })
}

/// Only the pod has one so far. That a container of a service is not launched again must not be dropped silently.
fn restart_policy(place: &Place<'_>) -> Option<()> {
    place.refuse_by_rule(
        "containers have no restart policy of their own yet, only the pod has: /scheduling/restartPolicy",
    );
    None
}

fn labels(members: &Members<'_>) -> std::collections::BTreeMap<String, String> {
    members.dictionary("labels", text::is_any_key, any_text)
}

fn exec(place: &Place<'_>) -> Option<Exec> {
    place.object(|members| {
        let command = members.required("command", command);
        let override_entrypoint = members.optional("overrideEntrypoint", Place::boolean);
        command.map(|command| Exec {
            command,
            override_entrypoint,
        })
    })
}

/// A shell command or else an argument vector: of two, the first that reads.
pub(super) fn command(place: &Place<'_>) -> Option<Command> {
    let shell = |place: &Place<'_>| Some(Command::Shell(place.text(NOT_EMPTY)?));
    let argv = |place: &Place<'_>| {
        if place.is_empty_list() {
            return place.refuse("error.minLength");
        }
        Some(Command::Argv(place.list(any_text)?))
    };
    place.object(
        |members| match (members.has("shell"), members.has("argv")) {
            (true, true) => members
                .attempt("shell", shell)
                .or_else(|| members.required("argv", argv)),
            (true, false) => members.required("shell", shell),
            (false, true) => members.required("argv", argv),
            (false, false) => {
                members.missing::<()>("shell");
                members.missing("argv")
            }
        },
    )
}

fn resources(place: &Place<'_>) -> Option<Resources> {
    place.object(|members| {
        let cpus = members.optional("cpus", |place| place.amount(0.001, milli_from_decimal));
        let mem = members.optional("mem", |place| place.amount(0.001, bytes_from_mib));
        let disk = members.optional("disk", |place| place.amount(0.0, bytes_from_mib));
        let gpus = members.optional("gpus", |place| place.integer(0..=MAX_INT));
        Some(Resources {
            cpus_milli: cpus.unwrap_or(1000),
            mem_bytes: mem.unwrap_or(128 * MIB),
            disk_bytes: disk.unwrap_or_default(),
            gpus: gpus.unwrap_or_default(),
        })
    })
}

fn resource_limits(place: &Place<'_>) -> Option<ResourceLimits> {
    let limit = |place: &Place<'_>, convert: fn(f64) -> Option<u64>| match place.as_text() {
        Some(_) => place.literal(&[("unlimited", Limit::Unlimited)]),
        None => place.amount(0.0, convert).map(Limit::Amount),
    };
    place.object(|members| {
        Some(ResourceLimits {
            cpus: members.optional("cpus", |place| limit(place, milli_from_decimal)),
            mem: members.optional("mem", |place| limit(place, bytes_from_mib)),
        })
    })
}

fn endpoint(place: &Place<'_>) -> Option<Endpoint> {
    let port = |place: &Place<'_>| place.integer(0..=i64::from(u16::MAX));
    place.object(|members| {
        let name = members.required("name", |place| place.text(NAME));
        let protocol = members.optional("protocol", |place| {
            if place.is_empty_list() {
                return place.refuse("error.minLength");
            }
            place.list(|place| place.text(NOT_EMPTY))
        });
        let endpoint = Endpoint {
            name: name.clone().unwrap_or_default(),
            container_port: members.optional("containerPort", port),
            host_port: members.optional("hostPort", port),
            protocol: protocol.unwrap_or_default(),
            labels: labels(members),
            network_names: members.list("networkNames", |place| place.text(NETWORK_NAME)),
        };
        name.map(|_| endpoint)
    })
}

fn image(place: &Place<'_>) -> Option<Image> {
    const KINDS: [(&str, ImageKind); 2] = [("DOCKER", ImageKind::Docker), ("OCI", ImageKind::Oci)];
    place.object(|members| {
        let kind = members.required("kind", |place| place.literal(&KINDS));
        let id = members.required("id", |place| place.text(PATH));
        let force_pull = members.optional("forcePull", Place::boolean);
        let pull_config = members.optional("pullConfig", pull_config);
        let labels = labels(members);
        Some(Image {
            kind: kind?,
            id: id?,
            force_pull,
            pull_config,
            labels,
        })
    })
}

fn pull_config(place: &Place<'_>) -> Option<PullConfig> {
    place.object(|members| {
        let secret = members.required("secret", any_text)?;
        Some(PullConfig { secret })
    })
}

fn artifact(place: &Place<'_>) -> Option<Artifact> {
    place.object(|members| {
        let uri = members.required("uri", |place| place.text(PATH));
        let flag = |name| members.optional(name, Place::boolean);
        let artifact = Artifact {
            uri: uri.clone().unwrap_or_default(),
            extract: flag("extract").unwrap_or(true),
            executable: flag("executable").unwrap_or_default(),
            cache: flag("cache").unwrap_or_default(),
            dest_path: members.optional("destPath", |place| place.text(PATH)),
        };
        uri.map(|_| artifact)
    })
}

fn lifecycle(place: &Place<'_>) -> Option<Lifecycle> {
    place.object(|members| {
        Some(Lifecycle {
            kill_grace_period_ms: members.optional("killGracePeriodSeconds", |place| {
                place.amount(0.0, milli_from_decimal)
            }),
        })
    })
}
