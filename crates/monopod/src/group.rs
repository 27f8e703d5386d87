//! `monopod group`: the folders that pods' ids make. Groups come and go with the pods in them.

use clap::{Args, Subcommand};
use hyper::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    client::{Client, quote},
    error::CliError,
    output,
    table::{Align, Table},
};

/// Verbs of `group`.
#[derive(Debug, Subcommand)]
pub(crate) enum GroupVerb {
    /// List all groups.
    List(ListArgs),
    /// Show a group and the pods in it.
    Show(ShowArgs),
    /// Remove every pod of a group and of the groups in it.
    Remove(RemoveArgs),
}

/// Arguments of `group list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Print the groups, as JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `group show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The group.
    id: String,
}

/// Arguments of `group remove`.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The group.
    id: String,
    /// Stop running deployments of its pods first.
    #[arg(long)]
    force: bool,
}

/// A group, as far as it is shown.
#[derive(Deserialize)]
struct Group {
    id: String,
    #[serde(default)]
    apps: Vec<Value>,
    #[serde(default)]
    pods: Vec<Value>,
    #[serde(default)]
    groups: Vec<Group>,
}

impl GroupVerb {
    /// Does what was asked.
    ///
    /// # Errors
    /// Whatever kept the verb from success.
    pub(crate) async fn run(self, client: &Client) -> Result<(), CliError> {
        match self {
            Self::List(args) => list(&args, client).await,
            Self::Show(args) => {
                let answer = client.get(&group_path(&args.id)).await?;
                output::print_json(answer.json()?)
            }
            Self::Remove(args) => {
                let force = if args.force { "?force=true" } else { "" };
                let path = format!("{}{force}", group_path(&args.id));
                client.send(Method::DELETE, &path, None).await.map(drop)
            }
        }
    }
}

fn group_path(id: &str) -> String {
    format!("/v2/groups/{}", quote(id.trim_matches('/')))
}

async fn list(args: &ListArgs, client: &Client) -> Result<(), CliError> {
    let answer = client.get("/v2/groups").await?;
    if args.json {
        let root: Value = answer.json()?;
        let groups = root.get("groups").cloned();
        return output::print_json(groups.unwrap_or_else(|| Value::Array(Vec::new())));
    }
    output::print(&render(&answer.json()?))
}

/// Every group below the root; what is in a group's groups is in it.
fn render(root: &Group) -> String {
    let mut table = Table::new(&[
        ("ID", Align::Left),
        ("APPS", Align::Centre),
        ("PODS", Align::Centre),
    ]);
    let mut left: Vec<&Group> = root.groups.iter().collect();
    let mut found = Vec::new();
    while let Some(group) = left.pop() {
        found.push(group);
        left.extend(&group.groups);
    }
    found.sort_by(|one, other| one.id.cmp(&other.id));
    for group in found {
        table.push(vec![
            group.id.clone(),
            group.count(|group| group.apps.len()).to_string(),
            group.count(|group| group.pods.len()).to_string(),
        ]);
    }
    table.render()
}

impl Group {
    fn count(&self, of: fn(&Self) -> usize) -> usize {
        let inside: usize = self.groups.iter().map(|group| group.count(of)).sum();
        of(self) + inside
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn groups_count_what_is_in_their_groups() {
        let root = json!({"id": "/", "pods": [{"id": "/top"}], "groups": [
            {"id": "/shop", "pods": [{"id": "/shop/web"}], "groups": [
                {"id": "/shop/db", "pods": [{"id": "/shop/db/a"}, {"id": "/shop/db/b"}]}]},
            {"id": "/lab", "pods": [{"id": "/lab/x"}]}]});
        insta::assert_snapshot!(render(&serde_json::from_value(root).unwrap()), @r"
        ID        APPS  PODS
        /lab       0     1
        /shop      0     3
        /shop/db   0     2
        ");
    }
}
