//! `monopod doctor`: what of this host and of the daemon keeps pods from running, and what to do about it.

mod clock;
mod directories;
mod finding;
mod kernel;
mod leftovers;
mod limits;
mod place;
mod service;

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use self::{
    finding::{Finding, Verdict},
    place::Place,
};
use crate::{cli::Connection, error::CliError, output};

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Configuration file [default: /etc/monopod/monopod.toml, if there is one].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// State directory of the daemon; asked of the daemon where not given, else the configuration's.
    #[arg(long, value_name = "DIR", env = "MONOPOD_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
}

/// Checks this host and the daemon.
///
/// # Errors
/// [`CliError::Unwell`] if a check failed.
pub(crate) async fn run(args: &DoctorArgs, connection: &Connection) -> Result<(), CliError> {
    let (place, mut findings) = Place::find(args, connection).await;
    findings.extend(kernel::check());
    findings.extend(kernel::cgroups(&place));
    findings.extend(directories::check(&place));
    findings.extend(limits::check(&place));
    findings.extend(clock::check(&place));
    findings.extend(service::check(&place).await);
    findings.extend(leftovers::check(&place));
    let failed = count(&findings, Verdict::Fail);
    if args.json {
        output::print_json(json!({ "ok": failed == 0, "checks": findings }))?;
    } else {
        output::print(&render(&findings))?;
    }
    if failed == 0 {
        Ok(())
    } else {
        Err(CliError::Unwell)
    }
}

fn count(findings: &[Finding], verdict: Verdict) -> usize {
    let of = |finding: &&Finding| finding.verdict == verdict;
    findings.iter().filter(of).count()
}

/// One line for each finding, what to do below it, and a sum.
fn render(findings: &[Finding]) -> String {
    let width = findings.iter().map(|f| f.check.len()).max().unwrap_or(0);
    let mut text = String::new();
    for finding in findings {
        let (verdict, check) = (finding.verdict.as_str(), finding.check);
        text.push_str(&format!("{verdict:9} {check:width$}  {}\n", finding.found));
        if let Some(remedy) = &finding.remedy {
            text.push_str(&format!("{:width$}  → {remedy}\n", "", width = width + 10));
        }
    }
    let [ok, warn, fail, unchecked] = Verdict::ALL.map(|verdict| count(findings, verdict));
    text.push_str(&format!(
        "\n{ok} ok, {warn} to look at, {fail} failed, {unchecked} not checked\n"
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_stand_one_a_line_with_what_to_do() {
        let findings = [
            Finding::ok("kernel", "Linux 6.18"),
            Finding::fail("token", "mode 0644", "chmod 600 /var/lib/monopod/token"),
            Finding::unchecked("overlayfs", "needs root"),
        ];
        insta::assert_snapshot!(render(&findings), @r"
        ok        kernel     Linux 6.18
        FAIL      token      mode 0644
                             → chmod 600 /var/lib/monopod/token
        unchecked overlayfs  needs root

        1 ok, 0 to look at, 1 failed, 1 not checked
        ");
    }
}
