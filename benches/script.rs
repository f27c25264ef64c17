//! What is asked: one text with variables, for pgbench as for the load client.

use pgweir::wire::frame;

/// How it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Simple,
    Extended,
    Prepared,
}

impl Protocol {
    pub(crate) const ALL: [Self; 3] = [Self::Simple, Self::Extended, Self::Prepared];

    /// As pgbench calls it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Extended => "extended",
            Self::Prepared => "prepared",
        }
    }
}

/// A statement.
#[derive(Debug)]
pub(crate) struct Script {
    /// The name of its file, and of the prepared statement.
    pub(crate) name: &'static str,
    /// Names, and the least and the most of the whole numbers that they stand for.
    variables: &'static [(&'static str, u32, u32)],
    /// With `:name` for a variable.
    sql: &'static str,
}

/// What nobody has asked before: the second number makes the text a new one, and is never less
/// than the column.
pub(crate) static MISS: Script = Script {
    name: "miss",
    variables: &[("aid", 1, 100_000), ("n", 10, 2_000_000_000)],
    sql: "SELECT abalance FROM pgbench_accounts WHERE aid = :aid AND bid < :n",
};

/// One of a hundred texts: all of them are soon in any cache.
pub(crate) static HIT: Script = Script {
    name: "hit",
    variables: &[("aid", 1, 100)],
    sql: "SELECT abalance FROM pgbench_accounts WHERE aid = :aid",
};

/// Rows enough that clients seldom wait for each other.
pub(crate) static WRITE: Script = Script {
    name: "write",
    variables: &[("aid", 1, 100_000)],
    sql: "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :aid",
};

/// A write to a table that nobody reads.
pub(crate) static APART: Script = Script {
    name: "apart",
    variables: &[("aid", 1, 100_000)],
    sql: "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) \
          VALUES (1, 1, :aid, 1, CURRENT_TIMESTAMP)",
};

/// A hundred rows of a KiB, never asked before.
pub(crate) static LARGE_MISS: Script = Script {
    name: "large-miss",
    variables: &[("part", 1, 10), ("n", 10_000, 2_000_000_000)],
    sql: "SELECT id, filler FROM large WHERE part = :part AND id < :n",
};

/// The same, asked before.
pub(crate) static LARGE_HIT: Script = Script {
    name: "large-hit",
    variables: &[("part", 1, 10)],
    sql: "SELECT id, filler FROM large WHERE part = :part",
};

/// What a client asks that comes for one query.
pub(crate) static ONE: Script = Script {
    name: "one",
    variables: &[],
    sql: "SELECT 1",
};

/// All of them.
pub(crate) static ALL: [&Script; 7] = [&MISS, &HIT, &WRITE, &APART, &LARGE_MISS, &LARGE_HIT, &ONE];

impl Script {
    /// Its file for pgbench.
    pub(crate) fn pgbench(&self) -> String {
        let mut text = String::new();
        for (name, least, most) in self.variables {
            text += &format!("\\set {name} random({least}, {most})\n");
        }
        text + self.sql + ";\n"
    }

    /// What is sent once, before the first [`request`](Self::request).
    pub(crate) fn prepare(&self, protocol: Protocol, out: &mut Vec<u8>) {
        if protocol == Protocol::Prepared {
            self.parse(self.name, out);
            sync(out);
        }
    }

    /// The messages that ask it with other numbers, up to a Query, or without a Sync behind them.
    pub(crate) fn request(&self, protocol: Protocol, out: &mut Vec<u8>) {
        let values = self.variables.iter();
        let values = values.map(|(name, least, most)| (*name, fastrand::u32(*least..=*most)));
        if protocol == Protocol::Simple {
            let mut text = self.sql.to_owned();
            for (name, value) in values {
                text = text.replace(&format!(":{name}"), &value.to_string());
            }
            frame::push(out, b'Q', &[text.as_bytes(), b"\0"]);
            return;
        }
        let statement = if protocol == Protocol::Prepared {
            self.name
        } else {
            self.parse("", out);
            ""
        };
        let mut body = Vec::with_capacity(64);
        body.push(0);
        body.extend_from_slice(statement.as_bytes());
        // Ends the name; parameters are in text.
        body.extend_from_slice(&[0, 0, 0]);
        body.extend_from_slice(&short(self.variables.len()));
        for (_, value) in values {
            let text = value.to_string();
            body.extend_from_slice(&[0, 0]);
            body.extend_from_slice(&short(text.len()));
            body.extend_from_slice(text.as_bytes());
        }
        // So are results.
        body.extend_from_slice(&[0, 0]);
        frame::push(out, b'B', &[&body]);
        frame::push(out, b'D', &[b"P\0"]);
        frame::push(out, b'E', &[b"\0", &[0; 4]]);
    }

    fn parse(&self, name: &str, out: &mut Vec<u8>) {
        let mut text = self.sql.to_owned();
        for (n, (variable, ..)) in self.variables.iter().enumerate() {
            text = text.replace(&format!(":{variable}"), &format!("${}", n + 1));
        }
        let parts: [&[u8]; 4] = [name.as_bytes(), b"\0", text.as_bytes(), b"\0\0\0"];
        frame::push(out, b'P', &parts);
    }
}

/// The end of a request.
pub(crate) fn sync(out: &mut Vec<u8>) {
    frame::push(out, b'S', &[]);
}

/// A count as two bytes; all of ours are small.
fn short(n: usize) -> [u8; 2] {
    u16::try_from(n).unwrap_or(u16::MAX).to_be_bytes()
}
