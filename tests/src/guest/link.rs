//! The conversation with the agent inside a guest; `tests/guest/agent.pl` says how it goes.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// As much input as goes into one frame.
const CHUNK: usize = 32 * 1024;
/// The agent's own channel.
const AGENT: u32 = 0;

/// How a command ended and what it said.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Exit status; 128 and the signal's number if one ended it.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Outcome {
    /// Whether it ended with 0.
    pub fn success(&self) -> bool {
        self.status == 0
    }
}

/// What a job is made of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A command: arguments, each ended by a zero byte.
    Command,
    /// A Unix socket: its path.
    Socket,
}

impl Kind {
    fn letter(self) -> u8 {
        match self {
            Self::Command => b'X',
            Self::Socket => b'U',
        }
    }
}

type Frame = (u8, Vec<u8>);
type Jobs = Arc<Mutex<BTreeMap<u32, Sender<Frame>>>>;

/// The port to one guest, for as long as its machine runs. Any number of threads may use it at once.
#[derive(Debug)]
pub(super) struct Link {
    port: Mutex<UnixStream>,
    jobs: Jobs,
    next: AtomicU32,
    ready: Mutex<Receiver<Frame>>,
    reader: Option<JoinHandle<()>>,
}

impl Link {
    /// Begins to listen to the agent, which may not be there yet.
    pub(super) fn new(port: UnixStream) -> Self {
        let jobs = Jobs::default();
        let (sender, ready) = mpsc::channel();
        let mut from_guest = port.try_clone().unwrap();
        let known = Arc::clone(&jobs);
        let reader = std::thread::spawn(move || {
            while let Ok((channel, frame)) = read_frame(&mut from_guest) {
                deliver(&known, &sender, channel, frame);
            }
            // Whoever waits for one learns that none will come.
            known.lock().unwrap().clear();
        });
        Self {
            port: Mutex::new(port),
            jobs,
            next: AtomicU32::new(AGENT + 1),
            ready: Mutex::new(ready),
            reader: Some(reader),
        }
    }

    /// Waits for the agent's first word.
    ///
    /// # Errors
    /// It did not come in time, or the machine went away.
    pub(super) fn wait_until_ready(&self, limit: Duration) -> io::Result<()> {
        let ready = self.ready.lock().unwrap();
        ready.recv_timeout(limit).map(drop).map_err(explain)
    }

    /// Runs a command.
    ///
    /// # Errors
    /// As [`Self::exchange`].
    pub(super) fn run(
        &self,
        command: &[&str],
        input: &[u8],
        limit: Duration,
    ) -> io::Result<Outcome> {
        let mut arguments = command.join("\0").into_bytes();
        arguments.push(0);
        self.exchange(Kind::Command, &arguments, input, limit)
    }

    /// Starts a job, gives it all of `input` and waits for its end.
    ///
    /// # Errors
    /// It could not be started, took longer than `limit` (a command is killed then), or the guest went away.
    pub(super) fn exchange(
        &self,
        kind: Kind,
        what: &[u8],
        input: &[u8],
        limit: Duration,
    ) -> io::Result<Outcome> {
        let channel = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, frames) = mpsc::channel();
        self.jobs.lock().unwrap().insert(channel, sender);
        self.send(channel, kind.letter(), what)?;
        for chunk in input.chunks(CHUNK) {
            self.send(channel, b'I', chunk)?;
        }
        // A socket is only closed by the other side: a server might take the end of input for a client gone.
        if matches!(kind, Kind::Command) {
            self.send(channel, b'I', &[])?;
        }
        let outcome = collect(&frames, limit);
        self.jobs.lock().unwrap().remove(&channel);
        if outcome
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::TimedOut)
        {
            self.send(channel, b'K', &[])?;
        }
        outcome
    }

    fn send(&self, channel: u32, kind: u8, data: &[u8]) -> io::Result<()> {
        let length = u32::try_from(data.len()).map_err(io::Error::other)?;
        let mut frame = channel.to_be_bytes().to_vec();
        frame.push(kind);
        frame.extend(length.to_be_bytes());
        frame.extend(data);
        self.port.lock().unwrap().write_all(&frame)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = self
            .port
            .lock()
            .map(|port| port.shutdown(std::net::Shutdown::Both));
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn read_frame(port: &mut UnixStream) -> io::Result<(u32, Frame)> {
    let mut head = [0; 9];
    port.read_exact(&mut head)?;
    let [c0, c1, c2, c3, kind, l0, l1, l2, l3] = head;
    let length = u32::from_be_bytes([l0, l1, l2, l3]);
    let mut data = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    port.read_exact(&mut data)?;
    Ok((u32::from_be_bytes([c0, c1, c2, c3]), (kind, data)))
}

/// A frame of a job that nobody waits for any more is dropped.
fn deliver(jobs: &Jobs, ready: &Sender<Frame>, channel: u32, frame: Frame) {
    let mut jobs = jobs.lock().unwrap();
    if channel == AGENT {
        // A new agent knows nothing of the jobs of one that died.
        jobs.clear();
        let _ = ready.send(frame);
    } else if let Some(job) = jobs.get(&channel) {
        let _ = job.send(frame);
    }
}

fn collect(frames: &Receiver<Frame>, limit: Duration) -> io::Result<Outcome> {
    let deadline = Instant::now() + limit;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let (kind, data) = frames.recv_timeout(left).map_err(|error| {
            let said = String::from_utf8_lossy(&stdout);
            let complained = String::from_utf8_lossy(&stderr);
            let error = explain(error);
            io::Error::new(
                error.kind(),
                format!("{error}; so far it said {said:?} {complained:?}"),
            )
        })?;
        match kind {
            b'O' => stdout.extend(data),
            b'E' => stderr.extend(data),
            _ => {
                return Ok(Outcome {
                    status: status(&String::from_utf8_lossy(&data))?,
                    stdout: String::from_utf8_lossy(&stdout).into_owned(),
                    stderr: String::from_utf8_lossy(&stderr).into_owned(),
                });
            }
        }
    }
}

fn explain(error: RecvTimeoutError) -> io::Error {
    match error {
        RecvTimeoutError::Timeout => io::Error::new(io::ErrorKind::TimedOut, "it took too long"),
        RecvTimeoutError::Disconnected => {
            io::Error::new(io::ErrorKind::ConnectionReset, "the guest went away")
        }
    }
}

/// From `exit N`, `signal N`, `error TEXT`.
fn status(end: &str) -> io::Result<i32> {
    let number = |text: &str| text.parse::<i32>().map_err(io::Error::other);
    match end.split_once(' ') {
        Some(("exit", code)) => number(code),
        Some(("signal", signal)) => Ok(128 + number(signal)?),
        _ => Err(io::Error::other(end.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_job_is_understood() {
        assert_eq!(status("exit 7").unwrap(), 7);
        assert_eq!(status("signal 9").unwrap(), 137);
        assert_eq!(
            status("error /x: No such file").unwrap_err().to_string(),
            "error /x: No such file"
        );
    }

    #[test]
    fn a_job_ends_when_the_guest_goes_away() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let link = Link::new(ours);
        let guest = std::thread::spawn(move || {
            let mut theirs = theirs;
            read_frame(&mut theirs).unwrap()
        });
        let error = link
            .run(&["true"], &[], Duration::from_secs(20))
            .unwrap_err();
        assert_eq!(guest.join().unwrap(), (1, (b'X', b"true\0".to_vec())));
        assert_ne!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    }
}
