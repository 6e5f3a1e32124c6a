//! Loops that go on for as long as a row is not done, and leave those that are done as they are: a row has then the same answer
//! however long others take. In go a loop's graph and the values of its last turn; out comes whether it is one of these.
//!
//! Each carried value must be `Where(active, changed, before)` with the same `active`, which comes of what is carried alone, and
//! the loop must go on if and only if `active` holds somewhere: `Greater(ReduceMax(active), 0)`. What is not active then stays
//! as it is in every further turn, `active` included.

use super::value::Value;
use crate::onnx::graph::{Graph, Node, Setting};

/// Whether a loop's graph is one of these; `value` gives a value of its last turn.
pub fn leaves_rows_that_are_done(
    body: &Graph,
    carried: usize,
    value: impl Fn(&str) -> Option<Value>,
) -> bool {
    judge(body, carried, value).is_some()
}

fn judge(body: &Graph, carried: usize, value: impl Fn(&str) -> Option<Value>) -> Option<()> {
    let made_by = |name: &String| body.nodes.iter().find(|node| node.outputs.first() == Some(name));
    let of =
        |node: &Node, operator: &str| (node.domain.is_empty() && node.operator == operator).then_some(());
    if body.outputs.len() != carried + 1 || carried == 0 {
        return None;
    }
    // Neither the number of the turn nor a graph within may enter.
    let (turn, going) = (&body.inputs.first()?.name, &body.inputs.get(1)?.name);
    let enters = |node: &Node| node.inputs.iter().any(|name| name == turn || name == going);
    let has_graphs =
        |node: &Node| node.attributes.iter().any(|attribute| matches!(attribute.value, Setting::Graph(_)));
    if body.nodes.iter().any(|node| enters(node) || has_graphs(node)) {
        return None;
    }
    let again = made_by(&body.outputs.first()?.name)?;
    of(again, "Greater")?;
    if value(again.inputs.get(1)?)?.scalar() != Some(0) {
        return None;
    }
    let most = made_by(again.inputs.first()?)?;
    of(most, "ReduceMax")?;
    // Over all axes, which no axes mean unless it is said that they mean none.
    if most.inputs.len() > 1 || most.attributes.iter().any(|attribute| attribute.name != "keepdims") {
        return None;
    }
    let mut active = most.inputs.first()?;
    if let Some(cast) = made_by(active).filter(|node| of(node, "Cast").is_some()) {
        active = cast.inputs.first()?;
    }
    value(active)?.place()?;
    for at in 0..carried {
        let kept = made_by(&body.outputs.get(at + 1)?.name)?;
        of(kept, "Where")?;
        let before = &body.inputs.get(at + 2)?.name;
        if kept.inputs.first() != Some(active) || kept.inputs.get(2) != Some(before) {
            return None;
        }
    }
    Some(())
}
