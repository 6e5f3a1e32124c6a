//! B9, the table: bad input of every kind ends in a refusal, or within 30 s of its cause in a condition, in words that name
//! field, value and way out. Nothing is lost, and what serves goes on serving.

mod admission;
mod data;
mod evaluations;
mod fields;
mod models;
mod references;
mod requests;
mod runs;
mod sources;
mod specs;
mod table;
mod updates;

use modelwright::api::model_version::ModelVersion;
use serde_json::json;

use self::table::{Outcome, outcome, refusals};
use crate::harness::{Space, load::Load, onnx::Affine};

const AFFINE: Affine = Affine { factor: 2.0, summand: 1.0 };
/// Rows that this topic promises.
const ROWS: usize = 80;

/// The whole table, beside a model that serves.
pub async fn every_mistake_is_told_with_its_way_out_and_what_serves_goes_on(space: Space) {
    space.import("served", AFFINE).await;
    let limits = json!({"serving": {"maxRequestBytes": requests::LARGEST_BODY}});
    let served = space.serve("served", "served", limits).await;
    let endpoint = space.endpoint(&served).await;
    let mut load = Load::gentle(&endpoint);
    load.answers(20).await;

    let mut all = Outcome::default();
    all.add(references::are_told_and_heal(&space).await);
    // Before the others: what a run has to say is told late where many wait for the node.
    let mut runs = runs::rows(&space).await;
    runs.extend(data::rows(&space).await);
    runs.extend(models::rows(&space).await);
    runs.extend(sources::rows(&space).await);
    let (at_once, unmade) = (runs.len(), table::names(&runs));
    let quick = async {
        let mut quick = refusals(&space, admission::rows()).await;
        let specs = specs::rows();
        let at_once = specs.len();
        quick.add(outcome(&space, specs, at_once).await);
        quick.add(requests::are_refused(&space, &endpoint).await);
        fields::are_told_or_refused_by_whatever_way_they_come(&space).await;
        updates::leave_the_present_version(&space, "served", AFFINE).await;
        quick
    };
    let (quick, runs) = tokio::join!(quick, outcome(&space, runs, at_once));
    all.add(quick);
    all.add(runs);
    let versions = space.list::<ModelVersion>().await;
    let made: Vec<_> =
        versions.iter().map(|version| &version.spec.model).filter(|model| unmade.contains(model)).collect();
    assert!(made.is_empty(), "bad input became a version: {made:?}");
    assert_eq!(space.predict(&space.deployment("served").await, AFFINE).await.version, 1);
    load.answers(20).await;
    load.stop().await.assert_nothing_lost(500);
    println!("{} rows of bad input", all.rows);
    assert!(all.wrong.is_empty(), "{} of {} rows:\n{}", all.wrong.len(), all.rows, all.wrong.join("\n"));
    assert!(all.rows >= ROWS, "only {} rows", all.rows);
}
