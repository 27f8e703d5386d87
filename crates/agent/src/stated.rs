//! What the configuration states about the host's resources, in the text form of Mesos's `--resources`.

use std::{collections::BTreeMap, fmt, str::FromStr};

use model::{
    offer::Claim,
    pools::UNRESERVED,
    ports::PortSet,
    resources::{MIB, Resources},
};

/// The stated resources; `None` where the text names none of that kind.
///
/// Read from text such as `cpus:2;mem:1024;disk:10240;ports:[31000-32000, 8000-8000];gpus:1`, memory and
/// disk in MiB. A kind named twice is added up, as Mesos does (mesos: `docs/attributes-resources.md`). What is written
/// as `cpus(dev):1` is reserved for role `dev`, beside what is everybody's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// What is everybody's.
    pub unreserved: StatedPool,
    /// What is reserved, by role.
    pub reserved: BTreeMap<String, StatedPool>,
}

/// What is stated for one role, or for everybody; `None` where the text names none of that kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatedPool {
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
    /// No role is called that (mesos: `docs/roles.md`).
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
                "'{role}' is no role: it may not be empty, '.' or '..', begin with '-', or have slashes and blanks"
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
    /// What is reserved, by role: whatever is not named is not reserved.
    pub fn reserved(&self) -> BTreeMap<String, Claim> {
        let claim = |pool: &StatedPool| Claim {
            resources: Resources {
                cpus_milli: pool.cpus_milli.unwrap_or(0),
                mem_bytes: pool.mem_bytes.unwrap_or(0),
                disk_bytes: pool.disk_bytes.unwrap_or(0),
                gpus: pool.gpus.unwrap_or(0),
            },
            ports: pool.ports.clone().unwrap_or_default(),
        };
        let pools = self.reserved.iter();
        pools
            .map(|(role, pool)| (role.clone(), claim(pool)))
            .collect()
    }

    /// What is stated to be everybody's. Of a kind that is named for roles alone nothing is, as in Mesos: the rest of
    /// the host is not looked for then.
    pub fn unreserved(&self) -> StatedPool {
        let named = |of: fn(&StatedPool) -> bool| self.reserved.values().any(of);
        let zero = |present: Option<u64>, named: bool| present.or(named.then_some(0));
        let pool = &self.unreserved;
        StatedPool {
            cpus_milli: zero(pool.cpus_milli, named(|pool| pool.cpus_milli.is_some())),
            mem_bytes: zero(pool.mem_bytes, named(|pool| pool.mem_bytes.is_some())),
            disk_bytes: zero(pool.disk_bytes, named(|pool| pool.disk_bytes.is_some())),
            gpus: pool.gpus,
            ports: pool
                .ports
                .clone()
                .or_else(|| named(|pool| pool.ports.is_some()).then(PortSet::default)),
        }
    }

    fn add(&mut self, piece: &str) -> Result<(), StatedProblem> {
        if piece.starts_with(['[', '{']) {
            return Err(StatedProblem::Json);
        }
        let (name, value) = piece
            .split_once(':')
            .filter(|(_, value)| !value.contains(':'))
            .ok_or(StatedProblem::NotNameAndValue)?;
        let (name, role) = name_and_role(name)?;
        let pool = match role {
            UNRESERVED => &mut self.unreserved,
            role => self.reserved.entry(role.to_owned()).or_default(),
        };
        // Mesos drops every space of a value, also inside brackets.
        let value: String = value.chars().filter(|c| !c.is_whitespace()).collect();
        match name {
            "cpus" => add_up(&mut pool.cpus_milli, thousandths(&value)?),
            "mem" => add_up(&mut pool.mem_bytes, bytes(&value)?),
            "disk" => add_up(&mut pool.disk_bytes, bytes(&value)?),
            "gpus" => add_up(&mut pool.gpus, whole(&value)?),
            "ports" => {
                let ports = ranges(&value)?;
                pool.ports = Some(match &pool.ports {
                    Some(already) => already.union(&ports),
                    None => ports,
                });
                Ok(())
            }
            _ => Err(StatedProblem::UnknownName(name.to_owned())),
        }
    }
}

/// The name, and the role in parentheses behind it; without any it is everybody's.
fn name_and_role(name: &str) -> Result<(&str, &str), StatedProblem> {
    let name = name.trim();
    let Some((bare, role)) = name.split_once('(') else {
        return Ok((name, UNRESERVED));
    };
    let role = role.strip_suffix(')').map(str::trim);
    let role = role.ok_or(StatedProblem::NotNameAndValue)?;
    let odd = |letter: char| letter == '/' || letter.is_whitespace() || letter.is_control();
    if ["", ".", ".."].contains(&role) || role.starts_with('-') || role.contains(odd) {
        return Err(StatedProblem::Role(role.to_owned()));
    }
    Ok((bare.trim(), role))
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
        let expected = StatedPool {
            cpus_milli: Some(2000),
            mem_bytes: Some(1024 * MIB),
            disk_bytes: Some(10240 * MIB),
            gpus: Some(1),
            ports: Some(PortSet::range(31000, 32000).union(&PortSet::range(8000, 8000))),
        };
        assert_eq!(stated.unreserved, expected);
        assert_eq!(stated.unreserved(), expected);
        assert!(stated.reserved().is_empty());
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
        assert_eq!(stated.unreserved.cpus_milli, Some(200));
        assert_eq!(stated.unreserved.ports, Some(PortSet::range(1, 9)));
    }

    #[test]
    fn what_is_reserved_is_beside_what_is_everybodys() {
        let stated: Stated = "cpus:2;cpus( dev ):0.5;mem(dev):64;ports(ci):[80-81];cpus(dev):0.5"
            .parse()
            .unwrap();
        let reserved = stated.reserved();
        assert_eq!(reserved.len(), 2);
        assert_eq!(reserved["dev"].resources.cpus_milli, 1000);
        assert_eq!(reserved["dev"].resources.mem_bytes, 64 * MIB);
        assert_eq!(reserved["ci"].ports, PortSet::range(80, 81));
        let unreserved = stated.unreserved();
        assert_eq!(unreserved.cpus_milli, Some(2000));
        assert_eq!(unreserved.mem_bytes, Some(0), "named for a role alone");
        assert_eq!(unreserved.ports, Some(PortSet::default()));
        assert_eq!(unreserved.disk_bytes, None, "looked for");
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
            ("cpus():1", "'' is no role"),
            ("cpus(a/b):1", "'a/b' is no role"),
            ("cpus(-a):1", "'-a' is no role"),
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
