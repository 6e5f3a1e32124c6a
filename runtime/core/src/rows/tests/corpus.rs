//! The graphs. Names that a graph uses: `x` is [N, 3], `pair` [N, 2], `z` [N, 3, 4], `image` [N, 3, 8, 8], `ids` [N, T],
//! `text` [N].

mod arithmetic;
mod axes;
mod computed;
mod followed;
mod layouts;
mod texts;

use std::collections::BTreeMap;

use crate::onnx::graph::{Attribute, Constant, Function, Graph, Model, Node, Numbers, Port, Setting, Texts};

/// A graph with its answer: independent, or the operator because of which it is not.
pub struct Case {
    pub name: String,
    pub model: Model,
    pub because: Option<&'static str>,
}

pub struct Made(Graph, i64);

const INPUTS: [(&str, &[i64]); 6] = [
    ("x", &[-1, 3]),
    ("pair", &[-1, 2]),
    ("z", &[-1, 3, 4]),
    ("image", &[-1, 3, 8, 8]),
    ("ids", &[-1, -1]),
    ("text", &[-1]),
];

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
        self.0.constants.push(Constant {
            name,
            sizes,
            numbers: Some(Numbers::Integers(numbers.to_vec())),
            texts: None,
        });
        self
    }

    pub fn weights(mut self, name: &str, sizes: &[i64]) -> Self {
        self.0.constants.push(Constant {
            name: name.to_owned(),
            sizes: sizes.to_vec(),
            ..Constant::default()
        });
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
const ALWAYS: &str = "DynamicQuantizeLinear NonZero Unique EyeLike NonMaxSuppression RoiAlign MaxRoiPool MaxUnpool \
    NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss Bernoulli Multinomial RandomNormalLike \
    RandomUniformLike com.microsoft::DynamicQuantizeMatMul com.microsoft::DynamicQuantizeLSTM \
    com.microsoft::MatMulIntegerToFloat com.microsoft::Unique com.microsoft::CropAndResize \
    BlackmanWindow HammingWindow HannWindow MelWeightMatrix";

fn short(operator: &'static str) -> &'static str {
    operator.split_once("::").map_or(operator, |(_, name)| name)
}

fn words(list: &'static str) -> impl Iterator<Item = &'static str> {
    list.split_whitespace()
}

pub fn cases() -> Vec<Case> {
    let mut all = Cases(Vec::new());
    arithmetic::elementwise(&mut all);
    axes::along_axes(&mut all);
    axes::fixed_axes(&mut all);
    arithmetic::products(&mut all);
    layouts::layouts(&mut all);
    layouts::selections(&mut all);
    computed::shapes_that_are_computed(&mut all);
    computed::graphs_within(&mut all);
    followed::constants_for_each_row(&mut all);
    followed::sizes_that_are_others(&mut all);
    texts::parted_texts(&mut all);
    texts::rows_by_number(&mut all);
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
