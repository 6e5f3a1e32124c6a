//! The threads and the queue between the frontends and a model, with a real ONNX Runtime.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use modelwright_core::{
    session::{RunError, Session, SessionOptions},
    tensor::{Datatype, Tensor},
};
use modelwright_serve::worker::{
    QUICK, Refused, Worker, WorkerOptions, batch,
    trial::{self, TrialError},
};

use crate::support::onnx::{FLOAT, INT64, bytes, constant, floats, model, node, number, value};

const OPTIONS: WorkerOptions = WorkerOptions {
    queue: 64,
    threads: 1,
    batches: true,
    max_rows: batch::MAX_ROWS,
    max_delay: Duration::ZERO,
    quick: Duration::ZERO,
    one_thread: true,
};

fn load(name: &str) -> Session {
    Session::load(&crate::support::models::model(name), &SessionOptions::default()).unwrap()
}

fn worker(name: &str, options: WorkerOptions) -> Worker {
    Worker::start(Arc::new(load(name)), options).unwrap()
}

fn tensor(name: &str, datatype: Datatype, shape: &[i64], data: Vec<u8>) -> Tensor {
    Tensor { name: name.to_owned(), datatype, shape: shape.to_vec(), data: data.into() }
}

fn index(index: i64) -> Vec<Tensor> {
    vec![tensor("index", Datatype::Int64, &[1], index.to_le_bytes().to_vec())]
}

fn rounds(rounds: i64) -> Vec<Tensor> {
    vec![
        tensor("rounds", Datatype::Int64, &[], rounds.to_le_bytes().to_vec()),
        tensor("x", Datatype::Fp32, &[], 1_f32.to_le_bytes().to_vec()),
    ]
}

fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

#[tokio::test]
async fn requests_that_wait_share_a_run_and_a_poisoned_one_fails_alone() {
    let worker = worker("lookup", OPTIONS);
    let mut shared = 0;
    for round in 0..200_i64 {
        // `lookup` has rows 0 to 2.
        let poison = if round % 2 == 0 { 99 } else { 1 };
        let indexes = [0, 1, poison, 2, 1, 0];
        let answers = futures::future::join_all(
            indexes.iter().map(|which| worker.run(index(*which), Vec::new(), soon())),
        )
        .await;
        for (which, answer) in indexes.into_iter().zip(answers) {
            let answer = answer.unwrap();
            shared += usize::from(answer.requests > 1);
            match answer.outputs {
                Ok(outputs) => {
                    #[expect(clippy::cast_precision_loss, reason = "small")]
                    let row = (which + 1) as f32;
                    assert_eq!(outputs, [tensor("y", Datatype::Fp32, &[1], row.to_le_bytes().to_vec())]);
                }
                Err(error) => {
                    assert_eq!(which, 99, "{error}");
                    assert!(matches!(error, RunError::Refused { .. }), "{error}");
                }
            }
        }
    }
    assert!(shared > 0, "no run was ever shared");
}

#[tokio::test]
async fn a_request_that_gives_a_stored_value_another_one_shares_no_run() {
    let floats = |name: &str, shape: &[i64], numbers: &[f32]| {
        tensor(name, Datatype::Fp32, shape, numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
    };
    // To each row it adds the sum over all rows of a stored value: behind each other, those of two requests are one.
    let session = loaded(&[
        node("ReduceSum", &["w", "axis"], &["sum"], &[]),
        node("Add", &["x", "sum"], &["y"], &[]),
        constant("axis", INT64, &[1], &0_i64.to_le_bytes()),
        constant("w", FLOAT, &[1, 2], &[2_f32.to_le_bytes(), 3_f32.to_le_bytes()].concat()),
        value(11, "x", FLOAT, &[0, 2]),
        value(11, "w", FLOAT, &[0, 2]),
        value(12, "y", FLOAT, &[0, 2]),
    ]);
    assert_eq!(session.signature().optional_inputs.len(), 1);
    let worker = Worker::start(Arc::new(session), OPTIONS).unwrap();
    let x = || floats("x", &[1, 2], &[1.0, 1.0]);
    let mut shared = 0;
    for _ in 0..50 {
        let runs = (0..8_u8).map(|which| {
            let mut inputs = vec![x()];
            if which % 2 == 1 {
                inputs.push(floats("w", &[1, 2], &[f32::from(which), 0.5]));
            }
            worker.run(inputs, Vec::new(), soon())
        });
        for (which, got) in (0_u8..).zip(futures::future::join_all(runs).await) {
            let got = got.unwrap();
            let expected = if which % 2 == 1 { [f32::from(which) + 1.0, 1.5] } else { [3.0, 4.0] };
            assert_eq!(got.outputs.unwrap(), [floats("y", &[1, 2], &expected)], "{which}");
            assert!(which % 2 == 0 || got.requests == 1);
            shared += usize::from(got.requests > 1);
        }
        // Those with a value come behind each other, too.
        let given = (0..4_u8).map(|which| {
            worker.run(vec![x(), floats("w", &[1, 2], &[f32::from(which), 0.5])], Vec::new(), soon())
        });
        for (which, got) in (0_u8..).zip(futures::future::join_all(given).await) {
            let expected = [f32::from(which) + 1.0, 1.5];
            assert_eq!(got.unwrap().outputs.unwrap(), [floats("y", &[1, 2], &expected)], "{which}");
        }
        let left_out = (0..4).map(|_| worker.run(vec![x()], Vec::new(), soon()));
        for got in futures::future::join_all(left_out).await {
            shared += usize::from(got.unwrap().requests > 1);
        }
    }
    assert!(shared > 0, "no run was ever shared");
}

#[tokio::test]
async fn without_leave_no_run_is_shared() {
    let worker = worker("lookup", WorkerOptions { batches: false, ..OPTIONS });
    for _ in 0..50 {
        let runs = (0..6).map(|_| worker.run(index(1), Vec::new(), soon()));
        for answer in futures::future::join_all(runs).await {
            assert_eq!(answer.unwrap().requests, 1);
        }
    }
}

#[test]
fn only_a_model_that_answers_rows_together_as_alone_passes_the_trial() {
    let row = |numbers: [f32; 3]| {
        let data = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        vec![tensor("x", Datatype::Fp32, &[1, 3], data)]
    };
    let samples = [row([1.0, 2.0, 3.0]), row([3.0, -1.0, 0.5])];
    let built = |operator: &str, axis: u64| {
        let axis = bytes(5, [bytes(1, "axis"), number(3, axis), number(20, 2)].concat());
        loaded(&[
            node(operator, &["x"], &["y"], &axis),
            value(11, "x", FLOAT, &[0, 3]),
            value(12, "y", FLOAT, &[0, 3]),
        ])
    };
    trial::run(&built("Softmax", 1), &samples, 64).unwrap();
    let error = trial::run(&built("Softmax", 0), &samples, 64).unwrap_err();
    assert!(matches!(&error, TrialError::Differs { output, rows: 64 } if output == "y"), "{error}");
    let same = [samples[0].clone(), samples[0].clone()];
    let scaled = trial::run(&built("Softmax", 0), &same, 64).unwrap_err();
    assert!(matches!(scaled, TrialError::Differs { .. }), "rows of another scale are other rows: {scaled}");
    let numbers = vec![vec![tensor("index", Datatype::Int64, &[1], vec![0; 8])]];
    let error = trial::run(&load("lookup"), &numbers, 64).unwrap_err();
    assert!(matches!(error, TrialError::TooFew), "one sample proves nothing: {error}");
    assert!(trial::run(&load("slow"), &[rounds(1), rounds(2)], 64).is_err(), "there are no rows");
}

#[test]
fn a_trial_finds_what_only_rows_of_several_scales_or_a_full_run_show() {
    // x less the mean of all rows, if one of them is above 50: only a scaled row is.
    let samples = [[0.5_f32, 1.0, 0.25], [0.25, 0.5, 0.75]].map(|numbers| {
        vec![tensor(
            "x",
            Datatype::Fp32,
            &[1, 3],
            numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
        )]
    });
    let model = [
        node("ReduceMax", &["x"], &["most"], &[]),
        node("Max", &["most", "bound"], &["scale"], &[]),
        node("Div", &["x", "scale"], &["y"], &[]),
        constant("bound", FLOAT, &[], &floats(&[50.0])),
        value(11, "x", FLOAT, &[0, 3]),
        value(12, "y", FLOAT, &[0, 3]),
    ];
    let session = loaded(&model);
    assert!(matches!(trial::run(&session, &samples, 64), Err(TrialError::Differs { .. })));

    // A run of fewer than 32 rows is answered as alone.
    let model = [
        node("Shape", &["x"], &["sizes"], &[]),
        node("ReduceMax", &["sizes"], &["rows"], &[]),
        node(
            "Cast",
            &["rows"],
            &["count"],
            &bytes(5, [bytes(1, "to"), number(3, 1), number(20, 2)].concat()),
        ),
        node("Max", &["count", "bound"], &["scale"], &[]),
        node("Div", &["x", "scale"], &["y"], &[]),
        constant("bound", FLOAT, &[], &floats(&[31.0])),
        value(11, "x", FLOAT, &[0, 3]),
        value(12, "y", FLOAT, &[0, 3]),
    ];
    let session = loaded(&model);
    trial::run(&session, &samples, 31).unwrap();
    assert!(matches!(trial::run(&session, &samples, 64), Err(TrialError::Differs { rows: 64, .. })));
}

fn loaded(graph: &[Vec<u8>]) -> Session {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, model(graph)).unwrap();
    Session::load(&path, &SessionOptions::default()).unwrap()
}

#[tokio::test]
async fn small_runs_are_made_where_they_are_asked_for_once_they_are_known_to_be_small() {
    // Of the processor's time, which a busy machine does not add to; a debug build may still take longer than a release
    // does. What was never run counts as a millisecond.
    let small = 9 * QUICK;
    let worker = worker("lookup", WorkerOptions { quick: small, ..OPTIONS });
    let mut waited = Vec::new();
    for _ in 0..400 {
        let answer = worker.run(index(1), Vec::new(), soon()).await.unwrap();
        waited.push(!answer.queued.is_zero());
    }
    assert!(waited[0], "the first run is on a thread");
    let here = waited.iter().filter(|waited| !**waited).count();
    assert!(here > 200, "{here} of 400 small runs were made where they were asked for");
    let worker = self::worker("slow", WorkerOptions { quick: QUICK, ..OPTIONS });
    for _ in 0..40 {
        let answer = worker.run(rounds(50), Vec::new(), soon()).await.unwrap();
        assert!(!answer.queued.is_zero(), "a long run was made where it was asked for");
    }
}

#[tokio::test]
async fn requests_that_one_thread_reads_share_a_run_where_they_are() {
    // Every run is quick.
    let worker = worker("lookup", WorkerOptions { quick: Duration::from_mins(1), ..OPTIONS });
    let run = |which: i64| worker.run(index(which), Vec::new(), soon());
    let all = futures::future::join_all([0, 1, 2, 0].map(run)).await;
    for (row, answer) in [1.0_f32, 2.0, 3.0, 1.0].into_iter().zip(all) {
        let answer = answer.unwrap();
        assert_eq!(answer.requests, 4);
        assert_eq!(answer.outputs.unwrap(), [tensor("y", Datatype::Fp32, &[1], row.to_le_bytes().to_vec())]);
    }
    let all = futures::future::join_all([0, 99, 2].map(run)).await;
    let failed: Vec<bool> = all.iter().map(|answer| answer.as_ref().unwrap().outputs.is_err()).collect();
    assert_eq!(failed, [false, true, false], "a poisoned one fails alone");

    let mut waiting = Box::pin(run(1));
    assert!(futures::poll!(&mut waiting).is_pending(), "it steps back");
    drop(waiting);
    assert_eq!(run(1).await.unwrap().requests, 1, "the one whose client left is not run");
    // Nobody else comes, so that it is soon not waited for.
    let mut at_once = 0;
    for _ in 0..100 {
        at_once += usize::from(run(1).await.unwrap().queued.is_zero());
    }
    assert!((80..100).contains(&at_once), "{at_once} of 100");
    let all = futures::future::join_all((0..64).map(|_| run(1))).await;
    let together = all.iter().filter(|answer| answer.as_ref().unwrap().requests > 1).count();
    assert!(together > 32, "one of the first 32 steps back, and all after it join: {together}");
    let all = futures::future::join_all((0..4).map(|_| run(1))).await;
    assert!(all.iter().all(|answer| answer.as_ref().unwrap().requests == 4), "others came again");
    assert!(worker.halt(Duration::from_secs(1)));
    let ended = futures::future::join_all((0..2).map(|_| run(1))).await;
    assert!(ended.iter().all(|answer| matches!(answer, Err(Refused::Stopping))), "{ended:?}");
}

#[tokio::test]
async fn a_full_queue_a_late_request_and_the_end_are_told_apart() {
    let worker = worker("slow", WorkerOptions { queue: 1, batches: false, ..OPTIONS });
    let run = |rounds_: i64, patience: u64| {
        let deadline = Instant::now() + Duration::from_millis(patience);
        worker.run(rounds(rounds_), Vec::new(), deadline)
    };
    // Two have a place, and a third one if the thread takes the first in time.
    let all = futures::future::join_all((0..8).map(|_| run(10_000_000, 300))).await;
    let refused: Vec<Refused> = all.into_iter().map(|answer| answer.unwrap_err()).collect();
    let count = |why: Refused| refused.iter().filter(|refused| **refused == why).count();
    assert_eq!(refused[..2], [Refused::Late, Refused::Late]);
    assert!((2..=3).contains(&count(Refused::Late)) && count(Refused::Full) >= 5, "{refused:?}");
    let stopped = tokio::join!(run(100_000_000, 30_000), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        worker.halt(Duration::from_secs(20))
    });
    assert!(stopped.1, "the run was not stopped");
    assert!(matches!(stopped.0.unwrap().outputs, Err(RunError::Cancelled)));
    assert_eq!(run(1, 30_000).await.unwrap_err(), Refused::Stopping);
}

#[tokio::test]
async fn a_run_that_was_stopped_where_it_was_asked_for_stops_no_other() {
    let worker = worker("slow", WorkerOptions { quick: Duration::from_mins(1), batches: false, ..OPTIONS });
    let deadline = Instant::now() + Duration::from_millis(200);
    let stopped = worker.run(rounds(100_000_000), Vec::new(), deadline).await.unwrap();
    assert!(matches!(stopped.outputs, Err(RunError::Cancelled)), "{stopped:?}");
    assert!(stopped.queued.is_zero(), "it was not made here");
    assert!(worker.run(rounds(1), Vec::new(), soon()).await.unwrap().outputs.is_ok());
}

#[tokio::test]
async fn a_request_waits_for_others_as_long_as_was_asked_for_and_no_longer() {
    // One request comes a while before seven others; how often do they share its run?
    let shared = async |max_delay: Duration, max_rows: u32| {
        let worker = worker("lookup", WorkerOptions { max_delay, max_rows, ..OPTIONS });
        let run = || worker.run(index(1), Vec::new(), soon());
        let mut shared = 0;
        for _ in 0..20 {
            let others = async {
                tokio::time::sleep(Duration::from_millis(2)).await;
                futures::future::join_all((0..7).map(|_| run())).await
            };
            let (first, others) = tokio::join!(run(), others);
            let first = first.unwrap();
            let requests = first.requests;
            let expected = first.outputs.unwrap();
            assert!(others.into_iter().all(|answer| answer.unwrap().outputs.unwrap() == expected));
            assert!(requests <= max_rows as usize, "{requests}");
            shared += usize::from(requests > 1);
        }
        shared
    };
    let long = Duration::from_secs(50);
    let begun = Instant::now();
    for most in [8, 4] {
        assert_eq!(shared(long, most).await, 20, "a run of {most} rows is full");
    }
    assert!(begun.elapsed() < long, "a full run waits for nobody");
    let worker = worker("lookup", WorkerOptions { max_delay: Duration::from_millis(300), ..OPTIONS });
    let queued = async |patience: u64| {
        let deadline = Instant::now() + Duration::from_millis(patience);
        worker.run(index(1), Vec::new(), deadline).await.map(|answer| answer.queued.as_millis())
    };
    assert!((300..10_000).contains(&queued(30_000).await.unwrap()), "a lone one, too");
    assert!(queued(290).await.unwrap() < 290, "its time is over before");
}

#[test]
fn runs_are_shared_where_that_costs_less_than_runs_one_after_another() {
    // However many rows are answered, it takes as long.
    let one = vec![tensor("x", Datatype::Fp32, &[1], 1_f32.to_le_bytes().to_vec())];
    assert!(batch::pays(&load("fixed_cost"), &[one]).unwrap());

    // All rows with all others: eight times as many take 64 times as long.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let graph = [
        node("Transpose", &["x"], &["turned"], &[]),
        node("MatMul", &["x", "turned"], &["y"], &[]),
        value(11, "x", FLOAT, &[0, 256]),
        value(12, "y", FLOAT, &[0, 0]),
    ];
    std::fs::write(&path, model(&graph)).unwrap();
    let session = Session::load(&path, &SessionOptions::default()).unwrap();
    let many = vec![tensor("x", Datatype::Fp32, &[64, 256], 0.5_f32.to_le_bytes().repeat(64 * 256))];
    assert!(!batch::pays(&session, &[many]).unwrap());
}
