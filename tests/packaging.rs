//! What packages and images are made of, tried as far as it goes without a container engine.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::support::proxy::{Proxy, command};
use crate::support::{certificates, eventually, free_port};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// A URL that passes every check and leads nowhere.
const NOWHERE: &str = "postgres://a:b@127.0.0.1:1/x";

/// `pgweir check --live` for whoever listens at `address`.
fn live(address: SocketAddr, more: &[&str]) -> Output {
    let mut check = command(&[]);
    check.args(["check", "--live", "--upstream", NOWHERE]);
    check.args(["--listen", &address.to_string()]).args(more);
    check.stdout(Stdio::piped()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_running_proxy_is_asked_whether_it_answers() {
    let proxy = Proxy::run(&["--upstream", NOWHERE, "--auth", "trust"]);
    let address = proxy.address;
    let output = live(address, &[]);
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stdout).contains("(without TLS)"), "{output:?}");
    // It is asked as it is configured, and nobody hears of it in the log.
    let everywhere = SocketAddr::from(([0, 0, 0, 0], address.port()));
    assert!(live(everywhere, &[]).status.success());
    let log = proxy.log_lines().join("\n");
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    drop(proxy);
    let output = live(address, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("refused"), "{output:?}");
}

#[test]
fn where_there_is_tls_the_handshake_is_made() {
    let folder = TempDir::new().unwrap();
    certificates::make(folder.path());
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (cert, key, ca) = (file("server.crt"), file("server.key"), file("ca.crt"));
    let tls = ["--tls-cert", &cert, "--tls-key", &key, "--tls", "require"];
    let arguments = ["--upstream", NOWHERE, "--tls-client-ca", &ca];
    let proxy = Proxy::run(&[&arguments, &tls[..]].concat());
    let output = live(proxy.address, &tls);
    assert!(text(&output.stdout).contains("(with TLS)"), "{output:?}");
    let log = proxy.log_lines().join("\n");
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    let output = live(proxy.address, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("its TLS is not what"),
        "{output:?}"
    );
}

#[test]
fn whoever_else_listens_there_is_not_taken_for_it() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let output = live(address, &[]);
    assert!(
        text(&output.stderr).contains("nothing came within 3 s"),
        "{output:?}"
    );
    let web = std::thread::spawn(move || {
        use std::io::Write as _;
        // The first is the check before, which has gone.
        for _ in 0..2 {
            silent.accept().unwrap().0.write_all(b"HTTP/1.1 400").ok();
        }
    });
    let output = live(address, &[]);
    assert!(
        text(&output.stderr).contains("does not speak"),
        "{output:?}"
    );
    web.join().unwrap();
}

/// The Dockerfile's instructions of its last stage, and one of them.
fn final_stage() -> String {
    let file = read("Dockerfile").replace("\\\n", " ");
    format!("FROM {}", file.rsplit_once("\nFROM ").unwrap().1)
}

fn instruction<'f>(stage: &'f str, name: &str) -> Vec<&'f str> {
    stage
        .lines()
        .filter(|line| line.split(' ').next() == Some(name))
        .collect()
}

#[test]
fn the_images_last_stage_holds_the_binary_alone() {
    let stage = final_stage();
    let copied = ["COPY --from=build /build/target/release/pgweir /usr/local/bin/pgweir"];
    assert_eq!(instruction(&stage, "COPY"), copied);
    assert!(instruction(&stage, "RUN").is_empty() && instruction(&stage, "ADD").is_empty());
    let base = instruction(&stage, "FROM");
    assert!(
        base[0].contains("distroless") && base[0].ends_with(":nonroot"),
        "{base:?}"
    );
    // Exec form: a shell would stand between process 1 and the signals, and there is none.
    let words = |line: &str| {
        line.split_once('[')
            .unwrap()
            .1
            .trim_end_matches(']')
            .to_owned()
    };
    assert_eq!(
        words(instruction(&stage, "ENTRYPOINT")[0]),
        "\"/usr/local/bin/pgweir\""
    );
    let health = instruction(&stage, "HEALTHCHECK")[0].to_owned();
    assert_eq!(
        words(&health),
        "\"/usr/local/bin/pgweir\", \"check\", \"--live\""
    );
    // What the build reads has to reach the builder.
    let ignore = read(".dockerignore");
    for needed in [
        "!Cargo.toml",
        "!Cargo.lock",
        "!src",
        "!tests/main.rs",
        "!benches/main.rs",
    ] {
        assert!(ignore.lines().any(|line| line == needed), "{needed}");
    }
}

/// The libraries that the binary asks for, itself aside.
fn libraries() -> Vec<PathBuf> {
    let output = Command::new("ldd")
        .arg(env!("CARGO_BIN_EXE_pgweir"))
        .output()
        .unwrap();
    let listed = text(&output.stdout);
    let words = listed
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    words.map(PathBuf::from).collect()
}

#[test]
fn the_binary_needs_only_what_the_base_image_has() {
    let has = [
        "libc.so.6",
        "libm.so.6",
        "libgcc_s.so.1",
        "libdl.so.2",
        "libpthread.so.0",
    ];
    for library in libraries() {
        let name = library.file_name().unwrap().to_str().unwrap();
        assert!(
            has.contains(&name) || name.starts_with("ld-linux"),
            "{name}"
        );
    }
}

/// In a root of its own with nothing but itself and its libraries, as process 1 of its own, without
/// rights, configured by the environment alone: as in the image.
#[test]
fn it_runs_in_an_empty_root_as_process_one() {
    if !am_root() {
        eprintln!("NOT CHECKED in an empty root: only root can change it");
        return;
    }
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let put = |from: &Path, to: &str| {
        let to = folder.path().join(to.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    };
    put(
        Path::new(env!("CARGO_BIN_EXE_pgweir")),
        "usr/local/bin/pgweir",
    );
    for library in libraries() {
        put(&library, library.to_str().unwrap());
    }
    let inside = |program: &str, words: &[&str], port: u16| {
        let mut command = Command::new(program);
        command
            .args(words)
            .arg(folder.path())
            .arg("/usr/local/bin/pgweir");
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("PGWEIR_LISTEN", format!("0.0.0.0:{port}"));
        command.env("PGWEIR_UPSTREAM", NOWHERE);
        // Any free one: other tests run at the same time.
        command.env("PGWEIR_ADMIN_LISTEN", "127.0.0.1:0");
        command
    };
    let port = free_port();
    let user = "--userspec=65532:65532";
    let own = ["--pid", "--fork", "--kill-child", "chroot", user];
    let mut process = inside("unshare", &own, port).spawn().unwrap();
    eventually("it answers", || {
        let mut check = inside("chroot", &[user], port);
        let output = check.args(["check", "--live"]).output().unwrap();
        output.status.success().then_some(())
    });
    let child = format!("/proc/{0}/task/{0}/children", process.id());
    let pid = fs::read_to_string(child).unwrap().trim().to_owned();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        status
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap()
            .to_owned()
    };
    assert!(field("NSpid:").ends_with("\t1"), "{status}");
    assert!(field("Uid:").contains("65532"), "{status}");
    let term = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert!(term.success());
    let ended = eventually("it ends", || process.try_wait().unwrap());
    assert!(ended.success(), "{ended}");
}

fn am_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn the_units_are_sound_and_hardened() {
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("NOT CHECKED: the unit files, systemd-analyze is not there");
        return;
    }
    let folder = TempDir::new().unwrap();
    let unit = |name: &str| folder.path().join(name);
    let binary = env!("CARGO_BIN_EXE_pgweir");
    for name in ["pgweir.service", "pgweir.socket"] {
        let text = read(&format!("packaging/systemd/{name}"));
        fs::write(unit(name), text.replace("/usr/bin/pgweir", binary)).unwrap();
    }
    let service = fs::read_to_string(unit("pgweir.service")).unwrap();
    assert!(service.contains(&format!("ExecStart={binary} serve")));
    let run = |words: &[&str], name: &str| {
        let output = Command::new("systemd-analyze")
            .args(words)
            .arg(unit(name))
            .output()
            .unwrap();
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}");
        said
    };
    // Warnings come with success: it says nothing about a unit without faults.
    for name in ["pgweir.service", "pgweir.socket"] {
        let said = run(&["verify", "--man=no"], name);
        assert!(!said.contains("pgweir."), "{said}");
    }
    // From 0 to 10 in tenths, a network service's floor being near 1.
    let security = ["security", "--offline=true", "--threshold=20"];
    run(&security, "pgweir.service");
}

/// Where systemd holds the socket, clients come in where they would otherwise.
#[test]
fn the_socket_unit_is_for_the_usual_address() {
    let unit = read("packaging/systemd/pgweir.socket");
    let output = command(&[])
        .args(["check", "--upstream", NOWHERE])
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    let shown = text(&output.stdout);
    let usual = shown.split("listen.address = \"").nth(1).unwrap();
    let usual = usual.split('"').next().unwrap();
    assert!(
        unit.contains(&format!("\nListenStream={usual}\n")),
        "{usual}"
    );
}

/// An upgrade restarts the service alone: a socket that is closed for a moment refuses clients.
#[test]
fn an_upgrade_of_the_package_leaves_the_socket_open() {
    let manifest = read("Cargo.toml");
    let units = manifest.split("systemd-units = ").nth(1).unwrap();
    let units = units.lines().next().unwrap();
    for wanted in [
        "unit-scripts = \"packaging/systemd\"",
        "restart-after-upgrade = false",
        "stop-on-upgrade = false",
    ] {
        assert!(units.contains(wanted), "{units}");
    }
    let script = read("packaging/debian/postinst");
    let mut commands = script.lines().filter(|line| !line.starts_with('#'));
    assert!(
        commands
            .clone()
            .any(|line| line.contains("try-restart pgweir.service"))
    );
    assert!(!commands.any(|line| line.contains(".socket")));
}

#[test]
fn manifests_keep_to_their_schemas() {
    let Some(python) = std::env::var_os("PGWEIR_TEST_SCHEMAS") else {
        eprintln!("NOT CHECKED: manifests against their schemas, scripts/test.sh fetches them");
        return;
    };
    let script = root().join("tests/packaging/manifests.py");
    let output = Command::new(python)
        .arg(script)
        .arg(root())
        .output()
        .unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// By the types that Grafana publishes, and a compiler that finds faults made on purpose.
#[test]
fn the_dashboard_is_what_grafana_calls_one() {
    let Some(folder) = std::env::var_os("PGWEIR_TEST_GRAFANA") else {
        eprintln!(
            "NOT CHECKED: the dashboard against Grafana's schema, scripts/test.sh fetches it"
        );
        return;
    };
    let output = Command::new("node")
        .arg(root().join("tests/packaging/grafana.mjs"))
        .arg(folder)
        .arg(root().join("packaging/grafana/pgweir.json"))
        .output()
        .unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// What other files of ours are called where they are mounted or installed.
#[test]
fn every_file_that_is_named_is_there() {
    let compose = read("packaging/compose/compose.yaml");
    let mounted = compose.lines().filter_map(|line| {
        let (from, _) = line.trim().strip_prefix("- .")?.split_once(':')?;
        Some(format!(".{from}"))
    });
    let mut count = 0;
    for from in mounted {
        count += 1;
        let path = root().join("packaging/compose").join(&from);
        assert!(path.exists(), "{from}");
    }
    assert!(count >= 3);
    let manifest = read("Cargo.toml");
    let assets = manifest.split("assets = [").nth(1).unwrap();
    let assets = assets.split("\n]").next().unwrap();
    for line in assets.lines().filter(|line| line.contains("[\"")) {
        let from = line.split('"').nth(1).unwrap().trim_end_matches('*');
        // scripts/package.sh makes the first few.
        let made = from.strip_prefix("target/package/");
        let script = read("scripts/package.sh");
        let there = made.map_or_else(
            || root().join(from).exists(),
            |name| {
                let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
                script.contains(&format!("$out/{name}"))
                    || (script.contains(&format!("$out/{stem}.$shell")) && script.contains(ending))
            },
        );
        assert!(there, "{from}");
    }
}

#[test]
fn completions_and_the_manual_page_are_read_by_those_they_are_for() {
    let print = |words: &[&str]| {
        let output = command(&[])
            .args(words)
            .stdout(Stdio::piped())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let folder = TempDir::new().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = folder.path().join(shell);
        fs::write(&script, print(&["completions", shell])).unwrap();
        match Command::new(shell).arg("-n").arg(&script).output() {
            Ok(output) => assert!(output.status.success(), "{output:?}"),
            Err(_) => eprintln!("NOT CHECKED: completions for {shell}, which is not there"),
        }
    }
    // What bash offers behind `pgweir check --l`.
    let ask = "source \"$1\"; COMP_WORDS=(pgweir check --l) COMP_CWORD=2; _pgweir pgweir --l check; \
               printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.args(["-c", ask, "bash"])
        .arg(folder.path().join("bash"));
    let offered = text(&bash.output().unwrap().stdout);
    assert!(offered.lines().any(|word| word == "--live"), "{offered}");
    let page = folder.path().join("pgweir.1");
    fs::write(&page, print(&["man"])).unwrap();
    match Command::new("groff")
        .args(["-man", "-ww", "-Tutf8", "-P-cbou"])
        .arg(&page)
        .output()
    {
        Ok(output) => {
            assert_eq!(text(&output.stderr), "");
            let page = text(&output.stdout);
            assert!(
                page.contains("--from-pgbouncer <INI>") && page.contains("SYNOPSIS"),
                "{page}"
            );
        }
        Err(_) => eprintln!("NOT CHECKED: the manual page, groff is not there"),
    }
}

#[test]
fn the_bill_of_materials_lists_what_is_linked() {
    let output = Command::new(root().join("scripts/sbom.py"))
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let bill: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let components = bill["components"].as_array().unwrap();
    let has = |name: &str| components.iter().any(|component| component["name"] == name);
    assert!(has("tokio") && has("rustls") && !has("proptest") && !has("pgweir"));
    let licensed =
        |component: &serde_json::Value| component["licenses"][0]["expression"].is_string();
    assert!(components.iter().all(licensed));
}
