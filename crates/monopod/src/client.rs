//! HTTP to the daemon, over its Unix socket or, for one elsewhere, over TCP.

use std::{
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, Uri,
    body::{Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::{sleep, timeout},
};

use crate::{
    error::CliError,
    output,
    refusal::Refusal,
    tls::{self, TlsError, Trust},
};

/// As long as DC/OS's command line waits for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// As long as DC/OS's command line waits for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(180);
/// How long a daemon that recovers is waited for: far longer than it takes where nothing is wrong.
const RECOVERY_PATIENCE: Duration = Duration::from_secs(15);
/// Between two looks whether it is ready.
const RECOVERY_INTERVAL: Duration = Duration::from_millis(100);
/// The header that tells which deployment a request began.
const DEPLOYMENT_HEADER: &str = "Marathon-Deployment-Id";

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody listens there, or not for us.
    #[error(
        "the daemon cannot be reached at {address} ({source})\n\
         Is it running? Start it with `monopod daemon`, or name another with --run-dir or --url."
    )]
    Unreachable {
        /// Socket or URL.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The URL is none of ours.
    #[error(
        "use '{url}': a URL such as http://127.0.0.1:8080 or https://box.example.org:8443 is expected"
    )]
    Url {
        /// As given.
        url: String,
    },
    /// The certificates to trust cannot be had.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No answer came in time.
    #[error("{request} was not answered within {seconds} seconds")]
    TimedOut {
        /// Method and path.
        request: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The connection ended before the answer.
    #[error("read the answer to {request}")]
    Broken {
        /// Method and path.
        request: String,
        /// Why.
        source: hyper::Error,
    },
    /// The arguments make no HTTP request, such as a token with a line end.
    #[error("write the request {request}")]
    NotARequest {
        /// Method and path.
        request: String,
        /// Why.
        source: hyper::http::Error,
    },
}

/// Where the daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Address {
    Socket(PathBuf),
    Tcp {
        authority: String,
        base: String,
        /// Whom to trust, for https.
        tls: Option<Trust>,
    },
}

/// The daemon, as the verbs see it. Every request has a connection of its own.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    address: Address,
    token: Option<String>,
    recovery_patience: Duration,
}

/// A whole answer below 400.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Method and path.
    pub(crate) request: String,
    /// The deployment that the request began.
    pub(crate) deployment: Option<String>,
    /// As sent.
    pub(crate) body: Bytes,
}

impl Answer {
    /// Reads the body.
    ///
    /// # Errors
    /// [`CliError::Shape`].
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, CliError> {
        serde_json::from_slice(&self.body).map_err(|source| CliError::Shape {
            request: self.request.clone(),
            source,
        })
    }
}

impl Client {
    /// Talks to the daemon whose run directory this is.
    pub(crate) fn local(socket: PathBuf) -> Self {
        Self {
            address: Address::Socket(socket),
            token: None,
            recovery_patience: RECOVERY_PATIENCE,
        }
    }

    /// Talks to the daemon at `url`, such as `http://127.0.0.1:8080`; by https only to whom `trust` vouches for.
    ///
    /// # Errors
    /// [`ClientError::Url`].
    pub(crate) fn remote(
        url: &str,
        token: Option<String>,
        trust: Trust,
    ) -> Result<Self, ClientError> {
        let error = || ClientError::Url {
            url: url.to_owned(),
        };
        let uri: Uri = url.parse().map_err(|_| error())?;
        let authority = uri.authority().ok_or_else(error)?;
        let (tls, usual_port) = match uri.scheme_str() {
            Some("http") => (None, 80),
            Some("https") => (Some(trust), 443),
            Some(_) | None => return Err(error()),
        };
        let port = authority.port_u16().unwrap_or(usual_port);
        let authority = format!("{}:{port}", authority.host());
        let base = uri.path().trim_end_matches('/').to_owned();
        Ok(Self {
            address: Address::Tcp {
                authority,
                base,
                tls,
            },
            token,
            recovery_patience: RECOVERY_PATIENCE,
        })
    }

    /// Where it talks to, for a person.
    pub(crate) fn address(&self) -> String {
        match &self.address {
            Address::Socket(path) => path.display().to_string(),
            Address::Tcp {
                authority,
                base,
                tls,
            } => {
                let scheme = if tls.is_some() { "https" } else { "http" };
                format!("{scheme}://{authority}{base}")
            }
        }
    }

    /// Reads `path`.
    ///
    /// # Errors
    /// [`CliError::Client`] and [`CliError::Refused`].
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, CliError> {
        self.send(Method::GET, path, None).await
    }

    /// Sends a request, with a JSON body if there is one, and reads the whole answer. A daemon that recovers is waited
    /// for.
    ///
    /// # Errors
    /// [`CliError::Client`] and [`CliError::Refused`].
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, CliError> {
        self.once_ready(async || self.send_once(method.clone(), path, body.clone()).await)
            .await
    }

    /// Asks, and asks again as long as the answer is that the daemon recovers, which changes nothing.
    async fn once_ready<T>(
        &self,
        ask: impl AsyncFn() -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        let deadline = Instant::now() + self.recovery_patience;
        let mut is_told = false;
        loop {
            match ask().await {
                Err(CliError::Refused(refusal))
                    if refusal.is_recovering && Instant::now() < deadline => {}
                answered => return answered,
            }
            if !is_told {
                output::tell("The daemon is recovering; waiting until it is ready");
                is_told = true;
            }
            sleep(RECOVERY_INTERVAL).await;
        }
    }

    async fn send_once(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, CliError> {
        let request = format!("{method} {path}");
        let answer = self.start(method, path, body);
        let response =
            timeout(ANSWER_TIMEOUT, answer)
                .await
                .map_err(|_| ClientError::TimedOut {
                    request: request.clone(),
                    seconds: ANSWER_TIMEOUT.as_secs(),
                })??;
        let deployment = response
            .headers()
            .get(DEPLOYMENT_HEADER)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let status = response.status();
        let body = collect(&request, response.into_body()).await?;
        if status.is_client_error() || status.is_server_error() {
            return Err(Refusal::read(&request, status.as_u16(), &body).into());
        }
        Ok(Answer {
            request,
            deployment,
            body,
        })
    }

    /// Opens `path` for reading piece by piece, without a time limit.
    ///
    /// # Errors
    /// [`CliError::Client`] and [`CliError::Refused`].
    pub(crate) async fn stream(&self, path: &str) -> Result<BodyStream, CliError> {
        self.once_ready(async || self.stream_once(path).await).await
    }

    async fn stream_once(&self, path: &str) -> Result<BodyStream, CliError> {
        let request = format!("GET {path}");
        let response = self.start(Method::GET, path, None).await?;
        let status = response.status();
        if status.is_client_error() || status.is_server_error() {
            let body = collect(&request, response.into_body()).await?;
            return Err(Refusal::read(&request, status.as_u16(), &body).into());
        }
        Ok(BodyStream {
            request,
            body: response.into_body(),
        })
    }

    async fn start(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Response<Incoming>, ClientError> {
        let name = format!("{method} {path}");
        let request =
            self.request(method, path, body)
                .map_err(|source| ClientError::NotARequest {
                    request: name.clone(),
                    source,
                })?;
        let mut connection = self.connect().await?;
        connection
            .send_request(request)
            .await
            .map_err(|source| ClientError::Broken {
                request: name,
                source,
            })
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let (host, base) = match &self.address {
            Address::Socket(_) => ("localhost", ""),
            Address::Tcp {
                authority, base, ..
            } => (authority.as_str(), base.as_str()),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{base}{path}"))
            .header(HOST, host);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("token={token}"));
        }
        if path.starts_with("/v2/events") {
            request = request.header(ACCEPT, "text/event-stream");
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        request.body(Full::new(Bytes::from(body.unwrap_or_default())))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let secure = match &self.address {
            Address::Tcp {
                authority,
                tls: Some(trust),
                ..
            } => Some(tls::prepare(trust, host_of(authority))?),
            Address::Tcp { .. } | Address::Socket(_) => None,
        };
        let connection = timeout(CONNECT_TIMEOUT, async {
            match &self.address {
                Address::Socket(path) => shake_hands(UnixStream::connect(path).await?).await,
                Address::Tcp { authority, .. } => {
                    let stream = TcpStream::connect(authority).await?;
                    match secure {
                        None => shake_hands(stream).await,
                        Some((connector, name)) => {
                            shake_hands(connector.connect(name, stream).await?).await
                        }
                    }
                }
            }
        });
        let unreachable = |source| ClientError::Unreachable {
            address: self.address(),
            source,
        };
        match connection.await {
            Ok(connection) => connection.map_err(unreachable),
            Err(_) => Err(unreachable(io::ErrorKind::TimedOut.into())),
        }
    }
}

/// The host of `host:port`.
fn host_of(authority: &str) -> &str {
    authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host)
}

async fn shake_hands<S>(stream: S) -> io::Result<SendRequest<Full<Bytes>>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    // How the connection ends is told by the request that it carries.
    tokio::spawn(connection);
    Ok(sender)
}

async fn collect(request: &str, body: Incoming) -> Result<Bytes, ClientError> {
    let collected = body.collect().await;
    let broken = |source| ClientError::Broken {
        request: request.to_owned(),
        source,
    };
    Ok(collected.map_err(broken)?.to_bytes())
}

/// An answer's body, read piece by piece.
#[derive(Debug)]
pub(crate) struct BodyStream {
    request: String,
    body: Incoming,
}

impl BodyStream {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// [`ClientError::Broken`].
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|source| ClientError::Broken {
                request: self.request.clone(),
                source,
            })?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

/// The path of a pod's resource, such as `pod_path("/a/b", "::status")`. The id may lack its leading slash.
pub(crate) fn pod_path(id: &str, suffix: &str) -> String {
    format!("/v2/pods/{}{suffix}", quote(id.trim_matches('/')))
}

/// The text as a URL's path or query may hold it; slashes stay.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                quoted.push(char::from(byte));
            }
            _ => quoted.push_str(&format!("%{byte:02X}")),
        }
    }
    quoted
}

#[cfg(test)]
mod tests;
