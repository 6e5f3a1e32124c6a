//! Graphs that lay elements out anew, or select some.

use super::*;

pub fn layouts(all: &mut Cases) {
    let shaped = |input: &str, shape: &[i64]| {
        let count = i64::try_from(shape.len()).unwrap_or_default();
        graph().numbers("shape", &[count], shape).node("Reshape", &format!("{input} shape"), "r", &[])
    };
    all.yes("Reshape", shaped("z", &[-1, 12]).node("Relu", "r", "y", &[]));
    all.yes("Reshape", shaped("z", &[0, -1]).node("Relu", "r", "y", &[]));
    let there_and_back = shaped("z", &[-1, 4]).weights("w", &[4, 4]).node("MatMul", "r w", "m", &[]);
    all.yes(
        "Reshape to all lines of all rows",
        there_and_back.numbers("b", &[3], &[-1, 3, 4]).node("Reshape", "m b", "y", &[]),
    );
    all.no(
        "lines of rows are put along a softmax",
        "Softmax",
        shaped("z", &[-1, 4])
            .node("Softmax", "r", "s", &[("axis", int(0))])
            .numbers("b", &[3], &[-1, 3, 4])
            .node("Reshape", "s b", "y", &[]),
    );
    all.no("Reshape", "Reshape", shaped("x", &[3, -1]).node("Transpose", "r", "y", &[]));
    all.no(
        "Reshape to a size that does not divide",
        "Reshape",
        shaped("x", &[-1, 2]).node("Relu", "r", "y", &[]),
    );
    a_number_that_is_below_zero(all);
    all.no("Reshape to two rows in one", OUTPUT, shaped("x", &[-1]).node("Relu", "r", "y", &[]));
    all.no("Flatten", OUTPUT, graph().node("Flatten", "z", "y", &[("axis", int(0))]));
    all.yes("Flatten", graph().node("Flatten", "z", "y", &[]));
    all.no("Transpose", OUTPUT, graph().node("Transpose", "x", "y", &[]));
    all.yes("Transpose", graph().node("Transpose", "z", "y", &[("perm", ints(&[0, 2, 1]))]));
    let thin = || graph().node("ReduceSum", "x", "s", &[("axes", ints(&[1]))]);
    all.no("Squeeze", "Squeeze", thin().node("Squeeze", "s", "y", &[]));
    all.no("Squeeze of no axes", "Squeeze", thin().numbers("a", &[0], &[]).node("Squeeze", "s a", "y", &[]));
    all.yes("Squeeze", thin().numbers("a", &[1], &[1]).node("Squeeze", "s a", "y", &[]));
    let by = |axis: i64| graph().numbers("a", &[1], &[axis]).node("Unsqueeze", "x a", "y", &[]);
    all.no("Unsqueeze", OUTPUT, by(0));
    all.yes("Unsqueeze", by(1));
    let counted = || {
        let made =
            graph().node("Shape", "x", "sizes", &[]).numbers("zero", &[1], &[0]).numbers("three", &[1], &[3]);
        made.node("Gather", "sizes zero", "n", &[("axis", int(0))])
    };
    let square = || counted().node("Concat", "n n", "shape", &[("axis", int(0))]);
    all.no("Expand", "Expand", with_vector(square()).node("Expand", "v shape", "y", &[]));
    let line = counted().weights("line", &[1, 3]).node("Concat", "n three", "shape", &[("axis", int(0))]);
    all.yes(
        "Expand a constant for each row",
        line.node("Expand", "line shape", "e", &[]).node("Concat", "x e", "y", &[("axis", int(1))]),
    );
    let tiled = |times: &[i64]| graph().numbers("times", &[2], times).node("Tile", "x times", "y", &[]);
    all.no("Tile", OUTPUT, tiled(&[2, 1]));
    all.yes("Tile", tiled(&[1, 2]));
    all.no("ConstantOfShape", OUTPUT, square().node("ConstantOfShape", "shape", "y", &[]));
    let zeros = counted().node("Concat", "n three", "shape", &[("axis", int(0))]).node(
        "ConstantOfShape",
        "shape",
        "zeros",
        &[],
    );
    all.yes("ConstantOfShape", zeros.node("Add", "x zeros", "y", &[]));
    let counted_up =
        counted().numbers("a", &[], &[0]).numbers("b", &[], &[1]).node("Squeeze", "n", "limit", &[]);
    all.no("Range", OUTPUT, counted_up.node("Range", "a limit b", "y", &[]));
    all.no("Shape", "Add", graph().node("Shape", "pair", "sizes", &[]).node("Add", "pair sizes", "y", &[]));
    all.no("Size", "Add", graph().node("Size", "x", "count", &[]).node("Add", "x count", "y", &[]));
    let tensor =
        Setting::Tensor(Constant { name: String::new(), sizes: vec![5, 3], numbers: None, texts: None });
    all.no(
        "Constant",
        "Add",
        graph().node("Constant", "", "c", &[("value", tensor)]).node("Add", "x c", "y", &[]),
    );
}

pub fn selections(all: &mut Cases) {
    let joined = |axis: i64| graph().node("Concat", "x x", "y", &[("axis", int(axis))]);
    all.yes("Concat", joined(1));
    all.no("Concat", "Concat", joined(0));
    all.no(
        "Concat with a constant",
        "Concat",
        graph().weights("w", &[1, 3]).node("Concat", "x w", "y", &[("axis", int(1))]),
    );
    all.yes("Split", graph().node("Split", "z", "y rest", &[("axis", int(2))]));
    all.no("Split", "Split", graph().node("Split", "x", "y rest", &[("axis", int(0))]));
    let sliced = |axis: i64| {
        let made = graph().numbers("a", &[1], &[0]).numbers("b", &[1], &[1]).numbers("c", &[1], &[axis]);
        made.node("Slice", "x a b c", "s", &[]).node("Add", "x s", "y", &[])
    };
    all.yes("Slice", sliced(1));
    all.no("Slice", "Slice", sliced(0));
    let taken =
        |axis: i64| graph().numbers("i", &[], &[0]).node("Gather", "z i", "y", &[("axis", int(axis))]);
    all.yes("Gather", taken(1));
    all.no("Gather", "Gather", taken(0));
    all.yes("Gather from a table", graph().weights("table", &[100, 8]).node("Gather", "table ids", "y", &[]));
    all.no(
        "Gather from other rows",
        "Gather",
        with_vector(graph()).node("Gather", "x v", "y", &[("axis", int(1))]),
    );
    let by_element = |axis: i64| graph().node("GatherElements", "x x", "y", &[("axis", int(axis))]);
    all.yes("GatherElements", by_element(1));
    all.no("GatherElements", "GatherElements", by_element(0));
    let nd = |inputs: &str, batch: i64| {
        let made = graph().numbers("i", &[1, 1], &[0]).weights("table", &[9, 9, 4]);
        made.node("GatherND", inputs, "y", &[("batch_dims", int(batch))])
    };
    all.no("GatherND", "GatherND", nd("x i", 0));
    all.no("GatherND from other rows", "GatherND", nd("z pair", 0));
    all.yes("GatherND from a table", nd("table pair", 0));
    all.yes("GatherND behind rows", nd("z pair", 1));
    let featured = || graph().numbers("i", &[2], &[0, 2]);
    all.yes("ArrayFeatureExtractor", featured().node("ai.onnx.ml::ArrayFeatureExtractor", "x i", "y", &[]));
    let turned = featured().node("Transpose", "x", "t", &[]).node(
        "ai.onnx.ml::ArrayFeatureExtractor",
        "t i",
        "s",
        &[],
    );
    all.no("ArrayFeatureExtractor", "ArrayFeatureExtractor", turned.node("Transpose", "s", "y", &[]));
    let labels = with_vector(graph()).weights("labels", &[3]).numbers("flat", &[1], &[-1]);
    let labels = labels.node("ai.onnx.ml::ArrayFeatureExtractor", "labels v", "line", &[]);
    all.yes("labels by index", labels.node("Reshape", "line flat", "y", &[]));
    for operator in ["Scatter", "ScatterElements"] {
        all.yes(operator, graph().node(operator, "x x x", "y", &[("axis", int(1))]));
        all.no(operator, operator, graph().node(operator, "x x x", "y", &[("axis", int(0))]));
    }
    let written =
        graph().numbers("i", &[1, 1], &[0]).weights("u", &[1, 3]).node("ScatterND", "x i u", "y", &[]);
    all.no("ScatterND", "ScatterND", written);
    let padded = |pads: &[i64]| graph().numbers("pads", &[4], pads).node("Pad", "x pads", "y", &[]);
    all.yes("Pad", padded(&[0, 1, 0, 1]));
    all.no("Pad", "Pad", padded(&[1, 0, 0, 0]));
    let resized = |operator: &str, scales: &[i64]| {
        let inputs = if operator == "Upsample" { "x scales" } else { "x _ scales" };
        graph().numbers("scales", &[2], scales).node(operator, inputs, "y", &[])
    };
    let kept = |axes: &[i64], sizes: &[i64]| {
        let made = graph().numbers("sizes", &[i64::try_from(sizes.len()).unwrap()], sizes);
        let policy = [("keep_aspect_ratio_policy", text("not_smaller")), ("axes", ints(axes))];
        made.node("Resize", "image _ _ sizes", "y", &policy)
    };
    all.yes("Resize that keeps the ratio of two axes", kept(&[2, 3], &[9, 16]));
    let by_shape = graph()
        .node("Shape", "image", "n", &[("end", int(1))])
        .numbers("rest", &[3], &[3, 16, 16])
        .node("Concat", "n rest", "sizes", &[("axis", int(0))])
        .node("Resize", "image _ _ sizes", "y", &[("keep_aspect_ratio_policy", text("not_smaller"))]);
    all.no("Resize that keeps the ratio of all axes", "Resize", by_shape);
    for operator in ["Resize", "Upsample"] {
        all.yes(operator, resized(operator, &[1, 2]));
        all.no(operator, operator, resized(operator, &[2, 1]));
    }
    let hot = |axis: i64| {
        with_vector(graph()).numbers("depth", &[], &[3]).weights("values", &[2]).node(
            "OneHot",
            "v depth values",
            "y",
            &[("axis", int(axis))],
        )
    };
    all.yes("OneHot", hot(-1));
    all.no("OneHot", OUTPUT, hot(0));
}

/// The number is -1, which only the runtime knows: what is left is 3, and -3 names the axis of the rows.
fn a_number_that_is_below_zero(all: &mut Cases) {
    let left = graph().numbers("zero", &[1], &[0]).numbers("one", &[1], &[1]).numbers("a", &[1], &[-4]);
    let left = left.node("Sign", "a", "s", &[]).node("Shape", "z", "sizes", &[]);
    let left = left.node("Slice", "sizes zero one", "n", &[]).numbers("four", &[1], &[4]).node(
        "Concat",
        "n s four",
        "shape",
        &[("axis", int(0))],
    );
    let left = left.node("Reshape", "z shape", "r", &[]).numbers("two", &[1], &[2]);
    let left = left.node("Shape", "r", "sizes_r", &[]).node("Slice", "sizes_r one two", "three", &[]);
    all.no(
        "Reshape to a number that is -1",
        "ReduceSum",
        left.node("Div", "three s", "axis", &[]).node("ReduceSum", "r axis", "q", &[]).node(
            "Sub",
            "r q",
            "y",
            &[],
        ),
    );
}
