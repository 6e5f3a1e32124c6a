//! The graphs. Names that a graph uses: `x` is [N, 3], `pair` [N, 2], `z` [N, 3, 4], `image` [N, 3, 8, 8], `ids` [N, T].

use std::collections::BTreeMap;

use crate::onnx::graph::{Attribute, Constant, Function, Graph, Model, Node, Numbers, Port, Setting};

/// A graph with its answer: independent, or the operator because of which it is not.
pub struct Case {
    pub name: String,
    pub model: Model,
    pub because: Option<&'static str>,
}

pub struct Made(Graph, i64);

const INPUTS: [(&str, &[i64]); 5] =
    [("x", &[-1, 3]), ("pair", &[-1, 2]), ("z", &[-1, 3, 4]), ("image", &[-1, 3, 8, 8]), ("ids", &[-1, -1])];

fn port(name: &str, shape: &[i64]) -> Port {
    let shape = shape.iter().map(|size| Some(*size).filter(|size| *size >= 0)).collect();
    Port { name: name.to_owned(), shape: Some(shape) }
}

/// An empty graph; an input is there once it is used.
pub fn graph() -> Made {
    Made(Graph::default(), 21)
}

pub fn domain_of(operator: &str) -> (&str, String) {
    match operator.split_once("::") {
        Some((domain, name)) => (domain, name.to_owned()),
        None => ("", operator.to_owned()),
    }
}

impl Made {
    fn use_input(&mut self, name: &str) {
        let known = INPUTS.iter().find(|(known, _)| *known == name);
        if let Some((name, shape)) = known
            && self.0.inputs.iter().all(|port| port.name != *name)
        {
            self.0.inputs.push(port(name, shape));
        }
    }

    pub fn opset(mut self, version: i64) -> Self {
        self.1 = version;
        self
    }

    /// A node, given as `operator`, names of inputs and outputs in one text each, and attributes.
    pub fn node(mut self, operator: &str, inputs: &str, outputs: &str, settings: &[(&str, Setting)]) -> Self {
        let (domain, operator) = domain_of(operator);
        let list = |text: &str| -> Vec<String> {
            let word = |word: &str| if word == "_" { String::new() } else { word.to_owned() };
            text.split_whitespace().map(word).collect()
        };
        for name in list(inputs) {
            self.use_input(&name);
        }
        let attribute =
            |(name, value): &(&str, Setting)| Attribute { name: (*name).to_owned(), value: value.clone() };
        self.0.nodes.push(Node {
            operator,
            domain: domain.to_owned(),
            inputs: list(inputs),
            outputs: list(outputs),
            attributes: settings.iter().map(attribute).collect(),
            ..Node::default()
        });
        self
    }

    pub fn numbers(mut self, name: &str, sizes: &[i64], numbers: &[i64]) -> Self {
        let (name, sizes) = (name.to_owned(), sizes.to_vec());
        self.0.constants.push(Constant { name, sizes, numbers: Some(Numbers::Integers(numbers.to_vec())) });
        self
    }

    pub fn weights(mut self, name: &str, sizes: &[i64]) -> Self {
        self.0.constants.push(Constant { name: name.to_owned(), sizes: sizes.to_vec(), numbers: None });
        self
    }

    fn graph(mut self, outputs: &str) -> Graph {
        self.0.outputs =
            outputs.split_whitespace().map(|name| Port { name: name.to_owned(), shape: None }).collect();
        self.0
    }

    fn model(self, outputs: &str) -> Model {
        let opsets = [("", self.1), ("ai.onnx.ml", 3), ("com.microsoft", 1)];
        let opsets: BTreeMap<String, i64> =
            opsets.into_iter().map(|(domain, version)| (domain.to_owned(), version)).collect();
        Model { opsets, graph: self.graph(outputs), functions: Vec::new() }
    }
}

pub fn int(number: i64) -> Setting {
    Setting::Integer(number)
}

pub fn ints(numbers: &[i64]) -> Setting {
    Setting::Integers(numbers.to_vec())
}

pub fn text(text: &str) -> Setting {
    Setting::Text(text.to_owned())
}

struct Cases(Vec<Case>);

impl Cases {
    fn add(&mut self, name: &str, because: Option<&'static str>, made: Made, outputs: &str) {
        self.0.push(Case { name: name.to_owned(), model: made.model(outputs), because });
    }

    fn yes(&mut self, name: &str, made: Made) {
        self.add(name, None, made, "y");
    }

    fn no(&mut self, name: &str, because: &'static str, made: Made) {
        self.add(name, Some(because), made, "y");
    }
}

const OUTPUT: &str = "output";

/// What is answered element by element of one input.
const UNARY: &str = "Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Cast CastLike Ceil Celu Cos Cosh Elu Erf Exp Floor Gelu \
    HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg Not Reciprocal RegexFullMatch Relu Round Selu Shrink \
    Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu ai.onnx.ml::Binarizer \
    ai.onnx.ml::CategoryMapper ai.onnx.ml::LabelEncoder com.microsoft::Gelu com.microsoft::QuickGelu \
    com.microsoft::QLinearLeakyRelu com.microsoft::QLinearSigmoid";
/// And of two.
const BINARY: &str = "Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Clip Div Equal Greater GreaterOrEqual Less LessOrEqual \
    Max Mean Min Mod Mul Or PRelu Pow StringConcat Sub Sum Where Xor com.microsoft::BiasGelu com.microsoft::FastGelu";
/// What sums or compares along axes.
const REDUCED: &str = "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum \
    ReduceSumSquare";
/// What takes rows on the first axis of three or four, and the number of constants behind them.
const FIRST: &str = "AveragePool MaxPool LpPool GlobalAveragePool GlobalMaxPool GlobalLpPool DepthToSpace SpaceToDepth \
    TfIdfVectorizer ai.onnx.ml::OneHotEncoder com.microsoft::NhwcMaxPool";
const FIRST_AND_WEIGHTS: &str = "Conv ConvInteger ConvTranspose RotaryEmbedding STFT com.microsoft::FusedConv \
    com.microsoft::GroupNorm com.microsoft::Attention com.microsoft::QLinearAveragePool \
    com.microsoft::QLinearGlobalAveragePool";
/// What takes two inputs with rows on the first axis.
const TWO_FIRST: &str = "GridSample com.microsoft::GridSample com.microsoft::EmbedLayerNormalization \
    com.microsoft::QEmbedLayerNormalization com.microsoft::RotaryEmbedding";
const THREE_FIRST: &str = "Attention com.microsoft::MultiHeadAttention";
/// What takes rows as the lines of a matrix, and a single line for one row.
const LINES: &str = "ai.onnx.ml::FeatureVectorizer ai.onnx.ml::Imputer ai.onnx.ml::Normalizer ai.onnx.ml::Scaler \
    ai.onnx.ml::LinearRegressor ai.onnx.ml::SVMRegressor ai.onnx.ml::TreeEnsembleRegressor ai.onnx.ml::TreeEnsemble \
    ai.onnx.ml::ZipMap ai.onnx.ml::LinearClassifier ai.onnx.ml::SVMClassifier ai.onnx.ml::TreeEnsembleClassifier";
/// What looks over all rows whatever its attributes are.
const ALWAYS: &str = "DynamicQuantizeLinear NonZero Unique Compress EyeLike NonMaxSuppression RoiAlign MaxRoiPool MaxUnpool \
    StringNormalizer StringSplit NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss Bernoulli Multinomial RandomNormalLike \
    RandomUniformLike com.microsoft::DynamicQuantizeMatMul com.microsoft::DynamicQuantizeLSTM \
    com.microsoft::MatMulIntegerToFloat com.microsoft::Tokenizer com.microsoft::Unique com.microsoft::CropAndResize \
    BlackmanWindow HammingWindow HannWindow MelWeightMatrix";

fn short(operator: &'static str) -> &'static str {
    operator.split_once("::").map_or(operator, |(_, name)| name)
}

fn words(list: &'static str) -> impl Iterator<Item = &'static str> {
    list.split_whitespace()
}

/// All graphs.
pub fn cases() -> Vec<Case> {
    let mut all = Cases(Vec::new());
    elementwise(&mut all);
    along_axes(&mut all);
    fixed_axes(&mut all);
    products(&mut all);
    layouts(&mut all);
    selections(&mut all);
    shapes_that_are_computed(&mut all);
    graphs_within(&mut all);
    all.0
}

/// Rows that were mixed before stay mixed.
fn mixed() -> Made {
    graph().node("Softmax", "x", "mixed", &[("axis", int(0))])
}

/// The place of the largest element of each row: [N].
fn with_vector(made: Made) -> Made {
    made.node("ArgMax", "x", "v", &[("axis", int(1)), ("keepdims", int(0))])
}

fn elementwise(all: &mut Cases) {
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

fn along_axes(all: &mut Cases) {
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

fn fixed_axes(all: &mut Cases) {
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

fn products(all: &mut Cases) {
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

fn layouts(all: &mut Cases) {
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
    all.no("Reshape to two rows in one", OUTPUT, shaped("x", &[-1]).node("Relu", "r", "y", &[]));
    all.no("Flatten", OUTPUT, graph().node("Flatten", "z", "y", &[("axis", int(0))]));
    all.yes("Flatten", graph().node("Flatten", "z", "y", &[]));
    all.no("Transpose", OUTPUT, graph().node("Transpose", "x", "y", &[]));
    all.yes("Transpose", graph().node("Transpose", "z", "y", &[("perm", ints(&[0, 2, 1]))]));
    let thin = || graph().node("ReduceSum", "x", "s", &[("axes", ints(&[1]))]);
    all.no("Squeeze", "Squeeze", thin().node("Squeeze", "s", "y", &[]));
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
    let tensor = Setting::Tensor(Constant { name: String::new(), sizes: vec![5, 3], numbers: None });
    all.no(
        "Constant",
        "Add",
        graph().node("Constant", "", "c", &[("value", tensor)]).node("Add", "x c", "y", &[]),
    );
}

fn selections(all: &mut Cases) {
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

/// As exporters of PyTorch and TensorFlow write them.
fn shapes_that_are_computed(all: &mut Cases) {
    let sizes = || {
        let made = graph().numbers("zero", &[], &[0]).numbers("one", &[], &[1]).numbers("first", &[1], &[0]);
        let made = made.node("Shape", "ids", "sizes", &[]).node("Gather", "sizes zero", "n", &[]);
        let made = made.node("Gather", "sizes one", "t", &[]).node("Unsqueeze", "n first", "n1", &[]);
        made.node("Unsqueeze", "t first", "t1", &[]).numbers("heads", &[1], &[4]).numbers("width", &[1], &[8])
    };
    let embedded = || sizes().weights("table", &[100, 32]).node("Gather", "table ids", "e", &[]);
    let headed = embedded().node("Concat", "n1 t1 heads width", "shape", &[("axis", int(0))]).node(
        "Reshape",
        "e shape",
        "h",
        &[],
    );
    let headed = headed.node("Transpose", "h", "q", &[("perm", ints(&[0, 2, 1, 3]))]);
    let headed = headed.node("Transpose", "h", "k", &[("perm", ints(&[0, 2, 3, 1]))]).node(
        "MatMul",
        "q k",
        "scores",
        &[],
    );
    let headed = headed.node("Softmax", "scores", "p", &[("axis", int(-1))]).node("MatMul", "p q", "o", &[]);
    let headed =
        headed.node("Transpose", "o", "back", &[("perm", ints(&[0, 2, 1, 3]))]).numbers("all", &[1], &[32]);
    let headed = headed.node("Concat", "n1 t1 all", "flat", &[("axis", int(0))]).node(
        "Reshape",
        "back flat",
        "y",
        &[],
    );
    all.yes("attention with computed sizes", headed);
    // A row's heads beside each other, as older exports have them.
    let product =
        embedded().numbers("four", &[], &[4]).node("Mul", "n four", "lines", &[]).numbers("m", &[1], &[-1]);
    let product = product.node("Unsqueeze", "lines first", "lines1", &[]).node(
        "Concat",
        "lines1 m width",
        "shape",
        &[("axis", int(0))],
    );
    let product =
        product.node("Reshape", "e shape", "h", &[]).node("Softmax", "h", "s", &[("axis", int(-1))]);
    let product =
        product.node("Concat", "n1 m", "flat", &[("axis", int(0))]).node("Reshape", "s flat", "y", &[]);
    all.yes("rows times heads, and back", product);
    let swapped = embedded().node("Concat", "t1 n1 heads width", "shape", &[("axis", int(0))]);
    all.no("rows and time swapped", "Reshape", swapped.node("Reshape", "e shape", "y", &[]));
    // -1 is the rows, where the shape is told apart from -1 first, as `expand` is exported.
    let expanded = embedded()
        .numbers("minus", &[3], &[-1, -1, -1])
        .numbers("ones", &[3], &[1, 1, 1])
        .weights("token", &[1, 1, 32]);
    let expanded = expanded.numbers("lone", &[1], &[1]).numbers("rest", &[1], &[32]).node(
        "Concat",
        "n1 lone rest",
        "wanted",
        &[("axis", int(0))],
    );
    let expanded =
        expanded.node("Equal", "wanted minus", "is", &[]).node("Where", "is ones wanted", "shape", &[]);
    let expanded = expanded.node("Expand", "token shape", "tokens", &[]).node(
        "Concat",
        "tokens e",
        "y",
        &[("axis", int(1))],
    );
    all.yes("a token for each row", expanded);
    let counting = sizes().node("Cast", "n", "f", &[("to", int(1))]).weights("table", &[100, 32]).node(
        "Gather",
        "table ids",
        "e",
        &[],
    );
    all.no("divided by how many rows there are", "Div", counting.node("Div", "e f", "y", &[]));
    let by_time = embedded().node("Cast", "t", "f", &[("to", int(1))]).node("Div", "e f", "y", &[]);
    all.yes("divided by how long rows are", by_time);
    let positions = embedded().node("Range", "zero t one", "p", &[]).weights("places", &[512, 32]).node(
        "Gather",
        "places p",
        "pe",
        &[],
    );
    all.yes("positions", positions.node("Add", "e pe", "y", &[]));
    let pads = graph().numbers("p", &[8], &[0, 0, 1, 1, 0, 0, 1, 1]).node("Pad", "image p", "padded", &[]);
    let pads =
        pads.weights("w", &[16, 3, 3, 3]).node("Conv", "padded w", "c", &[]).node("Shape", "c", "s", &[]);
    let pads = pads
        .numbers("a", &[1], &[0])
        .numbers("b", &[1], &[1])
        .node("Slice", "s a b", "n", &[])
        .numbers("m", &[1], &[-1]);
    let pads = pads.node("Concat", "n m", "flat", &[("axis", int(0))]).node("Reshape", "c flat", "y", &[]);
    all.yes("a convolution, flattened by its shape", pads);
    let fixed =
        graph().weights("w", &[16, 3, 3, 3]).node("Conv", "image w", "c", &[("pads", ints(&[1, 1, 1, 1]))]);
    let fixed =
        fixed.node("MaxPool", "c", "p", &[("kernel_shape", ints(&[2, 2])), ("strides", ints(&[2, 2]))]);
    let fixed = fixed.numbers("shape", &[2], &[-1, 256]).node("Reshape", "p shape", "y", &[]);
    all.yes("a convolution, flattened by a number", fixed);
}

#[expect(clippy::too_many_lines, reason = "one graph after the other")]
fn graphs_within(all: &mut Cases) {
    let inner = |made: Made, output: &str| {
        Setting::Graph(Box::new(Graph { inputs: Vec::new(), ..made.graph(output) }))
    };
    let branch = |operator: &str| inner(graph().node(operator, "x", "b", &[("axis", int(0))]), "b");
    let chosen = |condition: Made, first: &str, second: &str| {
        let branches = [("then_branch", branch(first)), ("else_branch", branch(second))];
        let mut made = condition.node("If", "c", "y", &branches);
        made.use_input("x");
        made
    };
    let constant = |number: i64| graph().numbers("c", &[], &[number]);
    all.yes("If by a constant", chosen(constant(1), "Relu", "Softmax"));
    all.no("If by a constant", "Softmax", chosen(constant(0), "Relu", "Softmax"));
    all.yes("If by what is not known", chosen(graph().weights("c", &[]), "Relu", "Tanh"));
    all.no("If by what is not known", "Softmax", chosen(graph().weights("c", &[]), "Relu", "Softmax"));
    let count =
        graph().node("Size", "x", "s", &[]).numbers("many", &[], &[7]).node("Greater", "s many", "c", &[]);
    all.no("If by how many rows there are", "If", chosen(count, "Relu", "Tanh"));
    // What is known of elements is what a runtime computes, in whichever datatype.
    let by = |made: Made, operator: &str, numbers: &str| {
        chosen(made.node(operator, numbers, "c", &[]), "Relu", "Softmax")
    };
    let cast = |number: i64, to: i64| {
        graph().numbers("a", &[], &[number]).node("Cast", "a", "b", &[("to", int(to))])
    };
    all.yes("If by an integer that keeps its value", by(cast(1 << 24, 1), "Equal", "a b"));
    all.no("If by what FP32 rounds", "Softmax", by(cast((1 << 24) + 1, 1), "Equal", "a b"));
    all.no("If by what INT32 does not hold", "Softmax", by(cast((1 << 32) + 1, 6), "Equal", "a b"));
    all.no("If by what UINT32 does not hold", "Softmax", by(cast(-1, 12), "Equal", "a b"));
    let wraps = graph().numbers("a", &[], &[1 << 16]).node("Mul", "a a", "b", &[]);
    all.no("If by what INT32 wraps around", "Softmax", by(wraps, "Greater", "b a"));
    let float = |number: f64| {
        let mut made = graph();
        let (name, numbers) = ("a".to_owned(), Some(Numbers::Floats(vec![number])));
        made.0.constants.push(Constant { name, sizes: Vec::new(), numbers });
        made
    };
    all.no("If by whether NaN is itself", "Softmax", by(float(f64::NAN), "Equal", "a a"));
    let difference = float(f64::INFINITY).numbers("zero", &[], &[0]).node("Sub", "a a", "b", &[]);
    all.no("If by what is left of infinity", "Softmax", by(difference, "Equal", "b zero"));
    let count = float(2.5).numbers("zero", &[], &[0]).numbers("one", &[], &[1]);
    let count = count.node("Range", "zero a one", "r", &[]).node("Size", "r", "b", &[]);
    all.no("If by how many numbers there are up to a fraction", "Softmax", by(count, "Equal", "a b"));

    let values = graph().node("ReduceMax", "x", "c", &[]);
    all.no("If by the rows", "ReduceMax", chosen(values, "Relu", "Tanh"));

    let body = |operator: &str, inputs: &str| {
        let made = graph().node("Identity", "go", "goes", &[]).node(operator, inputs, "w", &[]);
        let ports = ["i", "go", "v"].map(|name| Port { name: name.to_owned(), shape: None });
        Setting::Graph(Box::new(Graph { inputs: ports.to_vec(), ..made.graph("goes w") }))
    };
    let looped = |made: Made, operator: &str, inputs: &str| {
        made.node("Loop", "times _ x", "y", &[("body", body(operator, inputs))])
    };
    let times = || graph().numbers("times", &[], &[3]);
    all.yes("Loop", looped(times(), "Add", "v v"));
    all.no(
        "Loop that mixes",
        "Softmax",
        times().node(
            "Loop",
            "times _ x",
            "y",
            &[("body", {
                let made = graph().node("Identity", "go", "goes", &[]).node(
                    "Softmax",
                    "v",
                    "w",
                    &[("axis", int(0))],
                );
                let ports = ["i", "go", "v"].map(|name| Port { name: name.to_owned(), shape: None });
                Setting::Graph(Box::new(Graph { inputs: ports.to_vec(), ..made.graph("goes w") }))
            })],
        ),
    );
    all.no("Loop for each row", "Loop", looped(graph().node("Size", "x", "times", &[]), "Add", "v v"));
    let stops = Setting::Graph(Box::new(Graph {
        inputs: ["i", "go", "v"].map(|name| Port { name: name.to_owned(), shape: None }).to_vec(),
        ..graph().node("ReduceMax", "v", "goes", &[]).node("Add", "v v", "w", &[]).graph("goes w")
    }));
    all.no("Loop until a row says so", "Loop", times().node("Loop", "times _ x", "y", &[("body", stops)]));

    let frozen = |active: &str, kept: &str, more: &str| {
        let made = graph().numbers("zero", &[], &[0]).node("Mul", "v half", "changed", &[]);
        let made = made.node("ReduceMax", "v", "largest", &[("axes", ints(&[1]))]).node(
            "Greater",
            active,
            "active",
            &[],
        );
        let made = made.node("Where", kept, "w", &[]).node("Cast", "active", "number", &[("to", int(1))]);
        let made = made.node("ReduceMax", "number", "most", &[("keepdims", int(0))]).node(
            "Greater",
            "most zero",
            "goes",
            &[],
        );
        let ports = ["i", "go", "v"].map(|name| Port { name: name.to_owned(), shape: None });
        let body = Setting::Graph(Box::new(Graph {
            inputs: ports.to_vec(),
            ..made.graph(&format!("goes w{more}"))
        }));
        let made = times().weights("half", &[]).weights("limit", &[]);
        made.node("Loop", "times _ x", if more.is_empty() { "y" } else { "z y" }, &[("body", body)])
    };
    all.yes("Loop until all rows are done", frozen("largest limit", "active changed v", ""));
    all.no("Loop that changes rows that are done", "Loop", frozen("largest limit", "active v changed", ""));
    all.no("Loop whose rows are done by its turns", "Loop", frozen("largest i", "active changed v", ""));
    all.no("Loop that shows its turns", "Loop", frozen("largest limit", "active changed v", " w"));

    let scan = |carried: &str, states: &str, inputs: &str| {
        let made = graph().node(carried, states, "state_out", &[]).node("Sub", "row state", "out", &[]);
        let ports = ["state", "row"].map(|name| Port { name: name.to_owned(), shape: None });
        let body = Setting::Graph(Box::new(Graph { inputs: ports.to_vec(), ..made.graph("state_out out") }));
        let made = graph().weights("line", &[3]).weights("lines", &[9, 3]);
        made.node("Scan", inputs, "last y", &[("body", body), ("num_scan_inputs", int(1))])
    };
    all.yes("Scan over rows", scan("Identity", "state", "line x"));
    all.no("Scan that carries", "Scan", scan("Add", "state row", "line x"));
    for ways in ["scan_input_directions", "scan_output_directions"] {
        let mut made = scan("Identity", "state", "line x");
        let node = made.0.nodes.last_mut().unwrap();
        node.attributes.push(Attribute { name: ways.to_owned(), value: ints(&[1]) });
        all.no(&format!("Scan over rows with {ways}"), "Scan", made);
    }
    let over_lines = |axes: &[i64]| {
        let made = graph().node("Identity", "state", "state_out", &[]).node("Sub", "state row", "d", &[]);
        let made = made.node("ReduceSumSquare", "d", "out", &[("axes", ints(&[1])), ("keepdims", int(0))]);
        let ports = ["state", "row"].map(|name| Port { name: name.to_owned(), shape: None });
        let body = Setting::Graph(Box::new(Graph { inputs: ports.to_vec(), ..made.graph("state_out out") }));
        let made = graph().weights("lines", &[9, 3]);
        made.node(
            "Scan",
            "x lines",
            "last t",
            &[("body", body), ("num_scan_inputs", int(1)), ("scan_output_axes", ints(axes))],
        )
    };
    all.yes("distances to constants", over_lines(&[0]).node("Transpose", "t", "y", &[]));
    all.yes("distances to constants, by axis", over_lines(&[1]).node("Relu", "t", "y", &[]));

    // Softmax of version 13 is along the last axis; before, along all axes from 1 on, where the rows are here.
    let by_function = |own: i64, version: i64| {
        let mut body = graph().node("Softmax", "a", "b", &[]).graph("b");
        let opsets = BTreeMap::from([(String::new(), own)]);
        let function = Function {
            domain: "f".to_owned(),
            name: "Soft".to_owned(),
            inputs: vec!["a".to_owned()],
            outputs: vec!["b".to_owned()],
            nodes: std::mem::take(&mut body.nodes),
            opsets,
            ..Function::default()
        };
        let perm = [("perm", ints(&[1, 0, 2]))];
        let made = graph().opset(version).node("Transpose", "z", "t", &perm);
        let made = made.node("f::Soft", "t", "u", &[]).node("Transpose", "u", "y", &perm);
        Model { functions: vec![function], ..made.model("y") }
    };
    for (own, version, because) in [
        (13, 13, None),
        (13, 21, None),
        (11, 11, Some("Softmax")),
        (13, 11, Some("Softmax")),
        (11, 13, Some("Softmax")),
    ] {
        let name = format!("a function of operator set {own} in a model of {version}");
        all.0.push(Case { name, model: by_function(own, version), because });
    }

    all.no("an operator that nobody knows", "Foo", graph().node("Foo", "x", "y", &[]));
    all.no("an input without rows", "input", {
        let mut made = graph().node("Add", "x bias", "y", &[]);
        made.0.inputs.push(port("bias", &[3]));
        made
    });
    all.no(
        "an output without rows",
        OUTPUT,
        graph().weights("w", &[3]).node("Relu", "w", "y", &[]).node("Relu", "x", "r", &[]),
    );
}
