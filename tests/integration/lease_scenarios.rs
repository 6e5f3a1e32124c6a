//! The Lease against a mock API server.

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use modelwright::{
    api::name::FIELD_MANAGER,
    k8s::{
        election::Election,
        lease::{Elector, Leadership},
    },
};
use serde_json::{Value, json};

use crate::scenario::{ApiServer, carrier, client, play};

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/system/leases";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/system/leases/modelwright";

fn leases(client: Client) -> Api<Lease> {
    Api::namespaced(client, "system")
}

fn elector() -> (Elector, Leadership, ApiServer) {
    let (client, server) = client();
    let leadership = Leadership::default();
    (Elector::new(leases(client), FIELD_MANAGER, "me".into(), leadership.clone()), leadership, server)
}

fn lease(holder: Value) -> Lease {
    serde_json::from_value(json!({"metadata": {"name": "modelwright", "resourceVersion": "7"},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 3}}))
    .unwrap()
}

#[tokio::test]
async fn a_first_process_makes_the_lease_and_leads() {
    let (mut elector, leadership, mut server) = elector();
    play(elector.acquire(), async {
        server.expect("GET", LEASE).await.error(404, "NotFound", "no");
        let call = server.expect("POST", LEASES).await;
        assert_eq!(call.body["spec"]["holderIdentity"], "me");
        assert_eq!(call.body["spec"]["leaseDurationSeconds"], 15);
        call.echo();
    })
    .await;
    assert!(leadership.check().is_ok());
}

#[tokio::test]
async fn a_released_lease_is_taken_at_once_with_the_version_that_was_read() {
    let (mut elector, leadership, mut server) = elector();
    play(elector.acquire(), async {
        server.expect("GET", LEASE).await.object(&lease(Value::Null));
        let call = server.expect("PUT", LEASE).await;
        assert_eq!(call.body["metadata"]["resourceVersion"], "7");
        assert_eq!(call.body["spec"]["leaseTransitions"], 4);
        call.echo();
    })
    .await;
    assert!(leadership.check().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_silent_holder_is_replaced_after_its_lease_and_not_before() {
    let (mut elector, _, mut server) = elector();
    server.limit = std::time::Duration::from_secs(3);
    let started = tokio::time::Instant::now();
    let server_side = async {
        loop {
            server.expect("GET", LEASE).await.object(&lease(json!("other")));
            if started.elapsed().as_secs() >= 16 {
                break;
            }
        }
        server.expect("PUT", LEASE).await.echo();
    };
    futures::future::join(elector.acquire(), server_side).await;
    assert!(started.elapsed().as_secs() >= 16, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_leading_within_ten_seconds() {
    let (mut elector, leadership, mut server) = elector();
    futures::future::join(elector.acquire(), async {
        server.expect("GET", LEASE).await.error(404, "NotFound", "no");
        server.expect("POST", LEASES).await.echo();
    })
    .await;
    let started = tokio::time::Instant::now();
    // nobody answers any more
    let silent = tokio::spawn(async move {
        let _server = server;
        std::future::pending::<()>().await;
    });
    elector.hold().await;
    silent.abort();
    assert!(leadership.check().is_err());
    assert!(started.elapsed().as_secs() < 15, "{:?}: another process may lead by then", started.elapsed());
}

#[tokio::test]
async fn a_lease_that_another_took_over_is_lost_at_once() {
    let (mut elector, leadership, mut server) = elector();
    futures::future::join(elector.acquire(), async {
        server.expect("GET", LEASE).await.error(404, "NotFound", "no");
        server.expect("POST", LEASES).await.echo();
    })
    .await;
    tokio::time::pause();
    server.limit = std::time::Duration::from_secs(3);
    futures::future::join(elector.hold(), async {
        server.expect("GET", LEASE).await.object(&lease(json!("other")));
    })
    .await;
    assert!(leadership.check().is_err());
}

#[tokio::test]
async fn a_release_gives_back_only_our_own_lease() {
    let (mut elector, leadership, mut server) = elector();
    leadership.renew(tokio::time::Instant::now());
    play(
        async {
            elector.release().await.unwrap();
            elector.release().await.unwrap();
        },
        async {
            server.expect("GET", LEASE).await.object(&lease(json!("me")));
            let call = server.expect("PUT", LEASE).await;
            assert_eq!(call.body["spec"].get("holderIdentity"), None);
            call.echo();
            server.expect("GET", LEASE).await.object(&lease(json!("other")));
            server.nothing_more().await;
        },
    )
    .await;
    assert!(leadership.check().is_err());
}

const OLD: &str = LEASE;
const OWN: &str = "/apis/coordination.k8s.io/v1/namespaces/system/leases/team-modelwright";

/// A Lease under the name of before, with its holder and how often it was renewed.
fn of_before(holder: &str, renewals: i32) -> Lease {
    let now = k8s_openapi::jiff::Timestamp::now();
    serde_json::from_value(json!({"metadata": {"name": "modelwright", "resourceVersion": "7"},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": renewals,
            "renewTime": format!("{now:.6}")}}))
    .unwrap()
}

fn of_a_release() -> (Elector, ApiServer) {
    let (client, server) = client();
    let elector = Elector::new(
        leases(client),
        FIELD_MANAGER,
        "team-modelwright-new-bbbbb".into(),
        Leadership::default(),
    );
    (elector.named("team-modelwright"), server)
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_to_a_lease_of_its_own_waits_until_the_leader_of_before_has_stopped() {
    let (mut elector, mut server) = of_a_release();
    server.limit = std::time::Duration::from_secs(3);
    let started = tokio::time::Instant::now();
    let server_side = async {
        // it renews three times, then it has no right to any more, and stops within ten seconds
        for renewals in 0..3 {
            server.expect("GET", OLD).await.object(&of_before("team-modelwright-old-aaaaa", renewals));
        }
        let last = of_before("team-modelwright-old-aaaaa", 3);
        let since = tokio::time::Instant::now();
        while since.elapsed().as_secs() < 16 {
            server.expect("GET", OLD).await.object(&last);
        }
        server.expect("GET", OLD).await.object(&last);
        server.expect("GET", OWN).await.error(404, "NotFound", "no");
        let call = server.expect("POST", LEASES).await;
        assert_eq!(call.body["metadata"]["name"], "team-modelwright");
        call.echo();
    };
    futures::future::join(elector.acquire(), server_side).await;
    assert!(started.elapsed().as_secs() >= 20, "{:?}", started.elapsed());
}

#[tokio::test]
async fn the_lease_of_another_release_or_one_that_was_released_is_waited_for_by_nobody() {
    for old in [of_before("modelwright-1-aaaaa", 0), lease(Value::Null)] {
        let (mut elector, mut server) = of_a_release();
        play(elector.acquire(), async {
            server.expect("GET", OLD).await.object(&old);
            server.expect("GET", OWN).await.error(404, "NotFound", "no");
            server.expect("POST", LEASES).await.echo();
        })
        .await;
    }
    let (mut elector, mut server) = of_a_release();
    play(elector.acquire(), async {
        server.expect("GET", OLD).await.error(403, "Forbidden", "no right");
        server.expect("GET", OWN).await.error(404, "NotFound", "no");
        server.expect("POST", LEASES).await.echo();
    })
    .await;
}

/// An API server that stores each Lease that is written, and tells the holder of each.
async fn store(mut server: ApiServer, holders: std::sync::mpsc::Sender<Value>) {
    let mut stored = lease(Value::Null);
    loop {
        let call = server.next().await;
        if call.method == "PUT" {
            stored = serde_json::from_value(call.body.clone()).unwrap();
            if holders.send(call.body["spec"]["holderIdentity"].clone()).is_err() {
                return;
            }
        }
        call.object(&stored);
    }
}

/// The operator works on one thread: what keeps that busy must not cost it the Lease.
#[test]
fn the_lease_is_renewed_while_everything_else_stands_still_and_given_back_at_the_end() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (holders, held) = std::sync::mpsc::channel();
    let (service, server) = carrier();
    let there = runtime();
    let api_server = std::thread::spawn(move || there.block_on(store(server, holders)));
    let leadership = Leadership::default();
    let ours = leadership.clone();
    runtime().block_on(async {
        let make = move || {
            Ok(Elector::new(leases(Client::new(service, "system")), FIELD_MANAGER, "me".into(), ours))
        };
        let mut election = Election::on_a_thread(make).unwrap();
        election.started().await.unwrap();
        // from here on this thread waits for nothing but a renewal
        for _ in 0..3 {
            assert_eq!(held.recv_timeout(std::time::Duration::from_secs(20)), Ok(json!("me")));
        }
        assert!(leadership.check().is_ok());
        election.release().await.unwrap();
        assert!(leadership.check().is_err());
        assert_eq!(held.recv_timeout(std::time::Duration::from_secs(20)), Ok(Value::Null));
    });
    drop(held);
    drop(api_server);
}
