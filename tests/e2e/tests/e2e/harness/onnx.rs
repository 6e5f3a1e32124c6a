//! Tiny ONNX models, written byte by byte. In go a factor and a summand; out comes a file whose predictions tell which
//! model answered.

/// `y = factor · x + summand` over `x: [N, 4]` of FP32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// What each element is multiplied by.
    pub factor: f32,
    /// What is added to it.
    pub summand: f32,
}

impl Affine {
    /// What the model answers.
    pub fn predict(self, x: [f32; 4]) -> [f32; 4] {
        x.map(|x| self.factor.mul_add(x, self.summand))
    }

    /// The ONNX file.
    pub fn bytes(self) -> Vec<u8> {
        let mut graph = Vec::new();
        message(&mut graph, 1, &node("Mul", ["x", "factor"], "scaled"));
        message(&mut graph, 1, &node("Add", ["scaled", "summand"], "y"));
        message(&mut graph, 2, b"affine");
        message(&mut graph, 5, &scalar("factor", self.factor));
        message(&mut graph, 5, &scalar("summand", self.summand));
        message(&mut graph, 11, &matrix("x"));
        message(&mut graph, 12, &matrix("y"));
        model(17, &graph)
    }
}

/// A model of one node over `x: [N, 4]` and a weight, to be wrong in one place.
#[derive(Clone, Copy, Debug)]
pub struct Single<'a> {
    /// Its operator.
    pub operator: &'a str,
    /// The operator's domain; empty for the default one.
    pub domain: &'a str,
    /// Version of the default domain's operator set.
    pub opset: u64,
    /// The weight.
    pub weight: Weight<'a>,
}

/// The weight of a [`Single`].
#[derive(Clone, Copy, Debug)]
pub enum Weight<'a> {
    /// A number.
    Number(f32),
    /// The number of a row.
    Row(i64),
    /// Four numbers in another file.
    Elsewhere(&'a str),
}

impl Single<'_> {
    /// `y = x + 1`, which is right.
    pub const RIGHT: Self = Self { operator: "Add", domain: "", opset: 17, weight: Weight::Number(1.0) };

    /// The ONNX file.
    pub fn bytes(self) -> Vec<u8> {
        let mut only = node(self.operator, ["x", "w"], "y");
        message(&mut only, 7, self.domain.as_bytes());
        let mut graph = Vec::new();
        message(&mut graph, 1, &only);
        message(&mut graph, 2, b"single");
        message(&mut graph, 5, &self.weight.tensor());
        message(&mut graph, 11, &matrix("x"));
        message(&mut graph, 12, &matrix("y"));
        model(self.opset, &graph)
    }
}

impl Weight<'_> {
    /// A TensorProto with the name `w`.
    fn tensor(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Number(number) => return scalar("w", number),
            Self::Row(row) => {
                varint(&mut bytes, 1, 1); // dims
                varint(&mut bytes, 2, 7); // INT64
                message(&mut bytes, 8, b"w");
                message(&mut bytes, 9, &row.to_le_bytes());
            }
            Self::Elsewhere(location) => {
                let mut place = Vec::new();
                message(&mut place, 1, b"location");
                message(&mut place, 2, location.as_bytes());
                varint(&mut bytes, 1, 4); // dims
                varint(&mut bytes, 2, 1); // FLOAT
                message(&mut bytes, 8, b"w");
                message(&mut bytes, 13, &place);
                varint(&mut bytes, 14, 1); // EXTERNAL
            }
        }
        bytes
    }
}

/// Scores of three classes over `x: [N, 2]`: of the first column, of the second, and of neither. They come by the way of a
/// square of weights that changes nothing, so that fewer bits save bytes.
pub struct Scores;

impl Scores {
    const WIDE: u16 = 96;
    const WEIGHTS: [f32; 6] = [2.0, 0.0, -2.0, 0.0, 2.0, -2.0];

    /// The ONNX file.
    pub fn bytes() -> Vec<u8> {
        let identity = |rows: u16| -> Vec<f32> {
            let all = (0..rows).flat_map(|row| (0..Self::WIDE).map(move |column| row == column));
            all.map(|is_one| f32::from(u8::from(is_one))).collect()
        };
        let mut last = Self::WEIGHTS.to_vec();
        last.resize(usize::from(Self::WIDE) * 3, 0.0);
        let wide = u64::from(Self::WIDE);
        let mut graph = Vec::new();
        message(&mut graph, 1, &node("MatMul", ["x", "a"], "xa"));
        message(&mut graph, 1, &node("MatMul", ["xa", "b"], "xab"));
        message(&mut graph, 1, &node("MatMul", ["xab", "c"], "scores"));
        message(&mut graph, 2, b"scores");
        message(&mut graph, 5, &floats("a", [2, wide], &identity(2)));
        message(&mut graph, 5, &floats("b", [wide, wide], &identity(Self::WIDE)));
        message(&mut graph, 5, &floats("c", [wide, 3], &last));
        message(&mut graph, 11, &table("x", 2));
        message(&mut graph, 12, &table("scores", 3));
        model(17, &graph)
    }
}

/// A ModelProto around a GraphProto.
fn model(opset: u64, graph: &[u8]) -> Vec<u8> {
    let mut set = Vec::new();
    varint(&mut set, 2, opset);
    let mut model = Vec::new();
    varint(&mut model, 1, 8); // IR version
    message(&mut model, 2, b"modelwright-e2e");
    message(&mut model, 7, graph);
    message(&mut model, 8, &set);
    model
}

fn node(operator: &str, inputs: [&str; 2], output: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for input in inputs {
        message(&mut bytes, 1, input.as_bytes());
    }
    message(&mut bytes, 2, output.as_bytes());
    message(&mut bytes, 4, operator.as_bytes());
    bytes
}

/// A TensorProto of one float.
fn scalar(name: &str, value: f32) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint(&mut bytes, 1, 1); // dims
    varint(&mut bytes, 2, 1); // FLOAT
    message(&mut bytes, 8, name.as_bytes());
    message(&mut bytes, 9, &value.to_le_bytes());
    bytes
}

/// A TensorProto of floats.
fn floats(name: &str, dimensions: [u64; 2], values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for size in dimensions {
        varint(&mut bytes, 1, size);
    }
    varint(&mut bytes, 2, 1); // FLOAT
    message(&mut bytes, 8, name.as_bytes());
    message(&mut bytes, 9, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
    bytes
}

/// A ValueInfoProto of `float[N, 4]`.
fn matrix(name: &str) -> Vec<u8> {
    table(name, 4)
}

/// A ValueInfoProto of `float[N, width]`.
fn table(name: &str, width: u64) -> Vec<u8> {
    let (mut rows, mut columns, mut shape, mut tensor, mut kind, mut value) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    message(&mut rows, 2, b"N");
    varint(&mut columns, 1, width);
    message(&mut shape, 1, &rows);
    message(&mut shape, 1, &columns);
    varint(&mut tensor, 1, 1); // FLOAT
    message(&mut tensor, 2, &shape);
    message(&mut kind, 1, &tensor);
    message(&mut value, 1, name.as_bytes());
    message(&mut value, 2, &kind);
    value
}

/// A field of wire type 2.
fn message(bytes: &mut Vec<u8>, field: u8, content: &[u8]) {
    bytes.push(field << 3 | 2);
    number(bytes, content.len() as u64);
    bytes.extend_from_slice(content);
}

/// A field of wire type 0.
fn varint(bytes: &mut Vec<u8>, field: u8, value: u64) {
    bytes.push(field << 3);
    number(bytes, value);
}

fn number(bytes: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}
