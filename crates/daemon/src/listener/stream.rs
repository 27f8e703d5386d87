//! A connection that knows how far its requests have come, and does not wait for ever for its reader.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// How much was received, and how much of that when the last request was answered.
#[derive(Debug, Default)]
pub(super) struct Progress {
    received: AtomicU64,
    answered: AtomicU64,
}

impl Progress {
    /// The request that has been received is answered.
    pub(super) fn note_answer(&self) {
        let received = self.received.load(Ordering::Relaxed);
        self.answered.store(received, Ordering::Relaxed);
    }

    /// Whether a request has begun that is not answered.
    pub(super) fn is_within_request(&self) -> bool {
        self.received.load(Ordering::Relaxed) > self.answered.load(Ordering::Relaxed)
    }
}

/// The stream below HTTP.
#[derive(Debug)]
pub(super) struct Watched<S> {
    inner: S,
    progress: Arc<Progress>,
    /// How long the other end may take nothing of what it is sent.
    read_within: Duration,
    /// Runs while the other end takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    pub(super) const fn new(inner: S, progress: Arc<Progress>, read_within: Duration) -> Self {
        Self {
            inner,
            progress,
            read_within,
            stalled: None,
        }
    }

    /// Passes the result of writing on, or an error if nothing could be written for too long.
    fn watch<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let read_within = self.read_within;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(read_within)));
        stalled
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer);
        let count = buffer.filled().len() - before;
        self.progress
            .received
            .fetch_add(count as u64, Ordering::Relaxed);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.watch(written, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.watch(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.watch(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
