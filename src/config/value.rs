//! How each type of value is read from text and written back: flags, variables and the file agree.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::fault::Fault;
use super::word::Word;
use super::{Network, Secret, Target};
use crate::amount::{self, Share, Size};

/// How a value stands in TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `"text"`
    Text,
    /// `123`
    Count,
    /// `true` or `false`
    Truth,
    /// `["text", "text"]`; with commas between where there is only a text.
    List,
}

impl Kind {
    /// `text` as a TOML value of this kind.
    pub fn render(self, text: &str) -> String {
        match self {
            Self::Text => quote(text),
            Self::Count | Self::Truth => text.to_owned(),
            Self::List => {
                let items: Vec<String> = text
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty())
                    .map(quote)
                    .collect();
                format!("[{}]", items.join(", "))
            }
        }
    }
}

/// `text` as a TOML basic string on one line.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A type that a setting can have.
pub(super) trait Value: Clone + PartialEq {
    const KIND: Kind;

    /// Takes a value from text.
    fn read(text: &str) -> Result<Self, Fault>;

    /// The text again, `None` for an absent value. Passwords come out masked.
    fn write(&self) -> Option<String>;
}

impl<T: Word + PartialEq> Value for T {
    const KIND: Kind = Kind::Text;

    fn read(text: &str) -> Result<Self, Fault> {
        Self::from_word(text)
    }

    fn write(&self) -> Option<String> {
        Some(self.as_str().to_owned())
    }
}

impl<T: Value> Value for Option<T> {
    const KIND: Kind = T::KIND;

    fn read(text: &str) -> Result<Self, Fault> {
        T::read(text).map(Some)
    }

    fn write(&self) -> Option<String> {
        self.as_ref().and_then(Value::write)
    }
}

impl Value for usize {
    const KIND: Kind = Kind::Count;

    fn read(text: &str) -> Result<Self, Fault> {
        // What is counted fits 32 bits everywhere; more is a typing error.
        text.parse::<u32>()
            .ok()
            .and_then(|count| Self::try_from(count).ok())
            .ok_or_else(|| {
                Fault::new(
                    format!("`{text}` is not a whole number from 0 to {}", u32::MAX),
                    "write digits only, such as 100",
                )
            })
    }

    fn write(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for String {
    const KIND: Kind = Kind::Text;

    fn read(text: &str) -> Result<Self, Fault> {
        if text.trim().is_empty() {
            return Err(Fault::new(
                "the value is empty",
                "write a value or leave the setting out",
            ));
        }
        Ok(text.to_owned())
    }

    fn write(&self) -> Option<String> {
        Some(self.clone())
    }
}

/// A text that may be empty, which means that there is to be none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Perhaps(pub Option<String>);

impl Value for Perhaps {
    const KIND: Kind = Kind::Text;

    fn read(text: &str) -> Result<Self, Fault> {
        let text = text.trim();
        Ok(Self((!text.is_empty()).then(|| text.to_owned())))
    }

    fn write(&self) -> Option<String> {
        Some(self.0.clone().unwrap_or_default())
    }
}

impl Value for PathBuf {
    const KIND: Kind = Kind::Text;

    fn read(text: &str) -> Result<Self, Fault> {
        String::read(text).map(Self::from)
    }

    fn write(&self) -> Option<String> {
        Some(self.display().to_string())
    }
}

impl Value for Secret {
    const KIND: Kind = Kind::Text;

    fn read(text: &str) -> Result<Self, Fault> {
        String::read(text).map(Self::new)
    }

    fn write(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for Target {
    const KIND: Kind = Kind::Text;

    fn read(text: &str) -> Result<Self, Fault> {
        Self::parse(text)
    }

    fn write(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// A year: "never" for a process, and far from what overflows a clock.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

impl Value for Duration {
    const KIND: Kind = Kind::Text;

    fn read(text: &str) -> Result<Self, Fault> {
        let duration = amount::read_duration(text).ok_or_else(|| {
            Fault::new(
                format!("`{text}` is not a duration"),
                "write a whole number with its unit: 250ms, 15s, 10m or 1h",
            )
        })?;
        if duration > DURATION_MAX {
            return Err(Fault::new(
                format!("`{text}` is longer than a year"),
                "write 8760h or less",
            ));
        }
        Ok(duration)
    }

    fn write(&self) -> Option<String> {
        Some(amount::write_duration(*self))
    }
}

impl Value for Size {
    const KIND: Kind = Kind::Text;

    fn read(text: &str) -> Result<Self, Fault> {
        let sized = Self::read(text).filter(|size| usize::try_from(size.0).is_ok());
        sized.ok_or_else(|| {
            Fault::new(
                format!("`{text}` is not a size"),
                "write a whole number with its unit: 64KiB, 256MiB or 1GiB",
            )
        })
    }

    fn write(&self) -> Option<String> {
        Some(Self::write(*self))
    }
}

impl Value for Share {
    const KIND: Kind = Kind::Text;

    fn read(text: &str) -> Result<Self, Fault> {
        Self::read(text).ok_or_else(|| {
            Fault::new(
                format!("`{text}` is not a share"),
                "write a percentage from 0% to 100%, such as 1% or 0.1%",
            )
        })
    }

    fn write(&self) -> Option<String> {
        Some(Self::write(*self))
    }
}

impl Value for bool {
    const KIND: Kind = Kind::Truth;

    fn read(text: &str) -> Result<Self, Fault> {
        text.parse().map_err(|_neither| {
            Fault::new(
                format!("`{text}` is neither true nor false"),
                "write true or false",
            )
        })
    }

    fn write(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// Names, of users for instance.
impl Value for Vec<String> {
    const KIND: Kind = Kind::List;

    fn read(text: &str) -> Result<Self, Fault> {
        let items = text.split(',').map(str::trim);
        Ok(items
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect())
    }

    fn write(&self) -> Option<String> {
        Some(self.join(","))
    }
}

/// A duration as every setting writes it, for flags that are no settings.
///
/// # Errors
/// When it is not one.
pub fn read_duration(text: &str) -> Result<Duration, Fault> {
    Value::read(text)
}

impl Value for Vec<Network> {
    const KIND: Kind = Kind::List;

    fn read(text: &str) -> Result<Self, Fault> {
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(network)
            .collect()
    }

    fn write(&self) -> Option<String> {
        let items: Vec<String> = self
            .iter()
            .map(|network| format!("{}/{}", network.address, network.prefix))
            .collect();
        Some(items.join(","))
    }
}

/// `address/prefix`, or an address alone.
fn network(text: &str) -> Result<Network, Fault> {
    let refused = |what: String| {
        Err(Fault::new(
            what,
            "write a network such as 10.0.0.0/8, fd00::/8 or 192.0.2.7",
        ))
    };
    let (address, prefix) = text
        .split_once('/')
        .map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let Ok(address) = address.parse::<IpAddr>() else {
        return refused(format!("`{text}` is not an address or network"));
    };
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix.map(str::parse::<u8>) {
        None => bits,
        Some(Ok(prefix)) if prefix <= bits => prefix,
        Some(_) => return refused(format!("`{text}` has no prefix from 0 to {bits}")),
    };
    let network = Network { address, prefix };
    // Clients' mapped addresses are compared as IPv4, so such a network would hold nobody.
    if address.to_canonical() != address {
        return refused(format!("`{text}` is IPv4 written as IPv6"));
    }
    if first(network) != address {
        return Err(Fault::new(
            format!("`{text}` has bits set behind its prefix"),
            format!(
                "write {}/{prefix} for the network or {address} for the host",
                first(network)
            ),
        ));
    }
    Ok(network)
}

/// The network's lowest address.
fn first(network: Network) -> IpAddr {
    match network.address {
        IpAddr::V4(ip) => {
            let shift = 32 - u32::from(network.prefix.min(32));
            IpAddr::V4(
                (u32::from(ip)
                    .checked_shr(shift)
                    .unwrap_or(0)
                    .checked_shl(shift)
                    .unwrap_or(0))
                .into(),
            )
        }
        IpAddr::V6(ip) => {
            let shift = 128 - u32::from(network.prefix.min(128));
            IpAddr::V6(
                (u128::from(ip)
                    .checked_shr(shift)
                    .unwrap_or(0)
                    .checked_shl(shift)
                    .unwrap_or(0))
                .into(),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_come_back() {
        for (text, millis) in [
            ("250ms", 250),
            ("15s", 15_000),
            ("10m", 600_000),
            ("1h", 3_600_000),
            ("0s", 0),
        ] {
            let duration = Duration::read(text).unwrap();
            assert_eq!(duration, Duration::from_millis(millis), "{text}");
            assert_eq!(duration.write().as_deref(), Some(text));
        }
        assert_eq!(Duration::from_secs(90).write().as_deref(), Some("90s"));
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "1.5s",
            "1 s",
            "5 minutes",
            "1d",
            "99999999999999999999s",
            "6000000000000h",
            "8761h",
        ] {
            assert!(Duration::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn counts_are_whole_and_bounded() {
        assert_eq!(usize::read("4294967295"), Ok(4_294_967_295));
        for text in ["", "-1", "1e3", "4294967296", "1_000", " 1"] {
            assert!(usize::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn networks_are_canonical() {
        let text = "10.0.0.0/8,192.0.2.7/32,fd00::/8,0.0.0.0/0,::/0";
        let networks =
            Vec::<Network>::read("10.0.0.0/8, 192.0.2.7 ,fd00::/8,0.0.0.0/0,::/0").unwrap();
        assert_eq!(networks.write().as_deref(), Some(text));
        assert_eq!(Vec::<Network>::read(text), Ok(networks.clone()));
        assert!(networks[0].contains("10.9.9.9".parse().unwrap()));
        assert!(networks[0].contains("::ffff:10.9.9.9".parse().unwrap()));
        assert!(!networks[0].contains("11.0.0.0".parse().unwrap()));
        assert!(networks[3].contains("11.0.0.0".parse().unwrap()));
        for (text, part) in [
            ("10.0.0.1/8", "write 10.0.0.0/8"),
            ("10.0.0.0/33", "0 to 32"),
            ("fd00::1/8", "write fd00::/8"),
            ("::ffff:10.0.0.0/104", "IPv4 written as IPv6"),
            ("localhost", "not an address"),
            ("10.0.0.0/", "prefix"),
        ] {
            let fault = Vec::<Network>::read(text).unwrap_err().to_string();
            assert!(fault.contains(part), "{text}: {fault}");
        }
    }

    #[test]
    fn rendered_values_are_toml() {
        for text in [
            "plain",
            "a \"quoted\" \\ text",
            "two\nlines\tand \u{1} \u{7f} é",
        ] {
            let document = format!("key = {}", Kind::Text.render(text));
            let table: toml::Table = document.parse().unwrap();
            assert_eq!(table["key"].as_str(), Some(text), "{document}");
        }
        assert_eq!(Kind::List.render(""), "[]");
        assert_eq!(Kind::List.render("a, b,"), r#"["a", "b"]"#);
        assert_eq!(Kind::Count.render("7"), "7");
    }
}
