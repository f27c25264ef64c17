//! A proxy that caches as nobody should.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use super::wire::Client;
use super::{eventually, free_port};
use crate::hazards;

/// The negative control: it lives beside the repository, with the hazard checks.
pub(crate) struct Naive {
    pub(crate) address: SocketAddr,
    process: Child,
}

impl Naive {
    /// None, loudly, where there is none.
    pub(crate) fn start(upstream: SocketAddr, mode: &str) -> Option<Self> {
        let program = hazards::folder()?.join("naive_proxy.py");
        let port = free_port();
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "python3", "-B"])
            .arg(program)
            .args([port.to_string(), upstream.port().to_string()])
            .arg(mode)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let settings = [("user", "postgres"), ("database", "postgres")];
        eventually("the naive proxy to listen", || {
            Client::connect(address, &settings).ok()
        });
        Some(Self { address, process })
    }
}

impl Drop for Naive {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
