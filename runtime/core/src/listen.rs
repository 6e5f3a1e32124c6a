//! Sockets for addresses of both kinds. In goes an address; out comes a listener.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
};

/// Listens on an address. `[::]` takes IPv4 too, and stands for `0.0.0.0` where the kernel has no IPv6.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    or_ipv4(address, TcpListener::bind)
}

fn or_ipv4<T>(address: SocketAddr, bind: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    match bind(address) {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && is_without_ipv6(&error) => {
            bind((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        outcome => outcome,
    }
}

fn is_without_ipv6(error: &io::Error) -> bool {
    [libc::EAFNOSUPPORT, libc::EADDRNOTAVAIL].map(Some).contains(&error.raw_os_error())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn without_ipv6_any_address_means_any_of_ipv4_and_nothing_else_does() {
        let kernel = |error: i32| {
            move |address: SocketAddr| {
                if address.is_ipv6() { Err(io::Error::from_raw_os_error(error)) } else { Ok(address) }
            }
        };
        let any: SocketAddr = "[::]:8080".parse().unwrap();
        for error in [libc::EAFNOSUPPORT, libc::EADDRNOTAVAIL] {
            assert_eq!(or_ipv4(any, kernel(error)).unwrap().to_string(), "0.0.0.0:8080");
        }
        assert!(or_ipv4(any, kernel(libc::EADDRINUSE)).is_err());
        assert!(or_ipv4("[::1]:8080".parse().unwrap(), kernel(libc::EADDRNOTAVAIL)).is_err());
    }
}
