//! What an image says of the process to run in it, and the command that results.

use libcontainer::oci_spec::image::ImageConfiguration;
use model::pod::{Command, Exec};
use thiserror::Error;

/// An image's settings for its process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// The image's name, for messages.
    pub image: String,
    /// Executable and first arguments; empty for none.
    pub entrypoint: Vec<String>,
    /// Arguments, or the whole command where there is no entrypoint; empty for none.
    pub cmd: Vec<String>,
    /// Environment in the image's order; entries without `=` are left out.
    pub env: Vec<(String, String)>,
    /// `user`, `uid`, `user:group` or `uid:gid`; `None` is root.
    pub user: Option<String>,
    /// Absolute path; `None` is `/`.
    pub working_dir: Option<String>,
    /// Number of the signal that asks the process to stop; `None` is SIGTERM.
    pub stop_signal: Option<i32>,
}

/// Why there is no command to run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommandError {
    /// Nothing says what to run.
    #[error("find a command: the container has no exec and no image")]
    NoImage,
    /// The pod leaves the command to an image that has none.
    #[error(
        "find a command: the container has no exec and image {image} has neither Entrypoint nor Cmd"
    )]
    EmptyImage {
        /// The image.
        image: String,
    },
    /// Arguments were given for an entrypoint that is not there (mesos: docker/runtime refuses this too).
    #[error(
        "find a command: image {image} has neither Entrypoint nor Cmd to take argv as arguments; set overrideEntrypoint to run argv itself"
    )]
    NoEntrypoint {
        /// The image.
        image: String,
    },
    /// `argv` has no element, or the command is an empty text.
    #[error("find a command: the container's exec.command is empty")]
    EmptyCommand,
}

/// The argument vector of a container, from its `exec` and its image (mesos: docker/runtime's table; marathon: `exec`).
///
/// Without an image `argv` is run as it is.
pub fn command_line(
    exec: Option<&Exec>,
    image: Option<&ImageConfig>,
) -> Result<Vec<String>, CommandError> {
    let Some(exec) = exec else {
        return image.map_or(Err(CommandError::NoImage), own_command);
    };
    let argv = match &exec.command {
        Command::Shell(text) if text.is_empty() => return Err(CommandError::EmptyCommand),
        Command::Shell(text) => return Ok(["/bin/sh", "-c", text].map(str::to_owned).to_vec()),
        Command::Argv(argv) if argv.is_empty() => return Err(CommandError::EmptyCommand),
        Command::Argv(argv) => argv,
    };
    match image {
        Some(image) if exec.override_entrypoint != Some(true) => with_arguments(image, argv),
        Some(_) | None => Ok(argv.clone()),
    }
}

fn own_command(image: &ImageConfig) -> Result<Vec<String>, CommandError> {
    let command = [image.entrypoint.as_slice(), &image.cmd].concat();
    if command.is_empty() {
        return Err(CommandError::EmptyImage {
            image: image.image.clone(),
        });
    }
    Ok(command)
}

/// Arguments follow the entrypoint, or replace those in Cmd.
fn with_arguments(image: &ImageConfig, arguments: &[String]) -> Result<Vec<String>, CommandError> {
    let executable = if image.entrypoint.is_empty() {
        image
            .cmd
            .get(..1)
            .ok_or_else(|| CommandError::NoEntrypoint {
                image: image.image.clone(),
            })?
    } else {
        &image.entrypoint
    };
    Ok([executable, arguments].concat())
}

/// Takes the settings from an image's configuration. A stop signal that is not understood is left out.
pub(super) fn from_oci(image: &str, configuration: &ImageConfiguration) -> ImageConfig {
    let Some(config) = configuration.config() else {
        return ImageConfig {
            image: image.to_owned(),
            ..ImageConfig::default()
        };
    };
    let text = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
    let split = |entry: &String| {
        let (name, value) = entry.split_once('=')?;
        (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
    };
    ImageConfig {
        image: image.to_owned(),
        entrypoint: config.entrypoint().clone().unwrap_or_default(),
        cmd: config.cmd().clone().unwrap_or_default(),
        env: config.env().iter().flatten().filter_map(split).collect(),
        user: text(config.user()),
        working_dir: text(config.working_dir()),
        stop_signal: text(config.stop_signal()).and_then(|text| signal_number(&text)),
    }
}

/// The number of `15`, `TERM`, `SIGTERM` or `SIGRTMIN+3`; `None` if there is no such signal.
pub fn signal_number(text: &str) -> Option<i32> {
    let in_range = |number: &i32| (1..=64).contains(number);
    if let Ok(number) = text.parse() {
        return Some(number).filter(in_range);
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let real_time = |rest: &str, base: i32, sign: i32| {
        let offset: i32 = if rest.is_empty() {
            0
        } else {
            rest[1..].parse().ok()?
        };
        (0..=30).contains(&offset).then_some(base + sign * offset)
    };
    // The C libraries keep signals 32 and 33 for themselves, so that the first real-time signal is 34.
    if let Some(rest) = name
        .strip_prefix("RTMIN")
        .filter(|r| r.is_empty() || r.starts_with('+'))
    {
        return real_time(rest, 34, 1);
    }
    if let Some(rest) = name
        .strip_prefix("RTMAX")
        .filter(|r| r.is_empty() || r.starts_with('-'))
    {
        return real_time(rest, 64, -1);
    }
    format!("SIG{name}")
        .parse::<nix::sys::signal::Signal>()
        .ok()
        .map(|signal| signal as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_ascii_whitespace().map(str::to_owned).collect()
    }

    fn image(entrypoint: &str, cmd: &str) -> ImageConfig {
        ImageConfig {
            image: "app:1".to_owned(),
            entrypoint: words(entrypoint),
            cmd: words(cmd),
            ..ImageConfig::default()
        }
    }

    fn exec(command: Command, override_entrypoint: Option<bool>) -> Option<Exec> {
        Some(Exec {
            command,
            override_entrypoint,
        })
    }

    #[test]
    fn commands_follow_the_table() {
        let shell = |text: &str| Command::Shell(text.to_owned());
        let argv = |text: &str| Command::Argv(words(text));
        let both = || Some(image("/e -x", "c d"));
        let entrypoint = || Some(image("/e -x", ""));
        let cmd = || Some(image("", "c d"));
        let neither = || Some(image("", ""));
        let cases = [
            (exec(shell("a; b"), None), None, "/bin/sh|-c|a; b"),
            (exec(shell("a; b"), None), both(), "/bin/sh|-c|a; b"),
            (exec(shell("a"), Some(false)), both(), "/bin/sh|-c|a"),
            (exec(shell(""), None), both(), "exec.command is empty"),
            (None, both(), "/e|-x|c|d"),
            (None, entrypoint(), "/e|-x"),
            (None, cmd(), "c|d"),
            (
                None,
                neither(),
                "no exec and image app:1 has neither Entrypoint nor Cmd",
            ),
            (None, None, "no exec and no image"),
            (exec(argv("p q"), None), both(), "/e|-x|p|q"),
            (exec(argv("p q"), Some(false)), entrypoint(), "/e|-x|p|q"),
            (exec(argv("p q"), None), cmd(), "c|p|q"),
            (
                exec(argv("p q"), None),
                neither(),
                "app:1 has neither Entrypoint nor Cmd to take argv",
            ),
            (exec(argv("p q"), Some(true)), both(), "p|q"),
            (exec(argv("p q"), Some(true)), neither(), "p|q"),
            (exec(argv("p q"), None), None, "p|q"),
            (exec(argv("p q"), Some(true)), None, "p|q"),
            (exec(argv(""), Some(true)), both(), "exec.command is empty"),
        ];
        for (exec, image, expected) in cases {
            let found = match command_line(exec.as_ref(), image.as_ref()) {
                Ok(line) => line.join("|"),
                Err(error) => error.to_string(),
            };
            let fits = found == expected || (found.starts_with("find") && found.contains(expected));
            assert!(fits, "{exec:?} with {image:?}: {found}");
        }
    }

    #[test]
    fn signals_have_names_and_numbers() {
        let cases = [
            ("15", Some(15)),
            ("SIGTERM", Some(15)),
            ("TERM", Some(15)),
            ("sigquit", Some(3)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMIN", Some(34)),
            ("SIGRTMAX-1", Some(63)),
            ("SIGRTMIN+x", None),
            ("SIGRTMIN+é", None),
            ("SIGRTMIN+99", None),
            ("0", None),
            ("65", None),
            ("SIGNONE", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(signal_number(text), expected, "{text}");
        }
    }

    #[test]
    fn the_configuration_is_read_leniently() {
        let text = r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},
            "config":{"Env":["A=1","B=x=y","=bad","bad"],"Entrypoint":null,"Cmd":["c"],"User":"",
            "WorkingDir":"/w","StopSignal":"SIGQUIT","Volumes":null,"ExposedPorts":{"80/tcp":{}},"OnBuild":null}}"#;
        let config = from_oci("x", &serde_json::from_str(text).unwrap());
        let expected = ImageConfig {
            image: "x".to_owned(),
            cmd: vec!["c".to_owned()],
            env: vec![
                ("A".to_owned(), "1".to_owned()),
                ("B".to_owned(), "x=y".to_owned()),
            ],
            working_dir: Some("/w".to_owned()),
            stop_signal: Some(3),
            ..ImageConfig::default()
        };
        assert_eq!(config, expected);
    }
}
