//! Runs the tests. In goes a list of cases; out comes an exit code. A test's namespace goes when the test ends, also when
//! it fails, and the servers go at the end of the run.

use std::{any::Any, future::Future, pin::Pin, process::ExitCode, sync::LazyLock, time::Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::{
    runtime::Runtime,
    sync::{OnceCell, RwLock},
};

use super::{Space, World, diagnostics, release};

/// A test's body.
pub type Body = fn(Space) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// A test.
pub struct Case {
    /// Its name, a sentence behind its topic.
    pub name: &'static str,
    /// Whether no other test may run beside it.
    pub alone: bool,
    /// Whether it runs only where ignored tests are asked for, since it takes long to set up.
    pub full: bool,
    /// What it does.
    pub body: Body,
}

macro_rules! cases {
    ($alone:expr, $full:expr, $($path:path),*) => {
        vec![$($crate::harness::run::Case {
            name: stringify!($path),
            alone: $alone,
            full: $full,
            body: |space| Box::pin($path(space)),
        }),*]
    };
}
macro_rules! side_by_side {
    ($($path:path),* $(,)?) => { $crate::harness::run::cases!(false, false, $($path),*) };
}
macro_rules! alone {
    ($($path:path),* $(,)?) => { $crate::harness::run::cases!(true, false, $($path),*) };
}
macro_rules! full {
    ($($path:path),* $(,)?) => { $crate::harness::run::cases!(true, true, $($path),*) };
}
pub(crate) use {alone, cases, full, side_by_side};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("threads can be started"));
static WORLD: OnceCell<Result<World, String>> = OnceCell::const_new();
/// Held for writing by the test that runs alone.
static OPERATOR: RwLock<()> = RwLock::const_new(());

/// Runs every case that the arguments select.
pub fn all(cases: Vec<Case>) -> ExitCode {
    let arguments = Arguments::from_args();
    // Both crypto back ends of rustls are compiled in, by kube and by reqwest, so one must be chosen.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let unprepared = World::missing();
    if let Some(missing) = &unprepared {
        eprintln!("tests on a cluster are ignored: {missing}");
    }
    let trials = cases
        .into_iter()
        .map(|case| {
            let ignored = case.full || unprepared.is_some();
            Trial::test(case.name, move || RUNTIME.block_on(one(case))).with_ignored_flag(ignored)
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let clean = RUNTIME.block_on(async {
        match WORLD.get() {
            Some(Ok(world)) => {
                let restored = release::install(&world.images, &[]).await;
                world.clean_up().await.and(restored)
            }
            _ => Ok(()),
        }
    });
    match clean {
        Err(left) => {
            eprintln!("the run did not clean up after itself: {left}");
            ExitCode::FAILURE
        }
        Ok(()) => conclusion.exit_code(),
    }
}

async fn one(case: Case) -> Result<(), Failed> {
    let world = WORLD.get_or_init(World::prepare).await.as_ref()?;
    let _together =
        if case.alone { (None, Some(OPERATOR.write().await)) } else { (Some(OPERATOR.read().await), None) };
    // Whatever a test that ran alone left behind.
    release::install(&world.images, &[]).await?;
    let started = Instant::now();
    let space = Space::create(world, case.name).await?;
    let outcome = tokio::spawn((case.body)(space.clone())).await;
    let result: Result<(), Failed> = match outcome {
        Ok(()) => Ok(()),
        Err(failed) => {
            let said = failed.try_into_panic().map_or_else(|error| error.to_string(), |panic| said(&*panic));
            // At once, and not only at the end of the run, which may be cut short.
            eprintln!("{} failed: {said}", case.name);
            Err(format!("{said}\n{}", diagnostics::collect(&space).await).into())
        }
    };
    space.delete().await?;
    eprintln!("{:>7.1} s  {}", started.elapsed().as_secs_f64(), case.name);
    result
}

fn said(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "it panicked without a message".to_owned())
}
