//! ONNX Runtime by itself: runs a model again and again in this process, with its inputs and outputs bound, so without
//! the cost of a request. What it costs is the floor of the model.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use clap::Parser;
use modelwright_bench_floor::{Outcome, Taken, Until, measure};
use ort::{
    environment::Environment,
    ep,
    session::{IoBinding, Session},
    value::{DynValue, Tensor},
};
use serde::Deserialize;

/// Runs a model on requests in turn.
#[derive(Debug, Parser)]
struct Arguments {
    /// ONNX Runtime's shared library
    #[arg(long, env = "ORT_DYLIB_PATH")]
    library: PathBuf,
    /// ONNX model
    #[arg(long)]
    model: PathBuf,
    /// Requests as JSON: a list of lists of {name, datatype, shape, file}; files are beside it
    #[arg(long)]
    requests: PathBuf,
    /// Threads, each with a session and one intra-op thread
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// On a GPU with CUDA, without TF32; inputs lie in memory as a program has them
    #[arg(long)]
    cuda: bool,
    /// For how long; without it, as often as each line of standard input says
    #[arg(long)]
    seconds: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Input {
    name: String,
    datatype: String,
    shape: Vec<i64>,
    file: String,
}

/// A model with requests that are ready to be run.
struct Bound {
    session: Session,
    requests: Vec<IoBinding>,
}

fn read(folder: &Path, input: &Input) -> Outcome<DynValue> {
    let bytes = std::fs::read(folder.join(&input.file))?;
    let shape = input.shape.clone();
    Ok(match input.datatype.as_str() {
        "FP32" => {
            let (numbers, _) = bytes.as_chunks();
            let numbers: Vec<f32> = numbers.iter().map(|number| f32::from_le_bytes(*number)).collect();
            Tensor::from_array((shape, numbers))?.into_dyn()
        }
        "INT64" => {
            let (numbers, _) = bytes.as_chunks();
            let numbers: Vec<i64> = numbers.iter().map(|number| i64::from_le_bytes(*number)).collect();
            Tensor::from_array((shape, numbers))?.into_dyn()
        }
        other => return Err(format!("datatype {other}: expected FP32 or INT64").into()),
    })
}

fn bind(environment: &Environment, arguments: &Arguments) -> Outcome<Bound> {
    let builder = Session::builder(environment)?.with_intra_threads(1).map_err(|error| error.to_string())?;
    let cuda = arguments.cuda.then(|| ep::CUDA::default().with_tf32(false).build().error_on_failure());
    let builder = builder.with_execution_providers(cuda.as_slice()).map_err(|error| error.to_string())?;
    let session = { builder }.commit_from_file(&arguments.model)?;
    let requests: Vec<Vec<Input>> = serde_json::from_slice(&std::fs::read(&arguments.requests)?)?;
    let folder = arguments.requests.parent().unwrap_or(Path::new("."));
    let requests = requests.iter().map(|inputs| {
        let mut binding = session.create_binding()?;
        for input in inputs {
            binding.bind_input(&input.name, &read(folder, input)?)?;
        }
        for output in session.outputs() {
            binding.bind_output_to_device(output.name(), session.allocator().memory_info())?;
        }
        Ok(binding)
    });
    let requests = requests.collect::<Outcome<_>>()?;
    Ok(Bound { session, requests })
}

fn repeat(bound: &mut Bound, until: Until, since: Instant) -> Outcome<u64> {
    let mut runs = 0;
    loop {
        for request in &bound.requests {
            if until.is_over(runs, since) {
                return Ok(runs);
            }
            bound.session.run_binding(request)?;
            runs += 1;
        }
    }
}

fn run(bound: &mut [Bound], until: Until) -> Outcome<Taken> {
    measure(|begun| {
        // A new thread is a cost of its own.
        if let [only] = bound {
            return repeat(only, until, begun);
        }
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                bound.iter_mut().map(|one| scope.spawn(move || repeat(one, until, begun))).collect();
            let runs = threads.into_iter().map(|thread| thread.join().map_err(|_| "a thread panicked")?);
            runs.sum()
        })
    })
}

fn print(taken: &Taken) -> Outcome<()> {
    println!("{}", serde_json::to_string(taken)?);
    Ok(())
}

fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    let environment = ort::init_from(&arguments.library)?.with_telemetry(false).build()?;
    let bound = (0..arguments.threads).map(|_| bind(&environment, &arguments));
    let mut bound = bound.collect::<Outcome<Vec<_>>>()?;
    for one in &mut bound {
        let Bound { session, requests } = one;
        for request in requests {
            session.run_binding(request)?;
        }
    }
    if let Some(seconds) = arguments.seconds {
        return print(&run(&mut bound, Until::Seconds(seconds))?);
    }
    for line in std::io::stdin().lines() {
        print(&run(&mut bound, Until::Runs(line?.trim().parse()?))?)?;
    }
    Ok(())
}
