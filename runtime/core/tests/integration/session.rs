//! Loading and running real ONNX models in a real ONNX Runtime, and golden samples of them.

use std::time::{Duration, Instant};

use modelwright_contract::{artifact::GoldenSource, serving::ExecutionProvider};
use modelwright_core::{
    golden::{RecordError, ReplayError, decode, encode, record_synthetic, replay},
    session::{Cancellation, LoadError, RunError, Session, SessionOptions, start},
    tensor::{Datatype, Tensor, encode_strings},
};
use modelwright_testing::{
    models::{load, model},
    onnx,
};

fn fp32(name: &str, shape: &[i64], numbers: &[f32]) -> Tensor {
    let data = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    Tensor { name: name.to_owned(), datatype: Datatype::Fp32, shape: shape.to_vec(), data }
}

fn int64(name: &str, shape: &[i64], numbers: &[i64]) -> Tensor {
    let data = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    Tensor { name: name.to_owned(), datatype: Datatype::Int64, shape: shape.to_vec(), data }
}

#[test]
fn the_version_of_onnx_runtime_is_read_from_the_library() {
    let version = start().unwrap();
    let path = std::env::var(modelwright_contract::names::ONNXRUNTIME_ENV).unwrap();
    assert!(path.ends_with(&format!(".so.{version}")), "{path}: {version}");
    assert_eq!(load("linear").onnxruntime_version(), version);
}

#[test]
fn a_linear_model_has_its_signature_and_computes() {
    let session = load("linear");
    let shown = format!("{:?}", session.signature());
    assert!(shown.contains("\"x\"") && shown.contains("[-1, 4]") && shown.contains("[-1, 3]"), "{shown}");
    assert_eq!(session.execution_provider(), ExecutionProvider::Cpu);
    let nodes: Vec<(&str, bool)> =
        session.nodes().iter().map(|(provider, count)| (provider.as_str(), *count > 0)).collect();
    assert_eq!(nodes, [("CPU", true)], "each node of the graph has a provider");
    let answer = session.run(&[fp32("x", &[1, 4], &[1.0, 1.0, 1.0, 1.0])], &[]).unwrap();
    // The weights are 0 to 11, by rows, over 8; their columns sum to 18, 22 and 26 eighths.
    assert_eq!(answer, [fp32("y", &[1, 3], &[2.75, 1.75, 5.25])]);
}

#[test]
fn every_datatype_goes_through_bit_by_bit() {
    for datatype in Datatype::ALL {
        let session = load(&format!("identity_{}", datatype.name().to_lowercase()));
        let data = match datatype {
            Datatype::Bool => vec![0, 1, 1, 0].into(),
            Datatype::Bytes => encode_strings(["", "a", "Grüße", "\u{1F600}"]).unwrap(),
            // Every bit pattern is one of these datatypes, with NaN and the extremes among them.
            other => {
                let size = other.size().unwrap();
                let ones = vec![0xff; size];
                let low: Vec<u8> = (0..size).map(|i| if i + 1 == size { 0x80 } else { 0 }).collect();
                let rest: Vec<u8> = (1..=2 * size).map(|i| u8::try_from(i).unwrap()).collect();
                [ones, low, rest].concat().into()
            }
        };
        let input = Tensor { name: "x".to_owned(), datatype, shape: vec![2, 2], data };
        let answer = session.run(std::slice::from_ref(&input), &["y".to_owned()]).unwrap();
        assert_eq!(answer, [Tensor { name: "y".to_owned(), ..input }], "{datatype}");
    }
}

#[test]
fn a_tensor_without_elements_goes_through() {
    for datatype in Datatype::ALL {
        let session = load(&format!("identity_{}", datatype.name().to_lowercase()));
        let input = Tensor { name: "x".to_owned(), datatype, shape: vec![0, 3], data: bytes::Bytes::new() };
        let answer = session.run(std::slice::from_ref(&input), &[]).unwrap();
        assert_eq!(answer, [Tensor { name: "y".to_owned(), ..input }], "{datatype}");
    }
}

#[test]
fn outputs_come_in_the_order_in_which_they_are_asked_for() {
    let session = load("two_in_two_out");
    let inputs = [fp32("b", &[1, 3], &[0.0, 5.0, 0.0]), fp32("a", &[1, 3], &[1.0, 1.0, 1.0])];
    let both = session.run(&inputs, &["label".to_owned(), "sum".to_owned()]).unwrap();
    assert_eq!(both, [int64("label", &[1], &[1]), fp32("sum", &[1, 3], &[1.0, 6.0, 1.0])]);
    let one = session.run(&inputs, &["label".to_owned()]).unwrap();
    assert_eq!(one, [int64("label", &[1], &[1])]);
}

#[test]
fn a_text_with_a_nul_is_no_answer_since_no_sample_could_hold_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let graph = onnx::model(&[
        onnx::node("Gather", &["words", "x"], &["y"], &[]),
        onnx::texts("words", &["whole", "cut\0here"]),
        onnx::value(11, "x", onnx::INT64, &[0]),
        onnx::value(12, "y", onnx::STRING, &[0]),
    ]);
    std::fs::write(&path, graph).unwrap();
    let session = Session::load(&path, &SessionOptions::default()).unwrap();
    assert!(session.run(&[int64("x", &[1], &[0])], &[]).is_ok());
    let error = session.run(&[int64("x", &[2], &[0, 1])], &[]).unwrap_err();
    assert!(matches!(error, RunError::Failed { .. }), "{error}");
    assert!(error.to_string().contains("output \"y\" holds a text with a NUL"), "{error}");
}

#[test]
fn inputs_that_the_graph_refuses_are_told_from_a_failure_of_the_model() {
    let error = load("lookup").run(&[int64("index", &[1], &[7])], &[]).unwrap_err();
    assert!(matches!(&error, RunError::Refused { why } if why.contains("idx=7")), "{error}");
    let inputs = [fp32("a", &[1, 3], &[0.0; 3]), fp32("b", &[2, 4], &[0.0; 8])];
    let error = load("two_in_two_out").run(&inputs, &[]).unwrap_err();
    assert!(matches!(&error, RunError::Input(_)), "{error}");
}

/// Runs of every shape and datatype that the models here take, from several threads on one session, against the same
/// runs in series. `SHARED_RUNS` sets how many a thread makes: a million were made when sharing was written.
#[test]
fn runs_from_many_threads_are_those_of_one() {
    let runs: u32 = std::env::var("SHARED_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(2_000);
    let rows = |name: &str, rows: i64, columns: i64, seed: i64| {
        let numbers: Vec<f32> = (0..rows * columns)
            .map(|i| f32::from(i16::try_from((i * 37 + seed * 11) % 101).unwrap()) / 7.0 - 6.0)
            .collect();
        fp32(name, &[rows, columns], &numbers)
    };
    let strings = |count: i64| Tensor {
        name: "x".to_owned(),
        datatype: Datatype::Bytes,
        shape: vec![count, 2],
        data: encode_strings((0..2 * count).map(|i| "ä".repeat(usize::try_from(i).unwrap() * 9))).unwrap(),
    };
    let work: Vec<(Session, Vec<Vec<Tensor>>)> = vec![
        (load("linear"), (0..12).map(|i| vec![rows("x", 1 + i % 5 * 40, 4, i)]).collect()),
        (
            load("two_in_two_out"),
            (0..6).map(|i| vec![rows("b", 1 + i, 3, i), rows("a", 1 + i, 3, i + 50)]).collect(),
        ),
        (load("sigmoid"), (0..6).map(|i| vec![rows("x", 1 + i * 17, 1, i)]).collect()),
        (load("identity_bytes"), (1..5).map(|i| vec![strings(i)]).collect()),
        (load("slow"), (1..4).map(|i| vec![int64("rounds", &[], &[i]), fp32("x", &[], &[1.5])]).collect()),
        (load("lookup"), (0..3).map(|i| vec![int64("index", &[2], &[i, 9 * (i % 2)])]).collect()),
    ];
    let once =
        |session: &Session, inputs: &[Tensor]| session.run(inputs, &[]).map_err(|error| error.to_string());
    let expected: Vec<Vec<_>> = work
        .iter()
        .map(|(session, requests)| requests.iter().map(|inputs| once(session, inputs)).collect())
        .collect();
    assert!(expected.iter().flatten().any(Result::is_err), "failed runs are among them");
    std::thread::scope(|scope| {
        for thread in 0..8_u32 {
            let (work, expected) = (&work, &expected);
            scope.spawn(move || {
                for run in 0..runs {
                    // `slow` takes long, and is a smaller part for it.
                    let pick = run.wrapping_mul(2_654_435_761).wrapping_add(thread * 97) as usize >> 3;
                    let model = if pick.is_multiple_of(64) { 4 } else { [0, 1, 2, 3, 5][pick % 5] };
                    let (session, requests) = &work[model];
                    let request = (pick / 5) % requests.len();
                    assert_eq!(once(session, &requests[request]), expected[model][request], "model {model}");
                }
            });
        }
    });
}

#[test]
fn an_input_that_is_handed_through_is_copied_before_it_is_gone() {
    use modelwright_testing::onnx::{FLOAT, model, node, value};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let graph = [
        node("Add", &["x", "x"], &["y"], &[]),
        value(11, "x", FLOAT, &[0, 4]),
        value(12, "x", FLOAT, &[0, 4]),
        value(12, "y", FLOAT, &[0, 4]),
    ];
    std::fs::write(&path, model(&graph)).unwrap();
    let session = Session::load(&path, &SessionOptions::default()).unwrap();
    let numbers: Vec<f32> = (0..4000_u16).map(f32::from).collect();
    let input = fp32("x", &[1000, 4], &numbers);
    let answer = session.run(std::slice::from_ref(&input), &[]).unwrap();
    drop(input);
    let other = vec![7.0_f32; 4000];
    assert_eq!(answer[0], fp32("x", &[1000, 4], &numbers));
    assert_eq!(other.len(), 4000);
}

#[test]
fn a_run_is_cancelled_from_another_thread() {
    let session = load("slow");
    let cancellation = Cancellation::new().unwrap();
    let other = cancellation.clone();
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        other.cancel();
    });
    let begun = Instant::now();
    let inputs = [int64("rounds", &[], &[10_000_000]), fp32("x", &[], &[1.0])];
    let error = session.run_cancellable(&inputs, &[], &cancellation).unwrap_err();
    assert!(matches!(error, RunError::Cancelled), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    canceller.join().unwrap();
    let inputs = [int64("rounds", &[], &[1]), fp32("x", &[], &[1.0])];
    assert_eq!(session.run(&inputs, &[]).unwrap(), [fp32("y", &[], &[4096.0])]);
}

#[test]
fn an_output_that_is_no_tensor_is_refused_at_load_with_what_to_do() {
    let error = Session::load(&model("sequence"), &SessionOptions::default()).unwrap_err();
    assert!(matches!(error, LoadError::UnsupportedValue { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("output \"pair\"") && text.contains("end the graph with ConcatFromSequence"),
        "{text}"
    );
}

#[test]
fn maps_become_a_tensor_of_their_values_and_one_of_their_keys_in_ascending_order() {
    let input = fp32("x", &[2, 3], &[0.1, 0.2, 0.7, 0.3, 0.4, 0.3]);
    for (name, keys, values) in [
        (
            "zipmap",
            Tensor {
                name: "probabilities.keys".to_owned(),
                datatype: Datatype::Bytes,
                shape: vec![3],
                data: encode_strings(["bird", "cat", "dog"]).unwrap(),
            },
            [0.7, 0.1, 0.2, 0.3, 0.3, 0.4],
        ),
        ("zipmap_int64", int64("probabilities.keys", &[3], &[-3, 7, 12]), [0.2, 0.1, 0.7, 0.4, 0.3, 0.3]),
    ] {
        let session = load(name);
        let shown = format!("{:?}", session.signature().outputs);
        assert!(shown.contains("[-1, -1]") && shown.contains("probabilities.keys"), "{shown}");
        let both = session.run(std::slice::from_ref(&input), &[]).unwrap();
        assert_eq!(both, [fp32("probabilities", &[2, 3], &values), keys.clone()]);
        let one = session.run(std::slice::from_ref(&input), &["probabilities.keys".to_owned()]).unwrap();
        assert_eq!(one, [keys]);
        let golden = record_synthetic(&session, 3, 7).unwrap();
        assert_eq!(replay(&session, &golden).unwrap().count, 3);
    }
}

#[test]
fn a_file_that_is_no_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let missing = Session::load(&path, &SessionOptions::default()).unwrap_err();
    assert!(matches!(missing, LoadError::NoFile { .. }), "{missing}");
    std::fs::write(&path, "no model").unwrap();
    let error = Session::load(&path, &SessionOptions::default()).unwrap_err();
    assert!(matches!(error, LoadError::Refused { .. }), "{error}");
}

#[test]
fn a_provider_that_is_not_there_is_an_error_unless_a_fallback_is_allowed() {
    let options = SessionOptions {
        execution_providers: vec![ExecutionProvider::Cuda],
        intra_op_threads: 1,
        ..SessionOptions::default()
    };
    let error = Session::load(&model("linear"), &options).unwrap_err();
    assert!(
        matches!(error, LoadError::ProviderUnavailable { asked: ExecutionProvider::Cuda, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("Available here: CPU"), "{error}");
    let session =
        Session::load(&model("linear"), &SessionOptions { allow_fallback: true, ..options }).unwrap();
    assert_eq!(session.execution_provider(), ExecutionProvider::Cpu);
}

#[test]
fn synthetic_samples_are_the_same_for_the_same_seed_and_replay_exactly() {
    for name in ["linear", "two_in_two_out", "identity_fp16", "identity_bytes", "identity_bool", "lookup"] {
        let session = load(name);
        let golden = record_synthetic(&session, 5, 7).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(golden.samples.len(), 5, "{name}");
        assert_eq!(golden.source, GoldenSource::Synthetic);
        assert_eq!(record_synthetic(&load(name), 5, 7).unwrap(), golden, "{name}");
        let proof = replay(&session, &golden).unwrap();
        assert_eq!((proof.count, proof.max_difference), (5, 0.0), "{name}");
    }
    let other = record_synthetic(&load("linear"), 5, 8).unwrap();
    assert_ne!(other, record_synthetic(&load("linear"), 5, 7).unwrap());
}

#[test]
fn synthetic_samples_of_images_have_pixels_of_all_brightness() {
    use modelwright_testing::onnx::{model, node, value};
    const UINT8: u64 = 2;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let graph = [
        node("Identity", &["images"], &["same"], &[]),
        value(11, "images", UINT8, &[0, 4, 4, 1]),
        value(12, "same", UINT8, &[0, 4, 4, 1]),
    ];
    std::fs::write(&path, model(&graph)).unwrap();
    let session = Session::load(&path, &SessionOptions::default()).unwrap();
    let golden = record_synthetic(&session, 4, 7).unwrap();
    let pixels: Vec<u8> =
        golden.samples.iter().flat_map(|sample| decode(&sample.inputs[0]).unwrap().data.to_vec()).collect();
    let (dark, light) = (pixels.iter().min().unwrap(), pixels.iter().max().unwrap());
    assert!(pixels.len() == 64 && *dark < 32 && *light > 224, "{dark} to {light}");
}

#[test]
fn a_changed_answer_is_a_mismatch_that_names_sample_and_output() {
    let session = load("linear");
    let mut golden = record_synthetic(&session, 3, 1).unwrap();
    let output = &mut golden.samples[1].outputs[0];
    let mut tensor = decode(output).unwrap();
    let mut data = tensor.data.to_vec();
    data[8..12].copy_from_slice(&123.0_f32.to_le_bytes());
    tensor.data = data.into();
    *output = encode(&tensor);
    let error = replay(&session, &golden).unwrap_err();
    let ReplayError::Mismatch(mismatch) = error else { panic!("{error}") };
    assert_eq!((mismatch.sample, mismatch.output.as_str(), mismatch.expected.as_str()), (1, "y[2]", "123"));
}

#[test]
fn a_small_column_of_noise_beside_a_large_one_gets_its_bound_from_what_was_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, modelwright_testing::onnx::large_beside_noise()).unwrap();
    let session = Session::load(&path, &SessionOptions::default()).unwrap();
    let golden = record_synthetic(&session, 4, 3).unwrap();
    assert_eq!(golden.samples.len(), 4);
    let moved = |column: usize, by: f32| {
        let mut golden = golden.clone();
        let output = &mut golden.samples[1].outputs[0];
        let mut tensor = decode(output).unwrap();
        let mut data = tensor.data.to_vec();
        let bytes = &mut data[column * 4..column * 4 + 4];
        let number = f32::from_le_bytes((&*bytes).try_into().unwrap()) + by;
        bytes.copy_from_slice(&number.to_le_bytes());
        tensor.data = data.into();
        *output = encode(&tensor);
        replay(&session, &golden)
    };
    // The noise is at most 0.6 from one end to the other; a millionth of the large column is at most 0.16.
    assert!(moved(1, 0.6).is_ok(), "as another machine may round");
    assert!(moved(1, 10.0).is_err(), "but no more than that");
    assert!(moved(0, 10.0).is_ok() && moved(0, 1e3).is_err(), "a column of its own");
}

#[test]
fn answers_on_a_knifes_edge_and_infinite_ones_are_not_recorded() {
    // 1 ÷ x explodes near 0; draws of [0,1) and [0,16) stay finite, so some samples remain.
    let golden = record_synthetic(&load("divide"), 4, 3).unwrap();
    for sample in &golden.samples {
        let answer = decode(&sample.outputs[0]).unwrap();
        let number = f32::from_le_bytes(answer.data[..4].try_into().unwrap());
        assert!(number.is_finite());
    }
    // The sine of a huge multiple of the input.
    let error = record_synthetic(&load("edge"), 3, 1).unwrap_err();
    assert!(matches!(error, RecordError::NoneStable { tried: 24 }), "{error}");
}
