//! Where a database is: PgBouncer's connection strings and TLS settings as one URL.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What may stand in a URL as it is.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Where PgBouncer connects to by default.
const PORT: &str = "5432";

/// A place, before it is a URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Names, addresses or directories of sockets, as PgBouncer lists them.
    pub(super) hosts: Vec<String>,
    /// One for all hosts, or one for each.
    pub(super) ports: Vec<String>,
    /// Settings of the session, for `options`.
    pub(super) options: Vec<(String, String)>,
    pub(super) application_name: Option<String>,
    /// Query keys that all databases share: TLS.
    pub(super) query: Vec<(&'static str, String)>,
}

impl Place {
    /// The URL, with this login in front.
    pub(super) fn url(&self, login: Option<(&str, Option<&str>)>) -> String {
        let mut url = String::from("postgres://");
        if let Some((user, password)) = login {
            put(&mut url, escaped(user));
            if let Some(password) = password {
                put(&mut url, format!(":{}", escaped(password)));
            }
            url.push('@');
        }
        let mut query: Vec<(&str, String)> = Vec::new();
        // A directory cannot stand where a host does, so then all hosts go behind the question mark.
        if self.hosts.iter().any(|host| host.starts_with('/')) {
            query.push(("host", self.hosts.join(",")));
            query.push(("port", self.ports().join(",")));
        } else {
            let places = self.hosts.iter().zip(self.ports()).map(|(host, port)| {
                if host.contains(':') {
                    format!("[{host}]:{port}")
                } else {
                    format!("{host}:{port}")
                }
            });
            put(&mut url, places.collect::<Vec<_>>().join(","));
        }
        query.extend(self.query.iter().cloned());
        if !self.options.is_empty() {
            let set = self.options.iter().map(|(name, value)| {
                // Postgres splits options at spaces, but for escaped ones.
                let value = value.replace('\\', "\\\\").replace(' ', "\\ ");
                format!("-c {name}={value}")
            });
            query.push(("options", set.collect::<Vec<_>>().join(" ")));
        }
        if let Some(name) = &self.application_name {
            query.push(("application_name", name.clone()));
        }
        for (at, (key, value)) in query.iter().enumerate() {
            let before = if at == 0 { '?' } else { '&' };
            put(&mut url, format!("{before}{key}={}", escaped(value)));
        }
        url
    }

    /// As many as there are hosts.
    fn ports(&self) -> Vec<String> {
        let first = self.ports.first().map_or(PORT, String::as_str);
        (0..self.hosts.len())
            .map(|at| self.ports.get(at).map_or(first, String::as_str).to_owned())
            .collect()
    }
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

fn put(url: &mut String, part: String) {
    // Writing to a String cannot fail.
    let _infallible = write!(url, "{part}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Target;

    fn place(hosts: &[&str], ports: &[&str]) -> Place {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Place {
            hosts: own(hosts),
            ports: own(ports),
            ..Place::default()
        }
    }

    #[test]
    fn urls_are_read_back_as_they_were_meant() {
        let url = place(&["a", "::1"], &["1"]).url(Some(("u@x", Some("p:/%"))));
        let target = Target::parse(&url).unwrap();
        assert_eq!(target.user, "u@x");
        assert_eq!(target.password.unwrap().expose(), "p:/%");
        assert_eq!(url, "postgres://u%40x:p%3A%2F%25@a:1,[::1]:1");
        let mut socket = place(&["/run/postgresql"], &[]);
        socket.options = vec![("datestyle".to_owned(), "ISO, DMY".to_owned())];
        let target = Target::parse(&socket.url(None)).unwrap();
        assert_eq!(target.hosts.len(), 1);
        let options = ("options".to_owned(), "-c datestyle=ISO,\\ DMY".to_owned());
        assert_eq!(target.parameters, [options]);
    }
}
