//! A relay that cuts a connection at a chosen frame.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// Which way the frames go that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Frontend,
    Backend,
}

/// Where to cut, counted from when it is armed and over all connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) direction: Direction,
    /// So many frames pass.
    pub(crate) frames: usize,
    /// And so many bytes of the next one.
    pub(crate) bytes: usize,
    /// A reset instead of an orderly end.
    pub(crate) reset: bool,
}

/// Listens on a port of its own; ends with the process.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    armed: Arc<Shared>,
}

/// What all connections of a relay look at.
#[derive(Debug, Default)]
struct Shared {
    order: Mutex<Order>,
    done: Condvar,
}

#[derive(Debug, Default)]
struct Order {
    cut: Option<Cut>,
    /// It is being carried out: the connection is not closed yet.
    under_way: bool,
}

impl Relay {
    pub(crate) fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let armed = Arc::<Shared>::default();
        let shared = Arc::clone(&armed);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                if let Ok(far) = TcpStream::connect(upstream) {
                    carry(&near, &far, &shared);
                }
            }
        });
        Self { address, armed }
    }

    pub(crate) fn arm(&self, cut: Cut) {
        self.armed.order.lock().unwrap().cut = Some(cut);
    }

    /// Whether the cut has happened, sockets closed and all; if not, it will not any more.
    pub(crate) fn disarm(&self) -> bool {
        let order = self.armed.order.lock().unwrap();
        let mut order = self.armed.done.wait_while(order, |o| o.under_way).unwrap();
        order.cut.take().is_none()
    }
}

/// Two threads, one for each direction.
fn carry(near: &TcpStream, far: &TcpStream, armed: &Arc<Shared>) {
    for (from, to, direction) in [
        (near, far, Direction::Frontend),
        (far, near, Direction::Backend),
    ] {
        from.set_nodelay(true).ok();
        let pipe = Pipe {
            from: from.try_clone().unwrap(),
            to: to.try_clone().unwrap(),
            direction,
            frames: Frames::new(direction),
            armed: Arc::clone(armed),
        };
        thread::spawn(move || pipe.pump());
    }
}

struct Pipe {
    from: TcpStream,
    to: TcpStream,
    direction: Direction,
    frames: Frames,
    armed: Arc<Shared>,
}

impl Pipe {
    fn pump(mut self) {
        let mut chunk = [0; 8192];
        while let Ok(n) = self.from.read(&mut chunk) {
            let bytes = &chunk[..n];
            let cut = self.find_cut(bytes);
            let (keep, reset) = cut.unwrap_or((n, false));
            let written = self.to.write_all(&bytes[..keep.min(n)]);
            if cut.is_some() || n == 0 || written.is_err() {
                self.end(reset);
                if cut.is_some() {
                    self.armed.order.lock().unwrap().under_way = false;
                    self.armed.done.notify_all();
                }
                return;
            }
        }
        self.end(false);
    }

    /// How many of these bytes still pass, if the cut is here.
    fn find_cut(&mut self, bytes: &[u8]) -> Option<(usize, bool)> {
        for (at, byte) in bytes.iter().enumerate() {
            if !self.frames.step(*byte) {
                continue;
            }
            let mut order = self.armed.order.lock().unwrap();
            let cut = order.cut.as_mut();
            match cut.filter(|cut| cut.direction == self.direction) {
                Some(cut) if cut.frames == 0 => {
                    let found = (at + cut.bytes, cut.reset);
                    order.cut = None;
                    order.under_way = true;
                    return Some(found);
                }
                Some(cut) => cut.frames -= 1,
                None => {}
            }
        }
        None
    }

    fn end(&self, reset: bool) {
        for stream in [&self.from, &self.to] {
            if reset {
                socket2::SockRef::from(stream)
                    .set_linger(Some(Duration::ZERO))
                    .ok();
            }
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

/// Finds where frames begin.
struct Frames {
    /// Bytes of the head still to come, the head so far, and bytes of the body still to come.
    head: Vec<u8>,
    head_size: usize,
    body: usize,
}

impl Frames {
    /// The first frame of a client has no tag.
    fn new(direction: Direction) -> Self {
        let head_size = if direction == Direction::Frontend {
            4
        } else {
            5
        };
        Self {
            head: Vec::new(),
            head_size,
            body: 0,
        }
    }

    /// Takes a byte; true when a frame begins with it.
    fn step(&mut self, byte: u8) -> bool {
        if self.body > 0 {
            self.body -= 1;
            return false;
        }
        let first = self.head.is_empty();
        self.head.push(byte);
        if self.head.len() == self.head_size {
            let size = &self.head[self.head_size - 4..];
            let size = u32::from_be_bytes(size.try_into().unwrap());
            self.body = usize::try_from(size).unwrap() - 4;
            self.head.clear();
            self.head_size = 5;
        }
        first
    }
}
