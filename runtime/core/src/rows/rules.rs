//! What operators do with rows. In go a node's inputs; out come its outputs, or in a few words how it mixes rows. A rule
//! answers only what it can show: where it gives up, rows are mixed.

mod broadcast;
mod call;
mod contract;
mod layout;
mod normalize;
mod numbered;
mod padded;
mod quantize;
mod reduce;
mod roles;
mod select;
mod sequence;
mod text;
mod windows;

use std::rc::Rc;

pub use self::{
    call::Call,
    roles::{Output, Roles, Shape},
    select::stretches,
};
use super::{
    size::{Size, Symbols},
    table::Operator,
    value::{Cause, Class, Place, Value},
};
use crate::onnx::graph::{Constant, Node, Numbers};

/// What comes of a node, or how it mixes rows.
pub type RuleResult<T = Vec<Value>> = Result<T, &'static str>;

/// How an operator treats the rows of what it takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Element by element, over all inputs, which are aligned from the right.
    Elementwise,
    /// Element by element of the first input; the others are constants, the same for every element.
    EachElement,
    /// The first input as it is, whatever the others are.
    LikeFirst,
    /// Element by element of the inputs at these places; all others are constants.
    ElementwiseOf(&'static [usize]),
    /// Over several rows, and how.
    Mixes(&'static str),
    /// Another answer each time.
    Random,
    /// Inputs have their rows on fixed axes.
    Roles(Roles),
    /// The last axis of the first input becomes another one; the others are constants.
    LastAxis,
    /// Along one axis; before operator set 13 along all from it on.
    Softmax,
    LpNormalization,
    /// Along the last axes, from `axis` on.
    LayerNormalization,
    /// The first two inputs and a bias are added, and normalized along the last axis.
    SkipLayerNormalization,
    /// By stored means, unless it trains.
    BatchNormalization,
    /// Over each of the first two axes by itself.
    InstanceNormalization,
    /// Over the neighbours on axis 1.
    Lrn,
    MeanVarianceNormalization,
    /// Left out, unless it trains.
    Dropout,
    /// By a triangle of the last two axes.
    Trilu,
    /// Along an axis that the second input names.
    CumSum,
    /// Along axes, which go or become 1.
    Reduce,
    /// Along an axis, which goes or becomes 1.
    Arg,
    /// Along an axis, which becomes k.
    TopK,
    MatMul,
    /// A matrix product of quantized matrices with zero points.
    MatMulInteger,
    /// The same with scales.
    QLinearMatMul,
    /// A matrix product of matrices that may be transposed.
    FusedMatMul,
    /// The product of two matrices, and a third one.
    Gemm,
    /// The same of quantized ones.
    QGemm,
    /// Products and sums by an equation.
    Einsum,
    /// The distances of each row of one matrix to each of another.
    CDist,
    /// The last two axes become one number.
    Det,
    Constant,
    Shape,
    /// The number of elements.
    Size,
    /// The same elements in other sizes.
    Reshape,
    /// The same in two axes.
    Flatten,
    /// Axes in another order.
    Transpose,
    /// Without axes of size 1.
    Squeeze,
    /// With axes of size 1.
    Unsqueeze,
    /// Repeated where a size is 1.
    Expand,
    /// Repeated as a whole.
    Tile,
    ConstantOfShape,
    /// Numbers from a first to a last one.
    Range,
    /// One after the other along an axis.
    Concat,
    /// The same of quantized ones.
    QLinearConcat,
    /// Parts of an axis.
    Split,
    /// A stretch of axes.
    Slice,
    /// The places of an axis that a list of truth values names.
    Compress,
    /// By index along an axis.
    Gather,
    /// By an index for each element.
    GatherElements,
    /// By an index of several axes.
    GatherNd,
    /// The last axis by index, or a table by rows of indices.
    ArrayFeatureExtractor,
    /// Written by an index for each element.
    ScatterElements,
    /// Written by an index of several axes.
    ScatterNd,
    /// More at the ends of axes.
    Pad,
    /// Other sizes of axes.
    Resize,
    OneHot,
    /// Backwards along one axis, for each row by its own length.
    ReverseSequence,
    /// Steps of time, rows on axis 1, or 0 as `layout` says.
    Recurrent,
    /// A Fourier transform along an axis.
    Dft,
    /// Scaled to integers, or back, by constants.
    Quantize,
    /// Texts in other words, one by one unless some are left out.
    StringNormalizer,
    /// The parts of each text, filled up to as many as the text with the most parts has.
    StringSplit,
    /// The same of tokens.
    Tokenizer,
    /// One of two graphs.
    If,
    /// A graph again and again.
    Loop,
    /// A graph for each slice of an axis.
    Scan,
    /// Rows, whatever comes: what a wrong line of the table would say.
    #[cfg(test)]
    Wrong,
}

/// The class of values without rows, or none if there are rows. Several kinds of dependence do not go together.
pub fn alike<'v>(values: impl IntoIterator<Item = &'v Value>) -> RuleResult<Option<Class>> {
    let (mut rows, mut found) = (false, Class::Constant);
    for value in values {
        match (&value.class, &found) {
            (Class::Mixed(_), _) => return Err("it takes a value that mixes rows"),
            (Class::Constant, _) => {}
            (Class::Rows(_), _) => rows = true,
            (class, Class::Constant) => found = class.clone(),
            (class, _) if *class == found => {}
            _ => return Err("it puts a row together with the number of rows"),
        }
    }
    match (rows, found) {
        (false, found) => Ok(Some(found)),
        (true, Class::Constant) => Ok(None),
        (true, Class::Count) => Err("what depends on the number of rows enters the values"),
        (true, _) => Err("one row meets all rows"),
    }
}

/// An axis that may be counted from the end.
pub fn axis(number: i64, rank: usize) -> RuleResult<usize> {
    let rank_number = i64::try_from(rank).map_err(|_| "it has too many axes")?;
    let number = if number < 0 { number + rank_number } else { number };
    usize::try_from(number).ok().filter(|axis| *axis < rank).ok_or("it names an axis that is not there")
}

/// The sizes of a value whose rank must be known.
pub fn sizes(value: &Value) -> RuleResult<&Vec<Size>> {
    value.sizes.as_ref().ok_or("the shape of a value is not known")
}

/// The one place of rows that values have, each on its own axis counted from the left.
pub fn one_place<'v>(values: impl IntoIterator<Item = &'v Value>) -> RuleResult<Option<Place>> {
    let mut found: Option<Place> = None;
    for place in values.into_iter().filter_map(Value::place) {
        match &found {
            None => found = Some(place.clone()),
            Some(first) if first == place => {}
            Some(_) => return Err("rows lie on different axes of its inputs"),
        }
    }
    Ok(found)
}

/// Rows, or an error that says that their axis got lost.
pub fn rows(place: Place, sizes: Vec<Size>) -> RuleResult<Value> {
    Value::rows(place, sizes).ok_or("a size beside the rows' own depends on the number of rows")
}

/// A value that comes of others: without rows as they are, with rows at a place.
pub fn of_class(class: Option<Class>, place: Option<Place>, sizes: Option<Vec<Size>>) -> RuleResult<Value> {
    match (class, place, sizes) {
        (Some(class), _, sizes) => Ok(Value::new(class, sizes)),
        (None, Some(place), Some(sizes)) => rows(place, sizes),
        (None, None, _) => Err("rows get lost"),
        (None, _, None) => Err("the shape of a value is not known"),
    }
}

/// A tensor of the file.
pub fn stored(constant: &Constant, symbols: &mut Symbols) -> Value {
    let sizes = constant.sizes.iter().map(|size| Size::of(*size)).collect();
    let numbers = match (&constant.numbers, &constant.texts) {
        (Some(Numbers::Integers(numbers)), _) => {
            Some(numbers.iter().map(|number| Some(Size::of(*number))).collect())
        }
        (Some(Numbers::Floats(numbers)), _) => {
            Some(numbers.iter().map(|number| Some(whole(*number, symbols))).collect())
        }
        (None, Some(texts)) => Some(texts.iter().map(|text| Some(symbols.text(text))).collect()),
        (None, None) => None,
    };
    Value::new(Class::Constant, Some(sizes)).with_numbers(numbers).with_symbols(symbols)
}

/// A floating-point number, if it is an integer; else a symbol. The zero below zero is not the integer.
#[expect(clippy::cast_possible_truncation, reason = "it is an integer within the bounds")]
fn whole(number: f64, symbols: &mut Symbols) -> Size {
    let is_integer = number.fract() == 0.0 && number.abs() < 9.0e15;
    if is_integer && !(number == 0.0 && number.is_sign_negative()) {
        Size::of(number as i64)
    } else {
        symbols.number()
    }
}

/// Applies a rule to a node that takes padded rows, or numbers of rows; none if the rule takes them as any other value.
pub fn beyond_rows(row: &Operator, call: &Call<'_>, symbols: &mut Symbols) -> Option<RuleResult> {
    if call.given().any(|value| matches!(value.class, Class::Padded(_))) {
        return padded::apply(row, call, symbols);
    }
    let is_numbered = |value: &Value| matches!(value.class, Class::RowNumbers(_) | Class::Addresses { .. });
    if call.given().any(is_numbered) { numbered::apply(row, call, symbols).map(Ok) } else { None }
}

/// Why a node mixes rows, with its name.
pub fn cause(node: &Node, reason: &str) -> Rc<Cause> {
    let name = Some(&node.name).filter(|name| !name.is_empty()).or(node.outputs.first());
    Rc::new(Cause {
        node: name.cloned().unwrap_or_default(),
        operator: node.operator.clone(),
        reason: reason.to_owned(),
    })
}

/// Applies a rule to a node that has no graphs of its own.
pub fn apply(rule: Rule, call: &Call<'_>, symbols: &mut Symbols) -> RuleResult {
    let one = |value: Value| vec![value];
    match rule {
        Rule::Elementwise => broadcast::elementwise(symbols, &call.given().collect::<Vec<_>>()).map(one),
        Rule::EachElement => broadcast::each_element(call).map(one),
        Rule::LikeFirst => Ok(one(Value { numbers: None, ..call.needed(0)?.clone() })),
        Rule::ElementwiseOf(places) => broadcast::elementwise_of(call, symbols, places).map(one),
        Rule::Mixes(how) => Err(how),
        Rule::Random => Err("its answers are random"),
        Rule::Roles(roles) => roles::apply(call, symbols, &roles),
        Rule::LastAxis => normalize::last_axis(call, symbols).map(one),
        Rule::Softmax => normalize::softmax(call).map(one),
        Rule::LpNormalization => normalize::lp(call).map(one),
        Rule::LayerNormalization => normalize::layer(call, symbols),
        Rule::SkipLayerNormalization => normalize::skip_layer(call, symbols),
        Rule::BatchNormalization => normalize::batch(call).map(one),
        Rule::InstanceNormalization => normalize::instance(call).map(one),
        Rule::Lrn => normalize::lrn(call).map(one),
        Rule::MeanVarianceNormalization => normalize::mean_variance(call).map(one),
        Rule::Dropout => normalize::dropout(call),
        Rule::Trilu => normalize::trilu(call).map(one),
        Rule::CumSum => normalize::cumulative(call).map(one),
        Rule::Reduce => reduce::reduce(call).map(one),
        Rule::Arg => reduce::arg(call).map(one),
        Rule::TopK => reduce::top(call, symbols),
        Rule::MatMul => contract::matmul(call, symbols).map(one),
        Rule::MatMulInteger => contract::matmul_integer(call, symbols).map(one),
        Rule::QLinearMatMul => contract::qlinear_matmul(call, symbols).map(one),
        Rule::FusedMatMul => contract::fused_matmul(call, symbols).map(one),
        Rule::Gemm => contract::gemm(call, symbols).map(one),
        Rule::QGemm => contract::qgemm(call, symbols).map(one),
        Rule::Einsum => contract::einsum(call, symbols).map(one),
        Rule::CDist => contract::cdist(call).map(one),
        Rule::Det => reduce::det(call).map(one),
        Rule::Constant => Ok(one(layout::constant(call, symbols))),
        Rule::Shape => layout::shape(call).map(one),
        Rule::Size => layout::size(call).map(one),
        Rule::Reshape => layout::reshape(call, symbols).map(one),
        Rule::Flatten => layout::flatten(call).map(one),
        Rule::Transpose => layout::transpose(call).map(one),
        Rule::Squeeze => layout::squeeze(call).map(one),
        Rule::Unsqueeze => layout::unsqueeze(call).map(one),
        Rule::Expand => layout::expand(call, symbols).map(one),
        Rule::Tile => layout::tile(call).map(one),
        Rule::ConstantOfShape => layout::constant_of_shape(call).map(one),
        Rule::Range => layout::range(call, symbols).map(one),
        Rule::Concat => select::concat(call, symbols, &call.given().collect::<Vec<_>>()).map(one),
        Rule::QLinearConcat => quantize::concat(call, symbols).map(one),
        Rule::Split => select::split(call, symbols),
        Rule::Slice => select::slice(call, symbols).map(one),
        Rule::Compress => select::compress(call, symbols).map(one),
        Rule::Gather => select::gather(call).map(one),
        Rule::GatherElements => select::gather_elements(call).map(one),
        Rule::GatherNd => select::gather_nd(call).map(one),
        Rule::ArrayFeatureExtractor => select::array_feature_extractor(call).map(one),
        Rule::ScatterElements => select::scatter_elements(call).map(one),
        Rule::ScatterNd => select::scatter_nd(call).map(one),
        Rule::Pad => windows::pad(call, symbols).map(one),
        Rule::Resize => windows::resize(call, symbols).map(one),
        Rule::OneHot => select::one_hot(call, symbols).map(one),
        Rule::ReverseSequence => sequence::reverse(call).map(one),
        Rule::Recurrent => sequence::recurrent(call, symbols),
        Rule::Dft => sequence::dft(call, symbols).map(one),
        Rule::Quantize => quantize::quantize(call).map(one),
        Rule::StringNormalizer => text::normalizer(call).map(one),
        Rule::StringSplit => text::split(call, symbols),
        Rule::Tokenizer => text::tokenizer(call, symbols).map(one),
        Rule::If | Rule::Loop | Rule::Scan => Err("its graphs are missing"),
        #[cfg(test)]
        Rule::Wrong => {
            let first = call.given().find_map(|value| value.sizes.clone());
            let sizes = first.unwrap_or_else(|| vec![Size::rows(), symbols.size()]);
            let place = call.given().find_map(Value::place).cloned().unwrap_or_else(|| Place::on(0));
            let axis = place.axis;
            let mut value = Value::new(Class::Rows(place), Some(sizes));
            if let Some(size) = value.sizes.as_mut().and_then(|sizes| sizes.get_mut(axis)) {
                *size = Size::rows();
            }
            Ok(vec![value; call.outputs()])
        }
    }
}
