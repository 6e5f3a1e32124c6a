//! Small ONNX models, built byte by byte, so that each can be wrong in one place.

/// A field with a number.
pub fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

/// A field with bytes, text or a message.
pub fn bytes(field: u64, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    [varint(field << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

pub const FLOAT: u64 = 1;
pub const INT64: u64 = 7;
pub const STRING: u64 = 8;
pub const BOOL: u64 = 9;

/// A node of the default domain.
pub fn node(operator: &str, inputs: &[&str], outputs: &[&str], attributes: &[u8]) -> Vec<u8> {
    let names =
        |field, names: &[&str]| names.iter().map(|name| bytes(field, name)).collect::<Vec<_>>().concat();
    bytes(1, [names(1, inputs), names(2, outputs), bytes(4, operator), attributes.to_vec()].concat())
}

/// An initializer with its elements in place.
pub fn constant(name: &str, kind: u64, dims: &[u64], data: &[u8]) -> Vec<u8> {
    bytes(5, [tensor(name, kind, dims), bytes(9, data)].concat())
}

/// An initializer with its elements in another file.
pub fn elsewhere(name: &str, dims: &[u64], location: &str) -> Vec<u8> {
    let place = bytes(13, [bytes(1, "location"), bytes(2, location)].concat());
    bytes(5, [tensor(name, FLOAT, dims), place, number(14, 1)].concat())
}

fn tensor(name: &str, kind: u64, dims: &[u64]) -> Vec<u8> {
    let dims = dims.iter().map(|size| number(1, *size)).collect::<Vec<_>>().concat();
    [dims, number(2, kind), bytes(8, name)].concat()
}

/// An input (field 11) or output (field 12) of a graph; a size of 0 is free.
pub fn value(field: u64, name: &str, kind: u64, shape: &[u64]) -> Vec<u8> {
    let sizes = shape.iter().map(|size| if *size == 0 { bytes(2, "n") } else { number(1, *size) });
    port(field, name, kind, sizes)
}

/// The same with names for all of its sizes.
pub fn named(field: u64, name: &str, kind: u64, shape: &[&str]) -> Vec<u8> {
    port(field, name, kind, shape.iter().map(|symbol| bytes(2, symbol)))
}

fn port(field: u64, name: &str, kind: u64, sizes: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let shape = bytes(2, sizes.map(|size| bytes(1, size)).collect::<Vec<_>>().concat());
    bytes(field, [bytes(1, name), bytes(2, bytes(1, [number(1, kind), shape].concat()))].concat())
}

pub fn texts(name: &str, all: &[&str]) -> Vec<u8> {
    let data = all.iter().map(|text| bytes(6, text)).collect::<Vec<_>>().concat();
    bytes(5, [tensor(name, STRING, &[all.len() as u64]), data].concat())
}

/// A graph as an attribute.
pub fn subgraph(name: &str, graph: &[u8]) -> Vec<u8> {
    bytes(5, [bytes(1, name), bytes(6, graph), number(20, 5)].concat())
}

/// A model of operator set 21.
pub fn model(graph: &[Vec<u8>]) -> Vec<u8> {
    model_of_opset(21, graph)
}

pub fn model_of_opset(version: u64, graph: &[Vec<u8>]) -> Vec<u8> {
    let graph = [graph.concat(), bytes(2, "a test")].concat();
    [number(1, 10), bytes(7, graph), bytes(8, [bytes(1, ""), number(2, version)].concat())].concat()
}

pub fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// y = x + 1, 2, 3 for any number of rows.
pub fn adder() -> Vec<u8> {
    adder_with(constant("w", FLOAT, &[3], &floats(&[1.0, 2.0, 3.0])))
}

/// The same with its weights given from outside.
pub fn adder_with(weights: Vec<u8>) -> Vec<u8> {
    model(&[
        node("Add", &["x", "w"], &["y"], &[]),
        weights,
        value(11, "x", FLOAT, &[0, 3]),
        value(12, "y", FLOAT, &[0, 3]),
    ])
}

/// y = x times weights, for any number of rows.
pub fn scaler(weights: &[f32]) -> Vec<u8> {
    let size = weights.len() as u64;
    model(&[
        node("Mul", &["x", "w"], &["y"], &[]),
        constant("w", FLOAT, &[size], &floats(weights)),
        value(11, "x", FLOAT, &[0, size]),
        value(12, "y", FLOAT, &[0, size]),
    ])
}

/// A column of 10,000 times x, and one of at most 0.3 that the last bit of x turns over.
pub fn large_beside_noise() -> Vec<u8> {
    let axis = bytes(5, [bytes(1, "axis"), number(3, 1), number(20, 2)].concat());
    model(&[
        node("Mul", &["x", "large"], &["first"], &[]),
        node("Mul", &["x", "huge"], &["turns"], &[]),
        node("Sin", &["turns"], &["sine"], &[]),
        node("Mul", &["sine", "small"], &["second"], &[]),
        node("Concat", &["first", "second"], &["y"], &axis),
        constant("large", FLOAT, &[1], &floats(&[1e4])),
        constant("huge", FLOAT, &[1], &floats(&[1e9])),
        constant("small", FLOAT, &[1], &floats(&[0.3])),
        value(11, "x", FLOAT, &[0, 1]),
        value(12, "y", FLOAT, &[0, 2]),
    ])
}

/// Loads, and has no answer: takes the millionth row of whatever comes.
pub fn out_of_range() -> Vec<u8> {
    model(&[
        node("Gather", &["x", "at"], &["y"], &[]),
        constant("at", INT64, &[1], &1_000_000_i64.to_le_bytes()),
        value(11, "x", FLOAT, &[0, 3]),
        value(12, "y", FLOAT, &[1, 3]),
    ])
}

/// Divides by `frame_length` without a look, and is brought down by a 0.
pub fn step_by_step() -> Vec<u8> {
    model_of_opset(
        17,
        &[
            node("STFT", &["signal", "frame_step", "", "frame_length"], &["output"], &[]),
            value(11, "signal", FLOAT, &[1, 128, 1]),
            value(11, "frame_step", INT64, &[]),
            value(11, "frame_length", INT64, &[]),
            value(12, "output", FLOAT, &[0, 0, 0, 2]),
        ],
    )
}

/// Makes a matrix of each row with itself, as attention does of a text, and keeps the largest of its elements.
pub fn squaring() -> Vec<u8> {
    let axis = |name: &str, axis: i64| constant(name, INT64, &[1], &axis.to_le_bytes());
    model(&[
        node("Unsqueeze", &["x", "two"], &["column"], &[]),
        node("Unsqueeze", &["x", "one"], &["row"], &[]),
        node("MatMul", &["column", "row"], &["square"], &[]),
        node("ReduceMax", &["square", "both"], &["y"], &[]),
        axis("one", 1),
        axis("two", 2),
        constant("both", INT64, &[2], &[1_i64.to_le_bytes(), 2_i64.to_le_bytes()].concat()),
        value(11, "x", FLOAT, &[0, 0]),
        value(12, "y", FLOAT, &[0, 1, 1]),
    ])
}

/// Makes `size` elements of each row, of which it keeps the largest.
pub fn widening(size: u64) -> Vec<u8> {
    let zeros = vec![0; usize::try_from(size * 4).unwrap()];
    model(&[
        node("Add", &["x", "w"], &["wide"], &[]),
        node("ReduceMax", &["wide", "last"], &["y"], &[]),
        constant("w", FLOAT, &[1, size], &zeros),
        constant("last", INT64, &[1], &1_i64.to_le_bytes()),
        value(11, "x", FLOAT, &[0, 1]),
        value(12, "y", FLOAT, &[0, 1]),
    ])
}

pub fn endless() -> Vec<u8> {
    let body = [
        node("Identity", &["go"], &["goes"], &[]),
        node("Add", &["v", "v"], &["w"], &[]),
        bytes(2, "body"),
        value(11, "i", INT64, &[]),
        value(11, "go", BOOL, &[]),
        value(11, "v", FLOAT, &[0, 3]),
        value(12, "goes", BOOL, &[]),
        value(12, "w", FLOAT, &[0, 3]),
    ];
    model(&[
        node("Loop", &["count", "start", "x"], &["y"], &subgraph("body", &body.concat())),
        constant("count", INT64, &[], &i64::MAX.to_le_bytes()),
        constant("start", BOOL, &[], &[1]),
        value(11, "x", FLOAT, &[0, 3]),
        value(12, "y", FLOAT, &[0, 3]),
    ])
}
