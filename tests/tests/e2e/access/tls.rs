//! TCP from elsewhere: TLS, certificates that are replaced, clients that trust nobody else.

use std::{net::TcpStream, path::Path, process::Command, sync::Arc};

use e2e::{
    binary,
    host::{Host, SOON},
    needs_root, wait_for,
    wire::Wire,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::shows;

/// A directory for certificates beside the daemon's own.
fn place() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Writes a new pair for `localhost` into the directory.
fn write_pair(directory: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]);
    let made = made.unwrap();
    std::fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(directory.join("certificate.pem"), made.cert.pem()).unwrap();
}

fn start(directory: &Path, more: &[&str]) -> Host {
    let file = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (file("certificate.pem"), file("key.pem"));
    let mut flags = vec!["--tls-certificate", &certificate, "--tls-key", &key];
    flags.extend(more);
    Host::start_with(&flags)
}

type Secured = Wire<StreamOwned<ClientConnection, TcpStream>>;

/// A connection that trusts what is in the directory, after its handshake.
fn connect(host: &Host, directory: &Path) -> std::io::Result<Secured> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(directory.join("certificate.pem")).unwrap();
    roots.add(certificate).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots);
    let config = Arc::new(config.with_no_client_auth());
    let connection = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    let tcp = Wire::tcp(host.tcp()).stream;
    let mut stream = StreamOwned::new(connection, tcp);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(Wire::new(stream))
}

#[test]
fn with_a_certificate_any_address_speaks_tls_and_nothing_else() {
    needs_root!();
    let directory = place();
    write_pair(directory.path());
    let host = start(directory.path(), &["--listen", "0.0.0.0:0"]);
    let info = host.request("GET", "/v2/info?monopod=true", None).json();
    let url = info["monopod"]["url"].as_str().unwrap();
    assert!(url.starts_with("https://"), "{url}");

    let mut secured = connect(&host, directory.path()).unwrap();
    assert_eq!(secured.ask("GET", "/v2/pods", &[]).unwrap().status, 401);
    let headers = [&*shows(&host.token())];
    assert_eq!(secured.ask("GET", "/v2/pods", &headers).unwrap().body, "[]");
    let mut plain = Wire::tcp(host.tcp());
    assert!(
        plain.ask("GET", "/ping", &[]).is_err(),
        "plain text was answered"
    );
}

#[test]
fn the_command_line_and_curl_speak_https() {
    needs_root!();
    let directory = place();
    write_pair(directory.path());
    let host = start(directory.path(), &[]);
    let url = format!("https://localhost:{}", host.tcp().port());
    let certificate = directory.path().join("certificate.pem");
    let list = |trust: bool, token: &str| {
        let mut command = Command::new(binary::monopod());
        command.args(["--url", &url, "--token", token, "pod", "list", "--json"]);
        if trust {
            command.env("MONOPOD_CA_CERTIFICATE", &certificate);
        }
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (
            output.status.code(),
            text + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (code, text) = list(true, &host.token());
    assert_eq!((code, text.trim()), (Some(0), "[]"));
    let (code, text) = list(true, "wrong");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("token"), "{text}");
    let (code, text) = list(false, &host.token());
    assert_ne!(code, Some(0), "somebody unknown was trusted: {text}");
    assert!(text.contains("certificate"), "{text}");

    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--cacert"])
        .arg(&certificate);
    curl.args(["--header", &shows(&host.token()), &format!("{url}/v2/pods")]);
    match curl.output() {
        Err(error) => e2e::skip!(format!("curl: {error}")),
        Ok(output) => {
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(String::from_utf8_lossy(&output.stdout), "[]", "{stderr}");
        }
    }
}

#[test]
fn a_new_certificate_is_used_without_cutting_connections_and_a_bad_one_is_not() {
    needs_root!();
    let (directory, old) = (place(), place());
    write_pair(directory.path());
    let host = start(directory.path(), &[]);
    let mut open = connect(&host, directory.path()).unwrap();
    assert_eq!(open.ask("GET", "/ping", &[]).unwrap().status, 200);
    for name in ["certificate.pem", "key.pem"] {
        std::fs::copy(directory.path().join(name), old.path().join(name)).unwrap();
    }
    write_pair(directory.path());
    let mut renewed = connect(&host, directory.path()).unwrap();
    assert_eq!(renewed.ask("GET", "/ping", &[]).unwrap().status, 200);
    assert!(
        connect(&host, old.path()).is_err(),
        "the old one is still shown"
    );
    assert_eq!(
        open.ask("GET", "/ping", &[]).unwrap().status,
        200,
        "it was cut"
    );

    // A key that belongs to another certificate.
    let good = place();
    std::fs::copy(
        directory.path().join("certificate.pem"),
        good.path().join("certificate.pem"),
    )
    .unwrap();
    std::fs::copy(old.path().join("key.pem"), directory.path().join("key.pem")).unwrap();
    let pid = Pid::from_raw(host.daemon_pid().unwrap()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    wait_for("the refusal in the log", SOON, || {
        host.whole_log()
            .contains("the one before stays in use")
            .then_some(())
    });
    let mut kept = connect(&host, good.path()).unwrap();
    assert_eq!(kept.ask("GET", "/ping", &[]).unwrap().status, 200);
}

#[test]
fn a_handshake_that_does_not_come_is_not_waited_for() {
    needs_root!();
    let directory = place();
    write_pair(directory.path());
    let host = start(directory.path(), &[]);
    let mut silent = Wire::tcp(host.tcp());
    let error = silent.answer().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{error}");
}

#[test]
fn a_certificate_that_cannot_be_used_keeps_the_daemon_from_starting() {
    needs_root!();
    let directory = place();
    write_pair(directory.path());
    std::fs::write(directory.path().join("key.pem"), "no key").unwrap();
    let state = place();
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let name = format!("mpt{}-tls", std::process::id());
    let output = Command::new(binary::monopod())
        .arg("--run-dir")
        .arg(state.path().join("run"))
        .args(["daemon", "--config", "/dev/null", "--listen", "127.0.0.1:0"])
        .args(["--cgroup-parent", &name, "--state-dir"])
        .arg(state.path().join("state"))
        .args([
            "--tls-certificate",
            &file("certificate.pem"),
            "--tls-key",
            &file("key.pem"),
        ])
        .output()
        .unwrap();
    e2e::kernel::remove_cgroups(&name);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("key.pem"), "{stderr}");
}
