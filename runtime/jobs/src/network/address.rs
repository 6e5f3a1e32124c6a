//! Which addresses a source or a store may live at. A user names a host, and the pod that connects to it may reach
//! more than the user: the node's metadata service, the loopback of its own pod, other teams' Services. In goes an
//! address; out comes whether it may be connected to. [`GuardedResolver`] makes the HTTP client connect only to
//! addresses that passed, so that a name cannot change its answer between the check and the connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressClass {
    /// Anyone's on the internet.
    Public,
    /// Of a private network: RFC 1918, carrier-grade NAT, unique local, benchmarking.
    Private,
    /// Of this very pod.
    Loopback,
    /// Of this very link: the node, and most clouds' metadata services.
    LinkLocal,
    /// A cloud's metadata service outside the link-local range.
    Metadata,
    /// No address at all.
    Unspecified,
    /// A group of hosts.
    Multicast,
    /// Set aside for documentation or for later.
    Reserved,
}

impl AddressClass {
    pub fn describe(self) -> &'static str {
        match self {
            Self::Public => "a public address",
            Self::Private => "in a private range",
            Self::Loopback => "a loopback address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a cloud's metadata service",
            Self::Unspecified => "the unspecified address",
            Self::Multicast => "a multicast address",
            Self::Reserved => "in a reserved range",
        }
    }
}

/// Which classes may be connected to. Public ones always may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    pub allow_private: bool,
    /// Whether [`AddressClass::Loopback`] may: for tests on one machine only.
    pub allow_loopback: bool,
}

/// An address that the policy does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{host} is at {address}, which is {}; {}", .class.describe(), advice(*.class))]
pub struct AddressRefused {
    /// The host as it was written.
    pub host: String,
    pub address: IpAddr,
    pub class: AddressClass,
}

fn advice(class: AddressClass) -> &'static str {
    match class {
        AddressClass::Private => {
            "private addresses are refused unless the operator allows private networks (chart value \
             `fetch.allowPrivateNetworks`)"
        }
        _ => "such addresses are never connected to; use a host that other machines can reach",
    }
}

impl AddressPolicy {
    /// Refuses an address that may not be connected to.
    pub fn check(self, host: &str, address: IpAddr) -> Result<(), AddressRefused> {
        let class = classify(address);
        let allowed = match class {
            AddressClass::Public => true,
            AddressClass::Private => self.allow_private,
            AddressClass::Loopback => self.allow_loopback,
            _ => false,
        };
        if allowed { Ok(()) } else { Err(AddressRefused { host: host.to_owned(), address, class }) }
    }
}

/// Says what an address is for.
pub fn classify(address: IpAddr) -> AddressClass {
    match address {
        IpAddr::V4(address) => classify_v4(address),
        IpAddr::V6(address) => classify_v6(address),
    }
}

fn classify_v4(address: Ipv4Addr) -> AddressClass {
    let [a, b, c, d] = address.octets();
    match (a, b, c, d) {
        (0, 0, 0, 0) => AddressClass::Unspecified,
        (127, ..) => AddressClass::Loopback,
        (169, 254, ..) => AddressClass::LinkLocal,
        (100, 100, 100, 200) | (192, 0, 0, 192) | (168, 63, 129, 16) => AddressClass::Metadata,
        (10, ..) | (172, 16..=31, ..) | (192, 168, ..) | (100, 64..=127, ..) | (198, 18..=19, ..) => {
            AddressClass::Private
        }
        (224..=239, ..) => AddressClass::Multicast,
        (0 | 240..=255, ..)
        | (192, 0, 0 | 2, _)
        | (192, 88, 99, _)
        | (198, 51, 100, _)
        | (203, 0, 113, _) => AddressClass::Reserved,
        _ => AddressClass::Public,
    }
}

fn classify_v6(address: Ipv6Addr) -> AddressClass {
    if address.is_unspecified() {
        return AddressClass::Unspecified;
    }
    if address.is_loopback() {
        return AddressClass::Loopback;
    }
    if let Some(embedded) = embedded_v4(address) {
        return classify_v4(embedded);
    }
    match address.segments() {
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254] => AddressClass::Metadata,
        [first, ..] if first & 0xffc0 == 0xfe80 => AddressClass::LinkLocal,
        [first, ..] if first & 0xff00 == 0xff00 => AddressClass::Multicast,
        [first, ..] if first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfec0 => AddressClass::Private,
        // NAT64 of the operator's own network, and the benchmarking range.
        [0x0064, 0xff9b, 1, ..] | [0x2001, 0x0002, 0, ..] => AddressClass::Private,
        [0x2001, 0x0db8, ..] | [0x0100, 0, 0, 0, ..] => AddressClass::Reserved,
        [first, ..] if first & 0xe000 == 0x2000 => AddressClass::Public,
        _ => AddressClass::Reserved,
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, NAT64, 6to4 or Teredo.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [s0, s1, s2, s3, s4, s5, s6, s7] = address.segments();
    let pair = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (s0, s1, s2, s3, s4, s5) {
        (0, 0, 0, 0, 0, 0 | 0xffff) | (0, 0, 0, 0, 0xffff, 0) | (0x0064, 0xff9b, 0, 0, 0, 0) => {
            Some(pair(s6, s7))
        }
        (0x2002, high, low, ..) => Some(pair(high, low)),
        (0x2001, 0, ..) => Some(pair(!s6, !s7)),
        _ => None,
    }
}

/// Resolves names by the system and passes on only the addresses that the policy allows.
#[derive(Clone, Copy, Debug)]
pub struct GuardedResolver {
    policy: AddressPolicy,
}

impl GuardedResolver {
    /// A resolver for one policy.
    pub fn new(policy: AddressPolicy) -> Self {
        Self { policy }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.policy;
        Box::pin(async move {
            let host = name.as_str();
            let mut allowed = Vec::new();
            let mut refused = None;
            for address in tokio::net::lookup_host((host, 0)).await? {
                match policy.check(host, address.ip()) {
                    Ok(()) => allowed.push(address),
                    Err(error) => refused = Some(error),
                }
            }
            match refused {
                Some(error) if allowed.is_empty() => Err(error.into()),
                _ => {
                    Ok(Box::new(allowed.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send> as Addrs)
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const STRICT: AddressPolicy = AddressPolicy { allow_private: false, allow_loopback: false };
    const PRIVATE: AddressPolicy = AddressPolicy { allow_private: true, allow_loopback: false };

    #[test]
    fn each_range_has_its_class_at_both_ends() {
        use AddressClass::{
            LinkLocal, Loopback, Metadata, Multicast, Private, Public, Reserved, Unspecified,
        };
        let table = [
            ("0.0.0.0", Unspecified),
            ("0.0.0.1", Reserved),
            ("9.255.255.255", Public),
            ("10.0.0.0", Private),
            ("10.255.255.255", Private),
            ("11.0.0.0", Public),
            ("100.63.255.255", Public),
            ("100.64.0.0", Private),
            ("100.127.255.255", Private),
            ("100.128.0.0", Public),
            ("100.100.100.200", Metadata),
            ("127.0.0.1", Loopback),
            ("127.255.255.255", Loopback),
            ("128.0.0.0", Public),
            ("168.63.129.16", Metadata),
            ("169.253.255.255", Public),
            ("169.254.0.0", LinkLocal),
            ("169.254.169.254", LinkLocal),
            ("169.255.0.0", Public),
            ("172.15.255.255", Public),
            ("172.16.0.0", Private),
            ("172.31.255.255", Private),
            ("172.32.0.0", Public),
            ("192.0.0.192", Metadata),
            ("192.0.2.1", Reserved),
            ("192.167.255.255", Public),
            ("192.168.0.0", Private),
            ("192.169.0.0", Public),
            ("198.17.255.255", Public),
            ("198.18.0.0", Private),
            ("198.19.255.255", Private),
            ("198.20.0.0", Public),
            ("223.255.255.255", Public),
            ("224.0.0.1", Multicast),
            ("239.255.255.255", Multicast),
            ("255.255.255.255", Reserved),
            ("::", Unspecified),
            ("::1", Loopback),
            ("fe80::1", LinkLocal),
            ("febf::1", LinkLocal),
            ("fec0::1", Private),
            ("fc00::1", Private),
            ("fdff::1", Private),
            ("fd00:ec2::254", Metadata),
            ("ff02::1", Multicast),
            ("2001:db8::1", Reserved),
            ("2606:4700::1111", Public),
            // An IPv4 address in the clothes of an IPv6 address is what it stands for.
            ("::ffff:127.0.0.1", Loopback),
            ("::ffff:169.254.169.254", LinkLocal),
            ("::ffff:10.1.2.3", Private),
            ("::ffff:0.0.0.0", Unspecified),
            ("::ffff:224.0.0.1", Multicast),
            ("::ffff:1.1.1.1", Public),
            ("::127.0.0.1", Loopback),
            ("64:ff9b::169.254.169.254", LinkLocal),
            ("64:ff9b::8.8.8.8", Public),
            ("64:ff9b:1::1", Private),
            ("2002:7f00:1::", Loopback),
            ("2002:a9fe:a9fe::1", LinkLocal),
            ("2001:0:1:2:3:4:80ff:fffe", Loopback),
        ];
        for (text, expected) in table {
            assert_eq!(classify(text.parse().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn private_addresses_pass_only_when_allowed_and_loopback_and_metadata_do_not_pass_with_them() {
        let check = |policy: AddressPolicy, text: &str| policy.check("host", text.parse().unwrap()).is_ok();
        assert!(check(STRICT, "1.1.1.1"));
        assert!(!check(STRICT, "10.0.0.1"));
        assert!(check(PRIVATE, "10.0.0.1"));
        assert!(check(PRIVATE, "fd12::1"));
        for never in
            ["127.0.0.1", "::1", "169.254.169.254", "fe80::1", "0.0.0.0", "fd00:ec2::254", "224.0.0.1"]
        {
            assert!(!check(PRIVATE, never), "{never}");
        }
        assert!(check(AddressPolicy { allow_private: false, allow_loopback: true }, "127.0.0.1"));
    }

    #[test]
    fn a_refusal_names_host_address_and_what_to_do() {
        let error = STRICT.check("minio.team.svc", "10.1.2.3".parse().unwrap()).unwrap_err().to_string();
        for part in ["minio.team.svc", "10.1.2.3", "private", "allowPrivateNetworks"] {
            assert!(error.contains(part), "{part} is missing in: {error}");
        }
    }

    #[tokio::test]
    async fn a_name_that_resolves_only_to_loopback_is_refused_by_the_resolver() {
        let resolve = |policy| GuardedResolver::new(policy).resolve("localhost".parse().unwrap());
        let error = resolve(PRIVATE).await.err().unwrap();
        assert_eq!(error.downcast_ref::<AddressRefused>().unwrap().class, AddressClass::Loopback);
        let policy = AddressPolicy { allow_private: false, allow_loopback: true };
        assert!(resolve(policy).await.unwrap().count() > 0);
    }

    proptest! {
        #[test]
        fn mapped_addresses_are_classed_as_the_ipv4_address_they_hold(bits: u32) {
            let v4 = Ipv4Addr::from(bits);
            prop_assert_eq!(classify(IpAddr::V6(v4.to_ipv6_mapped())), classify(IpAddr::V4(v4)));
        }

        #[test]
        fn loopback_and_link_local_never_pass_without_the_flag_for_tests(bits: u128, private: bool) {
            let address = Ipv6Addr::from(bits);
            let policy = AddressPolicy { allow_private: private, allow_loopback: false };
            let unsafe_address = address.is_loopback() || address.is_unspecified() || address.is_multicast()
                || address.is_unicast_link_local();
            if unsafe_address {
                prop_assert!(policy.check("host", IpAddr::V6(address)).is_err());
            }
        }
    }
}
