//! The elements of small tensors without rows: shapes, axes, bounds. In go a node's inputs and its outputs' sizes; out come
//! the outputs' elements as terms in N, as far as they can be followed.

use super::{
    rules::{Call, Rule, axis},
    size::{Size, Symbols},
    value::{Class, MAX_NUMBERS, Value},
};

/// How an operator treats elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Numbers {
    Unknown,
    /// They are the first input's, in order.
    Kept,
    /// They are moved, as the rule says.
    Moved,
    /// Each is computed from one of each input.
    Each(Arithmetic),
    /// They are put together along axes.
    Reduced(Arithmetic),
}

/// What is computed of two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Min,
    Max,
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
    Not,
    Neg,
    Abs,
    Round,
    Cast,
    Where,
}

type Number = Option<Size>;

struct Small<'v> {
    sizes: Vec<usize>,
    numbers: &'v [Number],
}

impl<'v> Small<'v> {
    fn of(value: &'v Value) -> Option<Self> {
        Some(Self { sizes: known(value)?, numbers: value.numbers.as_deref()? })
    }

    /// The element at a place; axes that are not there, or of size 1, are the same everywhere.
    fn at(&self, place: &[usize]) -> Number {
        let ahead = place.len().checked_sub(self.sizes.len())?;
        let mut index = 0_usize;
        for (at, size) in place.iter().skip(ahead).zip(&self.sizes) {
            let at = if *size == 1 { 0 } else { *at };
            index = index.checked_mul(*size)?.checked_add(at)?;
        }
        self.numbers.get(index)?.clone()
    }
}

fn known(value: &Value) -> Option<Vec<usize>> {
    value.sizes.as_ref()?.iter().map(|size| usize::try_from(size.constant()?).ok()).collect()
}

/// Each place of sizes, in order.
fn places(sizes: &[usize]) -> impl Iterator<Item = Vec<usize>> + '_ {
    let count: usize = sizes.iter().product();
    (0..count).map(|mut index| {
        let mut place: Vec<usize> = sizes
            .iter()
            .rev()
            .map(|size| {
                let at = index % size;
                index /= size;
                at
            })
            .collect();
        place.reverse();
        place
    })
}

pub fn follow(rule: Rule, how: Numbers, call: &Call<'_>, outputs: &mut [Value], symbols: &mut Symbols) {
    if how == Numbers::Unknown {
        return;
    }
    for (which, output) in outputs.iter_mut().enumerate() {
        if !matches!(output.class, Class::Constant | Class::Count) {
            continue;
        }
        let Some(sizes) = known(output).filter(|_| output.count().is_some_and(|count| count <= MAX_NUMBERS))
        else {
            continue;
        };
        let numbers = match how {
            Numbers::Unknown => None,
            Numbers::Kept => call.input(0).and_then(|value| value.numbers.clone()),
            Numbers::Moved => moved(rule, call, &sizes, which),
            Numbers::Each(arithmetic) => each(arithmetic, call, &sizes, symbols),
            Numbers::Reduced(arithmetic) => reduced(arithmetic, call, symbols),
        };
        // What depends on nothing is itself, whatever it is.
        let named = |number: Number| number.or_else(|| output.is_constant().then(|| symbols.number()));
        let numbers = numbers.map(|numbers| numbers.into_iter().map(named).collect());
        *output = output.clone().with_numbers(numbers);
    }
}

fn moved(rule: Rule, call: &Call<'_>, sizes: &[usize], which: usize) -> Option<Vec<Number>> {
    let first = Small::of(call.input(0)?)?;
    let rank = first.sizes.len();
    let along = |default: i64| axis(call.integer("axis").unwrap_or(default), rank).ok();
    match rule {
        Rule::Transpose => {
            let order: Vec<usize> = match call.integers("perm") {
                Some(order) => order.iter().map(|at| axis(*at, rank).ok()).collect::<Option<_>>()?,
                None => (0..rank).rev().collect(),
            };
            let taken = |place: Vec<usize>| {
                let mut from = vec![0; rank];
                for (at, axis) in place.into_iter().zip(&order) {
                    *from.get_mut(*axis)? = at;
                }
                Some(from)
            };
            Some(places(sizes).map(|place| first.at(&taken(place)?)).collect())
        }
        Rule::Expand => Some(places(sizes).map(|place| first.at(&place)).collect()),
        Rule::Tile => {
            let back = |place: Vec<usize>| -> Vec<usize> {
                place.iter().zip(&first.sizes).map(|(at, size)| at.checked_rem(*size).unwrap_or(0)).collect()
            };
            Some(places(sizes).map(|place| first.at(&back(place))).collect())
        }
        Rule::Gather => {
            let (along, index) = (along(0)?, Small::of(call.input(1)?)?);
            let ahead = index.sizes.len();
            let size = i64::try_from(*first.sizes.get(along)?).ok()?;
            let taken = |place: &[usize]| -> Number {
                let at = index.at(place.get(along..along + ahead)?)?.constant()?;
                let at = usize::try_from(if at < 0 { at + size } else { at }).ok()?;
                let from =
                    place.get(..along)?.iter().chain([&at]).chain(place.get(along + ahead..)?).copied();
                first.at(&from.collect::<Vec<_>>())
            };
            Some(places(sizes).map(|place| taken(&place)).collect())
        }
        Rule::Slice => {
            let mut taken: Vec<Vec<usize>> = first.sizes.iter().map(|size| (0..*size).collect()).collect();
            for (at, stretch) in super::rules::stretches(call, rank).ok()? {
                let size = i64::try_from(*first.sizes.get(at)?).ok()?;
                let found: Option<Vec<usize>> =
                    stretch.places(size)?.into_iter().map(|place| usize::try_from(place).ok()).collect();
                *taken.get_mut(at)? = found?;
            }
            let from = |place: Vec<usize>| -> Option<Vec<usize>> {
                place.iter().zip(&taken).map(|(at, taken)| taken.get(*at).copied()).collect()
            };
            Some(places(sizes).map(|place| first.at(&from(place)?)).collect())
        }
        Rule::Concat => {
            let (along, parts) = (along(1)?, call.given().map(Small::of).collect::<Option<Vec<_>>>()?);
            let taken = |mut place: Vec<usize>| -> Number {
                for part in &parts {
                    let (at, size) = (place.get_mut(along)?, *part.sizes.get(along)?);
                    if *at < size {
                        return part.at(&place);
                    }
                    *at -= size;
                }
                None
            };
            Some(places(sizes).map(taken).collect())
        }
        Rule::Split => {
            let along = along(0)?;
            let lengths = match (call.integers("split"), call.input(1)) {
                (Some(lengths), _) => Some(lengths.to_vec()),
                (None, Some(lengths)) => Some(lengths.constants()?),
                (None, None) => None,
            };
            let parts = call.outputs();
            let whole = *first.sizes.get(along)?;
            let start = match lengths {
                Some(lengths) => {
                    let mut before = lengths.iter().take(which);
                    let sum = before.try_fold(0_i64, |sum, length| sum.checked_add(*length))?;
                    usize::try_from(sum).ok()?
                }
                None => which.checked_mul(whole.div_ceil(parts))?,
            };
            let taken = |mut place: Vec<usize>| -> Number {
                let at = place.get_mut(along)?;
                *at = at.checked_add(start)?;
                first.at(&place)
            };
            Some(places(sizes).map(taken).collect())
        }
        _ => None,
    }
}

fn each(
    arithmetic: Arithmetic,
    call: &Call<'_>,
    sizes: &[usize],
    symbols: &mut Symbols,
) -> Option<Vec<Number>> {
    let inputs: Vec<Small<'_>> = call.given().map(Small::of).collect::<Option<_>>()?;
    let to = call.integer("to");
    let mut numbers = Vec::new();
    for place in places(sizes) {
        let found: Vec<Number> = inputs.iter().map(|input| input.at(&place)).collect();
        numbers.push(match found.as_slice() {
            [Some(a)] => one(arithmetic, a, to, symbols),
            [Some(a), Some(b)] => two(arithmetic, a, b, symbols),
            [condition, a, b] if arithmetic == Arithmetic::Where => {
                choice(condition.as_ref(), a.as_ref(), b.as_ref())
            }
            _ => None,
        });
    }
    Some(numbers)
}

/// The largest integer up to which every datatype whose elements are followed computes exactly. Beyond, INT32 wraps around and
/// FP32 rounds, and which of them an element has is not known here.
const MAX_EXACT: u64 = 1 << 24;

/// Whether a datatype holds a number as it is: `FLOAT`, `INT32`, `INT64`, `DOUBLE`, `UINT32`, `UINT64`.
fn is_kept(a: &Size, to: Option<i64>, symbols: &Symbols) -> bool {
    symbols.is_whole(a)
        && match to {
            Some(1) => a.is_within(MAX_EXACT),
            Some(6) => a.is_within(i32::MAX.unsigned_abs().into()),
            Some(7) => true,
            Some(11) => a.is_within(1 << 53),
            Some(12) => a.is_within(u32::MAX.into()) && symbols.is_nonnegative(a),
            Some(13) => symbols.is_nonnegative(a),
            _ => false,
        }
}

fn one(arithmetic: Arithmetic, a: &Size, to: Option<i64>, symbols: &mut Symbols) -> Number {
    let unknown = |symbols: &mut Symbols| (!a.has_rows()).then(|| symbols.number());
    match arithmetic {
        Arithmetic::Cast if is_kept(a, to, symbols) => Some(a.clone()),
        Arithmetic::Round if symbols.is_whole(a) => Some(a.clone()),
        Arithmetic::Cast if to == Some(9) => match symbols.equal(a, &Size::of(0)) {
            Some(is_zero) => Some(Size::of(i64::from(!is_zero))),
            None => unknown(symbols),
        },
        Arithmetic::Neg => a.times(&Size::of(-1)),
        Arithmetic::Abs if symbols.is_nonnegative(a) => Some(a.clone()),
        Arithmetic::Not => match a.constant() {
            Some(number) => Some(Size::of(i64::from(number == 0))),
            None => unknown(symbols),
        },
        _ => unknown(symbols),
    }
}

fn two(arithmetic: Arithmetic, a: &Size, b: &Size, symbols: &mut Symbols) -> Number {
    let truth = |found: Option<bool>| found.map(|found| Size::of(i64::from(found)));
    let not = |found: Option<bool>| found.map(|found| !found);
    // What is no integer may be infinite or NaN, which is not even equal to itself.
    let is_finite = symbols.is_whole(a) && symbols.is_whole(b);
    let is_zero = |size: &Size| size.constant() == Some(0);
    let exact = |found: Option<Size>| found.filter(|found| found.is_within(MAX_EXACT));
    let found = match arithmetic {
        Arithmetic::Add | Arithmetic::Sub
            if !is_finite && a.constant().is_none() && b.constant().is_none() =>
        {
            None
        }
        Arithmetic::Mul if !is_finite && (is_zero(a) || is_zero(b)) => None,
        // A product may be rounded, and then it is, over its factor, not what it was.
        Arithmetic::Div if !is_finite => None,
        Arithmetic::Equal
        | Arithmetic::Less
        | Arithmetic::Greater
        | Arithmetic::LessOrEqual
        | Arithmetic::GreaterOrEqual
            if !is_finite =>
        {
            None
        }
        Arithmetic::Add => exact(symbols.plus(a, b)),
        Arithmetic::Sub => exact(symbols.minus(a, b)),
        Arithmetic::Mul => exact(a.times(b)),
        Arithmetic::Div => a.over(b),
        Arithmetic::Mod => match (a.constant(), b.constant()) {
            (Some(a), Some(b)) if a >= 0 && b > 0 => Some(Size::of(a % b)),
            _ => None,
        },
        Arithmetic::Min => match symbols.less(a, b) {
            Some(true) => Some(a.clone()),
            Some(false) => Some(b.clone()),
            None => None,
        },
        Arithmetic::Max => match symbols.less(a, b) {
            Some(true) => Some(b.clone()),
            Some(false) => Some(a.clone()),
            None => None,
        },
        Arithmetic::Equal => truth(symbols.equal(a, b)),
        Arithmetic::Less => truth(symbols.less(a, b)),
        Arithmetic::Greater => truth(symbols.less(b, a)),
        Arithmetic::LessOrEqual => truth(not(symbols.less(b, a))),
        Arithmetic::GreaterOrEqual => truth(not(symbols.less(a, b))),
        Arithmetic::And => both(a, b, 0),
        Arithmetic::Or => both(a, b, 1),
        _ => None,
    };
    // Integers are divided with the rest cut off, floating-point numbers are not: which of both is not known here. What may
    // wrap around is no sum any more of which something is known.
    found.or_else(|| match arithmetic {
        _ if a.has_rows() || b.has_rows() => None,
        Arithmetic::Add | Arithmetic::Sub | Arithmetic::Mul if is_finite => Some(symbols.number()),
        _ => Some(symbols.of(name(arithmetic), a, b)),
    })
}

/// What one of both decides alone.
fn both(a: &Size, b: &Size, decides: i64) -> Number {
    match (a.constant().map(|a| i64::from(a != 0)), b.constant().map(|b| i64::from(b != 0))) {
        (Some(number), _) | (_, Some(number)) if number == decides => Some(Size::of(decides)),
        (Some(_), Some(_)) => Some(Size::of(1 - decides)),
        _ => None,
    }
}

fn choice(condition: Option<&Size>, a: Option<&Size>, b: Option<&Size>) -> Number {
    match condition.and_then(Size::constant) {
        Some(0) => b.cloned(),
        Some(_) => a.cloned(),
        None => a.filter(|_| a == b).cloned(),
    }
}

fn name(arithmetic: Arithmetic) -> &'static str {
    match arithmetic {
        Arithmetic::Add => "+",
        Arithmetic::Sub => "-",
        Arithmetic::Mul => "*",
        Arithmetic::Div => "/",
        Arithmetic::Mod => "%",
        Arithmetic::Min => "min",
        Arithmetic::Max => "max",
        Arithmetic::Equal => "=",
        Arithmetic::Less => "<",
        Arithmetic::LessOrEqual => "<=",
        Arithmetic::Greater => ">",
        Arithmetic::GreaterOrEqual => ">=",
        Arithmetic::And => "and",
        Arithmetic::Or => "or",
        _ => "other",
    }
}

/// All elements of a list as one.
fn reduced(arithmetic: Arithmetic, call: &Call<'_>, symbols: &mut Symbols) -> Option<Vec<Number>> {
    let value = call.input(0)?;
    if value.rank()? > 1 {
        return None;
    }
    let mut numbers = value.numbers.as_ref()?.iter().cloned();
    let first = numbers.next()??;
    let all = numbers.try_fold(first, |found, number| two(arithmetic, &found, &number?, symbols));
    Some(vec![all])
}
