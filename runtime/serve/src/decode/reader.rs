//! Walks JSON text once, from left to right, without building values. In go bytes; out come strings, small numbers and the
//! places where something else was expected. Never recurses.

use std::borrow::Cow;

/// Deepest nesting of a value that is passed over; requests need four levels.
const MAX_DEPTH: usize = 64;
/// Longest string that is a name, an id or a datatype.
const MAX_NAME: usize = 1024;

/// Text that is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where, in bytes from the start.
    pub offset: usize,
    pub expected: &'static str,
}

impl SyntaxError {
    /// For people: line and column, and whether the text ends there.
    pub fn shown(self, text: &[u8]) -> String {
        let before = text.get(..self.offset).unwrap_or(text);
        let line = before.split(|byte| *byte == b'\n').count();
        let column = before.rsplit(|byte| *byte == b'\n').next().map_or(0, <[u8]>::len) + 1;
        let ends = if self.offset >= text.len() { ", where it ends" } else { "" };
        format!("expected {} at line {line} column {column}{ends}", self.expected)
    }
}

/// Which bytes end the plain part of a string: its end, an escape, and what must be escaped.
const ENDS_PLAIN: [bool; 256] = {
    let mut ends = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        ends[byte] = true;
        byte += 1;
    }
    ends[b'"' as usize] = true;
    ends[b'\\' as usize] = true;
    ends
};

/// A place in a text.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Bytes from the start.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Bytes to the end.
    pub fn left(&self) -> usize {
        self.text.len().saturating_sub(self.at)
    }

    /// What is still to be read.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Goes on by bytes that were looked at.
    #[inline]
    pub fn advance(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes).min(self.text.len());
    }

    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// The next byte that is no white space.
    #[inline]
    pub fn next_token(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    /// Text from an earlier place to here.
    pub fn since(&self, offset: usize) -> &'a [u8] {
        self.text.get(offset..self.at).unwrap_or_default()
    }

    /// Something else was expected here.
    pub fn fault<T>(&self, expected: &'static str) -> Result<T, SyntaxError> {
        Err(SyntaxError { offset: self.at, expected })
    }

    /// Takes one byte after white space.
    #[inline]
    pub fn take(&mut self, byte: u8, expected: &'static str) -> Result<(), SyntaxError> {
        if self.next_token() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        self.fault(expected)
    }

    /// Takes one byte after white space if it is there.
    pub fn take_if(&mut self, byte: u8) -> bool {
        let is = self.next_token() == Some(byte);
        if is {
            self.at += 1;
        }
        is
    }

    /// Nothing but white space is left.
    pub fn end(&mut self) -> Result<(), SyntaxError> {
        if self.next_token().is_none() { Ok(()) } else { self.fault("nothing after the object") }
    }

    /// Walks an object's keys; after each, the value is to be read.
    pub fn object<E: From<SyntaxError>>(
        &mut self,
        expected: &'static str,
        mut value: impl FnMut(&mut Self, &str) -> Result<(), E>,
    ) -> Result<(), E> {
        self.take(b'{', expected)?;
        if self.take_if(b'}') {
            return Ok(());
        }
        loop {
            let key = self.string("a key")?;
            self.take(b':', "a colon after the key")?;
            value(self, &key)?;
            if !self.take_if(b',') {
                return Ok(self.take(b'}', "a comma or the end of the object")?);
            }
        }
    }

    pub fn array<E: From<SyntaxError>>(
        &mut self,
        expected: &'static str,
        mut value: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.take(b'[', expected)?;
        if self.take_if(b']') {
            return Ok(());
        }
        loop {
            value(self)?;
            if !self.take_if(b',') {
                return Ok(self.take(b']', "a comma or the end of the array")?);
            }
        }
    }

    /// A string of any length.
    pub fn string(&mut self, expected: &'static str) -> Result<Cow<'a, str>, SyntaxError> {
        self.next_token();
        let start = self.at;
        let escaped = self.skip_string(expected)?;
        let token = self.since(start);
        let broken = SyntaxError { offset: start, expected: "a string of valid UTF-8 and escapes" };
        if escaped {
            return serde_json::from_slice(token).map(Cow::Owned).map_err(|_| broken);
        }
        let inner = token.get(1..token.len().saturating_sub(1)).unwrap_or_default();
        std::str::from_utf8(inner).map(Cow::Borrowed).map_err(|_| broken)
    }

    /// A string that names something.
    pub fn name(&mut self, expected: &'static str) -> Result<Cow<'a, str>, SyntaxError> {
        let here = *self;
        let name = self.string(expected)?;
        if name.len() > MAX_NAME { here.fault("a string of at most 1024 bytes") } else { Ok(name) }
    }

    /// Passes over a string, and tells whether it has escapes.
    fn skip_string(&mut self, expected: &'static str) -> Result<bool, SyntaxError> {
        self.take(b'"', expected)?;
        let mut escaped = false;
        loop {
            self.at += self.rest().iter().take_while(|byte| !ENDS_PLAIN[usize::from(**byte)]).count();
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.advance(2);
                }
                _ => return self.fault("the end of the string, with control characters escaped"),
            }
        }
    }

    pub fn boolean(&mut self) -> Result<bool, SyntaxError> {
        self.next_token();
        for (word, value) in [(&b"true"[..], true), (&b"false"[..], false)] {
            if self.rest().starts_with(word) {
                self.advance(word.len());
                return Ok(value);
            }
        }
        self.fault("true or false")
    }

    /// Takes `null` if it is there.
    pub fn null(&mut self) -> bool {
        self.next_token();
        let is = self.rest().starts_with(b"null");
        if is {
            self.advance(4);
        }
        is
    }

    /// An integer of at most 18 digits.
    pub fn integer(&mut self, expected: &'static str) -> Result<i64, SyntaxError> {
        self.next_token();
        let here = *self;
        let negative = self.peek() == Some(b'-');
        self.advance(usize::from(negative));
        let mut digits = 0_usize;
        let mut number = 0_i64;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            if digits == 18 {
                // The largest that fits; a 19th digit would pass for a size that no memory has.
                return here.take_largest_or_fault(self, expected);
            }
            number = number * 10 + i64::from(digit - b'0');
            digits += 1;
            self.at += 1;
        }
        if digits == 0 || matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            return here.fault(expected);
        }
        Ok(if negative { -number } else { number })
    }

    fn take_largest_or_fault(self, after: &mut Self, expected: &'static str) -> Result<i64, SyntaxError> {
        while matches!(after.peek(), Some(b'0'..=b'9')) {
            after.at += 1;
        }
        let token = std::str::from_utf8(after.since(self.at)).ok();
        match token.and_then(|token| token.parse().ok()) {
            Some(number) if !matches!(after.peek(), Some(b'.' | b'e' | b'E')) => Ok(number),
            _ => self.fault(expected),
        }
    }

    pub fn skip(&mut self) -> Result<(), SyntaxError> {
        // One bit a level: 1 for an object.
        let (mut depth, mut kinds) = (0_usize, 0_u64);
        loop {
            let opened = match self.next_token() {
                Some(open @ (b'{' | b'[')) => {
                    if depth == MAX_DEPTH {
                        return self.fault("values that are nested at most 64 deep");
                    }
                    self.at += 1;
                    depth += 1;
                    kinds = (kinds << 1) | u64::from(open == b'{');
                    true
                }
                Some(b'"') => {
                    self.skip_string("a string")?;
                    false
                }
                Some(b'-' | b'0'..=b'9') => {
                    self.skip_number()?;
                    false
                }
                _ => {
                    if !self.null() && self.boolean().is_err() {
                        return self.fault("a value");
                    }
                    false
                }
            };
            // To the next value: over what closes, a comma, and a key.
            let mut first = opened;
            loop {
                if depth == 0 {
                    return Ok(());
                }
                let object = kinds & 1 == 1;
                if self.take_if(if object { b'}' } else { b']' }) {
                    depth -= 1;
                    kinds >>= 1;
                    first = false;
                    continue;
                }
                if !first {
                    self.take(b',', "a comma, or the end of the array or object")?;
                }
                if object {
                    self.next_token();
                    self.skip_string("a key")?;
                    self.take(b':', "a colon after the key")?;
                }
                break;
            }
        }
    }

    fn skip_number(&mut self) -> Result<(), SyntaxError> {
        match super::number::scan(self.rest()) {
            Some(number) => {
                self.advance(number.text.len());
                Ok(())
            }
            None => self.fault("a number"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_fault_is_shown_with_line_and_column() {
        let text = b"{\n \"a\" 1}";
        let error = Reader::new(text).skip().unwrap_err();
        assert_eq!(error.shown(text), "expected a colon after the key at line 2 column 6");
        let error = Reader::new(b"[1").skip().unwrap_err();
        assert!(error.shown(b"[1").ends_with("line 1 column 3, where it ends"));
    }

    #[test]
    fn integers_are_those_of_64_bits() {
        for (text, number) in [
            ("0", Some(0)),
            ("-7", Some(-7)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("1.0", None),
            ("1e3", None),
            ("-", None),
        ] {
            assert_eq!(Reader::new(text.as_bytes()).integer("a size").ok(), number, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_passed_over_is_what_serde_takes_for_json(text in "[\\[\\]{},:\"a0-9.eE+\\- \\\\untrfalse]{0,24}") {
            let mut reader = Reader::new(text.as_bytes());
            let ours = reader.skip().and_then(|()| reader.end()).is_ok();
            // serde also looks at escapes, and at the size of numbers, which nobody needs that passes them over.
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            if ours != theirs {
                prop_assert!(ours && (text.contains('\\') || text.contains(['e', 'E'])), "{}", text);
            }
        }

        #[test]
        fn valid_json_is_passed_over(keys in prop::collection::vec("[ -~é\\n]{0,6}", 0..6), depth in 0..60_usize) {
            let mut value = serde_json::json!(keys);
            for key in (0..depth).map(|i| keys.get(i % keys.len().max(1)).cloned().unwrap_or_default()) {
                value = serde_json::json!({ key: value, "n": -1.5e-7 });
            }
            let text = value.to_string();
            let mut reader = Reader::new(text.as_bytes());
            prop_assert!(reader.skip().and_then(|()| reader.end()).is_ok(), "{}", text);
        }
    }
}
