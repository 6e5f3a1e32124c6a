//! Sizes and other numbers of a graph as terms in N, the number of rows: constants, N, multiples of it, and symbols for what
//! is not known before a request comes but is the same for all that may share a run. Needs nothing.

use std::collections::HashMap;

/// A number that does not depend on N, whatever it is.
pub type Symbol = u32;

/// A product: a whole factor, N to some power, symbols to some powers. N is at least 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Size {
    factor: i64,
    rows: u8,
    symbols: Vec<(Symbol, u8)>,
}

impl Size {
    pub fn of(number: i64) -> Self {
        Self { factor: number, rows: 0, symbols: Vec::new() }
    }

    pub fn rows() -> Self {
        Self { factor: 1, rows: 1, symbols: Vec::new() }
    }

    fn symbol(symbol: Symbol) -> Self {
        Self { factor: 1, rows: 0, symbols: vec![(symbol, 1)] }
    }

    /// The number, if it is known.
    pub fn constant(&self) -> Option<i64> {
        (self.rows == 0 && self.symbols.is_empty()).then_some(self.factor)
    }

    pub fn is_one(&self) -> bool {
        self.constant() == Some(1)
    }

    /// Whether its factor is at most so large.
    pub fn is_within(&self, most: u64) -> bool {
        self.factor.unsigned_abs() <= most
    }

    /// Whether it depends on N.
    pub fn has_rows(&self) -> bool {
        self.rows > 0
    }

    pub fn times(&self, other: &Self) -> Option<Self> {
        let factor = self.factor.checked_mul(other.factor)?;
        if factor == 0 {
            return Some(Self::of(0));
        }
        let mut symbols = self.symbols.clone();
        for (symbol, power) in &other.symbols {
            match symbols.binary_search_by_key(symbol, |(symbol, _)| *symbol) {
                Ok(at) => {
                    let (_, found) = symbols.get_mut(at)?;
                    *found = found.checked_add(*power)?;
                }
                Err(at) => symbols.insert(at, (*symbol, *power)),
            }
        }
        Some(Self { factor, rows: self.rows.checked_add(other.rows)?, symbols })
    }

    /// The quotient, if it is a term, too.
    pub fn over(&self, other: &Self) -> Option<Self> {
        if other.factor == 0 || self.factor.checked_rem(other.factor)? != 0 {
            return None;
        }
        let factor = self.factor.checked_div(other.factor)?;
        if factor == 0 {
            return Some(Self::of(0));
        }
        let mut symbols = self.symbols.clone();
        for (symbol, power) in &other.symbols {
            let at = symbols.binary_search_by_key(symbol, |(symbol, _)| *symbol).ok()?;
            let (_, found) = symbols.get_mut(at)?;
            *found = found.checked_sub(*power)?;
        }
        symbols.retain(|(_, power)| *power > 0);
        Some(Self { factor, rows: self.rows.checked_sub(other.rows)?, symbols })
    }

    fn is_like(&self, other: &Self) -> bool {
        self.rows == other.rows && self.symbols == other.symbols
    }
}

pub fn product<'a>(sizes: impl IntoIterator<Item = &'a Size>) -> Option<Size> {
    sizes.into_iter().try_fold(Size::of(1), |product, size| product.times(size))
}

/// What is known of symbols.
#[derive(Debug, Default)]
pub struct Symbols {
    known: HashMap<(&'static str, Size, Size), Symbol>,
    properties: Vec<Properties>,
    /// Texts, each as the element of a tensor that it is.
    texts: HashMap<String, Symbol>,
}

#[derive(Clone, Copy, Debug)]
struct Properties {
    nonnegative: bool,
    whole: bool,
}

impl Symbols {
    /// A size that is not known: whole and not negative.
    pub fn size(&mut self) -> Size {
        Size::symbol(self.add(Properties { nonnegative: true, whole: true }))
    }

    /// A number of which nothing is known but that it does not depend on N.
    pub fn number(&mut self) -> Size {
        Size::symbol(self.add(Properties { nonnegative: false, whole: false }))
    }

    /// A text, which is one and the same wherever it stands, and no number.
    pub fn text(&mut self, text: &str) -> Size {
        if let Some(symbol) = self.texts.get(text) {
            return Size::symbol(*symbol);
        }
        let symbol = self.add(Properties { nonnegative: false, whole: false });
        self.texts.insert(text.to_owned(), symbol);
        Size::symbol(symbol)
    }

    /// The text that an element is, if it is one.
    pub fn text_of(&self, element: &Size) -> Option<&str> {
        self.texts
            .iter()
            .find(|(_, symbol)| Size::symbol(**symbol) == *element)
            .map(|(text, _)| text.as_str())
    }

    /// How many symbols there are.
    pub fn count(&self) -> usize {
        self.properties.len()
    }

    /// Whether a size is a symbol by itself, and none of the first ones.
    pub fn is_newer(&self, size: &Size, first: usize) -> bool {
        let is_new = |(symbol, power): &(Symbol, u8)| *power == 1 && *symbol as usize >= first;
        size.factor == 1 && size.rows == 0 && size.symbols.len() == 1 && size.symbols.iter().all(is_new)
    }

    fn add(&mut self, properties: Properties) -> Symbol {
        let symbol = Symbol::try_from(self.properties.len()).unwrap_or(Symbol::MAX);
        self.properties.push(properties);
        symbol
    }

    /// What comes of two numbers without N, the same symbol for the same operation on the same numbers.
    pub fn of(&mut self, operation: &'static str, a: &Size, b: &Size) -> Size {
        let is_size = operation == "broadcast";
        let both = |test: fn(&Self, &Size) -> bool| test(self, a) && test(self, b);
        let properties = Properties {
            nonnegative: is_size
                || operation == "+" && both(Self::is_nonnegative)
                || operation == "/" && self.is_nonnegative(a) && b.constant().is_some_and(|b| b > 0),
            whole: is_size || matches!(operation, "+" | "-") && both(Self::is_whole),
        };
        let (first, second) = if matches!(operation, "+" | "broadcast") && b < a { (b, a) } else { (a, b) };
        let key = (operation, first.clone(), second.clone());
        if let Some(symbol) = self.known.get(&key) {
            return Size::symbol(*symbol);
        }
        let symbol = self.add(properties);
        self.known.insert(key, symbol);
        Size::symbol(symbol)
    }

    fn all(&self, size: &Size, test: impl Fn(&Properties) -> bool) -> bool {
        size.symbols.iter().all(|(symbol, _)| self.properties.get(*symbol as usize).is_some_and(&test))
    }

    /// Whether it cannot be negative.
    pub fn is_nonnegative(&self, size: &Size) -> bool {
        size.factor >= 0 && self.all(size, |properties| properties.nonnegative)
    }

    /// Whether it is an integer.
    pub fn is_whole(&self, size: &Size) -> bool {
        self.all(size, |properties| properties.whole)
    }

    /// The sum, unless it depends on N in a way that is no multiple of it.
    pub fn plus(&mut self, a: &Size, b: &Size) -> Option<Size> {
        if a.factor == 0 {
            return Some(b.clone());
        }
        if b.factor == 0 {
            return Some(a.clone());
        }
        if a.is_like(b) {
            let factor = a.factor.checked_add(b.factor)?;
            let zero = Size::of(0);
            return Some(if factor == 0 { zero } else { Size { factor, ..a.clone() } });
        }
        (!a.has_rows() && !b.has_rows()).then(|| self.of("+", a, b))
    }

    /// The difference, in the same sense.
    pub fn minus(&mut self, a: &Size, b: &Size) -> Option<Size> {
        let negative = Size { factor: b.factor.checked_neg()?, ..b.clone() };
        if a.factor == 0 || b.factor == 0 || a.is_like(b) {
            return self.plus(a, &negative);
        }
        (!a.has_rows() && !b.has_rows()).then(|| self.of("-", a, b))
    }

    /// Whether both are equal, if that holds for every N and every symbol.
    pub fn equal(&self, a: &Size, b: &Size) -> Option<bool> {
        if a == b {
            return Some(true);
        }
        if let (Some(a), Some(b)) = (a.constant(), b.constant()) {
            return Some(a == b);
        }
        match (self.less(a, b), self.less(b, a)) {
            (Some(true), _) | (_, Some(true)) => Some(false),
            _ => None,
        }
    }

    /// Whether the first is less, in the same sense.
    pub fn less(&self, a: &Size, b: &Size) -> Option<bool> {
        if a == b {
            return Some(false);
        }
        match (a.constant(), b.constant()) {
            (Some(a), Some(b)) => Some(a < b),
            (None, Some(b)) => (self.least(a)? >= b).then_some(false),
            (Some(a), None) => (self.least(b)? > a).then_some(true),
            (None, None) => None,
        }
    }

    /// A number that it is never below.
    fn least(&self, size: &Size) -> Option<i64> {
        if size.symbols.is_empty() && size.factor > 0 {
            return Some(size.factor);
        }
        self.is_nonnegative(size).then_some(0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn products_are_divided_only_where_that_is_exact_for_every_number_of_rows() {
        let mut symbols = Symbols::default();
        let (t, n) = (symbols.size(), Size::rows());
        let all = product([&n, &t, &Size::of(12)]).unwrap();
        assert_eq!(all.over(&Size::of(4)), product([&n, &t, &Size::of(3)]));
        assert_eq!(all.over(&n), product([&t, &Size::of(12)]));
        assert_eq!(all.over(&Size::of(5)), None);
        assert_eq!(t.over(&n), None);
        assert_eq!(symbols.plus(&n, &n), n.times(&Size::of(2)));
        assert_eq!(symbols.plus(&n, &Size::of(1)), None, "no multiple of N");
        assert_eq!(symbols.plus(&t, &Size::of(1)), symbols.plus(&Size::of(1), &t));
        assert_eq!(symbols.minus(&n, &n), Some(Size::of(0)));
    }

    #[test]
    fn what_is_compared_holds_for_every_number_of_rows() {
        let mut symbols = Symbols::default();
        let (t, n) = (symbols.size(), Size::rows());
        assert_eq!(symbols.equal(&n, &Size::of(-1)), Some(false));
        assert_eq!(symbols.equal(&n, &Size::of(0)), Some(false));
        assert_eq!(symbols.equal(&n, &Size::of(1)), None, "some have one row");
        assert_eq!(symbols.equal(&t, &Size::of(0)), None);
        assert_eq!(symbols.equal(&t, &Size::of(-1)), Some(false));
        assert_eq!(symbols.less(&Size::of(0), &n), Some(true));
        assert_eq!(symbols.less(&n, &t), None);
        let unknown = symbols.number();
        assert_eq!(symbols.equal(&unknown, &Size::of(-1)), None);
    }
}
