//! What is known of one value of a graph: where its rows lie, or that it has none, its sizes, and its elements if they are few.

use std::rc::Rc;

use super::size::{Size, Symbols, product};

/// Why rows are not independent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The node's name, or that of its first output.
    pub node: String,
    pub operator: String,
    pub reason: String,
}

/// Where the rows of a value lie: element i of the axis, whose size is outer × N × inner, is of row (i ÷ inner) mod N.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub axis: usize,
    /// How often all rows are there, one after the other.
    pub outer: Size,
    /// How many elements of a row are beside each other.
    pub inner: Size,
}

impl Place {
    /// One element a row on an axis.
    pub fn on(axis: usize) -> Self {
        Self { axis, outer: Size::of(1), inner: Size::of(1) }
    }

    /// The size of the axis.
    pub fn size(&self) -> Option<Size> {
        product([&self.outer, &Size::rows(), &self.inner])
    }

    /// The same on another axis.
    #[must_use]
    pub fn moved(&self, axis: usize) -> Self {
        Self { axis, ..self.clone() }
    }
}

/// Rows that are filled up, behind the end of each, to the length of the longest row of a run. How long that is depends on all
/// rows; but what a row has up to any length, once enough is added behind its end, does not.
#[derive(Clone, Debug, PartialEq)]
pub struct Padding {
    pub place: Place,
    /// The axis that is filled up, which is not theirs. Its size is that of no other run.
    pub along: usize,
    /// How many elements that axis has at least.
    pub least: i64,
    /// What it is filled up with.
    pub with: Size,
    /// The node that fills up.
    pub cause: Rc<Cause>,
}

/// What a value depends on.
#[derive(Clone, Debug, PartialEq)]
pub enum Class {
    /// Neither on rows nor on their number.
    Constant,
    /// On a single row, all of it: inside of a loop over rows.
    OneRow,
    /// On how many rows there are, and on none of them.
    Count,
    /// Each part on its own row, as far as it depends on anything.
    Rows(Place),
    /// Each part on its own row, but for the length of an axis.
    Padded(Padding),
    /// Each element is the number of its row, counted from 0.
    RowNumbers(Place),
    /// Addresses along the last axis, of which one component is the number of the row, and all others depend on that row.
    Addresses {
        place: Place,
        /// Which component is the row's number.
        component: usize,
        /// The node that puts both together.
        cause: Rc<Cause>,
    },
    /// On several rows, or nobody knows.
    Mixed(Rc<Cause>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    pub class: Class,
    /// Its sizes, if they are known: of a constant none depends on N, of rows none but that of their axis.
    pub sizes: Option<Vec<Size>>,
    /// Its elements, if they are few, in order; none where one is not known.
    pub numbers: Option<Vec<Option<Size>>>,
}

/// Most elements that are followed.
pub const MAX_NUMBERS: usize = 1024;
/// Most elements of a constant that get a symbol each.
const MAX_SYMBOLS: usize = 64;

impl Value {
    /// A value of a class.
    pub fn new(class: Class, sizes: Option<Vec<Size>>) -> Self {
        Self { class, sizes, numbers: None }
    }

    /// What depends on several rows.
    pub fn mixed(cause: Rc<Cause>) -> Self {
        Self::new(Class::Mixed(cause), None)
    }

    /// Rows of these sizes beside that of their axis; none if they have no such axis.
    pub fn rows(place: Place, mut sizes: Vec<Size>) -> Option<Self> {
        *sizes.get_mut(place.axis)? = place.size()?;
        let others = sizes.iter().enumerate().filter(|(axis, _)| *axis != place.axis);
        let free = others.map(|(_, size)| size).all(|size| !size.has_rows());
        free.then(|| Self::new(Class::Rows(place), Some(sizes)))
    }

    pub fn rank(&self) -> Option<usize> {
        self.sizes.as_ref().map(Vec::len)
    }

    pub fn place(&self) -> Option<&Place> {
        match &self.class {
            Class::Rows(place) => Some(place),
            _ => None,
        }
    }

    /// The value for those who take it for what it depends on, and know nothing of paddings and of rows' numbers.
    #[must_use]
    pub fn plain(self) -> Self {
        match self.class {
            Class::Padded(Padding { cause, .. }) | Class::Addresses { cause, .. } => Self::mixed(cause),
            Class::RowNumbers(_) => Self { class: Class::Count, ..self },
            _ => self,
        }
    }

    /// Whether it is the same for all.
    pub fn is_constant(&self) -> bool {
        self.class == Class::Constant
    }

    /// Number of elements, if it is known.
    pub fn count(&self) -> Option<usize> {
        usize::try_from(product(self.sizes.as_ref()?)?.constant()?).ok()
    }

    /// The elements, if all are known as terms.
    pub fn terms(&self) -> Option<Vec<Size>> {
        self.numbers.as_ref()?.iter().cloned().collect()
    }

    /// The elements, if all are known.
    pub fn constants(&self) -> Option<Vec<i64>> {
        self.numbers.as_ref()?.iter().map(|number| number.as_ref()?.constant()).collect()
    }

    /// The only element, if it is known.
    pub fn scalar(&self) -> Option<i64> {
        match self.constants()?.as_slice() {
            [number] => Some(*number),
            _ => None,
        }
    }

    /// Gives a value its elements; those that depend on nothing make a constant of it.
    #[must_use]
    pub fn with_numbers(mut self, numbers: Option<Vec<Option<Size>>>) -> Self {
        let fitting = numbers.filter(|numbers| Some(numbers.len()) == self.count());
        let Some(numbers) = fitting else { return self };
        let known = |number: &Option<Size>| number.as_ref().is_some_and(|number| !number.has_rows());
        if self.class == Class::Count && numbers.iter().all(known) {
            self.class = Class::Constant;
        }
        self.numbers = Some(numbers);
        self
    }

    /// Gives each element of a small constant a symbol, so that it is known to be itself.
    #[must_use]
    pub fn with_symbols(mut self, symbols: &mut Symbols) -> Self {
        if self.is_constant()
            && self.numbers.is_none()
            && let Some(count) = self.count().filter(|count| *count <= MAX_SYMBOLS)
        {
            self.numbers = Some((0..count).map(|_| Some(symbols.number())).collect());
        }
        self
    }
}
