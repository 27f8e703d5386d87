//! A place in a JSON document: its value, its path, and where to write down what is wrong with it.

use std::{cell::RefCell, collections::BTreeMap, ops::RangeInclusive};

use serde_json::{Map, Value};

use crate::pod::Violations;

/// What was found while reading.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Missing members, wrong types, wrong ranges: Marathon's codes.
    pub(super) schema: Violations,
    /// Broken rules that the definition's own types cannot hold, and so must be told from here.
    pub(super) rules: Violations,
    /// Members that mean nothing.
    pub(super) ignored: Vec<String>,
}

impl Findings {
    fn extend(&mut self, other: Self) {
        self.schema.extend(other.schema);
        self.rules.extend(other.rules);
        self.ignored.extend(other.ignored);
    }
}

/// A value of the document. Its readers return `None` after noting why.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    value: &'a Value,
    path: String,
    findings: &'a RefCell<Findings>,
}

/// What a text may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct TextRule {
    /// Least and most characters.
    pub(super) length: (usize, usize),
    /// What else must hold.
    pub(super) pattern: Option<fn(&str) -> bool>,
}

impl<'a> Place<'a> {
    /// The whole document.
    pub(super) fn root(value: &'a Value, findings: &'a RefCell<Findings>) -> Self {
        Self {
            value,
            path: String::new(),
            findings,
        }
    }

    /// The path as answers give it.
    fn path(&self) -> &str {
        if self.path.is_empty() {
            "/"
        } else {
            &self.path
        }
    }

    fn child(&self, value: &'a Value, name: &str) -> Self {
        Self {
            value,
            path: format!("{}/{name}", self.path),
            findings: self.findings,
        }
    }

    /// Notes a schema violation here.
    pub(super) fn refuse<T>(&self, code: &str) -> Option<T> {
        self.findings.borrow_mut().schema.add(self.path(), code);
        None
    }

    /// Notes a broken rule here; reading goes on.
    pub(super) fn refuse_by_rule(&self, message: &str) {
        self.findings.borrow_mut().rules.add(self.path(), message);
    }

    /// A text that obeys `rule`.
    pub(super) fn text(&self, rule: TextRule) -> Option<String> {
        let Value::String(text) = self.value else {
            return self.refuse("error.expected.jsstring");
        };
        let length = text.chars().count();
        let mut good = true;
        let mut expect = |holds: bool, code| {
            if !holds {
                good = false;
                self.refuse::<()>(code);
            }
        };
        expect(length >= rule.length.0, "error.minLength");
        expect(length <= rule.length.1, "error.maxLength");
        // An empty text says enough by its length.
        expect(
            length == 0 || rule.pattern.is_none_or(|matches| matches(text)),
            "error.pattern",
        );
        good.then(|| text.clone())
    }

    /// A decimal number in `range`.
    pub(super) fn decimal(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let Some(number) = self.value.as_f64() else {
            return self.refuse("error.expected.jsnumber");
        };
        if number < *range.start() {
            return self.refuse("error.min");
        }
        if number > *range.end() {
            return self.refuse("error.max");
        }
        Some(number)
    }

    /// A decimal number of at least `least`, converted; numbers that `convert` cannot hold are too large.
    pub(super) fn amount(&self, least: f64, convert: fn(f64) -> Option<u64>) -> Option<u64> {
        let number = self.decimal(least..=f64::MAX)?;
        convert(number).or_else(|| self.refuse("error.max"))
    }

    /// A whole number in `range`; `5.0` is whole.
    ///
    /// `T` must be able to hold the range.
    pub(super) fn integer<T: TryFrom<i64>>(&self, range: RangeInclusive<i64>) -> Option<T> {
        let Value::Number(number) = self.value else {
            return self.refuse("error.expected.jsnumber");
        };
        let Some(number) = number.as_i64().or_else(|| whole(number.as_f64()?)) else {
            return self.refuse("error.expected.int");
        };
        if number < *range.start() {
            return self.refuse("error.min");
        }
        match T::try_from(number) {
            Ok(converted) if range.contains(&number) => Some(converted),
            Ok(_) | Err(_) => self.refuse("error.max"),
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self) -> Option<bool> {
        self.value
            .as_bool()
            .or_else(|| self.refuse("error.expected.jsboolean"))
    }

    /// One of the words of `literals`, whatever their case.
    pub(super) fn literal<T: Copy>(&self, literals: &[(&str, T)]) -> Option<T> {
        let text = self.value.as_str().unwrap_or_default();
        literals
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(text))
            .map(|(_, literal)| *literal)
            .or_else(|| self.refuse("error.unknown.enum.literal"))
    }

    /// The text itself, if it is one; nothing is noted otherwise.
    pub(super) fn as_text(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    /// Whether it is an object; nothing is noted otherwise.
    pub(super) fn is_object(&self) -> bool {
        self.value.is_object()
    }

    /// Whether it is an array without items; nothing is noted otherwise.
    pub(super) fn is_empty_list(&self) -> bool {
        self.value.as_array().is_some_and(Vec::is_empty)
    }

    /// An array whose items `read` reads.
    pub(super) fn list<T>(&self, read: impl Fn(&Self) -> Option<T>) -> Option<Vec<T>> {
        let Value::Array(items) = self.value else {
            return self.refuse("error.expected.jsarray");
        };
        let item = |(index, value)| {
            read(&Self {
                value,
                path: format!("{}({index})", self.path),
                findings: self.findings,
            })
        };
        Some(items.iter().enumerate().filter_map(item).collect())
    }

    /// An object of free keys, which `key` may refuse and whose values `read` reads.
    pub(super) fn dictionary<T>(
        &self,
        key: fn(&str) -> bool,
        read: impl Fn(&Self) -> Option<T>,
    ) -> Option<BTreeMap<String, T>> {
        let Value::Object(entries) = self.value else {
            return self.refuse("error.expected.jsobject");
        };
        let entry = |(name, value): (&String, &'a Value)| {
            let place = self.child(value, name);
            if !key(name) {
                return place.refuse("error.pattern");
            }
            Some((name.clone(), read(&place)?))
        };
        Some(entries.iter().filter_map(entry).collect())
    }

    /// An object whose members `read` reads; the members that it did not ask for are noted as ignored.
    pub(super) fn object<T>(&self, read: impl FnOnce(&Members<'a>) -> Option<T>) -> Option<T> {
        let Value::Object(map) = self.value else {
            return self.refuse("error.expected.jsobject");
        };
        let members = Members {
            place: self.clone(),
            map,
            known: RefCell::default(),
        };
        let result = read(&members);
        members.note_ignored();
        result
    }

    /// What `read` reads if it finds nothing wrong, and otherwise no trace of it.
    fn attempt<T>(&self, read: impl FnOnce() -> Option<T>) -> Option<T> {
        let before = self.findings.take();
        let result = read();
        let found = self.findings.replace(before);
        if result.is_none() || !found.schema.is_empty() {
            return None;
        }
        self.findings.borrow_mut().extend(found);
        result
    }
}

/// The integer that `number` is, if it is one.
fn whole(number: f64) -> Option<i64> {
    // 2^53: up to it every whole f64 stands for one integer only.
    if number.fract() != 0.0 || number.abs() > 9_007_199_254_740_992.0 {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole, and range checked just above"
    )]
    let integer = number as i64;
    Some(integer)
}

/// The members of an object. An explicit `null` counts as absent.
#[derive(Debug)]
pub(super) struct Members<'a> {
    place: Place<'a>,
    map: &'a Map<String, Value>,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Members<'a> {
    /// The object itself.
    pub(super) fn place(&self) -> &Place<'a> {
        &self.place
    }

    /// Whether the member is there and not `null`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|value| !value.is_null())
    }

    /// The member that must be there. `null` is read, so that its wrong type is told.
    pub(super) fn required<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Place<'a>) -> Option<T>,
    ) -> Option<T> {
        self.know(name);
        match self.map.get(name) {
            Some(value) => read(&self.place.child(value, name)),
            None => self.missing(name),
        }
    }

    /// Notes that a member is missing.
    pub(super) fn missing<T>(&self, name: &str) -> Option<T> {
        self.place
            .child(self.place.value, name)
            .refuse("error.path.missing")
    }

    /// The member, if there; `None` as well if it is wrong, which has been noted then.
    pub(super) fn optional<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Place<'a>) -> Option<T>,
    ) -> Option<T> {
        self.know(name);
        let value = self.map.get(name).filter(|value| !value.is_null())?;
        read(&self.place.child(value, name))
    }

    /// The member, if it is there and nothing is wrong with it; otherwise no trace of it, as if it had not
    /// been asked for.
    pub(super) fn attempt<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Place<'a>) -> Option<T>,
    ) -> Option<T> {
        let place = self.place.child(self.map.get(name)?, name);
        let result = place.attempt(|| read(&place))?;
        self.know(name);
        Some(result)
    }

    /// The member's items, none if it is absent.
    pub(super) fn list<T>(
        &self,
        name: &'static str,
        read: impl Fn(&Place<'a>) -> Option<T>,
    ) -> Vec<T> {
        self.optional(name, |place| place.list(read))
            .unwrap_or_default()
    }

    /// The member's entries, none if it is absent.
    pub(super) fn dictionary<T>(
        &self,
        name: &'static str,
        key: fn(&str) -> bool,
        read: impl Fn(&Place<'a>) -> Option<T>,
    ) -> BTreeMap<String, T> {
        self.optional(name, |place| place.dictionary(key, read))
            .unwrap_or_default()
    }

    fn know(&self, name: &'static str) {
        self.known.borrow_mut().push(name);
    }

    fn note_ignored(&self) {
        let known = self.known.borrow();
        let ignored = self
            .map
            .iter()
            .filter(|(key, value)| !value.is_null() && !known.contains(&key.as_str()))
            .map(|(key, _)| format!("{}/{key}", self.place.path));
        self.place.findings.borrow_mut().ignored.extend(ignored);
    }
}
