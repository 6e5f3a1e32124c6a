//! Nodes with graphs of their own: branches, loops, and what takes slices. In goes a call; out comes what holds whatever branch
//! is taken, and after however many turns.

use super::{Frame, Scope, Walk};
use crate::{
    onnx::graph::{Graph, Node},
    rows::{
        frozen,
        rules::{self, Call, RuleResult, axis, rows},
        size::Size,
        value::{Class, Place, Value},
    },
};

/// Most turns after which what a loop carries must stay as it is.
const MAX_TURNS: usize = 8;

impl Walk<'_> {
    /// The branch that is taken for every number of rows, or what both have in common.
    pub(super) fn branches(&mut self, call: &Call<'_>, scope: &Scope<'_>, frame: Frame<'_>) -> RuleResult {
        const MISSING: &str = "its graphs are missing";
        let condition = call.needed(0)?;
        let first = call.graph("then_branch").ok_or(MISSING)?;
        let second = call.graph("else_branch").ok_or(MISSING)?;
        match &condition.class {
            Class::Constant => {}
            Class::Mixed(_) => return Err("its condition mixes rows"),
            _ => return Err("its condition depends on the rows or on their number"),
        }
        match condition.scalar() {
            Some(0) => return Ok(self.branch(second, scope, frame)),
            Some(_) => return Ok(self.branch(first, scope, frame)),
            None => {}
        }
        let (first, second) = (self.branch(first, scope, frame), self.branch(second, scope, frame));
        let pairs = first.into_iter().zip(second);
        Ok(pairs.map(|(a, b)| self.either(a, b, call.node)).collect())
    }

    /// What a loop carries must stay what it is after some turns, and how many turns there are must not depend on rows.
    pub(super) fn turns(&mut self, call: &Call<'_>, scope: &Scope<'_>, frame: Frame<'_>) -> RuleResult {
        const COUNTED: &str = "how often it turns depends on the rows or on their number";
        let body = call.graph("body").ok_or("its graph is missing")?;
        if !call.inputs.iter().take(2).flatten().all(Value::is_constant) {
            return Err(COUNTED);
        }
        let mut carried: Vec<Value> = Vec::new();
        for at in 2..call.inputs.len() {
            // Its elements may be others in each turn.
            carried.push(Value { numbers: None, ..call.needed(at)?.clone() });
        }
        let count = carried.len();
        let known = self.symbols.count();
        for _ in 0..MAX_TURNS {
            let mut inner = Scope::new(Some(scope));
            let scalar = || Value::new(Class::Constant, Some(Vec::new()));
            let given = [scalar(), scalar()].into_iter().chain(carried.iter().cloned());
            for (port, value) in body.inputs.iter().zip(given) {
                let value = value.with_symbols(&mut self.symbols);
                inner.set(&port.name, value);
            }
            let outputs = self.graph(body, &mut inner, Frame { depth: frame.depth + 1, ..frame });
            let fixed = outputs.first().is_some_and(Value::is_constant);
            let value = |name: &str| inner.get(name).cloned();
            if !fixed && !frozen::leaves_rows_that_are_done(body, count, value) {
                return Err(COUNTED);
            }
            let (next, stays) =
                self.carry_on(&carried, outputs.get(1..).unwrap_or_default(), known, call.node);
            if stays {
                let mut all = next;
                for value in outputs.into_iter().skip(1 + count) {
                    all.push(self.stacked(value, 0)?);
                }
                return Ok(all);
            }
            carried = next;
        }
        Err("what it carries from turn to turn does not settle")
    }

    /// What is carried into the next turn, and whether all of it stays what it was before this one. `known` is how many
    /// symbols there were before the first turn.
    fn carry_on(
        &mut self,
        carried: &[Value],
        outputs: &[Value],
        known: usize,
        node: &Node,
    ) -> (Vec<Value>, bool) {
        let mut stays = outputs.len() >= carried.len();
        let mut next = Vec::with_capacity(carried.len());
        for (before, after) in carried.iter().zip(outputs) {
            let mut both = self.either(before.clone(), after.clone(), node);
            both.numbers = None;
            // The size of something else holds in the first turn alone; one that was made here is any size.
            let is_any = |size: &Size| self.symbols.is_newer(size, known);
            stays &= is_settled(before, &both, after, is_any);
            next.push(both);
        }
        (next, stays)
    }

    /// Slices of all turns, put together along a new axis.
    fn stacked(&mut self, value: Value, at: usize) -> RuleResult<Value> {
        let count = self.symbols.size();
        let sizes = value.sizes.map(|mut sizes| {
            sizes.insert(at.min(sizes.len()), count);
            sizes
        });
        match (value.class, sizes) {
            (Class::Rows(place), Some(sizes)) => {
                rows(place.moved(place.axis + usize::from(at <= place.axis)), sizes)
            }
            (Class::Rows(_), None) => Err("the shape of a value is not known"),
            (class, sizes) => Ok(Value::new(class, sizes)),
        }
    }

    /// A graph for each slice. Along the rows' own axis each slice is a row, and nothing may be carried to the next one.
    pub(super) fn slices(&mut self, call: &Call<'_>, scope: &Scope<'_>, frame: Frame<'_>) -> RuleResult {
        const UNKNOWN: &str = "how it takes slices is not known";
        if call.version < 9 {
            return Err("this version of it is not followed");
        }
        let body = call.graph("body").ok_or("its graph is missing")?;
        let scanned = call.integer("num_scan_inputs").and_then(|count| usize::try_from(count).ok());
        let scanned = scanned.filter(|count| *count > 0 && *count <= call.inputs.len()).ok_or(UNKNOWN)?;
        let states = call.inputs.len() - scanned;
        let along = |name: &str, which: usize, rank: usize| -> RuleResult<usize> {
            let named = call.integers(name).and_then(|axes| axes.get(which)).copied();
            axis(named.unwrap_or(0), rank)
        };
        let mut slices = Vec::with_capacity(scanned);
        let mut by_row = false;
        for which in 0..scanned {
            let value = call.needed(states + which)?;
            let mut sizes = rules::sizes(value)?.clone();
            let at = along("scan_input_axes", which, sizes.len())?;
            sizes.remove(at);
            slices.push(match &value.class {
                Class::Rows(place) if place.axis == at => {
                    if *place != Place::on(at) {
                        return Err("its slices are not rows");
                    }
                    by_row = true;
                    Value::new(Class::OneRow, Some(sizes))
                }
                Class::Rows(place) => rows(place.moved(place.axis - usize::from(at < place.axis)), sizes)?,
                Class::Constant => Value::new(Class::Constant, Some(sizes)),
                _ => return Err("how often it turns depends on the rows or on their number"),
            });
        }
        if by_row && slices.iter().any(|slice| slice.class != Class::OneRow) {
            return Err("its slices are not rows");
        }
        let backwards = |name: &str| call.integers(name).is_some_and(|ways| ways.iter().any(|way| *way != 0));
        if by_row && (backwards("scan_input_directions") || backwards("scan_output_directions")) {
            return Err("it takes rows from the last to the first");
        }
        let mut carried: Vec<Value> = Vec::new();
        for at in 0..states {
            carried.push(Value { numbers: None, ..call.needed(at)?.clone() });
        }
        let known = self.symbols.count();
        for _ in 0..MAX_TURNS {
            let mut inner = Scope::new(Some(scope));
            for (port, value) in body.inputs.iter().zip(carried.iter().chain(&slices)) {
                let value = value.clone().with_symbols(&mut self.symbols);
                inner.set(&port.name, value);
            }
            let outputs = self.graph(body, &mut inner, Frame { depth: frame.depth + 1, ..frame });
            if by_row && !(0..states).all(|at| is_passed_on(body, at)) {
                return Err("it carries something from row to row");
            }
            let (next, stays) = self.carry_on(&carried, &outputs, known, call.node);
            if stays {
                let mut all = next;
                for (which, value) in outputs.into_iter().skip(states).enumerate() {
                    let rank = value.rank().map(|rank| rank + 1);
                    let at = match rank {
                        Some(rank) => along("scan_output_axes", which, rank)?,
                        None => 0,
                    };
                    all.push(match (by_row, value.class.clone(), value.sizes.clone()) {
                        (true, Class::OneRow | Class::Constant, Some(mut sizes)) => {
                            sizes.insert(at, Size::rows());
                            rows(Place::on(at), sizes)?
                        }
                        (true, Class::OneRow | Class::Constant, None) => {
                            return Err("the shape of a value is not known");
                        }
                        (true, _, _) => return Err("a row meets all rows"),
                        (false, _, _) => self.stacked(value, at)?,
                    });
                }
                return Ok(all);
            }
            carried = next;
        }
        Err("what it carries from turn to turn does not settle")
    }
}

/// Whether what is carried is after a turn what it was before it.
fn is_settled(before: &Value, both: &Value, after: &Value, is_any: impl Fn(&Size) -> bool) -> bool {
    let same_sizes = match (&before.sizes, &both.sizes, &after.sizes) {
        (Some(before), Some(_), Some(after)) => before
            .iter()
            .zip(after)
            .all(|(before, after)| before == after || is_any(before) && !after.has_rows()),
        (None, _, _) => true,
        _ => false,
    };
    before.class == both.class && same_sizes
}

/// Whether a graph gives an input on as an output, as it is.
fn is_passed_on(graph: &Graph, at: usize) -> bool {
    let (Some(input), Some(output)) = (graph.inputs.get(at), graph.outputs.get(at)) else { return false };
    let copied = |node: &Node| {
        node.operator == "Identity"
            && node.inputs.first() == Some(&input.name)
            && node.outputs.first() == Some(&output.name)
    };
    input.name == output.name || graph.nodes.iter().any(copied)
}
