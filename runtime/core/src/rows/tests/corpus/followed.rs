//! Graphs in which a constant has another value for each row, and graphs with sizes that seem to be known and are others: what
//! they decide is then another thing, too.

use super::*;

pub fn constants_for_each_row(all: &mut Cases) {
    for operator in ["LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization"] {
        let scaled = |sizes: &[i64]| graph().weights("w", sizes).node(operator, "x w", "y", &[]);
        all.no(operator, operator, scaled(&[2, 3]));
        all.yes(operator, scaled(&[3]));
        all.yes(operator, scaled(&[1, 3]));
    }
    let biased = graph().weights("w", &[3]).weights("b", &[2, 3]);
    all.no("a bias for each row", "LayerNorm", biased.node("LayerNormalization", "x w b", "y", &[]));
    let turned = |sizes: &[i64]| {
        let made = graph().weights("cos", sizes).weights("sin", sizes);
        made.node("RotaryEmbedding", "z cos sin", "y", &[("num_heads", int(1))])
    };
    all.no("angles for each row", "RotaryEmbedding", turned(&[2, 3, 2]));
    all.yes("the same angles for each row", turned(&[1, 3, 2]));
}

/// x, or x less the largest of its column, as `known` is 1 or not.
fn chosen(made: Made) -> Made {
    let made = made.node("Identity", "x", "own", &[]);
    let made = made.numbers("first", &[1], &[0]).numbers("is", &[], &[1]);
    let same = graph().node("Identity", "x", "a", &[]).graph("a");
    let less = graph().node("ReduceMax", "x first", "most", &[]).node("Sub", "x most", "b", &[]).graph("b");
    let branches =
        [("then_branch", Setting::Graph(Box::new(same))), ("else_branch", Setting::Graph(Box::new(less)))];
    made.node("Equal", "known is", "decides", &[]).node("If", "decides", "y", &branches)
}

/// The size of the second axis as `size`.
fn measured(made: Made, of: &str, size: &str) -> Made {
    let made = made.numbers("second", &[], &[1]);
    let sizes = format!("{of}_sizes");
    made.node("Shape", of, &sizes, &[]).node("Gather", &format!("{sizes} second"), size, &[])
}

pub fn sizes_that_are_others(all: &mut Cases) {
    // How long each part is says a constant that is not followed.
    let parted = graph().weights("w", &[3]).numbers("axes", &[1], &[0]).node("NonZero", "w", "places", &[]);
    let parted = parted.node("Squeeze", "places axes", "lengths", &[]);
    let parted = parted.node("Split", "x lengths", "p q", &[("axis", int(1))]);
    let parted =
        measured(parted, "p", "size").numbers("less", &[], &[1]).node("Sub", "size less", "known", &[]);
    all.no("parts of lengths that are not known", "ReduceMax", chosen(parted));
    let lengths = graph().weights("w", &[3]).numbers("axes", &[1], &[0]).node("NonZero", "w", "places", &[]);
    let lengths = lengths.node("Squeeze", "places axes", "lengths", &[]).numbers("list", &[4], &[1, 1, 2, 2]);
    let lengths = lengths.node("Split", "list lengths", "p q", &[]).numbers("two", &[1], &[1]);
    let lengths = lengths.node("Gather", "p two", "known", &[]);
    all.no("a part of a list, of a length that is not known", "", chosen(lengths));

    // Backwards from ahead of the first element: ONNX Runtime takes the first one.
    let ahead = graph().numbers("far", &[1], &[-9]).numbers("axes", &[1], &[1]).numbers("step", &[1], &[-1]);
    let ahead = ahead.node("Slice", "x far far axes step", "s", &[]);
    let ahead = measured(ahead, "s", "size").numbers("more", &[], &[1]);
    all.no("backwards from ahead", "ReduceMax", chosen(ahead.node("Add", "size more", "known", &[])));

    // Where the length of the words is 0, the size is that of z.
    let copied =
        measured(graph().node("Identity", "ids", "same", &[]), "same", "t").numbers("rest", &[1], &[-1]);
    let copied = copied.numbers("zero", &[1], &[0]).node("Unsqueeze", "t zero", "t1", &[]);
    let copied = copied.node("Shape", "z", "all", &[("end", int(1))]);
    let copied = copied.node("Concat", "all t1 rest", "shape", &[("axis", int(0))]);
    let copied = measured(copied.node("Reshape", "z shape", "other", &[]), "other", "found");
    let copied =
        copied.node("Equal", "found t", "is_so", &[]).node("Cast", "is_so", "known", &[("to", int(7))]);
    all.no("a size of 0 that copies another one", "ReduceMax", chosen(copied));

    // Up to less than nothing there is nothing.
    let counted =
        measured(graph().node("Identity", "ids", "same", &[]), "same", "t").numbers("four", &[], &[4]);
    let counted = counted.numbers("zero", &[], &[0]).node("Sub", "t four", "limit", &[]);
    let counted = counted.node("Range", "zero limit second", "list", &[]).node("Size", "list", "count", &[]);
    let counted =
        counted.node("Equal", "count limit", "is_so", &[]).node("Cast", "is_so", "known", &[("to", int(7))]);
    all.no("a range up to what may be negative", "ReduceMax", chosen(counted));

    // A product that is rounded, over its factor, may be less than what it was.
    for (of, at, because) in [("x", 0, "If"), ("ids", 1, "ReduceMax")] {
        let rounded = graph().numbers("at", &[1], &[at]).node("Shape", of, "sizes", &[]);
        let rounded = rounded.node("Gather", "sizes at", "n", &[]).node("Cast", "n", "f", &[("to", int(1))]);
        let rounded = rounded.weights("c", &[1]).node("Mul", "f c", "p", &[]).node("Div", "p c", "q", &[]);
        let rounded = rounded.node("Cast", "q", "m", &[("to", int(7))]);
        let rounded =
            rounded.node("Equal", "m n", "same", &[]).node("Cast", "same", "known", &[("to", int(7))]);
        all.no(&format!("a rounded quotient of {of}"), because, chosen(rounded));
    }

    // What is carried has the size of something else in the first turn alone.
    let grown = |longer: bool| {
        let inner = graph().node("Shape", "a", "before", &[]).node("Shape", "x", "whole", &[]);
        let inner =
            inner.node("Gather", "before second", "now", &[]).node("Gather", "whole second", "then", &[]);
        let inner = inner.node("Equal", "now then", "known", &[]);
        let inner = if longer {
            inner.node("Slice", "a zero one axes", "part", &[])
        } else {
            inner.node("Identity", "a", "part", &[])
        };
        let same = graph().node("Identity", "part", "s", &[]).graph("s");
        let less =
            graph().node("ReduceMax", "part zero", "most", &[]).node("Sub", "part most", "l", &[]).graph("l");
        let branches = [
            ("then_branch", Setting::Graph(Box::new(same))),
            ("else_branch", Setting::Graph(Box::new(less))),
        ];
        let inner = inner.node("If", "known", "more", &branches).node("Identity", "going", "on", &[]);
        let inner = if longer {
            inner.node("Concat", "a more", "next", &[("axis", int(1))])
        } else {
            inner.node("Add", "a more", "next", &[])
        };
        let ports = ["turn", "going", "a"].map(|name| Port { name: name.to_owned(), shape: None });
        let body = Setting::Graph(Box::new(Graph { inputs: ports.to_vec(), ..inner.graph("on next") }));
        let made =
            graph().numbers("second", &[], &[1]).numbers("zero", &[1], &[0]).numbers("one", &[1], &[1]);
        let made = made.numbers("axes", &[1], &[1]).numbers("turns", &[], &[2]).numbers("yes", &[], &[1]);
        let made = made.node("Cast", "ids", "x", &[("to", int(1))]);
        made.node("Loop", "turns yes x", "y", &[("body", body)])
    };
    all.no("a loop that makes what it carries longer", "ReduceMax", grown(true));
    all.yes("a loop that leaves the sizes of what it carries", grown(false));
}
