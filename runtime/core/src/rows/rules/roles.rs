//! Operators whose inputs and outputs have their rows on axes that the operator fixes.

use super::{Call, RuleResult, alike, rows, sizes, windows::Windows};
use crate::{
    onnx::graph::Setting,
    rows::{
        size::{Size, Symbols},
        value::{Class, Place, Value},
    },
};

/// Where inputs and outputs have their rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roles {
    /// A letter for each input: `r` rows on axis 0, `p` rows on axis 1, `e` rows on axis 0 or a constant that is the same for
    /// each row (its first size is 1), `b` the same where it is aligned from the right with four axes, `w` a constant, `c` one
    /// that is the same for each row where it has three axes. The last letter is that of all further inputs.
    pub inputs: &'static str,
    /// Number of axes that the first input must have; 0 for any.
    pub rank: usize,
    pub outputs: &'static [Output],
}

/// Where an output has its rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Output {
    pub axis: usize,
    pub shape: Shape,
}

/// Sizes of an output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Those of the first input.
    Same,
    /// As many as the first input has, unknown.
    Like,
    Rank(usize),
    /// A convolution's, with the filters as this input.
    Conv(usize),
    /// Those of a convolution that goes the other way.
    ConvTranspose,
    /// Those that windows leave.
    Pool,
    /// 1 on all axes from 2 on.
    Global,
    /// Blocks of axes from 2 on go to axis 1 or come from there.
    Blocks,
    /// Each element becomes a row's axis more at the end.
    More,
    /// A column for each class of a forest, which has a label for each.
    Classes,
    /// As many columns as an attribute says, which is 1 if it is not there.
    Columns(&'static str),
}

pub fn apply(call: &Call<'_>, symbols: &mut Symbols, roles: &Roles) -> RuleResult {
    let first = call.needed(first_place(roles))?;
    let class = alike(call.given())?;
    if roles.rank > 0 && first.rank() != Some(roles.rank) && class.is_none() {
        return Err("of an input with this number of axes it makes one row");
    }
    let mut found: Option<Place> = None;
    for (at, value) in call.inputs.iter().enumerate() {
        let letter = roles.inputs.chars().nth(at).or_else(|| roles.inputs.chars().last()).unwrap_or('w');
        let Some(value) = value else { continue };
        check(letter, value, class.is_none(), &mut found)?;
    }
    let mut outputs = Vec::with_capacity(call.outputs());
    for output in roles.outputs.iter().take(call.outputs()) {
        outputs.push(match (&class, &found) {
            (None, Some(place)) => {
                let sizes = shape(call, symbols, output.shape, first)?;
                rows(place.moved(output.axis), sizes)?
            }
            (Some(class), _) => {
                let known = *class == Class::Constant && first.sizes.is_some();
                let sizes = known.then(|| shape(call, symbols, output.shape, first)).transpose();
                Value::new(class.clone(), sizes.unwrap_or_default())
            }
            (None, None) => return Err("rows get lost"),
        });
    }
    if outputs.len() < call.outputs() { Err("it has more outputs than are known") } else { Ok(outputs) }
}

/// The input that sizes come from.
fn first_place(roles: &Roles) -> usize {
    roles.inputs.chars().position(|letter| letter == 'r').unwrap_or_default()
}

fn check(letter: char, value: &Value, has_rows: bool, found: &mut Option<Place>) -> RuleResult<()> {
    const ELSEWHERE: &str = "rows are on another axis than it has them on";
    const FIXED: &str = "a constant has another value for each row";
    let expected = match letter {
        'w' if value.is_constant() || !has_rows => return Ok(()),
        'c' if value.is_constant() => {
            let is_one = |sizes: &Vec<Size>| sizes.len() < 3 || sizes.first().is_some_and(Size::is_one);
            return if value.sizes.as_ref().is_some_and(is_one) { Ok(()) } else { Err(FIXED) };
        }
        'c' if !has_rows => return Ok(()),
        'w' | 'c' => return Err("its parameters depend on the rows"),
        'p' => 1,
        'b' => match value.rank() {
            _ if !has_rows => return Ok(()),
            Some(rank) if rank < 4 && value.is_constant() => return Ok(()),
            Some(4) => 0,
            _ => return Err(ELSEWHERE),
        },
        _ => 0,
    };
    match value.place() {
        Some(place) if place.axis == expected => {
            let place = place.moved(0);
            if found.get_or_insert_with(|| place.clone()) == &place { Ok(()) } else { Err(ELSEWHERE) }
        }
        Some(_) => Err(ELSEWHERE),
        None if !has_rows => Ok(()),
        None if matches!(letter, 'e' | 'b') => {
            let is_one = value.sizes.as_ref().and_then(|sizes| sizes.first()).is_some_and(Size::is_one);
            if is_one { Ok(()) } else { Err(FIXED) }
        }
        None => Err(FIXED),
    }
}

fn shape(call: &Call<'_>, symbols: &mut Symbols, shape: Shape, first: &Value) -> RuleResult<Vec<Size>> {
    let all = sizes(first)?;
    let ahead = |channels: Size| [all.first().cloned().unwrap_or_else(|| Size::of(1)), channels];
    let spatial = || all.iter().skip(2).enumerate();
    let of = |place: usize| call.input(place).and_then(|value| value.sizes.clone()).unwrap_or_default();
    Ok(match shape {
        Shape::Same => all.clone(),
        Shape::Like => all.iter().map(|_| symbols.size()).collect(),
        Shape::Rank(rank) => (0..rank).map(|_| symbols.size()).collect(),
        Shape::Classes => {
            let labels = |name: &str| match call.setting(name)? {
                Setting::Texts(texts) if texts.count > 0 => Some(i64::from(texts.count)),
                Setting::Integers(labels) if !labels.is_empty() => i64::try_from(labels.len()).ok(),
                _ => None,
            };
            let count = labels("classlabels_strings").or_else(|| labels("classlabels_int64s"));
            vec![symbols.size(), count.map_or_else(|| symbols.size(), Size::of)]
        }
        Shape::Columns(name) => vec![symbols.size(), Size::of(call.integer(name).unwrap_or(1))],
        Shape::More => all.iter().cloned().chain([symbols.size()]).collect(),
        Shape::Global => {
            let channels = all.get(1).cloned().unwrap_or_else(|| symbols.size());
            ahead(channels).into_iter().chain(spatial().map(|_| Size::of(1))).collect()
        }
        Shape::Conv(place) => {
            let filters = of(place);
            let kernel: Option<Vec<i64>> = filters.iter().skip(2).map(Size::constant).collect();
            let windows = Windows::of(call, kernel);
            let channels = filters.first().cloned().unwrap_or_else(|| symbols.size());
            let left = spatial().map(|(axis, size)| match &windows {
                Some(windows) => windows.left(axis, size, symbols),
                None => symbols.size(),
            });
            let left: Vec<Size> = left.collect();
            ahead(channels).into_iter().chain(left).collect()
        }
        Shape::ConvTranspose => {
            let filters = of(1);
            let kernel: Option<Vec<i64>> = filters.iter().skip(2).map(Size::constant).collect();
            let windows = Windows::of(call, kernel).filter(|_| call.integers("output_shape").is_none());
            let group = Size::of(call.integer("group").unwrap_or(1));
            let channels =
                filters.get(1).and_then(|size| size.times(&group)).unwrap_or_else(|| symbols.size());
            let more = call.integers("output_padding").unwrap_or_default();
            let spread = spatial().map(|(axis, size)| match &windows {
                Some(windows) => windows.spread(axis, size, more, symbols),
                None => symbols.size(),
            });
            let spread: Vec<Size> = spread.collect();
            ahead(channels).into_iter().chain(spread).collect()
        }
        Shape::Pool => {
            let windows = Windows::of(call, None);
            let channels = all.get(1).cloned().unwrap_or_else(|| symbols.size());
            let left = spatial().map(|(axis, size)| match &windows {
                Some(windows) => windows.left(axis, size, symbols),
                None => symbols.size(),
            });
            let left: Vec<Size> = left.collect();
            ahead(channels).into_iter().chain(left).collect()
        }
        Shape::Blocks => {
            let block = Size::of(call.integer("blocksize").unwrap_or(1));
            let goes = call.node.operator == "SpaceToDepth";
            let square = block.times(&block);
            let channels = all.get(1).and_then(|size| {
                let square = square.as_ref()?;
                if goes { size.times(square) } else { size.over(square) }
            });
            let channels = channels.unwrap_or_else(|| symbols.size());
            let spread = spatial().map(|(_, size)| {
                let size = if goes { size.over(&block) } else { size.times(&block) };
                size.unwrap_or_else(|| symbols.size())
            });
            let spread: Vec<Size> = spread.collect();
            ahead(channels).into_iter().chain(spread).collect()
        }
    })
}
