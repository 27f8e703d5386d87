//! `monopod image`.

mod import;
mod list;

use clap::Subcommand;
use serde::{Deserialize, Serialize};

use crate::{
    client::Client,
    error::CliError,
    table::{Align, Table},
};

/// Verbs of `image`.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageVerb {
    /// Import an image from a directory or an archive.
    Import(import::ImportArgs),
    /// List the images that pods can use.
    List(list::ListArgs),
}

impl ImageVerb {
    /// Does what was asked.
    ///
    /// # Errors
    /// Whatever kept the verb from success.
    pub(crate) async fn run(self, client: &Client) -> Result<(), CliError> {
        match self {
            Self::Import(args) => import::run(&args, client).await,
            Self::List(args) => list::run(&args, client).await,
        }
    }
}

/// What the daemon says of images.
#[derive(Deserialize)]
struct Images {
    images: Vec<Image>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Image {
    name: String,
    id: String,
    layers: u32,
    /// Of a listed image; an import does not tell it.
    #[serde(default)]
    size_bytes: u64,
}

fn render(images: &[Image]) -> String {
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("ID", Align::Left),
        ("LAYERS", Align::Right),
        ("SIZE", Align::Right),
    ]);
    for image in images {
        let id = image.id.strip_prefix("sha256:").unwrap_or(&image.id);
        table.push(vec![
            image.name.clone(),
            id.chars().take(12).collect(),
            image.layers.to_string(),
            mebibytes(image.size_bytes),
        ]);
    }
    table.render()
}

/// Tenths of a mebibyte, rounded up.
fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10).div_ceil(1024 * 1024);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_stand_one_a_line() {
        let image = |name: &str, size_bytes| Image {
            name: name.to_owned(),
            id: "sha256:0123456789abcdef".to_owned(),
            layers: 3,
            size_bytes,
        };
        let images = [image("busybox:latest", 4_404_020), image("a", 1)];
        insta::assert_snapshot!(render(&images), @r"
        NAME            ID            LAYERS     SIZE
        busybox:latest  0123456789ab       3  4.3 MiB
        a               0123456789ab       3  0.1 MiB
        ");
    }
}
