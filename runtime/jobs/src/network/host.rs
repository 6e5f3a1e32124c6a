//! A host with its port, in a form that can be compared: what a URL points to and what a Secret allows.

use std::fmt;

use url::Url;

/// Lower-case host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    host: String,
    port: u16,
    default_port: u16,
}

impl HostPort {
    /// Reads `host`, `host:port`, `[address]` or `[address]:port`; a missing port is `default_port`.
    pub fn parse(text: &str, default_port: u16) -> Option<Self> {
        // The scheme only lends its grammar; what is not a bare authority is refused.
        let url = Url::parse(&format!("http://{text}")).ok()?;
        let bare = url.path() == "/" && !text.contains(['/', '?', '#', '@', '\\', ' ']) && !text.is_empty();
        let written_port = text.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        let port = match written_port {
            Some((_, port)) => port.parse().ok().filter(|port| *port != 0)?,
            None => default_port,
        };
        bare.then(|| Some(Self { host: url.host_str()?.to_owned(), port, default_port })).flatten()
    }

    /// Where a URL points to.
    pub fn of(url: &Url) -> Option<Self> {
        let port = url.port_or_known_default()?;
        let default_port = if url.scheme() == "https" { 443 } else { 80 };
        Some(Self { host: url.host_str()?.to_ascii_lowercase(), port, default_port })
    }

    /// Whether both are the same host and port.
    pub fn matches(&self, other: &Self) -> bool {
        self.host == other.host && self.port == other.port
    }

    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.port == self.default_port {
            formatter.write_str(&self.host)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_missing_port_is_the_schemes_and_case_does_not_count() {
        let secret = HostPort::parse("Example.COM", 443).unwrap();
        assert!(secret.matches(&HostPort::of(&Url::parse("https://example.com/x").unwrap()).unwrap()));
        assert!(!secret.matches(&HostPort::of(&Url::parse("https://example.com:8443/x").unwrap()).unwrap()));
        assert!(!secret.matches(&HostPort::of(&Url::parse("http://example.com/x").unwrap()).unwrap()));
        assert!(!secret.matches(&HostPort::of(&Url::parse("https://a.example.com/").unwrap()).unwrap()));
    }

    #[test]
    fn ports_written_out_are_kept_even_the_usual_ones() {
        assert_eq!(HostPort::parse("minio.team.svc:80", 443).unwrap().authority(), "minio.team.svc:80");
        assert_eq!(HostPort::parse("[::1]:9000", 443).unwrap().authority(), "[::1]:9000");
        assert_eq!(HostPort::parse("[::1]", 443).unwrap().authority(), "[::1]:443");
    }

    #[test]
    fn what_is_not_a_bare_host_is_refused() {
        for text in
            ["", "https://example.com", "example.com/path", "user@example.com", "a b", "host:", "host:0"]
        {
            assert_eq!(HostPort::parse(text, 443), None, "{text:?}");
        }
    }
}
