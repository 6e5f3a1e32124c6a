//! Graphs that part texts, which fills rows up to the longest of a run, and graphs that take of each row by its number.

use super::*;

const TOKENIZER: &str = "com.microsoft::Tokenizer";
const LABELS: &str = "ai.onnx.ml::LabelEncoder";
const PAD: &str = "Pad";
const SLICE: &str = "Slice";

pub fn list(texts: &[&str]) -> Setting {
    let all = texts.iter().map(|text| (*text).to_owned()).collect();
    Setting::Texts(Texts { count: u32::try_from(texts.len()).unwrap(), all: Some(all) })
}

/// Tokens of the text, filled up with "".
fn tokens(mark: i64) -> Made {
    let lower = [("case_change_action", text("LOWER")), ("locale", text("C"))];
    let made = graph().node("StringNormalizer", "text", "lower", &lower);
    let settings =
        [("mark", int(mark)), ("pad_value", text("")), ("tokenexp", text("[a-z]+")), ("mincharnum", int(1))];
    made.node(TOKENIZER, "lower", "t", &settings)
}

fn labelled(made: Made, keys: &[&str], values: &[i64], default: i64) -> Made {
    let settings =
        [("keys_strings", list(keys)), ("values_int64s", ints(values)), ("default_int64", int(default))];
    made.node(LABELS, "t", "ids_of", &settings)
}

/// As the trainer writes it: "" is 0, what is not known is 1.
fn encoded() -> Made {
    labelled(tokens(0), &["", "a", "b"], &[0, 2, 3], 1)
}

struct Cut<'a> {
    pads: &'a [i64],
    with: i64,
    from: i64,
    to: i64,
    axis: i64,
    step: i64,
}

const FITTING: Cut<'static> = Cut { pads: &[0, 0, 0, 16], with: 0, from: 0, to: 16, axis: 1, step: 1 };

/// Filled up and cut, from a value to `y`.
fn cut(made: Made, value: &str, how: &Cut<'_>) -> Made {
    let made = made.numbers("pads", &[4], how.pads).numbers("with", &[], &[how.with]);
    let made = made.numbers("from", &[1], &[how.from]).numbers("to", &[1], &[how.to]);
    let made = made.numbers("along", &[1], &[how.axis]).numbers("step", &[1], &[how.step]);
    let made = made.node("Pad", &format!("{value} pads with"), "filled", &[]);
    made.node("Slice", "filled from to along step", "y", &[])
}

#[expect(clippy::too_many_lines, reason = "one graph after the other")]
pub fn parted_texts(all: &mut Cases) {
    all.yes("tokens, filled up and cut", cut(encoded(), "ids_of", &FITTING));
    all.yes("fewer than were added", cut(encoded(), "ids_of", &Cut { to: 3, ..FITTING }));
    all.yes("none at all", cut(encoded(), "ids_of", &Cut { to: 0, ..FITTING }));
    let known = labelled(tokens(0), &["a", "b"], &[2, 3], 0);
    all.yes("\"\" is what is not known", cut(known, "ids_of", &FITTING));
    let by_name = encoded()
        .numbers("pads", &[2], &[0, 16])
        .numbers("from", &[1], &[0])
        .numbers("to", &[1], &[16])
        .numbers("along", &[1], &[-1])
        .node("Pad", "ids_of pads _ along", "filled", &[])
        .node("Slice", "filled from to along", "y", &[]);
    all.yes("axes by name, and 0 without a word", by_name);
    let old = encoded()
        .opset(9)
        .node("Cast", "ids_of", "f", &[("to", int(1))])
        .node("Pad", "f", "filled", &[("pads", ints(&[0, 0, 0, 16]))])
        .node("Slice", "filled", "y", &[("axes", ints(&[1])), ("starts", ints(&[0])), ("ends", ints(&[16]))]);
    all.yes("before operator set 10", old);
    let twice = encoded().numbers("more", &[4], &[0, 0, 0, 4]).node("Pad", "ids_of more", "more_of", &[]);
    all.yes("filled up twice", cut(twice, "more_of", &Cut { pads: &[0, 0, 0, 12], ..FITTING }));
    let mask = encoded()
        .numbers("nothing", &[], &[0])
        .node("Equal", "ids_of nothing", "is_filled", &[])
        .node("Cast", "is_filled", "mask", &[("to", int(7))]);
    all.yes("a mask of what is filled up", cut(mask, "mask", &Cut { with: 1, ..FITTING }));
    let chosen = encoded()
        .numbers("nothing", &[], &[0])
        .node("Equal", "ids_of nothing", "is_filled", &[])
        .node("Where", "is_filled nothing ids_of", "chosen", &[]);
    all.yes("two of the same lengths", cut(chosen, "chosen", &FITTING));
    let tensors = tokens(0).node(
        LABELS,
        "t",
        "ids_of",
        &[
            ("keys_tensor", tensor(None, Some(&["", "a"]))),
            ("values_tensor", tensor(Some(&[0, 2]), None)),
            ("default_tensor", tensor(Some(&[1]), None)),
        ],
    );
    all.yes("labels of tensors", cut(tensors, "ids_of", &FITTING));
    let again = encoded().node(
        LABELS,
        "ids_of",
        "again",
        &[("keys_int64s", ints(&[2, 0])), ("values_int64s", ints(&[9, 7])), ("default_int64", int(8))],
    );
    all.yes("labels of labels", cut(again, "again", &Cut { with: 7, ..FITTING }));

    for (name, because, how) in [
        ("filled up with another value", PAD, Cut { with: 1, ..FITTING }),
        ("filled up in front", PAD, Cut { pads: &[0, 16, 0, 0], ..FITTING }),
        ("filled up in front, too", PAD, Cut { pads: &[0, 1, 0, 16], ..FITTING }),
        ("filled up with rows", PAD, Cut { pads: &[0, 0, 1, 16], ..FITTING }),
        ("cut instead of filled up", PAD, Cut { pads: &[0, 0, 0, -1], ..FITTING }),
        ("filled up to less than is left", SLICE, Cut { pads: &[0, 0, 0, 15], ..FITTING }),
        ("not from the start", SLICE, Cut { from: 1, ..FITTING }),
        ("from the end", SLICE, Cut { from: -16, to: i64::MAX, ..FITTING }),
        ("all but the end", SLICE, Cut { to: -1, ..FITTING }),
        ("every second", SLICE, Cut { step: 2, ..FITTING }),
        ("all that is there", SLICE, Cut { to: i64::MAX, ..FITTING }),
        ("some rows", SLICE, Cut { axis: 0, ..FITTING }),
    ] {
        all.no(name, because, cut(encoded(), "ids_of", &how));
    }
    let other = labelled(tokens(0), &["", "a", "b"], &[5, 2, 3], 0);
    all.no("\"\" is something else than 0", PAD, cut(other, "ids_of", &FITTING));
    let unknown = labelled(tokens(0), &["a", "b"], &[0, 3], 1);
    all.no("\"\" is not known and something else than 0", PAD, cut(unknown, "ids_of", &FITTING));
    let both = labelled(tokens(0), &["", "", "b"], &[0, 4, 3], 0);
    all.no("\"\" is two labels", PAD, cut(both, "ids_of", &FITTING));
    let unread = tokens(0).node(
        LABELS,
        "t",
        "ids_of",
        &[
            ("keys_strings", Setting::Texts(Texts { count: 2, all: None })),
            ("values_int64s", ints(&[0, 2])),
            ("default_int64", int(0)),
        ],
    );
    all.no("labels that are not read", PAD, cut(unread, "ids_of", &FITTING));
    let computed = encoded().node("Sin", "ids_of", "s", &[]);
    all.no("what 0 becomes is not known", PAD, cut(computed, "s", &FITTING));
    let below = encoded().node("Cast", "ids_of", "f", &[("to", int(1))]).node("Neg", "f", "s", &[]);
    all.no("0 becomes the zero below zero", PAD, cut(below, "s", &FITTING));
    let reflected = encoded().numbers("pads", &[4], &[0, 0, 0, 16]).node(
        "Pad",
        "ids_of pads",
        "y",
        &[("mode", text("edge"))],
    );
    all.no("filled up with what is at the edge", PAD, reflected);
    let by_row = encoded().node("Shape", "ids_of", "pads", &[]).node("Pad", "ids_of pads", "y", &[]);
    all.no("filled up by the length", "Tokenizer", by_row);
    all.no("marks", "Tokenizer", cut(labelled(tokens(1), &[""], &[0], 1), "ids_of", &FITTING));
    all.no("marks without a word", "Tokenizer", {
        let made = graph().node(TOKENIZER, "text", "t", &[("pad_value", text(""))]);
        cut(labelled(made, &[""], &[0], 1), "ids_of", &FITTING)
    });
    all.no("tokens as they are", "Tokenizer", tokens(0).node("Identity", "t", "y", &[]));
    all.no("the length of tokens", "Tokenizer", tokens(0).node("Shape", "t", "y", &[]));
    all.no("labels as they are", "Tokenizer", encoded().node("Identity", "ids_of", "y", &[]));
    let summed = encoded().node("ReduceSum", "ids_of along", "y", &[]).numbers("along", &[1], &[1]);
    all.no("a sum over all tokens", "Tokenizer", summed);
    let joined = cut(encoded(), "ids_of", &FITTING).node("Concat", "ids_of y", "z_of", &[("axis", int(1))]);
    all.no("filled up beside not", "Tokenizer", joined.node("Identity", "z_of", "y", &[]));
    let added = encoded().node("Shape", "text", "n", &[]).node("Add", "ids_of n", "s", &[]);
    all.no("how many rows there are beside tokens", "Tokenizer", cut(added, "s", &FITTING));
    let of_others = {
        let made = encoded().node(TOKENIZER, "text", "u", &[("mark", int(0)), ("pad_value", text(""))]);
        let settings =
            [("keys_strings", list(&[""])), ("values_int64s", ints(&[0])), ("default_int64", int(1))];
        made.node(LABELS, "u", "other", &settings).node("Add", "ids_of other", "s", &[])
    };
    all.no("tokens of other lengths", "Tokenizer", cut(of_others, "s", &FITTING));
    let wide = encoded().weights("w", &[9]).node("Add", "ids_of w", "s", &[]);
    all.no("another constant for each token", "Tokenizer", cut(wide, "s", &FITTING));

    let counted = |made: Made, value: &str, pool: &str, words: Setting| {
        made.node("TfIdfVectorizer", value, "y", &[(pool, words)])
    };
    all.yes("words are counted", counted(tokens(0), "t", "pool_strings", list(&["a", "b"])));
    let flat = |axis: i64| tokens(0).node("Flatten", "t", "f", &[("axis", int(axis))]);
    all.yes("words as scikit-learn counts them", counted(flat(1), "f", "pool_strings", list(&["a"])));
    all.no("all words flattened", "Tokenizer", counted(flat(0), "f", "pool_strings", list(&["a"])));
    all.yes("labels are counted", counted(encoded(), "ids_of", "pool_int64s", ints(&[1, 2])));
    for (name, value, pool, words) in [
        ("what is filled up is counted", "t", "pool_strings", list(&["a", ""])),
        ("words that are not read are counted", "t", "pool_strings", {
            Setting::Texts(Texts { count: 2, all: None })
        }),
        ("labels of what is filled up are counted", "ids_of", "pool_int64s", ints(&[1, 0])),
        ("labels are counted as texts", "ids_of", "pool_strings", list(&["a"])),
    ] {
        all.no(name, "TfIdfVectorizer", counted(encoded(), value, pool, words));
    }
    let unknown = encoded().node("Sin", "ids_of", "s", &[]);
    all.no("what is not known is counted", "TfIdf", counted(unknown, "s", "pool_int64s", ints(&[1])));

    let split = |outputs: &str| graph().node("StringSplit", "text", outputs, &[("delimiter", text(" "))]);
    all.yes("how many parts there are", split("t y"));
    all.no("parts as they are", "StringSplit", split("y n"));
    let parts = || labelled(split("t n"), &["", "a"], &[0, 2], 1);
    all.yes("parts, filled up and cut", cut(parts(), "ids_of", &FITTING));
    all.no("parts, filled up with another value", PAD, cut(parts(), "ids_of", &Cut { with: 1, ..FITTING }));

    let normalized = |settings: &[(&str, Setting)]| graph().node("StringNormalizer", "text", "y", settings);
    all.yes("StringNormalizer", normalized(&[("case_change_action", text("LOWER"))]));
    all.yes("StringNormalizer without words", normalized(&[("stopwords", list(&[]))]));
    all.no(
        "StringNormalizer that leaves words out",
        "StringNormalizer",
        normalized(&[("stopwords", list(&["the"]))]),
    );
    all.no(
        "StringNormalizer of a line",
        "StringNormalizer",
        graph()
            .numbers("first", &[1], &[0])
            .node("Unsqueeze", "text first", "line", &[])
            .node("StringNormalizer", "line", "z_of", &[])
            .node("Squeeze", "z_of first", "y", &[]),
    );
}

fn tensor(numbers: Option<&[i64]>, texts: Option<&[&str]>) -> Setting {
    let count = numbers.map_or_else(|| texts.map_or(0, <[&str]>::len), <[i64]>::len);
    Setting::Tensor(Constant {
        name: String::new(),
        sizes: vec![i64::try_from(count).unwrap()],
        numbers: numbers.map(|numbers| Numbers::Integers(numbers.to_vec())),
        texts: texts.map(|texts| texts.iter().map(|text| (*text).to_owned()).collect()),
    })
}

/// `x[arange(N), i]` and what looks like it.
pub fn rows_by_number(all: &mut Cases) {
    let numbered = |limit: &str| {
        let made = with_vector(graph()).numbers("zero", &[], &[0]).numbers("one", &[], &[1]);
        let made = made.numbers("last", &[1], &[-1]).numbers("two", &[], &[2]);
        let made = made.node("Shape", "x", "sizes", &[]).node("Gather", "sizes zero", "n", &[]);
        let made =
            made.node("Mul", "n two", "twice", &[]).node("Range", &format!("zero {limit} one"), "r", &[]);
        made.node("Unsqueeze", "r last", "r1", &[]).node("Unsqueeze", "v last", "v1", &[])
    };
    let indexed = |made: Made, parts: &str| {
        made.node("Concat", parts, "index", &[("axis", int(-1))]).node("GatherND", "x index", "y", &[])
    };
    all.yes("x[arange(N), i]", indexed(numbered("n"), "r1 v1"));
    let cast = numbered("n")
        .node("Cast", "r1", "r32", &[("to", int(6))])
        .node("Cast", "r32", "r64", &[("to", int(7))])
        .node("Identity", "r64", "same", &[]);
    all.yes("with casts", indexed(cast, "same v1"));
    let expanded = numbered("n")
        .node("Shape", "v1", "wanted", &[])
        .node("Reshape", "r wanted", "r2", &[])
        .node("Expand", "r2 wanted", "r3", &[]);
    all.yes("of a shape", indexed(expanded, "r3 v1"));
    let by_column = numbered("n").node("Transpose", "x", "columns", &[]);
    all.yes("x.T[i, arange(N)]", {
        by_column.node("Concat", "v1 r1", "index", &[("axis", int(-1))]).node(
            "GatherND",
            "columns index",
            "y",
            &[],
        )
    });
    all.no("x[i, arange(N)]", "Concat", indexed(numbered("n"), "v1 r1"));
    all.no("x[arange(N), arange(N)]", "GatherND", {
        numbered("n").node("Concat", "r1 r1", "index", &[("axis", int(-1))]).node(
            "GatherND",
            "x index",
            "y",
            &[],
        )
    });
    let moved = numbered("n").node("Add", "r1 one", "next", &[]);
    all.no("the next row", "Concat", indexed(moved, "next v1"));
    let back = numbered("n").node("Neg", "r1", "back", &[]);
    all.no("rows from the end", "Concat", indexed(back, "back v1"));
    let wide = numbered("n").node("Cast", "r1", "narrow", &[("to", int(3))]);
    all.no("numbers that wrap around", "Concat", indexed(wide, "narrow v1"));
    let table =
        numbered("n").weights("table", &[100, 3]).node("Concat", "r1 v1", "index", &[("axis", int(-1))]);
    all.no("a table by rows' numbers", "Concat", table.node("GatherND", "table index", "y", &[]));
    all.no("addresses as values", "Concat", numbered("n").node("Concat", "r1 v1", "y", &[("axis", int(-1))]));
    all.no("numbers as values", "Concat", numbered("n").node("Concat", "v1 r1", "y", &[("axis", int(-1))]));
    all.no("numbers of rows as an output", OUTPUT, numbered("n").node("Identity", "r1", "y", &[]));
    all.no("numbers of more than the rows", "Concat", indexed(numbered("twice"), "r1 v1"));
    let turned = numbered("n").node("Transpose", "r1", "line", &[]).node("Transpose", "v1", "v2", &[]);
    all.no("rows along the addresses", "Concat", {
        turned.node("Concat", "line v2", "index", &[("axis", int(0))]).node("GatherND", "x index", "y", &[])
    });
    let behind = numbered("n").node("Concat", "r1 v1", "index", &[("axis", int(-1))]);
    all.no("behind rows", "Concat", behind.node("GatherND", "z index", "y", &[("batch_dims", int(1))]));

    let compressed = |axis: &[(&str, Setting)], inputs: &str| {
        graph()
            .numbers("taken", &[3], &[1, 0, 1])
            .numbers("zero", &[], &[0])
            .node("Compress", inputs, "c", axis)
    };
    let along = |at: i64| [("axis", int(at))];
    let added = compressed(&along(1), "x taken").node("Add", "c pair", "y", &[]);
    all.yes("Compress by a constant", added);
    all.no("Compress of rows", "Compress", compressed(&along(0), "x taken").node("Identity", "c", "y", &[]));
    all.no(
        "Compress of all elements",
        "Compress",
        compressed(&[], "x taken").node("Identity", "c", "y", &[]),
    );
    let by_row = with_vector(compressed(&[], "taken taken")).node("Greater", "v zero", "is", &[]);
    all.no("Compress by rows", "Compress", by_row.node("Compress", "x is", "y", &[("axis", int(1))]));
}
