//! The operator itself, in network namespaces of its own: with addresses of both kinds, of IPv6 alone, and of IPv4 alone.

use std::{fs, path::Path, process::Command};

/// Answers of /healthz at these addresses, of an operator in a network namespace that `prepare` arranged.
fn answers(prepare: &str, addresses: &[&str]) -> Vec<String> {
    // a colon would end its path
    let name: String = addresses.concat().chars().filter(char::is_ascii_digit).collect();
    let cluster = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("nobody-{name}.yaml"));
    // nobody is there, and none is needed: it waits for the Lease
    fs::write(
        &cluster,
        "{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: 'http://[::1]:1'}}], \
         contexts: [{name: c, context: {cluster: c, user: u}}], users: [{name: u, user: {}}]}",
    )
    .unwrap();
    let asks = addresses.iter().map(|address| {
        format!("curl --globoff --silent --show-error --retry 60 --retry-connrefused --retry-delay 1 http://{address}:8080/healthz || echo none\n")
    });
    let script = format!(
        "set -eu\nip link set lo up\n{prepare}\n\"$OPERATOR\" run >&2 &\noperator=$!\n{}kill -TERM $operator\nwait $operator || true\n",
        asks.collect::<String>()
    );
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--", "sh", "-c", &script])
        .env("OPERATOR", env!("CARGO_BIN_EXE_modelwright"))
        .env("KUBECONFIG", &cluster)
        .env("MODELWRIGHT_RUNTIME_IMAGE", "runtime")
        .env("MODELWRIGHT_TRAINER_IMAGE", "trainer")
        .env("MODELWRIGHT_STORE_URI", "oci://store/models")
        .output()
        .expect("unshare, of util-linux, is needed");
    let (out, log) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{out}{log}");
    out.lines().map(str::to_owned).collect()
}

#[test]
fn the_operator_is_reached_by_ipv4_and_by_ipv6() {
    assert_eq!(answers("", &["127.0.0.1", "[::1]"]), ["ok", "ok"]);
}

#[test]
fn the_operator_is_reached_where_there_is_ipv6_alone() {
    let alone = "ip address delete 127.0.0.1/8 dev lo\nip -4 -oneline address | wc -l";
    assert_eq!(answers(alone, &["[::1]"]), ["0", "ok"]);
}

#[test]
fn the_operator_is_reached_where_ipv6_is_switched_off() {
    let off = "ip address delete ::1/128 dev lo\nip -6 -oneline address | wc -l";
    assert_eq!(answers(off, &["127.0.0.1"]), ["0", "ok"]);
}
