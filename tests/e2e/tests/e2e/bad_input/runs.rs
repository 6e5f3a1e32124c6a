//! Runs that end without a model: out of memory, time or disk, or by code of one's own.

use serde_json::{Value, json};

use super::table::{
    End::{Failed, Waits},
    Row, row,
};
use crate::harness::{Space, datasets, resources::merge};

/// Takes eight times what it may.
const MEMORY: &str = "x = bytearray(1 << 30); x[::4096] = b'1' * len(x[::4096])";
/// Never ends.
const TIME: &str = "import time; time.sleep(3600)";
/// Fills `/tmp` beyond its 1 GiB, and waits for the kubelet to see it.
const DISK: &str = "
import time
with open('/tmp/full', 'wb') as file:
    for _ in range(1100):
        file.write(bytes(1 << 20))
time.sleep(3600)";
/// A model, and nothing to judge it on.
const UNJUDGED: &str = "
import pathlib
out = pathlib.Path('/modelwright/out'); out.mkdir(parents=True, exist_ok=True)
(out / 'model.onnx').write_bytes(b'something')";

/// Every row, with its data where it can be fetched.
pub async fn rows(space: &Space) -> Vec<Row> {
    let uri = space.serve_text("small.csv", "a,label\n1,0\n2,1\n").await;
    let code = |name: &str, code: &str, more: Value| {
        // one pod: what is tried again is told at its end
        let mut change = json!({"run": {"backoffLimit": 0}});
        merge(&mut change, more);
        datasets::model(name, space.own_code(&uri, code, change))
    };
    vec![
        row(
            code("disk", DISK, json!({})),
            Failed("Evicted"),
            ["temporary", "1Gi in /tmp", "make the data smaller", "spec.rerun"],
        ),
        row(
            code("time", TIME, json!({"run": {"activeDeadlineSeconds": 20}})),
            Failed("DeadlineExceeded"),
            ["spec.training.run.activeDeadlineSeconds, which is 20", "raise it, or train on less"],
        ),
        row(
            code("out-of-memory", MEMORY, json!({"resources": {"limits": {"memory": "128Mi"}}})),
            Failed("OutOfMemory"),
            ["its memory limit, 128Mi", "raise spec.training.resources.limits.memory"],
        ),
        row(
            code("silent", "pass", json!({})),
            Failed("NoModel"),
            ["left no model", "/modelwright/out/model.onnx was expected", "Write the model there"],
        ),
        row(
            code("broken", "raise SystemExit('no luck today')", json!({})),
            Failed("TrainFailed"),
            ["exit code 1", "no luck today", "kubectl logs job/broken-", "--container train"],
        ),
        row(
            code("unjudged", UNJUDGED, json!({})),
            Failed("InvalidEvaluation"),
            ["/modelwright/out/evaluation.npz was expected", "numpy.savez"],
        ),
    ]
}

/// A run whose image nobody has.
pub async fn without_image(space: &Space) -> Row {
    let uri = space.serve_text("small.csv", "a,label\n1,0\n2,1\n").await;
    let image = format!("{}-missing", space.world.images.trainer);
    let spec = space.own_code(&uri, "pass", json!({"trainer": {"image": image}}));
    row(datasets::model("no-image", spec), Waits("ImagePullFailed"), ["container train cannot pull", &image])
}
