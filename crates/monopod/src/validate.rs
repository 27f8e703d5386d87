//! `monopod validate`: a definition checked without a daemon, by the daemon's own rules.

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;
use model::pod::{self, Feature, ReadError, Settings, Violation};
use serde_json::{Value, json};

use crate::{definition_source, error::CliError, output};

/// Arguments of `validate`.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// The definition; standard input where it is absent or `-`.
    file: Option<PathBuf>,
    /// Print what was found as JSON.
    #[arg(long)]
    json: bool,
    /// Name for container networks that have none, as in the daemon's configuration.
    #[arg(long, value_name = "NAME")]
    default_network_name: Option<String>,
}

/// What was found.
#[derive(Debug, Default)]
struct Findings {
    /// Why no member could be read.
    syntax: Option<String>,
    violations: Vec<Violation>,
    warnings: Vec<Violation>,
}

/// Checks a definition and prints what is wrong with it.
///
/// # Errors
/// [`CliError::Invalid`] where something is, and [`CliError::Source`].
pub(crate) fn run(args: &ValidateArgs) -> Result<(), CliError> {
    let text = definition_source::read_bytes(args.file.as_deref())?;
    let findings = check(&text, args.default_network_name.clone());
    if args.json {
        output::print_json(findings.to_json())?;
    } else {
        output::print(&findings.render())?;
    }
    if findings.is_valid() {
        Ok(())
    } else {
        Err(CliError::Invalid)
    }
}

fn check(text: &[u8], default_network_name: Option<String>) -> Findings {
    let settings = Settings {
        default_network_name,
        features: BTreeSet::from([Feature::Secrets]),
        ..Settings::default()
    };
    match pod::admit(text, &settings) {
        Ok(reading) => {
            let mut warnings = pod::lint(&reading);
            warnings.extend(pod::unsupported(&reading.definition));
            Findings {
                warnings,
                ..Findings::default()
            }
        }
        Err(ReadError::Empty { details }) => Findings::syntax(details),
        Err(ReadError::Syntax { details }) => Findings::syntax(details),
        Err(ReadError::Schema { violations } | ReadError::Rules { violations }) => Findings {
            violations: violations.into_vec(),
            ..Findings::default()
        },
    }
}

impl Findings {
    fn syntax(details: String) -> Self {
        Self {
            syntax: Some(details),
            ..Self::default()
        }
    }

    fn is_valid(&self) -> bool {
        self.syntax.is_none() && self.violations.is_empty()
    }

    fn render(&self) -> String {
        let mut text = String::new();
        if let Some(details) = &self.syntax {
            text.push_str(&format!("Error loading JSON: {details}\n"));
        }
        for (kind, found) in [("", &self.violations), ("warning: ", &self.warnings)] {
            for violation in found {
                for error in &violation.errors {
                    text.push_str(&format!("{kind}{}: {error}\n", violation.path));
                }
            }
        }
        if self.is_valid() {
            text.push_str("valid\n");
        }
        text
    }

    fn to_json(&self) -> Value {
        json!({
            "valid": self.is_valid(),
            "syntax": self.syntax,
            "violations": self.violations,
            "warnings": self.warnings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_everything_with_paths() {
        let check = |text: &str| check(text.as_bytes(), None).render();
        let container =
            r#"{"name":"a","exec":{"command":{"shell":"true"}},"resources":{"cpus":0.1,"mem":32}}"#;
        insta::assert_snapshot!(check(&format!(r#"{{"id":"/a","containers":[{container}]}}"#)), @"valid");
        insta::assert_snapshot!(
            check(&format!(r#"{{"id":"/a","colour":1,"containers":[{container}]}}"#)),
            @r"
        warning: /colour: is no member of a pod definition and is ignored
        valid
        "
        );
        insta::assert_snapshot!(check(r#"{"id":"/a""#), @"Error loading JSON: EOF while parsing an object at line 1 column 10");
        insta::assert_snapshot!(check(r#"{"id":1,"containers":[{"name":"a"}]}"#), @r"
        /id: error.expected.jsstring
        /containers(0)/resources: error.path.missing
        ");
    }
}
