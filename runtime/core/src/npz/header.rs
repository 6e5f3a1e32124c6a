//! The head of a `.npy` file (format 1.0 to 3.0): a Python dictionary of `descr`, `fortran_order` and `shape`. In go the
//! file's first bytes; out come element type, order and sizes, and where the elements begin.

use super::kind::Kind;

/// Longest head; NumPy's own limit is 10,000 characters.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Most dimensions; NumPy's limit since 2.0.
const MAX_DIMENSIONS: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub kind: Kind,
    /// Whether the first dimension varies fastest.
    pub fortran_order: bool,
    pub shape: Vec<usize>,
}

impl Header {
    /// Reads the head, and says at which byte the elements begin.
    pub fn parse(bytes: &[u8]) -> Result<(Self, usize), String> {
        let cut = || "is cut in its head".to_owned();
        let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or("is no .npy array: its first bytes are others")?;
        let (version, rest) = rest.split_at_checked(2).ok_or_else(cut)?;
        let width = match version {
            [1, 0] => 2,
            [2 | 3, 0] => 4,
            _ => return Err("has a head of an unknown version; expected 1.0, 2.0 or 3.0".to_owned()),
        };
        let (length, rest) = rest.split_at_checked(width).ok_or_else(cut)?;
        let length = length.iter().rev().fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte));
        if length > MAX_HEADER_BYTES {
            return Err(format!("has a head of {length} bytes; expected at most {MAX_HEADER_BYTES}"));
        }
        let text = rest.get(..length).ok_or_else(cut)?;
        let text = std::str::from_utf8(text).map_err(|_| "has a head that is no text".to_owned())?;
        Ok((dictionary(text)?, 8 + width + length))
    }
}

/// What is left of a text that is read from its start.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    /// Steps over spaces and one word, if it is next.
    fn take(&mut self, word: &str) -> bool {
        self.0 = self.0.trim_start_matches([' ', '\n']);
        match self.0.strip_prefix(word) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        if self.take(word) {
            return Ok(());
        }
        let found: String = self.0.chars().take(20).collect();
        Err(format!("has a head that is none: expected {word:?}, found {found:?}"))
    }

    /// The text up to the next quote of the same kind.
    fn quoted(&mut self) -> Result<&'a str, String> {
        let quote = if self.take("\"") { '"' } else { self.expect("'").map(|()| '\'')? };
        let (text, rest) =
            self.0.split_once(quote).ok_or("has a head that is none: a quote has no end".to_owned())?;
        self.0 = rest;
        Ok(text)
    }

    fn number(&mut self) -> Result<usize, String> {
        self.take("");
        let end = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at(end);
        self.0 = rest;
        digits.parse().map_err(|_| format!("has a size {digits:?} that is no number"))
    }

    fn shape(&mut self) -> Result<Vec<usize>, String> {
        self.expect("(")?;
        let mut sizes = Vec::new();
        while !self.take(")") {
            sizes.push(self.number()?);
            if sizes.len() > MAX_DIMENSIONS {
                return Err(format!("has more than {MAX_DIMENSIONS} dimensions"));
            }
            if !self.take(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(sizes)
    }
}

fn dictionary(text: &str) -> Result<Header, String> {
    let mut cursor = Cursor(text);
    let (mut kind, mut fortran_order, mut shape) = (None, None, None);
    cursor.expect("{")?;
    while !cursor.take("}") {
        let key = cursor.quoted()?;
        cursor.expect(":")?;
        let twice = match key {
            "descr" if cursor.take("[") => {
                return Err(
                    "has elements of several fields; expected numbers, truth values or text".to_owned()
                );
            }
            "descr" => kind.replace(Kind::parse(cursor.quoted()?)?).is_some(),
            "fortran_order" => {
                let order = cursor.take("True");
                if !order {
                    cursor.expect("False")?;
                }
                fortran_order.replace(order).is_some()
            }
            "shape" => shape.replace(cursor.shape()?).is_some(),
            other => return Err(format!("has a head with the unknown key {other:?}")),
        };
        if twice {
            return Err(format!("has a head with the key {key:?} twice"));
        }
        if !cursor.take(",") {
            cursor.expect("}")?;
            break;
        }
    }
    match (kind, fortran_order, shape) {
        (Some(kind), Some(fortran_order), Some(shape)) if cursor.0.trim().is_empty() => {
            Ok(Header { kind, fortran_order, shape })
        }
        _ => Err("has a head that is none: expected descr, fortran_order and shape".to_owned()),
    }
}
