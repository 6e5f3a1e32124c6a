//! Graphs of what is computed element by element, and of products.

use super::*;

pub fn elementwise(all: &mut Cases) {
    for operator in words(UNARY) {
        all.yes(operator, graph().node(operator, "x", "y", &[("to", int(1))]));
        all.no(operator, "Softmax", mixed().node(operator, "mixed", "y", &[("to", int(1))]));
    }
    for operator in words(BINARY) {
        let inputs = |a, b| if operator == "Where" { format!("{a} {a} {b}") } else { format!("{a} {b}") };
        let line = || graph().weights("line", &[3]);
        all.yes(operator, line().node(operator, &inputs("x", "line"), "y", &[]));
        all.yes(operator, graph().node(operator, &inputs("x", "x"), "y", &[]));
        let lines = graph().weights("lines", &[5, 3]);
        all.no(operator, short(operator), lines.node(operator, &inputs("x", "lines"), "y", &[]));
        all.no(operator, short(operator), with_vector(graph()).node(operator, &inputs("x", "v"), "y", &[]));
    }
    let quantized = || graph().weights("s", &[]).weights("o", &[]);
    for operator in ["com.microsoft::QLinearAdd", "com.microsoft::QLinearMul"] {
        all.yes(operator, quantized().node(operator, "x s o x s o s o", "y", &[]));
        all.no(
            operator,
            short(operator),
            with_vector(quantized()).node(operator, "x s o v s o s o", "y", &[]),
        );
    }
    for operator in [
        "QuantizeLinear",
        "DequantizeLinear",
        "com.microsoft::QuantizeLinear",
        "com.microsoft::DequantizeLinear",
    ] {
        let by_axis = |axis: i64, scales: i64| {
            graph().weights("s", &[scales]).node(operator, "x s", "y", &[("axis", int(axis))])
        };
        all.yes(operator, by_axis(1, 3));
        all.yes(operator, by_axis(0, 1));
        all.no(operator, short(operator), by_axis(0, 5));
    }
    let doubled =
        graph().node("Softmax", "x", "mixed", &[("axis", int(0))]).node("CastLike", "x mixed", "y", &[]);
    all.yes("the datatype of what is mixed is not mixed", doubled);
}

pub fn products(all: &mut Cases) {
    let both =
        || graph().node("Transpose", "x", "t", &[]).weights("w", &[3, 7]).weights("s", &[]).weights("o", &[]);
    for operator in [
        "MatMul",
        "MatMulInteger",
        "Gemm",
        "com.microsoft::FusedMatMul",
        "com.microsoft::TransposeMatMul",
        "com.microsoft::FusedGemm",
    ] {
        all.yes(operator, both().node(operator, "x w", "y", &[]));
        all.no(operator, short(operator), both().node(operator, "x t", "y", &[]));
        all.no(
            operator,
            short(operator),
            both().node(operator, "t x", "g", &[]).node("MatMul", "x g", "y", &[]),
        );
    }
    for operator in ["QLinearMatMul", "com.microsoft::QGemm"] {
        let by = |a: &str, b: &str| {
            format!("{a} s o {b} s o {} s o", if operator == "QLinearMatMul" { "" } else { "_" })
        };
        all.yes(operator, both().node(operator, &by("x", "w"), "y", &[]));
        all.no(operator, short(operator), both().node(operator, &by("x", "t"), "y", &[]));
    }
    let zeros =
        graph().weights("w", &[3, 7]).weights("zeros", &[5]).node("MatMulInteger", "x w zeros", "y", &[]);
    all.no("a zero point for each row", "MatMulInteger", zeros);
    let bias =
        |sizes: &[i64]| graph().weights("w", &[3, 7]).weights("b", sizes).node("Gemm", "x w b", "y", &[]);
    all.yes("Gemm with a bias", bias(&[7]));
    all.no("Gemm with a bias for each row", "Gemm", bias(&[5, 7]));
    let einsum = |equation: &str| graph().node("Einsum", "x x", "y", &[("equation", text(equation))]);
    all.yes("Einsum", einsum("ij,ik->ijk"));
    all.yes("Einsum", einsum("...j,...j->..."));
    all.no("Einsum", "Einsum", einsum("ij,kj->ik"));
    all.no("Einsum", "Einsum", einsum("ij,ij->j"));
    all.no("CDist", "CDist", graph().node("com.microsoft::CDist", "x x", "y", &[]));
    all.yes("CDist", graph().weights("w", &[9, 3]).node("com.microsoft::CDist", "x w", "y", &[]));
    for operator in ["com.microsoft::MatMulNBits", "com.microsoft::MatMulBnb4", "com.microsoft::MatMulFpQ4"] {
        all.yes(operator, both().node(operator, "x w s", "y", &[]));
        let turned = both().node(operator, "t w s", "g", &[]).node("Transpose", "g", "y", &[]);
        all.no(operator, short(operator), turned);
    }
}
