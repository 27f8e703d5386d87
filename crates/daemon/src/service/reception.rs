//! The API's listeners, served from the moment they are bound.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use model::offer::AgentInfo;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    http::{access::Access, entrance::Entrance},
    listener::{self, Listeners},
    metrics::Metrics,
    tokens::Tokens,
};

/// Hears callers, and tells them to wait until the daemon has recovered.
#[derive(Debug)]
pub(super) struct Reception {
    /// To be opened once the API is there.
    pub(super) entrance: Entrance,
    /// Who may come in.
    pub(super) access: Arc<Access>,
    /// Serves until `finish`.
    pub(super) serving: JoinHandle<anyhow::Result<()>>,
    /// Ends what is served.
    pub(super) finish: CancellationToken,
    /// The Unix socket.
    pub(super) socket: PathBuf,
    /// All addresses that TCP listens on, for people.
    pub(super) listen: String,
    /// `host:port` under which TCP can be called.
    pub(super) leader: String,
    /// The same as a URL.
    pub(super) url: String,
}

impl Reception {
    /// Binds all that is configured and begins to serve it.
    pub(super) async fn open(
        config: &Config,
        agent: &AgentInfo,
        tokens: Tokens,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let group = listener::group_id(&config.socket_group);
        let socket = config.run_dir.join("monopod.sock");
        let listeners = Listeners::bind(&socket, group, &config.listen, &config.access).await?;
        let addresses = listeners.addresses()?;
        let leader = leader(&addresses, agent);
        let url = format!("{}://{leader}", listeners.scheme());
        let access = Arc::new(Access::new(tokens, group, &config.access));
        let entrance = Entrance::recovering(&url, metrics, Arc::clone(&access));
        let finish = CancellationToken::new();
        let texts: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
        Ok(Self {
            serving: tokio::spawn(listeners.serve(entrance.clone(), finish.clone())),
            entrance,
            access,
            finish,
            socket,
            listen: texts.join(","),
            leader,
            url,
        })
    }
}

/// `host:port` under which clients call the first address; an address that stands for all is called by name.
fn leader(addresses: &[SocketAddr], agent: &AgentInfo) -> String {
    match addresses.first() {
        Some(address) if address.ip().is_unspecified() => {
            format!("{}:{}", agent.hostname, address.port())
        }
        Some(address) => address.to_string(),
        None => agent.hostname.clone(),
    }
}
