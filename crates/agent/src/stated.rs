//! What the configuration states about the host's resources, in the text form of Mesos's `--resources`.

use std::{fmt, str::FromStr};

use model::{ports::PortSet, resources::MIB};

/// The stated resources; `None` where the text names none of that kind.
///
/// Read from text such as `cpus:2;mem:1024;disk:10240;ports:[31000-32000, 8000-8000];gpus:1`, memory and
/// disk in MiB. A kind named twice is added up, as Mesos does (mesos: `docs/attributes-resources.md`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// Thousandths of a cpu.
    pub cpus_milli: Option<u64>,
    /// Bytes of memory.
    pub mem_bytes: Option<u64>,
    /// Bytes of disk.
    pub disk_bytes: Option<u64>,
    /// Whole GPUs.
    pub gpus: Option<u64>,
    /// Host ports.
    pub ports: Option<PortSet>,
}

/// A piece of the text that states no resource.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read resource '{piece}': {problem}")]
pub struct StatedError {
    /// The piece between semicolons, as given.
    pub piece: String,
    /// What is wrong with it.
    pub problem: StatedProblem,
}

/// What can be wrong with a stated resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatedProblem {
    /// Not of the form `NAME:VALUE`.
    NotNameAndValue,
    /// The JSON form of the flag, which is not read.
    Json,
    /// No such resource.
    UnknownName(String),
    /// Resources are not divided among roles.
    Role(String),
    /// The value is no plain decimal number.
    NotANumber(String),
    /// More than zero, but less than half a thousandth.
    RoundsToZero(String),
    /// GPUs are not divided.
    NotWhole(String),
    /// More than can be counted.
    TooMuch,
    /// The value is no list of ranges in brackets.
    NotRanges(String),
    /// One range is not of the form `BEGIN-END` with numbers from 1 to 65535.
    NotARange(String),
    /// One range ends before it begins.
    RangeBackwards(String),
}

impl fmt::Display for StatedProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNameAndValue => write!(f, "expected NAME:VALUE, such as cpus:2"),
            Self::Json => write!(
                f,
                "the JSON form is not supported, write cpus:2;mem:1024 instead"
            ),
            Self::UnknownName(name) => write!(
                f,
                "unknown resource '{name}', expected cpus, mem, disk, gpus or ports"
            ),
            Self::Role(role) => write!(
                f,
                "resources cannot be reserved for a role ('{role}'), leave the parentheses out"
            ),
            Self::NotANumber(value) => write!(
                f,
                "'{value}' is not a number, expected one such as 2 or 0.5"
            ),
            Self::RoundsToZero(value) => {
                write!(f, "'{value}' rounds to zero, the least is 0.001")
            }
            Self::NotWhole(value) => write!(f, "'{value}' is not a whole number of GPUs"),
            Self::TooMuch => write!(f, "more than can be counted"),
            Self::NotRanges(value) => write!(
                f,
                "'{value}' is not a list of ranges, expected one such as [31000-32000, 8080-8080]"
            ),
            Self::NotARange(range) => write!(
                f,
                "'{range}' is not a range of ports, expected BEGIN-END, from 1 to 65535"
            ),
            Self::RangeBackwards(range) => write!(f, "the range '{range}' ends before it begins"),
        }
    }
}

impl FromStr for Stated {
    type Err = StatedError;

    /// Reads the text; empty pieces between semicolons are passed over.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut stated = Self::default();
        for piece in text.split(';').map(str::trim).filter(|p| !p.is_empty()) {
            stated.add(piece).map_err(|problem| StatedError {
                piece: piece.to_owned(),
                problem,
            })?;
        }
        Ok(stated)
    }
}

impl Stated {
    fn add(&mut self, piece: &str) -> Result<(), StatedProblem> {
        if piece.starts_with(['[', '{']) {
            return Err(StatedProblem::Json);
        }
        let (name, value) = piece
            .split_once(':')
            .filter(|(_, value)| !value.contains(':'))
            .ok_or(StatedProblem::NotNameAndValue)?;
        let name = without_role(name)?;
        // Mesos drops every space of a value, also inside brackets.
        let value: String = value.chars().filter(|c| !c.is_whitespace()).collect();
        match name {
            "cpus" => add_up(&mut self.cpus_milli, thousandths(&value)?),
            "mem" => add_up(&mut self.mem_bytes, bytes(&value)?),
            "disk" => add_up(&mut self.disk_bytes, bytes(&value)?),
            "gpus" => add_up(&mut self.gpus, whole(&value)?),
            "ports" => {
                let ports = ranges(&value)?;
                self.ports = Some(match &self.ports {
                    Some(already) => already.union(&ports),
                    None => ports,
                });
                Ok(())
            }
            _ => Err(StatedProblem::UnknownName(name.to_owned())),
        }
    }
}

/// The name alone. `name(*)` means the default role, which is all there is.
fn without_role(name: &str) -> Result<&str, StatedProblem> {
    let name = name.trim();
    let Some((bare, role)) = name.split_once('(') else {
        return Ok(name);
    };
    match role.strip_suffix(')').map(str::trim) {
        Some("*") => Ok(bare.trim()),
        Some(role) => Err(StatedProblem::Role(role.to_owned())),
        None => Err(StatedProblem::NotNameAndValue),
    }
}

fn add_up(already: &mut Option<u64>, amount: u64) -> Result<(), StatedProblem> {
    let sum = already.unwrap_or(0).checked_add(amount);
    *already = Some(sum.ok_or(StatedProblem::TooMuch)?);
    Ok(())
}

/// Thousandths of a decimal number, rounded half up as Mesos rounds (mesos: `src/common/values.cpp`), but
/// digit by digit, so that no binary fraction comes between.
fn thousandths(value: &str) -> Result<u64, StatedProblem> {
    let not_a_number = || StatedProblem::NotANumber(value.to_owned());
    let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(not_a_number());
    }
    let four: String = fraction.chars().chain("0000".chars()).take(4).collect();
    let ten_thousandths: u64 = four.parse().map_err(|_| not_a_number())?;
    let milli = whole
        .parse::<u64>()
        .ok()
        .and_then(|whole| whole.checked_mul(1000))
        .and_then(|milli| milli.checked_add((ten_thousandths + 5) / 10))
        .ok_or(StatedProblem::TooMuch)?;
    let is_zero = value.bytes().all(|b| b == b'0' || b == b'.');
    if milli == 0 && !is_zero {
        return Err(StatedProblem::RoundsToZero(value.to_owned()));
    }
    Ok(milli)
}

fn bytes(value: &str) -> Result<u64, StatedProblem> {
    let bytes = u128::from(thousandths(value)?) * u128::from(MIB) / 1000;
    u64::try_from(bytes).map_err(|_| StatedProblem::TooMuch)
}

fn whole(value: &str) -> Result<u64, StatedProblem> {
    let milli = thousandths(value)?;
    if milli % 1000 != 0 {
        return Err(StatedProblem::NotWhole(value.to_owned()));
    }
    Ok(milli / 1000)
}

fn ranges(value: &str) -> Result<PortSet, StatedProblem> {
    let inner = value
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .ok_or_else(|| StatedProblem::NotRanges(value.to_owned()))?;
    let mut ports = PortSet::default();
    for text in inner.split(',').filter(|text| !text.is_empty()) {
        ports = ports.union(&range(text)?);
    }
    Ok(ports)
}

fn range(text: &str) -> Result<PortSet, StatedProblem> {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let ends = text
        .split_once('-')
        .and_then(|(first, last)| Some((port(first)?, port(last)?)));
    match ends {
        Some((first, last)) if first <= last => Ok(PortSet::range(first, last)),
        Some(_) => Err(StatedProblem::RangeBackwards(text.to_owned())),
        None => Err(StatedProblem::NotARange(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_every_kind() {
        let stated: Stated = "cpus:2;mem:1024; disk : 10240;ports:[31000-32000, 8000-8000];gpus:1;"
            .parse()
            .unwrap();
        let expected = Stated {
            cpus_milli: Some(2000),
            mem_bytes: Some(1024 * MIB),
            disk_bytes: Some(10240 * MIB),
            gpus: Some(1),
            ports: Some(PortSet::range(31000, 32000).union(&PortSet::range(8000, 8000))),
        };
        assert_eq!(stated, expected);
        for nothing in ["", ";", " ; ;"] {
            assert_eq!(nothing.parse(), Ok(Stated::default()), "{nothing:?}");
        }
    }

    #[test]
    fn numbers_have_three_decimals() {
        let cases = [
            ("1.5011", 1501),
            ("1.5015", 1502),
            ("1.50149999", 1501),
            ("1.2345", 1235),
            ("0.0005", 1),
            ("0.9999", 1000),
            ("0.9995", 1000),
            ("0.1", 100),
            ("0", 0),
            ("0.0", 0),
            ("00.000000", 0),
            ("3", 3000),
        ];
        for (value, milli) in cases {
            assert_eq!(thousandths(value), Ok(milli), "{value}");
        }
        assert_eq!(bytes("0.5"), Ok(MIB / 2));
    }

    #[test]
    fn a_kind_named_twice_is_added_up() {
        let stated: Stated = "cpus:0.1;cpus(*):0.1;ports:[1-3];ports:[4-5,5-9]"
            .parse()
            .unwrap();
        assert_eq!(stated.cpus_milli, Some(200));
        assert_eq!(stated.ports, Some(PortSet::range(1, 9)));
    }

    #[test]
    fn says_which_piece_is_wrong_and_why() {
        let cases = [
            ("cpus", "expected NAME:VALUE"),
            ("cpus:1:2", "expected NAME:VALUE"),
            ("cpus(a:1", "expected NAME:VALUE"),
            ("[{\"name\": \"cpus\"}]", "the JSON form is not supported"),
            ("cpu:1", "unknown resource 'cpu'"),
            (":1", "unknown resource ''"),
            ("cpus(web):1", "cannot be reserved for a role ('web')"),
            ("cpus:", "'' is not a number"),
            ("cpus:two", "'two' is not a number"),
            ("cpus:-1", "'-1' is not a number"),
            ("cpus:1.", "'1.' is not a number"),
            ("cpus:.5", "'.5' is not a number"),
            ("cpus:inf", "'inf' is not a number"),
            ("cpus:1e3", "'1e3' is not a number"),
            ("mem:[1-2]", "'[1-2]' is not a number"),
            ("cpus:0.00001", "'0.00001' rounds to zero"),
            ("cpus:0.0004999", "'0.0004999' rounds to zero"),
            ("gpus:1.5", "'1.5' is not a whole number of GPUs"),
            ("cpus:18446744073709551615", "more than can be counted"),
            ("mem:99999999999999", "more than can be counted"),
            ("cpus:99999999999999999999", "more than can be counted"),
            ("ports:8080", "'8080' is not a list of ranges"),
            ("ports:[1-2", "'[1-2' is not a list of ranges"),
            ("ports:[8080]", "'8080' is not a range of ports"),
            ("ports:[1-2-3]", "'1-2-3' is not a range of ports"),
            ("ports:[0-9]", "'0-9' is not a range of ports"),
            ("ports:[1-65536]", "'1-65536' is not a range of ports"),
            ("ports:[1-2, 9-8]", "the range '9-8' ends before it begins"),
        ];
        for (piece, expected) in cases {
            let error = format!("mem:64;{piece}").parse::<Stated>().unwrap_err();
            assert_eq!(error.piece, piece);
            let message = error.to_string();
            assert!(message.contains(expected), "{message}");
            assert!(message.starts_with(&format!("read resource '{piece}': ")));
        }
    }

    #[test]
    fn sums_that_overflow_are_refused() {
        let error = "cpus:18446744073709551;cpus:18446744073709551".parse::<Stated>();
        assert_eq!(error.unwrap_err().problem, StatedProblem::TooMuch);
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "[a-z:;0-9.,()\\[\\]*{} -]{0,60}") {
            if let Err(error) = text.parse::<Stated>() {
                prop_assert!(text.contains(&error.piece));
            }
        }

        #[test]
        fn three_decimals_are_exact(milli in 1u64..u64::MAX / 1000) {
            let text = format!("{}.{:03}", milli / 1000, milli % 1000);
            prop_assert_eq!(thousandths(&text), Ok(milli));
        }
    }
}
