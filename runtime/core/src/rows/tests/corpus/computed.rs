//! Graphs whose shapes are computed, and graphs within graphs.

use super::*;

/// As exporters of PyTorch and TensorFlow write them.
#[expect(clippy::too_many_lines, reason = "one graph after the other")]
pub fn shapes_that_are_computed(all: &mut Cases) {
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
    // Windows of two words beside each other, as a Swin Transformer has them of an image.
    let windows = embedded().numbers("two", &[], &[2]).node("Div", "t two", "count", &[]);
    let windows =
        windows.node("Mul", "n count", "lines", &[]).node("Unsqueeze", "lines first", "lines1", &[]);
    let windows = windows.numbers("pair_of", &[1], &[2]).numbers("m", &[1], &[-1]).node(
        "Concat",
        "lines1 pair_of m",
        "shape",
        &[("axis", int(0))],
    );
    let windows = windows.node("Reshape", "e shape", "h", &[]).node("Softmax", "h", "s", &[("axis", int(1))]);
    let windows =
        windows.node("Concat", "n1 m", "flat", &[("axis", int(0))]).node("Reshape", "s flat", "y", &[]);
    all.yes("windows of a computed number", windows);
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
pub fn graphs_within(all: &mut Cases) {
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
        made.0.constants.push(Constant { name, sizes: Vec::new(), numbers, texts: None });
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
