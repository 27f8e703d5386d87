//! Reading what a container wrote: across rotation, from the last lines on, and on as it grows.

use std::{
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};
use tokio::{
    io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWrite, AsyncWriteExt as _},
    task::spawn_blocking,
};

use crate::watch::DirectoryWatch;

/// Bytes read at a time when looking backwards for lines.
const BLOCK: u64 = 64 * 1024;

/// Opens a file of a directory in which the container may write: what it put there instead, a link to a file of the
/// host or a pipe without end, is not read.
fn open_log(path: &Path) -> io::Result<std::fs::File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::RDONLY;
    let file = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is not a regular file",
        ))
    }
}

/// A stream's file and the rotated ones before it, from a starting place.
#[derive(Debug)]
pub(crate) struct LogFiles {
    path: PathBuf,
    /// Rotated files still to be read, oldest first, then the current one; all open, so that a rotation in
    /// between loses nothing.
    files: Vec<std::fs::File>,
}

impl LogFiles {
    /// Opens the files, and places the start `tail` lines before the end; at the beginning without `tail`.
    pub(crate) async fn open(path: PathBuf, tail: Option<usize>) -> io::Result<Self> {
        spawn_blocking(move || {
            let current = open_log(&path)?;
            let mut files = vec![current];
            for number in 1.. {
                match open_log(&rotated(&path, number)) {
                    Ok(file) => files.push(file),
                    Err(_) => break,
                }
            }
            if let Some(lines) = tail {
                place(&mut files, lines)?;
            }
            files.reverse();
            Ok(Self { path, files })
        })
        .await
        .map_err(io::Error::other)?
    }

    /// Copies everything to `writer`; with `follow` goes on until `over` is done and all is copied.
    pub(crate) async fn copy(
        self,
        writer: &mut (impl AsyncWrite + Unpin),
        follow: bool,
        over: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let watch = if follow {
            Some(DirectoryWatch::new(
                self.path.parent().unwrap_or(&self.path),
            )?)
        } else {
            None
        };
        let mut last = None;
        for file in self.files {
            let mut file = tokio::fs::File::from_std(file);
            tokio::io::copy(&mut file, writer).await?;
            last = Some(file);
        }
        let (Some(watch), Some(mut file)) = (watch, last) else {
            return Ok(());
        };
        tokio::pin!(over);
        let mut ended = false;
        loop {
            file = copy_new(file, &self.path, writer).await?;
            if ended {
                return Ok(());
            }
            tokio::select! {
                changed = watch.changed() => changed?,
                () = &mut over => ended = true,
            }
        }
    }
}

/// Copies what has come; if the file was rotated meanwhile, goes on with the new one.
async fn copy_new(
    mut file: tokio::fs::File,
    path: &Path,
    writer: &mut (impl AsyncWrite + Unpin),
) -> io::Result<tokio::fs::File> {
    loop {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let read = file.read(&mut buffer).await?;
            if read == 0 {
                break;
            }
            writer.write_all(&buffer[..read]).await?;
        }
        writer.flush().await?;
        let Ok(now) = tokio::fs::metadata(path).await else {
            return Ok(file);
        };
        if now.ino() == file.metadata().await?.ino() {
            return Ok(file);
        }
        // What was written between the last read and the rotation is still in the old file.
        let rest = file.stream_position().await?;
        if rest < file.metadata().await?.len() {
            continue;
        }
        let path = path.to_owned();
        let fresh = spawn_blocking(move || open_log(&path)).await;
        file = tokio::fs::File::from_std(fresh.map_err(io::Error::other)??);
    }
}

fn rotated(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// Places the start so that `lines` lines follow. `files` are newest first; older ones not needed are dropped.
fn place(files: &mut Vec<std::fs::File>, lines: usize) -> io::Result<()> {
    let mut missing = lines;
    for index in 0..files.len() {
        let file = &mut files[index];
        let (offset, found) = lines_back(file, missing)?;
        file.seek(SeekFrom::Start(offset))?;
        missing -= found;
        if missing == 0 {
            files.truncate(index + 1);
            return Ok(());
        }
    }
    Ok(())
}

/// The offset after which at most `lines` lines stand, and how many those are. A line that rotation cut in two
/// counts as two.
fn lines_back(file: &mut std::fs::File, lines: usize) -> io::Result<(u64, usize)> {
    let length = file.metadata()?.len();
    if lines == 0 {
        return Ok((length, 0));
    }
    let mut found = 0;
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let mut block = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        file.by_ref().take(end - start).read_to_end(&mut block)?;
        for (index, byte) in block.iter().enumerate().rev() {
            let place = start + index as u64;
            // The newline at the very end closes the last line, it does not begin another.
            if *byte == b'\n' && place + 1 < length {
                found += 1;
                if found == lines {
                    return Ok((place + 1, lines));
                }
            }
        }
        end = start;
    }
    Ok((0, if length == 0 { 0 } else { found + 1 }))
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, time::Duration};

    use super::*;

    async fn text(path: &Path, tail: Option<usize>) -> String {
        let files = LogFiles::open(path.to_owned(), tail).await.unwrap();
        let mut out = Vec::new();
        files
            .copy(&mut out, false, std::future::pending())
            .await
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[tokio::test]
    async fn what_a_container_put_in_the_place_of_its_log_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "of the host").unwrap();
        let link = dir.path().join("stdout");
        std::os::unix::fs::symlink(&secret, &link).unwrap();
        let pipe = dir.path().join("stderr");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        for path in [link, pipe] {
            let opened = LogFiles::open(path.clone(), None).await;
            assert!(opened.is_err(), "{}", path.display());
        }
    }

    #[tokio::test]
    async fn last_lines_across_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stdout");
        std::fs::write(rotated(&path, 2), "1\n2\n").unwrap();
        std::fs::write(rotated(&path, 1), "3\n4\n").unwrap();
        std::fs::write(&path, "5\n6\n").unwrap();
        let cases = [
            (None, "1\n2\n3\n4\n5\n6\n"),
            (Some(0), ""),
            (Some(1), "6\n"),
            (Some(2), "5\n6\n"),
            (Some(3), "4\n5\n6\n"),
            (Some(5), "2\n3\n4\n5\n6\n"),
            (Some(99), "1\n2\n3\n4\n5\n6\n"),
        ];
        for (tail, expected) in cases {
            assert_eq!(text(&path, tail).await, expected, "{tail:?}");
        }
        std::fs::write(&path, "5\n6").unwrap();
        assert_eq!(text(&path, Some(1)).await, "6");
    }

    #[tokio::test]
    async fn follows_through_a_rotation_until_the_run_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stdout");
        std::fs::write(&path, "a\n").unwrap();
        let files = LogFiles::open(path.clone(), None).await.unwrap();
        let (mut reader, mut writer) = tokio::io::duplex(1024);
        let (end, over) = tokio::sync::oneshot::channel::<()>();
        let copying = tokio::spawn(async move {
            files
                .copy(&mut writer, true, async { over.await.unwrap_or(()) })
                .await
        });
        let mut expect = async |text: &str| {
            let mut bytes = vec![0; text.len()];
            let read = reader.read_exact(&mut bytes);
            tokio::time::timeout(Duration::from_secs(10), read)
                .await
                .unwrap()
                .unwrap();
            assert_eq!(String::from_utf8(bytes).unwrap(), text);
        };
        expect("a\n").await;
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap();
        file.write_all(b"b\n").unwrap();
        expect("b\n").await;
        file.write_all(b"c\n").unwrap();
        std::fs::rename(&path, rotated(&path, 1)).unwrap();
        std::fs::write(&path, "d\n").unwrap();
        expect("c\nd\n").await;
        end.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(10), copying)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
}
