//! Logging in with a password, whatever the other side asks for.

use std::io;
use std::net::SocketAddr;

use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};

use super::wire::{Client, Frame, Reply, raw, startup};

impl Client {
    /// Logs `user` in to `database` with `password`, unless it is refused in these words.
    pub(crate) fn log_in(
        address: SocketAddr,
        (user, database): (&str, &str),
        password: &str,
    ) -> Result<Self, Reply> {
        let mut client = Self::open(address).unwrap();
        client
            .send(&startup((3, 0), &[("user", user), ("database", database)]))
            .unwrap();
        match client.authenticate(user, password) {
            Ok(()) => Ok(client),
            Err(refusal) => Err(refusal),
        }
    }

    /// Answers what it is asked until it is let in, and reads the greeting.
    fn authenticate(&mut self, user: &str, password: &str) -> Result<(), Reply> {
        let mut scram = None;
        loop {
            let frame = self.next().map_err(|error| lost(&error))?;
            match frame.tag {
                b'E' => return Err(Reply(vec![frame])),
                b'Z' => return Ok(()),
                b'R' => {}
                _ => {
                    self.greeting.push(frame);
                    continue;
                }
            }
            let (kind, data) = frame.body.split_at(4);
            let answer = match u32::from_be_bytes(kind.try_into().unwrap()) {
                0 => continue,
                3 => [password.as_bytes(), b"\0"].concat(),
                5 => {
                    let salt = data.try_into().unwrap();
                    let hash = md5_hash(user.as_bytes(), password.as_bytes(), salt);
                    [hash.as_bytes(), b"\0"].concat()
                }
                10 => {
                    let exchange = scram.insert(ScramSha256::new(
                        password.as_bytes(),
                        ChannelBinding::unsupported(),
                    ));
                    first_message(exchange.message())
                }
                11 => {
                    let exchange = scram.as_mut().unwrap();
                    exchange.update(data).unwrap();
                    exchange.message().to_vec()
                }
                12 => {
                    scram.as_mut().unwrap().finish(data).unwrap();
                    continue;
                }
                other => panic!("authentication request {other}"),
            };
            self.send(&raw(b'p', &answer)).unwrap();
        }
    }
}

fn first_message(data: &[u8]) -> Vec<u8> {
    let length = i32::try_from(data.len()).unwrap().to_be_bytes();
    [SCRAM_SHA_256.as_bytes(), b"\0", &length, data].concat()
}

/// Closed without a word: an error without a SQLSTATE.
fn lost(error: &io::Error) -> Reply {
    let body = format!("M{error}\0\0").into_bytes();
    Reply(vec![Frame { tag: b'E', body }])
}
