//! One connection: requests one after another, each with limits of size and time.

use std::{convert::Infallible, future::poll_fn, pin::Pin, sync::Arc, time::Duration};

use axum::{body::Body, extract::Request, response::Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::debug;

use super::stream::{Progress, Watched};
use crate::http::{access::Caller, entrance::Entrance};

/// How long the head of a request may take to come, and how long a connection may lie idle.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// The largest head, in bytes; hyper answers 431 to a larger one.
const HEAD_BYTES: usize = 32 * 1024;

/// The most header fields; hyper answers 431 to more.
const HEAD_FIELDS: usize = 100;

/// How long a caller may leave an answer unread, such as a followed log in a pager.
const READ_ANSWER_WITHIN: Duration = Duration::from_secs(600);

/// How long and how much is read from a caller who is not wanted any more: closing while it still writes would take
/// from it the answer that says why.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES: u64 = 256 * 1024;

/// Serves the connection until its end, or until `finish` and the end of the request under way.
pub(super) async fn serve<S>(
    stream: S,
    caller: Caller,
    entrance: Entrance,
    finish: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    serve_readers(stream, caller, entrance, finish, READ_ANSWER_WITHIN).await;
}

/// As [`serve`]; a caller may leave an answer unread for `read_within`.
async fn serve_readers<S>(
    stream: S,
    caller: Caller,
    entrance: Entrance,
    finish: CancellationToken,
    read_within: Duration,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let progress = Arc::new(Progress::default());
    let noted = Arc::clone(&progress);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (router, caller, noted) = (entrance.router(), caller.clone(), Arc::clone(&noted));
        let answer: Answer = Box::pin(async move {
            let mut request: Request = request.map(Body::new);
            request.extensions_mut().insert(caller);
            let response = router.oneshot(request).await;
            noted.note_answer();
            response
        });
        answer
    });
    let stream = Watched::new(stream, Arc::clone(&progress), read_within);
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_header_size(HEAD_BYTES)
        .max_headers(HEAD_FIELDS)
        .serve_connection(TokioIo::new(stream), service);
    let ended = tokio::select! {
        ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => ended,
        () = finish.cancelled() => {
            Pin::new(&mut connection).graceful_shutdown();
            poll_fn(|cx| connection.poll_without_shutdown(cx)).await
        }
    };
    let mut stream = connection.into_parts().io.into_inner();
    if let Err(error) = ended {
        debug!(%error, "a connection ended early");
        if error.is_timeout() && progress.is_within_request() {
            let reason = format!("The head was not complete within {HEAD_WITHIN:?}.");
            say(&mut stream, "408 Request Timeout", &reason).await;
        }
    }
    if !finish.is_cancelled() {
        linger(&mut stream).await;
    }
}

/// What the router gives for one request.
type Answer = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

/// Tells a caller that there are too many connections of its kind.
pub(super) async fn turn_away<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let reason = "There are too many open connections; close some or try again.";
    say(&mut stream, "503 Service Unavailable", reason).await;
    linger(&mut stream).await;
}

/// Writes an answer where no request could be read. Whoever does not take it has no answer.
async fn say<S: AsyncWrite + Unpin>(stream: &mut S, status: &str, reason: &str) {
    let body = serde_json::json!({ "message": reason }).to_string();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Retry-After: 1\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = timeout(LINGER, stream.write_all(answer.as_bytes())).await;
}

/// Ends the connection from this side, and reads for a moment what still comes.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let rest = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    let _ = timeout(LINGER, rest).await;
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing::get};
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    const LARGE: usize = 1 << 20;

    /// How long these tests let an answer lie unread.
    const READ_WITHIN: Duration = Duration::from_millis(500);

    /// A connection that serves one large answer, and its other end.
    fn connect() -> (DuplexStream, tokio::task::JoinHandle<()>) {
        let (client, server) = duplex(4096);
        let router = Router::new().route("/", get(|| async { vec![b'x'; LARGE] }));
        let finish = CancellationToken::new();
        let caller = Caller::Unix(None);
        let serving = serve_readers(server, caller, router.into(), finish, READ_WITHIN);
        (client, tokio::spawn(serving))
    }

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

    #[tokio::test]
    async fn an_answer_that_is_not_read_ends_the_connection() {
        let (mut client, serving) = connect();
        client.write_all(REQUEST).await.unwrap();
        // Not a byte is read, and the connection is not closed either.
        let ended = timeout(20 * READ_WITHIN, serving).await;
        ended.expect("the connection's end").unwrap();
        let mut read = Vec::new();
        client.read_to_end(&mut read).await.unwrap();
        assert!(read.len() < LARGE, "{} bytes", read.len());
    }

    #[tokio::test]
    async fn an_answer_that_is_read_slowly_comes_whole() {
        let (mut client, serving) = connect();
        client.write_all(REQUEST).await.unwrap();
        let began = tokio::time::Instant::now();
        let (mut read, mut chunk) = (0, vec![0; LARGE / 16]);
        while let Ok(count @ 1..) = client.read(&mut chunk).await {
            read += count;
            // In all longer than an answer may lie unread, but never so long at a time.
            if began.elapsed() < 3 * READ_WITHIN {
                tokio::time::sleep(READ_WITHIN / 10).await;
            }
        }
        assert!(read > LARGE, "{read} bytes");
        assert!(began.elapsed() > 2 * READ_WITHIN, "{:?}", began.elapsed());
        serving.await.unwrap();
    }
}
