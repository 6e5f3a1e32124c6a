//! Graphs of what runs along axes, and of operators whose axes are fixed.

use super::*;

pub fn along_axes(all: &mut Cases) {
    for operator in ["Softmax", "LogSoftmax", "Hardmax", "LpNormalization"] {
        let by = |axis: i64| graph().node(operator, "x", "y", &[("axis", int(axis))]);
        all.yes(operator, by(1));
        all.yes(operator, by(-1));
        all.no(operator, operator, by(0));
        all.no(operator, operator, by(-2));
    }
    // Before operator set 13 all axes from the named one on are one.
    let turned = |axis: i64, version: i64| {
        let back = [("perm", ints(&[1, 0, 2]))];
        let made = graph().opset(version).node("Transpose", "z", "t", &back);
        made.node("Softmax", "t", "s", &[("axis", int(axis))]).node("Transpose", "s", "y", &back)
    };
    all.yes("Softmax 13 along another axis", turned(0, 13));
    all.no("Softmax 11 flattens", "Softmax", turned(0, 11));
    all.yes("Softmax 11 behind the rows", turned(2, 11));
    let normalizes = [
        "LayerNormalization",
        "RMSNormalization",
        "SimplifiedLayerNormalization",
        "com.microsoft::SimplifiedLayerNormalization",
    ];
    for operator in normalizes {
        let by = |axis: i64| graph().weights("w", &[3]).node(operator, "x w", "y", &[("axis", int(axis))]);
        all.yes(operator, by(-1));
        all.no(operator, short(operator), by(0));
    }
    for operator in
        ["com.microsoft::SkipLayerNormalization", "com.microsoft::SkipSimplifiedLayerNormalization"]
    {
        let of = |input: &str| format!("{input} {input} w");
        let made = || graph().weights("w", &[3]).node("Transpose", "x", "t", &[]);
        all.yes(operator, made().node(operator, &of("x"), "y", &[]));
        all.no(
            operator,
            short(operator),
            made().node(operator, &of("t"), "s", &[]).node("Transpose", "s", "y", &[]),
        );
    }
    let batch = |settings: &[(&str, Setting)], outputs: &str, version: i64| {
        graph().opset(version).weights("w", &[3]).node("BatchNormalization", "z w w w w", outputs, settings)
    };
    all.yes("BatchNormalization", batch(&[], "y", 15));
    all.no(
        "BatchNormalization that trains",
        "BatchNormalization",
        batch(&[("training_mode", int(1))], "y m v", 15),
    );
    all.no("BatchNormalization with means", "BatchNormalization", batch(&[], "y m v", 9));
    all.no("BatchNormalization without a word", "BatchNormalization", batch(&[], "y", 6));
    for operator in ["InstanceNormalization", "GroupNormalization", "LRN"] {
        all.yes(operator, graph().weights("w", &[3]).node(operator, "z w w", "y", &[]));
        all.no(operator, operator, turned_by(operator, " w w", graph().weights("w", &[3])));
    }
    all.no(
        "MeanVarianceNormalization",
        "MeanVarianceNormalization",
        graph().node("MeanVarianceNormalization", "image", "y", &[]),
    );
    let named = graph().node("MeanVarianceNormalization", "image", "y", &[("axes", ints(&[2, 3]))]);
    all.yes("MeanVarianceNormalization", named);
    let dropout = |mode: i64| {
        graph().weights("r", &[]).numbers("mode", &[], &[mode]).node("Dropout", "x r mode", "y", &[])
    };
    all.yes("Dropout", dropout(0));
    all.no("Dropout", "Dropout", dropout(1));
    for operator in ["Trilu", "com.microsoft::Trilu"] {
        all.no(operator, "Trilu", graph().node(operator, "x", "y", &[]));
        all.yes(operator, graph().node(operator, "z", "y", &[]));
    }
    let cumulative = |axis: i64| graph().numbers("at", &[], &[axis]).node("CumSum", "x at", "y", &[]);
    all.yes("CumSum", cumulative(1));
    all.no("CumSum", "CumSum", cumulative(0));
    for operator in words(REDUCED).chain(["ArgMax", "ArgMin"]) {
        let is_arg = operator.starts_with("Arg");
        let by = |axis: i64| {
            let setting = if is_arg { ("axis", int(axis)) } else { ("axes", ints(&[axis])) };
            graph().node(operator, "x", "r", &[setting]).node("Add", "x r", "y", &[])
        };
        all.yes(operator, by(1));
        all.no(operator, operator, by(0));
        let over_all = graph().node(operator, "x", "r", &[]).node("Add", "x r", "y", &[]);
        all.no(operator, operator, over_all);
    }
    let top = |axis: i64| graph().numbers("k", &[1], &[1]).node("TopK", "x k", "y i", &[("axis", int(axis))]);
    all.yes("TopK", top(1));
    all.no("TopK", "TopK", top(0));
    let many = with_vector(graph()).node("TopK", "x v", "y i", &[]);
    all.no("TopK of as many as a row says", "TopK", many);
    all.no("Det", "Det", turned_by("Det", "", graph()));
    all.yes("Det", graph().node("Det", "z", "y", &[]));
    let quantized = || graph().weights("s", &[]).weights("o", &[]);
    let quantized_concat = |axis: i64| {
        quantized().node("com.microsoft::QLinearConcat", "s o x s o x s o", "y", &[("axis", int(axis))])
    };
    all.yes("QLinearConcat", quantized_concat(1));
    all.no("QLinearConcat", "QLinearConcat", quantized_concat(0));
    let dft = |axis: i64| graph().opset(17).node("DFT", "z", "y", &[("axis", int(axis))]);
    all.yes("DFT", dft(1));
    all.no("DFT", "DFT", dft(0));
}

/// The operator on z with its rows on axis 1, and back.
fn turned_by(operator: &str, more: &str, made: Made) -> Made {
    let back = [("perm", ints(&[1, 0, 2]))];
    let made = made.node("Transpose", "z", "t", &back).node(operator, &format!("t{more}"), "s", &[]);
    made.node("Transpose", "s", "y", &back)
}

pub fn fixed_axes(all: &mut Cases) {
    let weights = || graph().weights("w", &[3, 3, 2, 2]).weights("s", &[]);
    for operator in words(FIRST) {
        all.no(operator, short(operator), turned_by(operator, "", graph()));
    }
    for operator in ["AveragePool", "MaxPool", "LpPool"] {
        all.yes(operator, graph().node(operator, "image", "y", &[("kernel_shape", ints(&[2, 2]))]));
    }
    all.no(
        "MaxPool with indices",
        "MaxPool",
        graph().node("MaxPool", "image", "p y", &[("kernel_shape", ints(&[2, 2]))]),
    );
    for operator in ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "com.microsoft::NhwcMaxPool"] {
        all.yes(operator, graph().node(operator, "image", "y", &[]));
    }
    all.yes("TfIdfVectorizer", graph().node("TfIdfVectorizer", "x", "y", &[]));
    all.yes("OneHotEncoder", graph().node("ai.onnx.ml::OneHotEncoder", "x", "y", &[]));
    for operator in words(FIRST_AND_WEIGHTS) {
        all.no(operator, short(operator), turned_by(operator, " w w", weights()));
    }
    for operator in ["Conv", "ConvInteger", "ConvTranspose", "com.microsoft::FusedConv"] {
        all.yes(operator, weights().node(operator, "image w", "y", &[]));
        let by_row = weights().node("Slice", "image a b c", "filters", &[]).numbers("a", &[1], &[0]);
        let by_row = by_row.numbers("b", &[1], &[1]).numbers("c", &[1], &[1]).node(
            operator,
            "image filters",
            "y",
            &[],
        );
        all.no(operator, short(operator), by_row);
    }
    for operator in ["QLinearConv", "com.microsoft::QLinearConv"] {
        all.yes(operator, weights().node(operator, "image s s w s s s s", "y", &[]));
        all.no(operator, "QLinearConv", turned_by(operator, " s s w s s s s", weights()));
    }
    for operator in words(TWO_FIRST) {
        all.no(operator, short(operator), turned_by(operator, " t w w w w w", weights()));
    }
    for operator in words(THREE_FIRST) {
        all.no(operator, short(operator), turned_by(operator, " t t", graph()));
        all.yes(operator, graph().node(operator, "z z z", "y", &[]));
    }
    all.yes("GridSample", graph().node("GridSample", "image image", "y", &[]));
    all.no("DeformConv", "DeformConv", turned_by("DeformConv", " w t", weights()));
    all.yes("DeformConv", weights().node("DeformConv", "image w image", "y", &[]));
    all.no("QAttention", "QAttention", turned_by("com.microsoft::QAttention", " w w s s", weights()));
    all.yes("QAttention", weights().node("com.microsoft::QAttention", "z w w s s", "y", &[]));
    all.yes("Attention", weights().node("com.microsoft::Attention", "z w w ids", "y", &[]));
    let of_ids =
        weights().node("com.microsoft::EmbedLayerNormalization", "ids ids w w w w w ids", "y m", &[]);
    all.yes("EmbedLayerNormalization", of_ids);
    for operator in words(LINES) {
        all.no(operator, short(operator), with_vector(graph()).node(operator, "v", "y", &[]));
        all.yes(operator, graph().node(operator, "x", "y", &[]));
    }
    for operator in words(ALWAYS) {
        all.no(operator, short(operator), graph().node(operator, "x", "y", &[]));
    }
    for operator in ["RandomNormal", "RandomUniform"] {
        all.no(operator, operator, graph().node(operator, "", "r", &[]).node("Add", "x r", "y", &[]));
    }
    for operator in ["RNN", "GRU", "LSTM"] {
        let made = || graph().weights("w", &[1, 8, 4]);
        all.no(operator, operator, made().node(operator, "z w w", "y", &[]));
        let turned = made().node("Transpose", "z", "t", &[("perm", ints(&[1, 0, 2]))]).node(
            operator,
            "t w w",
            "h",
            &[],
        );
        all.yes(operator, turned.node("Transpose", "h", "y", &[("perm", ints(&[2, 0, 1, 3]))]));
        all.yes(operator, made().node(operator, "z w w", "y", &[("layout", int(1))]));
        let state =
            made().weights("h0", &[1, 1, 8]).node("Transpose", "z", "t", &[("perm", ints(&[1, 0, 2]))]);
        let state = state.node(operator, "t w w _ _ h0", "h", &[]);
        all.no(operator, operator, state.node("Transpose", "h", "y", &[("perm", ints(&[2, 0, 1, 3]))]));
    }
    let backwards = |batch: i64, time: i64| {
        let by = [("batch_axis", int(batch)), ("time_axis", int(time))];
        with_vector(graph()).node("ReverseSequence", "x v", "y", &by)
    };
    all.yes("ReverseSequence", backwards(0, 1));
    all.no("ReverseSequence", "ReverseSequence", backwards(1, 0));
}
