//! `monopod pod logs`.

use std::io::Write;

use clap::Args;
use tokio::task::JoinSet;

use crate::{
    client::{BodyStream, Client, pod_path, quote},
    error::CliError,
    pod_status::{Instance, PodStatus},
};

/// A line that is longer is printed in pieces of this size, in bytes.
const LONGEST_LINE: usize = 64 * 1024;

/// Arguments of `pod logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The pod.
    id: String,
    /// Go on with what is written from now on.
    #[arg(long, short)]
    follow: bool,
    /// Begin with the last lines.
    #[arg(long, short = 'n', value_name = "LINES")]
    tail: Option<usize>,
    /// Only this container.
    #[arg(long, short, value_name = "NAME")]
    container: Option<String>,
    /// Only this instance: its id, or how its uuid begins.
    #[arg(long, short, value_name = "ID")]
    instance: Option<String>,
    /// Only what was written to standard output.
    #[arg(long, conflicts_with = "stderr")]
    stdout: bool,
    /// Only what was written to standard error.
    #[arg(long)]
    stderr: bool,
}

/// One stream of one container of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    path: String,
    prefix: String,
    to_stderr: bool,
}

/// Prints logs: what containers wrote to standard error goes to standard error.
///
/// # Errors
/// Whatever kept them from being read.
pub(crate) async fn run(args: &LogsArgs, client: &Client) -> Result<(), CliError> {
    let status = PodStatus::read(client, &args.id).await?;
    let sources = sources(args, &status)?;
    let mut streams = Vec::new();
    for source in sources {
        let stream = client.stream(&source.path).await?;
        streams.push((source, stream));
    }
    if !args.follow {
        for (source, stream) in streams {
            copy(source, stream).await?;
        }
        return Ok(());
    }
    let mut copies = JoinSet::new();
    for (source, stream) in streams {
        copies.spawn(copy(source, stream));
    }
    while let Some(copied) = copies.join_next().await {
        copied.map_err(|error| CliError::Start {
            source: error.into(),
        })??;
    }
    Ok(())
}

fn sources(args: &LogsArgs, status: &PodStatus) -> Result<Vec<Source>, CliError> {
    let instances = chosen_instances(args.instance.as_deref(), status)?;
    let containers = chosen_containers(args.container.as_deref(), status)?;
    let streams: Vec<&str> = match (args.stdout, args.stderr) {
        (true, _) => vec!["stdout"],
        (_, true) => vec!["stderr"],
        (false, false) => vec!["stdout", "stderr"],
    };
    let mut sources = Vec::new();
    for instance in &instances {
        for container in &containers {
            let prefix = prefix(
                instance,
                instances.len() > 1,
                container,
                containers.len() > 1,
            );
            for stream in &streams {
                let mut path = format!(
                    "{}?container={}&instance={}&stream={stream}",
                    pod_path(&args.id, "::logs"),
                    quote(container),
                    quote(&instance.id)
                );
                if let Some(lines) = args.tail {
                    path.push_str(&format!("&tail={lines}"));
                }
                if args.follow {
                    path.push_str("&follow=true");
                }
                let to_stderr = *stream == "stderr";
                sources.push(Source {
                    path,
                    prefix: prefix.clone(),
                    to_stderr,
                });
            }
        }
    }
    Ok(sources)
}

/// The instance asked for, or all that were launched.
fn chosen_instances(wanted: Option<&str>, status: &PodStatus) -> Result<Vec<Instance>, CliError> {
    let Some(wanted) = wanted else {
        let launched = status
            .instances
            .iter()
            .filter(|instance| was_launched(instance));
        let launched: Vec<_> = launched.cloned().collect();
        if launched.is_empty() {
            let text = format!(
                "{}: no instance was launched: {}",
                status.id,
                status.explanation()
            );
            return Err(CliError::notice(text));
        }
        return Ok(launched);
    };
    let matches =
        |instance: &&Instance| instance.id == wanted || uuid(instance).starts_with(wanted);
    let found: Vec<_> = status.instances.iter().filter(matches).cloned().collect();
    match found.len() {
        1 => Ok(found),
        0 => Err(CliError::notice(format!(
            "{} has no instance {wanted}",
            status.id
        ))),
        count => Err(CliError::notice(format!(
            "{} has {count} instances {wanted}…",
            status.id
        ))),
    }
}

fn was_launched(instance: &Instance) -> bool {
    instance
        .containers
        .iter()
        .any(|container| container.container_id.is_some())
}

fn chosen_containers(wanted: Option<&str>, status: &PodStatus) -> Result<Vec<String>, CliError> {
    let names: Vec<_> = status
        .spec
        .containers
        .iter()
        .map(|c| c.name.clone())
        .collect();
    match wanted {
        None => Ok(names),
        Some(name) if names.iter().any(|known| known == name) => Ok(vec![name.to_owned()]),
        Some(name) => Err(CliError::notice(format!(
            "{} has no container {name}, only {}",
            status.id,
            names.join(", ")
        ))),
    }
}

fn uuid(instance: &Instance) -> &str {
    instance
        .id
        .rsplit_once(".instance-")
        .map_or(&instance.id, |(_, uuid)| uuid)
}

/// What stands before each line: as much as is needed to tell streams apart.
fn prefix(instance: &Instance, several_instances: bool, container: &str, several: bool) -> String {
    let short: String = uuid(instance).chars().take(8).collect();
    match (several_instances, several) {
        (true, _) => format!("{short} {container} | "),
        (false, true) => format!("{container} | "),
        (false, false) => String::new(),
    }
}

async fn copy(source: Source, mut stream: BodyStream) -> Result<(), CliError> {
    let mut lines = Lines::new(&source.prefix);
    while let Some(piece) = stream.next().await? {
        write(source.to_stderr, &lines.feed(&piece))?;
    }
    write(source.to_stderr, &lines.finish())
}

fn write(to_stderr: bool, bytes: &[u8]) -> Result<(), CliError> {
    if bytes.is_empty() {
        return Ok(());
    }
    let written = if to_stderr {
        std::io::stderr().lock().write_all(bytes)
    } else {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush())
    };
    written.map_err(|source| CliError::Output { source })
}

/// Puts a prefix before every line; without one, pieces pass as they come.
#[derive(Debug)]
struct Lines {
    prefix: Vec<u8>,
    pending: Vec<u8>,
}

impl Lines {
    fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.as_bytes().to_vec(),
            pending: Vec::new(),
        }
    }

    /// What can be printed after this piece.
    fn feed(&mut self, piece: &[u8]) -> Vec<u8> {
        if self.prefix.is_empty() {
            return piece.to_vec();
        }
        let mut printable = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.pending.extend_from_slice(part);
            if part.ends_with(b"\n") || self.pending.len() >= LONGEST_LINE {
                printable.extend(self.finish());
            }
        }
        printable
    }

    /// What is left of a line without end, with an end.
    fn finish(&mut self) -> Vec<u8> {
        if self.pending.is_empty() {
            return Vec::new();
        }
        let mut line = self.prefix.clone();
        line.append(&mut self.pending);
        if !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> LogsArgs {
        LogsArgs {
            id: "/shop/web".to_owned(),
            follow: false,
            tail: Some(5),
            container: None,
            instance: None,
            stdout: false,
            stderr: false,
        }
    }

    fn status() -> PodStatus {
        serde_json::from_value(crate::pod_status::tests::sample()).unwrap()
    }

    #[test]
    fn asks_for_every_stream_of_every_container() {
        let sources = sources(&args(), &status()).unwrap();
        let lines: Vec<_> = sources
            .iter()
            .map(|s| format!("{}<- {}", s.prefix, s.path))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        web | <- /v2/pods/shop/web::logs?container=web&instance=shop_web.instance-1&stream=stdout&tail=5
        web | <- /v2/pods/shop/web::logs?container=web&instance=shop_web.instance-1&stream=stderr&tail=5
        log | <- /v2/pods/shop/web::logs?container=log&instance=shop_web.instance-1&stream=stdout&tail=5
        log | <- /v2/pods/shop/web::logs?container=log&instance=shop_web.instance-1&stream=stderr&tail=5
        ");
    }

    #[test]
    fn choices_are_checked_here() {
        let check = |change: fn(&mut LogsArgs), expected: Result<usize, &str>| {
            let mut args = args();
            change(&mut args);
            let found = sources(&args, &status()).map(|sources| sources.len());
            assert_eq!(
                found.map_err(|error| error.to_string()),
                expected.map_err(str::to_owned)
            );
        };
        check(|a| a.container = Some("web".into()), Ok(2));
        check(|a| a.stderr = true, Ok(2));
        check(|a| a.instance = Some("2".into()), Ok(4));
        check(
            |a| a.instance = Some("9".into()),
            Err("/shop/web has no instance 9"),
        );
        check(
            |a| a.container = Some("x".into()),
            Err("/shop/web has no container x, only web, log"),
        );
    }

    #[test]
    fn lines_are_kept_whole_and_prefixed() {
        let mut lines = Lines::new("a | ");
        let mut text = lines.feed(b"one\ntw");
        text.extend(lines.feed(b"o\n\nthree"));
        text.extend(lines.finish());
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "a | one\na | two\na | \na | three\n"
        );
        assert_eq!(Lines::new("").feed(b"x"), b"x");
    }
}
