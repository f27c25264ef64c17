//! Greeting told apart by its bytes, and by libpq.

use std::path::Path;

use super::*;

#[tokio::test]
async fn requests_in_clear() {
    let mut server = Server::start(Options::new(AuthMode::Trust)).await;
    let ssl = b"\0\0\0\x08\x04\xd2\x16\x2f";
    let gss = b"\0\0\0\x08\x04\xd2\x16\x30";
    let startup = encode_startup(0, &[(b"user", b"u")]);
    assert_eq!(server.raw(gss, 1).await, b"N");
    for request in [&ssl[..], gss] {
        // CVE-2021-23214: bytes behind the request, which TLS would swallow.
        let answer = server.raw(&[request, &startup].concat(), usize::MAX).await;
        assert!(
            contains(&answer, "C08P01\0Mreceived unencrypted data"),
            "{answer:?}"
        );
    }
    let answer = server.raw(b"\0\0\0\x08\0\x02\0\0", usize::MAX).await;
    assert!(contains(
        &answer,
        "C0A000\0Munsupported frontend protocol 2.0"
    ));
    assert_eq!(server.raw(b"GET / HTTP/1.1\r\n\r\n", usize::MAX).await, b"");
    while !matches!(
        server.outcomes.recv().await.unwrap(),
        Err(GreetError::Nonsense(_))
    ) {}

    let answer = server.raw(&startup, 9).await;
    assert!(
        answer.starts_with(b"R\0\0\0\x08\0\0\0\0"),
        "3.0 is not negotiated"
    );
    drop(server.client().await);
    let later = encode_startup(7, &[(b"user", b"u"), (b"_pq_.x", b"y")]);
    let answer = server.raw(&later, 30).await;
    assert!(
        answer.starts_with(b"v\0\0\0\x13\0\x03\0\x02\0\0\0\x01_pq_.x\0R"),
        "{answer:?}"
    );
    assert_eq!(server.client().await.minor, 2);
    let answer = server.raw(&encode_startup(1, &[(b"user", b"u")]), 9).await;
    assert!(answer.starts_with(b"R"));
    drop(server.client().await);

    let mut tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port))
        .await
        .unwrap();
    let cancel = crate::wire::startup::encode_cancel(77, &[5; 32]);
    tcp.write_all(&cancel).await.unwrap();
    let outcome = server.outcomes.recv().await.unwrap();
    let Ok(Greeting::Cancel { pid, key, .. }) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!((pid, &*key), (77, &[5; 32][..]));
}

#[tokio::test]
async fn what_comes_with_the_start_up_packet_is_the_session_s() {
    let mut server = Server::start(Options::new(AuthMode::Trust)).await;
    let startup = encode_startup(0, &[(b"user", b"u")]);
    let address = (Ipv4Addr::LOCALHOST, server.port);
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(&[&startup[..], b"Q\0\0\0\x05\0"].concat())
        .await
        .unwrap();
    let mut login = server.client().await;
    let mut ahead = [0; 6];
    login.stream.read_exact(&mut ahead).await.unwrap();
    assert_eq!(&ahead, b"Q\0\0\0\x05\0");
    tcp.write_all(b"X\0\0\0\x04").await.unwrap();
    let mut last = [0; 5];
    login.stream.read_exact(&mut last).await.unwrap();
    assert_eq!(&last, b"X\0\0\0\x04");
}

#[tokio::test]
async fn slow_clients_are_cut() {
    let mut options = Options::new(AuthMode::Scram);
    options.timeout = Duration::from_millis(100);
    let mut server = Server::start(options).await;
    assert_eq!(server.raw(b"\0\0", usize::MAX).await, b"");
    assert!(matches!(
        server.outcomes.recv().await,
        Some(Err(GreetError::TimedOut))
    ));
    let startup = encode_startup(0, &[(b"user", b"u")]);
    let answer = server.raw(&startup, usize::MAX).await;
    assert!(
        contains(&answer, "C57014\0Mcanceling authentication due to timeout"),
        "{answer:?}"
    );
    // A byte now and then does not help.
    let mut tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port))
        .await
        .unwrap();
    let mut sent = 0;
    for byte in startup.iter().cycle() {
        tokio::time::sleep(Duration::from_millis(30)).await;
        if tcp.write_all(&[*byte]).await.is_err() {
            break;
        }
        sent += 1;
        assert!(sent < 20, "still listening");
    }
}

#[tokio::test]
async fn malformed_logins_are_refused_and_never_panic() {
    let server = Server::start(Options::new(AuthMode::Scram)).await;
    let startup = encode_startup(0, &[(b"user", b"clear")]);
    for (message, text) in [
        (
            &b"Q\0\0\0\x05\0"[..],
            "expected SASL response, got message type 81",
        ),
        (b"p\0\0\0\x03", "invalid message length"),
        (b"p\x7f\0\0\0", "invalid message length"),
        (b"p\0\0\0\x04", "malformed SASLInitialResponse"),
        (
            b"p\0\0\0\x0cX\0\0\0\0\x02n,",
            "invalid SASL authentication mechanism",
        ),
    ] {
        let answer = server.raw(&[&startup, message].concat(), usize::MAX).await;
        assert!(
            contains(&answer, "C08P01\0") && contains(&answer, text),
            "{text}: {answer:?}"
        );
    }
    let mut rng = fastrand::Rng::with_seed(5);
    let first = b"p\0\0\0\x36SCRAM-SHA-256\0\0\0\0\x20n,,n=,r=rOprNGfwEbeRWgbNEkqOabcdp\0\0\0\x10c=biws,r=x,p=";
    for _ in 0..200 {
        let mut message = first.to_vec();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..message.len());
            message[at] = rng.u8(..);
        }
        let mut tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port))
            .await
            .unwrap();
        drop(tcp.write_all(&[&startup[..], &message].concat()).await);
        drop(tcp.shutdown().await);
        let mut answer = Vec::new();
        drop(tcp.read_to_end(&mut answer).await);
        assert!(!contains(&answer, "R\0\0\0\x08\0\0\0\0"));
    }
}

#[tokio::test]
async fn libpq_logs_in() {
    let psql = Path::new("/usr/lib/postgresql/15/bin/psql");
    if !psql.exists() {
        eprintln!("skipped: no psql");
        return;
    }
    let mut server = Server::start(Options::new(AuthMode::Scram)).await;
    let root = server.dir.path().join("ca.pem");
    for (user, tls) in [
        ("clear", "sslmode=disable".to_owned()),
        (
            "scram",
            "sslmode=require channel_binding=require".to_owned(),
        ),
        (
            "clear",
            format!("sslmode=verify-full sslrootcert={}", root.display()),
        ),
    ] {
        let port = server.port;
        let conninfo =
            format!("host=localhost port={port} dbname=postgres user={user} password=sécret {tls}");
        let mut command = tokio::process::Command::new(psql);
        command
            .args(["-X", "-c", "\\q", &conninfo])
            .stdin(std::process::Stdio::null());
        let output = command.output().await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{tls}: {errors}");
        assert_eq!(server.client().await.user, user);
    }
}
