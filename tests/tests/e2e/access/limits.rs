//! What is too large, too slow or too much is refused with a reason, and keeps nobody else waiting.

use std::{
    io::Read as _,
    net::TcpStream,
    time::{Duration, Instant},
};

use e2e::{
    host::{Host, SOON},
    needs_root, wait_for,
    wire::Wire,
};

use super::{ask, shows};

/// More than a request may have.
const TOO_LARGE: usize = 3 << 20;

fn head(method: &str, headers: &[String]) -> String {
    let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    format!(
        "{method} /v2/pods HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{lines}\r\n"
    )
}

#[test]
fn oversized_requests_are_refused_with_a_reason() {
    needs_root!();
    let host = Host::start();
    let authorization = shows(&host.token());
    let body = "x".repeat(TOO_LARGE);
    let sized = |length: usize| vec![authorization.clone(), format!("Content-Length: {length}")];
    let chunked = vec![
        authorization.clone(),
        "Transfer-Encoding: chunked".to_owned(),
    ];
    let many: Vec<_> = (0..200).map(|number| format!("X-{number}: y")).collect();
    let cases = [
        (
            "a body",
            head("POST", &sized(TOO_LARGE)) + &body,
            413,
            "2097152",
        ),
        (
            "a body that is only announced",
            head("POST", &sized(1 << 40)),
            413,
            "2097152",
        ),
        (
            "a body in chunks",
            head("POST", &chunked) + &format!("{TOO_LARGE:x}\r\n{body}\r\n0\r\n\r\n"),
            413,
            "2097152",
        ),
        (
            "a header",
            head("GET", &[format!("X: {}", "y".repeat(40_000))]),
            431,
            "",
        ),
        ("many headers", head("GET", &many), 431, ""),
    ];
    for (name, request, expected, word) in cases {
        for over_tcp in [true, false] {
            let answer = if over_tcp {
                let mut wire = Wire::tcp(host.tcp());
                wire.send(request.as_bytes()).and_then(|()| wire.answer())
            } else {
                let mut wire = Wire::unix(&host.socket()).unwrap();
                wire.send(request.as_bytes()).and_then(|()| wire.answer())
            };
            let answer = answer.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(answer.status, expected, "{name}: {}", answer.body);
            assert!(answer.body.contains(word), "{name}: {}", answer.body);
        }
    }
    let two = format!(
        "{}Content-Length: 5\r\n\r\n12345",
        head("POST", &sized(3)).trim_end()
    );
    let mut wire = Wire::tcp(host.tcp());
    wire.send(two.as_bytes()).unwrap();
    assert_eq!(wire.answer().unwrap().status, 400, "two lengths");
}

#[test]
fn slow_requests_are_ended_with_a_reason() {
    needs_root!();
    let host = Host::start();
    let address = host.tcp();
    let authorization = shows(&host.token());
    let mut slow_head = Wire::tcp(address);
    slow_head
        .send(b"GET /v2/pods HTTP/1.1\r\nHost: loc")
        .unwrap();
    let mut slow_body = Wire::tcp(address);
    let headers = [authorization.clone(), "Content-Length: 100".to_owned()];
    slow_body.send(head("POST", &headers).as_bytes()).unwrap();
    let mut slow_unix = Wire::unix(&host.socket()).unwrap();
    slow_unix.send(b"GET /v2/pods HTTP").unwrap();
    let mut idle = Wire::tcp(address);
    assert_eq!(
        idle.ask("GET", "/v2/pods", &[&authorization])
            .unwrap()
            .status,
        200
    );

    // Now and then a byte: that must not keep them open.
    let begun = Instant::now();
    let dripping = std::thread::spawn({
        let mut drip = slow_head.stream.try_clone().unwrap();
        move || {
            use std::io::Write as _;
            while begun.elapsed() < SOON && drip.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(500));
            }
        }
    });
    let answer = slow_head.answer().unwrap();
    assert_eq!(
        (answer.status, answer.body.contains("head")),
        (408, true),
        "{}",
        answer.body
    );
    assert_eq!(slow_unix.answer().unwrap().status, 408);
    let answer = slow_body.answer().unwrap();
    assert_eq!(
        (answer.status, answer.body.contains("body")),
        (408, true),
        "{}",
        answer.body
    );
    let mut rest = Vec::new();
    idle.stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "an idle connection ends silently");
    dripping.join().unwrap();
}

#[test]
fn a_flood_of_connections_keeps_nobody_from_the_unix_socket() {
    needs_root!();
    let host = Host::start();
    let address = host.tcp();
    let mut flood: Vec<_> = (0..300)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let refused = wait_for("a refusal for want of places", SOON, || {
        let mut wire = Wire::tcp(address);
        wire.answer().ok()
    });
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(refused.body.contains("too many"), "{}", refused.body);

    assert_eq!(host.request("GET", "/v2/pods", None).status, 200);
    let socket = host.socket();
    let mut local: Vec<_> = (0..200).map(|_| Wire::unix(&socket).unwrap()).collect();
    for wire in &mut local {
        assert_eq!(wire.ask("GET", "/v2/pods", &[]).unwrap().status, 200);
    }

    flood.clear();
    let authorization = shows(&host.token());
    wait_for("places on TCP", SOON, || {
        let answer = Wire::tcp(address).ask("GET", "/v2/pods", &[&authorization]);
        answer
            .is_ok_and(|answer| answer.status == 200)
            .then_some(())
    });
}

#[test]
fn who_waits_for_nothing_is_not_waited_for() {
    needs_root!();
    let host = Host::start();
    // A connection that is cut in the middle of a request leaves nothing behind.
    for _ in 0..50 {
        let mut wire = Wire::tcp(host.tcp());
        let headers = [shows(&host.token()), "Content-Length: 100".to_owned()];
        wire.send(head("POST", &headers).as_bytes()).unwrap();
    }
    assert_eq!(
        ask(&host, "GET", "/v2/pods", &[&shows(&host.token())]).body,
        "[]"
    );
    assert!(host.deployments().is_empty());
}
