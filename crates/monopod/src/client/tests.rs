use super::*;

#[test]
fn urls_become_addresses() {
    let cases = [
        ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080")),
        ("http://box/", Some("http://box:80")),
        (
            "http://box:1/service/marathon/",
            Some("http://box:1/service/marathon"),
        ),
        ("https://box", Some("https://box:443")),
        ("https://[::1]:8443", Some("https://[::1]:8443")),
        ("ftp://box", None),
        ("box:80", None),
        ("not a url", None),
    ];
    for (url, expected) in cases {
        let trust = Trust { certificates: None };
        let address = Client::remote(url, None, trust).map(|client| client.address());
        assert_eq!(address.ok().as_deref(), expected, "{url}");
    }
}

#[test]
fn pod_ids_are_quoted_and_need_no_slash() {
    let cases = [
        ("/a/b", "/v2/pods/a/b::status"),
        ("a", "/v2/pods/a::status"),
        ("a/", "/v2/pods/a::status"),
        ("foo bar?", "/v2/pods/foo%20bar%3F::status"),
    ];
    for (id, expected) in cases {
        assert_eq!(pod_path(id, "::status"), expected);
    }
}

#[test]
fn nobody_listening_is_told_with_a_remedy() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let client = Client::local("/nonexistent/monopod.sock".into());
    let error = runtime.block_on(client.get("/ping")).unwrap_err();
    assert_eq!(error.exit_code(), crate::exit_code::UNREACHABLE);
    insta::assert_snapshot!(error.text().unwrap(), @r"
    Error: the daemon cannot be reached at /nonexistent/monopod.sock (No such file or directory (os error 2))
    Is it running? Start it with `monopod daemon`, or name another with --run-dir or --url.
    ");
}

/// A server of one connection after another that is not ready for the first `busy` requests; gives its socket.
fn recovering(directory: &std::path::Path, busy: usize) -> PathBuf {
    use std::io::{Read as _, Write as _};
    let socket = directory.join("monopod.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            let (status, body) = if number < busy {
                let body = r#"{"message":"The daemon is recovering","reason":"recovering"}"#;
                ("503 Service Unavailable", body)
            } else {
                ("200 OK", "[]")
            };
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
            // The last one may have given up.
            let _ = stream.write_all((head + body).as_bytes());
        }
    });
    socket
}

#[tokio::test]
async fn a_daemon_that_recovers_is_waited_for_and_not_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let mut client = Client::local(recovering(dir.path(), 3));
    let answer = client.send(Method::POST, "/v2/pods", Some(b"{}".to_vec()));
    assert_eq!(answer.await.unwrap().body, "[]");

    let dir = tempfile::tempdir().unwrap();
    client.address = Address::Socket(recovering(dir.path(), usize::MAX));
    client.recovery_patience = 3 * RECOVERY_INTERVAL;
    let began = Instant::now();
    let error = client.get("/v2/pods").await.unwrap_err();
    assert!(began.elapsed() >= client.recovery_patience);
    assert_eq!(error.exit_code(), crate::exit_code::FAILED);
    let text = error.text().unwrap();
    assert_eq!(text, "Error: The daemon is recovering");
    assert!(error.is_daemon_away(), "--wait goes on waiting");
    assert!(client.stream("/v2/pods").await.is_err());
}
