//! Answers that are written and not yet received. In go the ports that are served and the kernel's own list of
//! connections; out comes how many of them still hold bytes for a client. Read during a drain only: requests pay nothing.
//!
//! A server that has handed an answer over to the kernel, or to its HTTP library, is not done with it: a client that reads
//! slowly has megabytes of it before it, also behind a connection that was closed, and they are lost with the pod.

use std::{collections::BTreeSet, fs};

/// Where the kernel lists the connections of this network namespace.
const LISTS: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
/// States whose queue holds no data of ours: a request to connect, what is over, and a listener.
const WITHOUT_DATA: [&str; 4] = ["03", "06", "07", "0A"];

/// Connections of these local ports whose clients have not received everything. None where the kernel does not tell.
pub fn count(ports: &BTreeSet<u16>) -> i64 {
    let sending = |list: &str| list.lines().filter(|line| is_sending(line, ports)).count();
    let lists = LISTS.iter().filter_map(|path| fs::read_to_string(path).ok());
    i64::try_from(lists.map(|list| sending(&list)).sum::<usize>()).unwrap_or(i64::MAX)
}

/// A line is `number: address:port address:port state sent:received …`, in hexadecimal; the header has no port.
fn is_sending(line: &str, ports: &BTreeSet<u16>) -> bool {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (Some(local), Some(_), Some(state), Some(queues)) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return false;
    };
    let port = local.rsplit_once(':').and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
    let waiting = queues.split_once(':').and_then(|(sent, _)| u64::from_str_radix(sent, 16).ok());
    port.is_some_and(|port| ports.contains(&port))
        && !WITHOUT_DATA.contains(&state)
        && waiting.is_some_and(|bytes| bytes > 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn only_connections_of_our_ports_with_bytes_to_send_count() {
        let ports = BTreeSet::from([8080]);
        for (line, sends) in [
            (" sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt", false),
            ("  0: 0100007F:1F90 0100007F:C350 01 00000400:00000000 00:00000000 00000000", true),
            ("  1: 0100007F:1F90 0100007F:C350 01 00000000:00000400 00:00000000 00000000", false),
            ("  2: 0100007F:1F91 0100007F:C350 01 00000400:00000000 00:00000000 00000000", false),
            // closed by us, with the rest of an answer behind it
            ("  3: 0100007F:1F90 0100007F:C350 04 00000400:00000000 00:00000000 00000000", true),
            ("  4: 00000000:1F90 00000000:0000 0A 00000080:00000000 00:00000000 00000000", false),
            ("  5: 0100007F:1F90 0100007F:C350 06 00000001:00000000 00:00000000 00000000", false),
            ("  6: 0000000000000000FFFF00000100007F:1F90 00:C350 01 00000001:00000000 00:0", true),
            ("  7: 0100007F:1F90", false),
            ("", false),
        ] {
            assert_eq!(is_sending(line, &ports), sends, "{line}");
        }
    }

    #[test]
    fn what_a_client_has_not_read_is_seen_until_it_has() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let ports = BTreeSet::from([listener.local_addr().unwrap().port()]);
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            assert_eq!(count(&ports), 0);
            server.set_nonblocking(true).unwrap();
            let mut written = 0;
            // until the client's side is full and the rest stays on ours
            while let Ok(bytes) = server.write(&[0; 4096]) {
                written += bytes;
            }
            assert_eq!(count(&ports), 1, "of {written} bytes");
            // a closed connection is still sent what was written to it
            drop(server);
            assert_eq!(count(&ports), 1);
            let mut read = Vec::new();
            client.read_to_end(&mut read).unwrap();
            assert_eq!(read.len(), written);
            // the last word that it arrived may come a moment after it was read
            let limit = Instant::now() + Duration::from_secs(10);
            while count(&ports) > 0 {
                assert!(Instant::now() < limit, "what was read still counts");
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
}
