//! Asking the kernel for network things by single netlink messages (`netlink(7)`, `rtnetlink(7)`).

use std::io;

use nix::sched::CloneFlags;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
    sockopt::{Timeout, set_socket_timeout},
};

use super::apart;

/// `NLM_F_REQUEST | NLM_F_ACK`.
const REQUEST: u16 = 0x1 | 0x4;
/// `NLM_F_EXCL | NLM_F_CREATE`.
const CREATE: u16 = 0x200 | 0x400;
/// `NLMSG_ERROR`; also an acknowledgement, with error 0.
const ERROR: u16 = 2;
/// `RTM_NEWLINK`.
const NEW_LINK: u16 = 16;
/// `IFLA_LINKINFO`, and in it `IFLA_INFO_KIND`.
const LINK_INFO: u16 = 18;
const INFO_KIND: u16 = 1;
/// `NFT_MSG_GETGEN` of `NFNL_SUBSYS_NFTABLES`.
const NFT_GET_GENERATION: u16 = (10 << 8) | 16;
/// The kernel answers at once.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// A kind of network interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// A pair of interfaces, one in the pod.
    Veth,
    /// What the host's ends are plugged into.
    Bridge,
}

impl Link {
    /// The kernel's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Veth => "veth",
            Self::Bridge => "bridge",
        }
    }
}

/// Makes an interface in a network namespace that ends at once.
///
/// # Errors
/// What the kernel says; `EOPNOTSUPP` if it has no such kind.
pub fn create_link(link: Link) -> io::Result<()> {
    let kind = attribute(INFO_KIND, link.as_str().as_bytes());
    let mut body = vec![0; 16];
    body.extend(attribute(LINK_INFO, &kind));
    apart(CloneFlags::CLONE_NEWNET, move || {
        ask(None, &message(NEW_LINK, REQUEST | CREATE, &body))
    })
}

/// Asks for the generation of the rules of a network namespace that ends at once.
///
/// # Errors
/// What the kernel says; `EINVAL` if it has no nftables.
pub fn use_nftables() -> io::Result<()> {
    apart(CloneFlags::CLONE_NEWNET, || {
        ask(
            Some(netlink::NETFILTER),
            &message(NFT_GET_GENERATION, REQUEST, &[0; 4]),
        )
    })
}

/// Sends a request; no protocol is `NETLINK_ROUTE`, whose number is 0.
fn ask(protocol: Option<rustix::net::Protocol>, request: &[u8]) -> io::Result<()> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        protocol,
    )?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    send(&socket, request, SendFlags::empty())?;
    let mut buffer = [0; 4096];
    let (length, _) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
    answer(&buffer[..length])
}

/// Whether the first message of an answer is an error.
fn answer(bytes: &[u8]) -> io::Result<()> {
    let short = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let kind = bytes.get(4..6).ok_or_else(short)?;
    if u16::from_ne_bytes([kind[0], kind[1]]) != ERROR {
        return Ok(());
    }
    let code = bytes.get(16..20).ok_or_else(short)?;
    match i32::from_ne_bytes([code[0], code[1], code[2], code[3]]) {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(-code)),
    }
}

fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
    let mut message = Vec::new();
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    // Sequence number and port, which the kernel fills in.
    message.extend([0; 8]);
    message.extend(body);
    message
}

/// An attribute, padded to four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut attribute = Vec::new();
    attribute.extend(length.to_ne_bytes());
    attribute.extend(kind.to_ne_bytes());
    attribute.extend(value);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let error = |code: i32| message(ERROR, 0, &(-code).to_ne_bytes());
        assert!(answer(&error(0)).is_ok());
        let refused = answer(&error(95)).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(95));
        assert!(answer(&message(17, 0, &[])).is_ok());
        assert!(answer(&error(1)[..18]).is_err());
        assert_eq!(attribute(1, b"veth").len(), 8);
        assert_eq!(attribute(1, b"bridge").len(), 12);
    }
}
