//! Clients that ask small things, beside those that mean it no good.

use std::time::{Duration, Instant};

use tonic::{Code, transport::Endpoint};

use super::{INFER, clients::Target, raw};
use crate::{
    grpc::Inference,
    support::serving::{Client, one_input},
};

/// Small requests of four clients for so long, each by this.
fn of_four(
    time: Duration,
    ask: impl Fn(Instant) -> (u32, Vec<String>) + Clone + Send + 'static,
) -> (f64, Vec<String>) {
    let until = Instant::now() + time;
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let ask = ask.clone();
            std::thread::spawn(move || ask(until))
        })
        .collect();
    let (mut answered, mut failed) = (0, Vec::new());
    for client in clients {
        let (its, failures) = client.join().unwrap();
        answered += its;
        failed.extend(failures);
    }
    (f64::from(answered) / time.as_secs_f64(), failed)
}

/// How many small requests a second are answered, by four clients that keep their connections, and what became of those
/// that were neither answered nor refused with 503.
pub fn small_requests(target: &Target, time: Duration) -> (f64, Vec<String>) {
    let http = target.http;
    of_four(time, move |until| {
        let body = one_input("x", "FP32", "[1,1]", "[1]");
        let (mut answered, mut failed) = (0_u32, Vec::new());
        let mut client = Client::new(http);
        while Instant::now() < until {
            match client.send("POST", INFER, "", &body) {
                Ok(answer) if answer.status == 200 => answered += 1,
                Ok(answer) if answer.status == 503 => {}
                Ok(answer) => failed.push(format!("{answer:?}")),
                Err(error) => {
                    failed.push(error.to_string());
                    client = Client::new(http);
                }
            }
        }
        (answered, failed)
    })
}

/// The same of small calls, and of those that were neither answered nor refused with UNAVAILABLE or RESOURCE_EXHAUSTED by
/// the server. A call that was lost with its connection has a cause and fails.
pub fn small_calls(target: &Target, time: Duration) -> (f64, Vec<String>) {
    let grpc = format!("http://{}", target.grpc);
    of_four(time, move |until| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut answered, mut failed) = (0_u32, Vec::new());
            let mut client = match Endpoint::from_shared(grpc.clone()).unwrap().connect().await {
                Ok(channel) => Inference::new(channel),
                Err(error) => return (0, vec![format!("{error:?}")]),
            };
            while Instant::now() < until {
                match client.model_infer(raw(1)).await {
                    Ok(_) => answered += 1,
                    Err(refused)
                        if matches!(refused.code(), Code::Unavailable | Code::ResourceExhausted)
                            && std::error::Error::source(&refused).is_none() => {}
                    Err(refused) => failed.push(format!("{refused:?}")),
                }
            }
            (answered, failed)
        })
    })
}
