//! Members of a tar archive, read in one pass with bounded memory.
//!
//! Header fields are parsed by the `tar` crate. Its own iterator is not used, because it keeps extension headers of
//! any size in memory and splits PAX records at line ends, which binary attribute values contain.

use std::io::{self, Read, Seek, SeekFrom};

use tar::{EntryType, Header};
use thiserror::Error;

const BLOCK_BYTES: usize = 512;

/// The most bytes of one extension header: long names, PAX records with their attributes (the kernel's largest
/// attribute has 64 KiB).
const EXTENSION_BYTES_MAX: u64 = 1 << 20;

/// Why an archive could not be read.
#[derive(Debug, Error)]
pub enum TarError {
    /// The bytes could not be had.
    #[error("read the archive")]
    Read {
        /// The reason.
        #[from]
        source: io::Error,
    },
    /// What was read is no tar archive, or a damaged one.
    #[error("understand the archive at byte {offset}: {what}")]
    Malformed {
        /// Where, counted from the archive's start.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink,
    HardLink,
    Fifo,
    /// Character or block device.
    Device,
    /// GNU tar's own format for files with holes.
    Sparse,
    /// Nothing that tar defines.
    Unknown,
}

/// What the headers say of one member.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) kind: Kind,
    pub(super) path: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) size: u64,
    /// Where its data begins, counted from the archive's start.
    pub(super) offset: u64,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    /// Seconds and nanoseconds since 1970.
    pub(super) mtime: (i64, u32),
    /// Extended attributes by name.
    pub(super) attributes: Vec<(String, Vec<u8>)>,
}

/// An archive being read. Reading from it gives the current member's data.
pub(super) struct TarStream<R> {
    inner: R,
    offset: u64,
    remaining: u64,
    padding: u64,
    skip: fn(&mut R, u64) -> io::Result<()>,
}

impl<R: Read> TarStream<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            offset: 0,
            remaining: 0,
            padding: 0,
            skip: |inner, bytes| {
                let skipped = io::copy(&mut inner.take(bytes), &mut io::sink())?;
                if skipped < bytes {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(())
            },
        }
    }

    /// The next member, or `None` at the end. What the current one has left is skipped.
    pub(super) fn next(&mut self) -> Result<Option<Member>, TarError> {
        let mut extensions = Extensions::default();
        loop {
            self.skip_rest()?;
            let start = self.offset;
            let Some(header) = self.header()? else {
                if extensions.pending {
                    return Err(malformed(start, "an extension header without a member"));
                }
                return Ok(None);
            };
            let kind = header.entry_type();
            let size = number(&header.as_old().size, header.entry_size(), start)?;
            if is_extension(kind) {
                self.begin_data(size);
                let data = self.extension_data(start)?;
                extensions.take(kind, data, start)?;
                continue;
            }
            let member = member(&header, extensions, size, self.offset, start)?;
            self.begin_data(member.size);
            return Ok(Some(member));
        }
    }

    /// The stream behind the archive's last member, for reading on to its end.
    pub(super) fn into_inner(self) -> R {
        self.inner
    }

    fn begin_data(&mut self, size: u64) {
        self.remaining = size;
        self.padding = size.next_multiple_of(BLOCK_BYTES as u64) - size;
    }

    fn skip_rest(&mut self) -> io::Result<()> {
        let bytes = self.remaining + self.padding;
        if bytes > 0 {
            (self.skip)(&mut self.inner, bytes)?;
        }
        self.offset += bytes;
        (self.remaining, self.padding) = (0, 0);
        Ok(())
    }

    /// The next header; `None` at a zero block or the stream's end, where an archive ends.
    fn header(&mut self) -> Result<Option<Header>, TarError> {
        let start = self.offset;
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        let mut filled = 0;
        while filled < BLOCK_BYTES {
            match self.inner.read(&mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(malformed(start, "it ends within a header")),
                read => filled += read,
            }
        }
        self.offset += BLOCK_BYTES as u64;
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let sum: u32 = header
            .as_bytes()
            .iter()
            .enumerate()
            .map(|(at, byte)| {
                if (148..156).contains(&at) {
                    32
                } else {
                    u32::from(*byte)
                }
            })
            .sum();
        match header.cksum() {
            Ok(expected) if expected == sum => Ok(Some(header)),
            Ok(_) | Err(_) => Err(malformed(start, "a header with a wrong checksum")),
        }
    }

    fn extension_data(&mut self, start: u64) -> Result<Vec<u8>, TarError> {
        if self.remaining > EXTENSION_BYTES_MAX {
            return Err(malformed(start, "an extension header of more than 1 MiB"));
        }
        let mut data = Vec::new();
        self.read_to_end(&mut data)?;
        Ok(data)
    }
}

impl<R: Read + Seek> TarStream<R> {
    /// As `new`, but passes over data without reading it.
    pub(super) fn seeking(inner: R) -> Self {
        let mut stream = Self::new(inner);
        stream.skip = |inner, bytes| {
            let forward = i64::try_from(bytes).map_err(|_| io::ErrorKind::InvalidData)?;
            inner.seek(SeekFrom::Current(forward)).map(|_| ())
        };
        stream
    }
}

impl<R: Read> Read for TarStream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.remaining)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.inner.read(&mut buffer[..wanted])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.remaining -= read as u64;
        self.offset += read as u64;
        Ok(read)
    }
}

/// What extension headers said of the member that follows them.
#[derive(Default)]
struct Extensions {
    pending: bool,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<(i64, u32)>,
    attributes: Vec<(String, Vec<u8>)>,
}

impl Extensions {
    fn take(&mut self, kind: EntryType, data: Vec<u8>, start: u64) -> Result<(), TarError> {
        if kind.is_pax_global_extensions() {
            return Ok(());
        }
        self.pending = true;
        if kind.is_gnu_longname() {
            self.name = Some(until_zero(&data).to_vec());
        } else if kind.is_gnu_longlink() {
            self.link = Some(until_zero(&data).to_vec());
        } else {
            let mut rest = data.as_slice();
            while let Some((key, value, after)) = record(rest) {
                self.record(key, value)
                    .ok_or_else(|| malformed(start, "a PAX record that makes no sense"))?;
                rest = after;
            }
            if !rest.is_empty() {
                return Err(malformed(start, "a damaged PAX header"));
            }
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let key = str::from_utf8(key).ok()?;
        let number = || str::from_utf8(value).ok()?.parse().ok();
        if let Some(attribute) = key.strip_prefix("SCHILY.xattr.") {
            self.attributes.push((attribute.to_owned(), value.to_vec()));
            return Some(());
        }
        match key {
            "path" => self.name = Some(value.to_vec()),
            "linkpath" => self.link = Some(value.to_vec()),
            "size" => self.size = Some(number()?),
            "uid" => self.uid = Some(number()?),
            "gid" => self.gid = Some(number()?),
            "mtime" => self.mtime = Some(time(str::from_utf8(value).ok()?)?),
            // Sparse files need their map applied; taking their data as it is would make a wrong file.
            _ if key.starts_with("GNU.sparse.") => return None,
            _ => {}
        }
        Some(())
    }
}

/// Splits off a PAX record: `<length of the whole record> <key>=<value>\n`.
fn record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().position(|byte| *byte == b' ')?;
    let length: usize = str::from_utf8(&data[..space]).ok()?.parse().ok()?;
    let (record, rest) = data.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], rest))
}

/// A PAX time: seconds with an optional fraction, perhaps negative.
fn time(text: &str) -> Option<(i64, u32)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let nanoseconds: u32 = digits.parse().ok()?;
    if text.starts_with('-') && nanoseconds > 0 {
        return Some((seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds));
    }
    Some((seconds, nanoseconds))
}

fn member(
    header: &Header,
    extensions: Extensions,
    size: u64,
    offset: u64,
    start: u64,
) -> Result<Member, TarError> {
    let fields = header.as_old();
    let uid = number(&fields.uid, header.uid(), start)?;
    let gid = number(&fields.gid, header.gid(), start)?;
    let mtime = number(&fields.mtime, header.mtime(), start)?;
    let mode = number(&fields.mode, header.mode(), start)?;
    let path = extensions
        .name
        .unwrap_or_else(|| header.path_bytes().into_owned());
    let kind = kind_of(header.entry_type(), &path);
    // Only files carry data, whatever the size field says (POSIX.1-2017, pax: ustar interchange format).
    let has_data = kind == Kind::File;
    Ok(Member {
        kind,
        path,
        link: extensions.link.unwrap_or_else(|| {
            header
                .link_name_bytes()
                .map(|link| link.into_owned())
                .unwrap_or_default()
        }),
        size: if has_data {
            extensions.size.unwrap_or(size)
        } else {
            0
        },
        offset,
        mode: mode & 0o7777,
        uid: extensions.uid.unwrap_or(uid),
        gid: extensions.gid.unwrap_or(gid),
        mtime: extensions
            .mtime
            .unwrap_or((i64::try_from(mtime).unwrap_or(0), 0)),
        attributes: extensions.attributes,
    })
}

/// A header's number; a field that was left empty is 0, as other readers take it.
fn number<T: Default>(field: &[u8], parsed: io::Result<T>, start: u64) -> Result<T, TarError> {
    match parsed {
        Ok(number) => Ok(number),
        Err(_) if field.iter().all(|byte| matches!(byte, 0 | b' ')) => Ok(T::default()),
        Err(_) => Err(malformed(start, "a field that is no number")),
    }
}

fn kind_of(kind: EntryType, path: &[u8]) -> Kind {
    match kind.as_byte() {
        // Archives from before POSIX mark directories by a slash only.
        0 | b'0' if path.ends_with(b"/") => Kind::Directory,
        0 | b'0' | b'7' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' | b'4' => Kind::Device,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        b'S' => Kind::Sparse,
        _ => Kind::Unknown,
    }
}

fn is_extension(kind: EntryType) -> bool {
    kind.is_gnu_longname()
        || kind.is_gnu_longlink()
        || kind.is_pax_local_extensions()
        || kind.is_pax_global_extensions()
}

fn until_zero(data: &[u8]) -> &[u8] {
    data.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn malformed(offset: u64, what: &'static str) -> TarError {
    TarError::Malformed { offset, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pax_records_are_split_by_length() {
        let data = b"31 SCHILY.xattr.user.a=x\ny=\n\nz\n12 path=a/b\nrest";
        let (key, value, rest) = record(data).unwrap();
        assert_eq!(
            (key, value),
            (b"SCHILY.xattr.user.a".as_slice(), b"x\ny=\n\nz".as_slice())
        );
        let (key, value, rest) = record(rest).unwrap();
        assert_eq!((key, value), (b"path".as_slice(), b"a/b".as_slice()));
        assert_eq!(record(rest), None);
        for bad in [
            "", "9", "99 a=b\n", "0 a=b\n", "6 a=bc\n", "5 ab\n", "x a=b\n",
        ] {
            assert_eq!(record(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn pax_times_have_fractions() {
        let cases = [
            ("12", Some((12, 0))),
            ("12.5", Some((12, 500_000_000))),
            ("12.123456789123", Some((12, 123_456_789))),
            ("-1.25", Some((-2, 750_000_000))),
            ("-3", Some((-3, 0))),
            ("x", None),
            ("1.x", None),
        ];
        for (text, expected) in cases {
            assert_eq!(time(text), expected, "{text}");
        }
    }

    #[test]
    fn long_names_and_damage() {
        let mut builder = tar::Builder::new(Vec::new());
        let long = format!("{}/file", "d".repeat(150));
        let mut header = Header::new_gnu();
        header.set_size(3);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, &long, b"abc".as_slice())
            .unwrap();
        let bytes = builder.into_inner().unwrap();

        let mut stream = TarStream::new(bytes.as_slice());
        let member = stream.next().unwrap().unwrap();
        assert_eq!((member.path, member.size), (long.into_bytes(), 3));
        let mut data = String::new();
        stream.read_to_string(&mut data).unwrap();
        assert_eq!(data, "abc");
        assert!(stream.next().unwrap().is_none());

        let mut seeking = TarStream::seeking(io::Cursor::new(&bytes));
        let member = seeking.next().unwrap().unwrap();
        let at = usize::try_from(member.offset).unwrap();
        assert_eq!(&bytes[at..at + 3], b"abc");
        assert!(seeking.next().unwrap().is_none());

        let mut flipped = bytes.clone();
        flipped[0] ^= 1;
        let error = TarStream::new(flipped.as_slice()).next().unwrap_err();
        assert!(error.to_string().contains("checksum"), "{error}");
        let error = TarStream::new(&bytes[..700]).next().unwrap_err();
        assert!(matches!(error, TarError::Read { .. }), "{error}");
        let error = TarStream::new(&bytes[..100]).next().unwrap_err();
        assert!(
            error.to_string().contains("ends within a header"),
            "{error}"
        );
    }

    #[test]
    fn an_extension_header_has_a_limit() {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.set_size(EXTENSION_BYTES_MAX + 1);
        header.set_cksum();
        let endless = header.as_bytes().chain(io::repeat(b'1'));
        let error = TarStream::new(endless).next().unwrap_err();
        assert!(error.to_string().contains("1 MiB"), "{error}");
    }
}
