//! Sockets that somebody else holds (systemd's socket activation), and what becomes of their connections
//! while one process goes and another comes.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::thread;

use tempfile::TempDir;

use super::{CLIENTS, Load};
use crate::support::free_port;
use crate::support::postgres::Postgres;
use crate::support::proxy::{ADMIN, Proxy, command};
use crate::support::web::get;
use crate::support::wire::{Client, startup};

/// Clients that come while nobody accepts.
const WAITING: usize = 20;

/// What systemd does between fork and exec: sockets from descriptor 3 on, and the process they are for.
const ONE: &str = "exec 3<&0 0</dev/null; export LISTEN_PID=$$; exec \"$@\"";
const TWO: &str = "exec 3<&0 4<&1 0</dev/null 1>/dev/null; export LISTEN_PID=$$; exec \"$@\"";

/// The origin of its address.
const FROM: &str = "socket passed at start, LISTEN_FDS";

/// A command that dies with the thread that starts it.
const OURS: [&str; 3] = ["setpriv", "--pdeathsig", "KILL"];

/// pgweir, started as systemd starts it, with one or two sockets of these names; [`UNNAMED`] is none.
fn with_sockets(sockets: Vec<OwnedFd>, names: &str) -> Command {
    let script = if sockets.len() == 1 { ONE } else { TWO };
    let mut command = command(&[&["sh", "-c", script, "sh"], &OURS[..]].concat());
    command.env("LISTEN_FDS", sockets.len().to_string());
    if names != UNNAMED {
        command.env("LISTEN_FDNAMES", names);
    }
    let mut sockets = sockets.into_iter().map(Stdio::from);
    command.stdin(sockets.next().unwrap());
    command.stdout(sockets.next().unwrap_or_else(Stdio::piped));
    command
}

const UNNAMED: &str = "";

fn share(listener: &TcpListener) -> OwnedFd {
    listener.try_clone().unwrap().into()
}

/// Any free port, and who holds it.
fn hold() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// What it needs besides sockets, in front of whatever listens at `upstream`.
fn usual(command: &mut Command, upstream: SocketAddr) {
    let url = format!("postgres://postgres@{upstream}/postgres");
    command.args(["--upstream", &url, "--auth", "trust", "--cache", "off"]);
}

/// A process on the socket that the test holds.
fn on(socket: &TcpListener, postgres: &Postgres) -> Proxy {
    let mut command = with_sockets(vec![share(socket)], "pgweir.socket");
    usual(&mut command, postgres.address);
    command.args([ADMIN, ""]);
    Proxy::spawn(socket.local_addr().unwrap(), command).unwrap()
}

#[test]
fn between_two_processes_connections_wait_and_none_is_refused() {
    let postgres = Postgres::start();
    postgres.admin().run("create table mark (a int)");
    let (socket, address) = hold();
    let old = on(&socket, &postgres);
    let load = Load::on(address);
    let mut long = old.client();
    long.run("begin");
    long.run("insert into mark values (2)");
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| load.run());
        }
        load.wait_for_more();
        old.signal("TERM");
        old.wait_for_log("running transactions may end", 0);
        long.run("insert into mark values (2)");
        long.run("commit");
        old.ended();
        // Nobody accepts now, and still nobody is sent away.
        let mut waiting: Vec<_> = (0..WAITING)
            .map(|_| Client::open(address).unwrap())
            .collect();
        for client in &mut waiting {
            let who = [("user", "postgres"), ("database", "postgres")];
            client.send(&startup((3, 0), &who)).unwrap();
        }
        assert!(!waiting.iter().any(Client::has_answer), "who answered?");
        let new = on(&socket, &postgres);
        for client in &mut waiting {
            client.greet().unwrap();
            assert_eq!(client.value("select 1"), "1");
        }
        load.wait_for_more();
        load.over.store(true, Ordering::Relaxed);
        new
    })
    .stop();
    let mut admin = postgres.admin();
    let committed = admin.value("select count(*) from mark where a = 1");
    assert_eq!(committed, load.done.load(Ordering::Relaxed).to_string());
    assert_eq!(admin.value("select count(*) from mark where a = 2"), "2");
    assert_eq!(load.resets.load(Ordering::Relaxed), 0);
}

#[test]
fn it_says_where_its_sockets_come_from() {
    let postgres = Postgres::start();
    let ((clients, address), (admin, web)) = (hold(), hold());
    let sockets = vec![share(&admin), share(&clients)];
    let mut command = with_sockets(sockets, "admin:pgweir.socket");
    usual(&mut command, postgres.address);
    let proxy = Proxy::spawn(address, command).unwrap();
    let line = proxy.wait_for_log("listening on ", 0);
    assert!(
        line.contains(&address.to_string()) && line.contains(FROM),
        "{line}"
    );
    assert_eq!(proxy.web(), web);
    assert_eq!(get(web, "/healthz").status, 200);
    assert!(proxy.wait_for_log("health at ", 0).contains(FROM));
    // A reload changes nothing about it.
    proxy.signal("HUP");
    let line = proxy.wait_for_log("configuration reloaded", 0);
    assert!(line.contains("[]"), "{line}");
    let settings = [("user", "postgres"), ("database", "pgweir")];
    let mut console = Client::connect(address, &settings).unwrap();
    let config = format!("{:?}", console.run("show config"));
    assert!(
        config.contains(&address.to_string()) && config.contains(FROM),
        "{config}"
    );
}

#[test]
fn check_says_where_sockets_come_from() {
    let (socket, address) = hold();
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let mut check = with_sockets(vec![share(&socket)], UNNAMED);
    check.args(["check", "--listen", "127.0.0.1:1"]);
    check.env("PGWEIR_LISTEN_REUSE_PORT", "true");
    usual(&mut check, nowhere);
    let output = check.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let shown = String::from_utf8(output.stdout).unwrap();
    let line = format!("listen.address = \"{address}\"  # {FROM}\n");
    assert!(shown.contains(&line), "{shown}");
    // Who said otherwise is told.
    for told in [
        format!(
            "warning: listen.address = \"127.0.0.1:1\" (flag --listen) is not used: \
             a socket was passed that listens at {address}\n"
        ),
        "warning: listen.reuse_port is not used: ".to_owned(),
    ] {
        assert!(said.contains(&told), "{said}");
    }
}

/// What pgweir says of sockets that do not fit; it must not start.
fn refusal(sockets: Vec<OwnedFd>, names: &str) -> String {
    let mut command = with_sockets(sockets, names);
    usual(&mut command, SocketAddr::from(([127, 0, 0, 1], 1)));
    let output = command.args([ADMIN, ""]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_socket_that_does_not_fit_is_refused_with_words() {
    let folder = TempDir::new().unwrap();
    let (socket, address) = hold();
    let unix = UnixListener::bind(folder.path().join("socket")).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let connection = TcpStream::connect(address).unwrap();
    let file = File::open("/dev/null").unwrap();
    for (unfit, what) in [
        (OwnedFd::from(unix), "a Unix socket"),
        (udp.into(), "a UDP socket"),
        (connection.into(), "one that does not listen"),
        (file.into(), "no stream socket"),
    ] {
        let said = refusal(vec![unfit.try_clone().unwrap()], UNNAMED);
        let wanted =
            format!("pgweir: the socket that was passed (LISTEN_FDS) for listen.address is {what}");
        assert!(said.starts_with(&wanted), "{said}");
        assert!(said.contains("ListenStream=HOST:PORT"), "{said}");
        let said = refusal(vec![share(&socket), unfit], "pgweir.socket:admin");
        assert!(
            said.contains(&format!("for admin.address is {what}")),
            "{said}"
        );
    }
    let said = refusal(vec![share(&socket), share(&socket)], UNNAMED);
    assert!(
        said.contains("two sockets were passed (LISTEN_FDS) for listen.address"),
        "{said}"
    );
}

/// The real thing, which holds no socket longer than until the first client comes.
#[test]
fn systemds_own_tool_starts_it_for_the_first_client() {
    const TOOL: &str = "systemd-socket-activate";
    if Command::new(TOOL).arg("--version").output().is_err() {
        eprintln!("NOT CHECKED: {TOOL}, which is not there");
        return;
    }
    let postgres = Postgres::start();
    let start = || {
        let [clients, web] =
            [free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let (at, also) = (clients.to_string(), web.to_string());
        let tool = [TOOL, "-l", &at, "-l", &also, "--fdname=clients:admin"];
        let mut command = command(&[&OURS[..], &tool].concat());
        usual(&mut command, postgres.address);
        let proxy = Proxy::spawn_until(clients, command, &format!("Listening on {also}"));
        proxy.map(|proxy| (proxy, web))
    };
    let (proxy, web) = (0..5).find_map(|_| start().ok()).unwrap();
    assert!(
        proxy
            .log_lines()
            .iter()
            .all(|line| !line.contains("upstream"))
    );
    assert_eq!(proxy.client().value("select 1"), "1");
    assert_eq!(proxy.web(), web);
    assert_eq!(get(web, "/healthz").status, 200);
    assert!(proxy.wait_for_log("listening on ", 0).contains(FROM));
    proxy.stop();
}
