//! Integers in memory, decimal numbers in JSON.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::Limit;
use crate::resources::{Resources, bytes_from_mib, cpus_decimal, mib_decimal, milli_from_decimal};

fn number<'de, D: Deserializer<'de>>(
    deserializer: D,
    read: fn(f64) -> Option<u64>,
) -> Result<u64, D::Error> {
    let number = f64::deserialize(deserializer)?;
    read(number).ok_or_else(|| D::Error::custom(format!("{number} is out of range")))
}

/// Seconds in JSON, milliseconds in memory.
pub(super) mod seconds {
    use super::*;

    pub(in crate::pod) fn serialize<S: Serializer>(ms: &u64, s: S) -> Result<S::Ok, S::Error> {
        cpus_decimal(*ms).serialize(s)
    }

    pub(in crate::pod) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
        number(d, milli_from_decimal)
    }
}

/// Seconds in JSON, milliseconds in memory, perhaps absent.
pub(super) mod optional_seconds {
    use super::*;

    pub(in crate::pod) fn serialize<S: Serializer>(
        ms: &Option<u64>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        ms.map(cpus_decimal).serialize(s)
    }

    pub(in crate::pod) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<u64>, D::Error> {
        number(d, milli_from_decimal).map(Some)
    }
}

#[derive(Serialize, Deserialize)]
struct Amounts {
    cpus: f64,
    mem: f64,
    #[serde(default)]
    disk: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gpus: Option<u64>,
}

fn amounts<'de, D: Deserializer<'de>>(d: D) -> Result<Resources, D::Error> {
    let amounts = Amounts::deserialize(d)?;
    let read = |value: Option<u64>| value.ok_or_else(|| D::Error::custom("amount out of range"));
    Ok(Resources {
        cpus_milli: read(milli_from_decimal(amounts.cpus))?,
        mem_bytes: read(bytes_from_mib(amounts.mem))?,
        disk_bytes: read(bytes_from_mib(amounts.disk))?,
        gpus: amounts.gpus.unwrap_or(0),
    })
}

/// A container's resources: cpus, MiB of memory and disk, gpus.
pub(super) mod container_resources {
    use super::*;

    pub(in crate::pod) fn serialize<S: Serializer>(r: &Resources, s: S) -> Result<S::Ok, S::Error> {
        Amounts {
            cpus: cpus_decimal(r.cpus_milli),
            mem: mib_decimal(r.mem_bytes),
            disk: mib_decimal(r.disk_bytes),
            gpus: Some(r.gpus),
        }
        .serialize(s)
    }

    pub(in crate::pod) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Resources, D::Error> {
        amounts(d)
    }
}

/// The executor's resources: as a container's, without gpus.
pub(super) mod executor_resources {
    use super::*;

    pub(in crate::pod) fn serialize<S: Serializer>(r: &Resources, s: S) -> Result<S::Ok, S::Error> {
        Amounts {
            cpus: cpus_decimal(r.cpus_milli),
            mem: mib_decimal(r.mem_bytes),
            disk: mib_decimal(r.disk_bytes),
            gpus: None,
        }
        .serialize(s)
    }

    pub(in crate::pod) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Resources, D::Error> {
        amounts(d)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum LimitText {
    Number(f64),
    Text(String),
}

fn limit<'de, D: Deserializer<'de>>(
    d: D,
    read: fn(f64) -> Option<u64>,
) -> Result<Option<Limit>, D::Error> {
    match LimitText::deserialize(d)? {
        LimitText::Number(value) => match read(value) {
            Some(amount) => Ok(Some(Limit::Amount(amount))),
            None => Err(D::Error::custom(format!("{value} is out of range"))),
        },
        LimitText::Text(text) if text == "unlimited" => Ok(Some(Limit::Unlimited)),
        LimitText::Text(text) => Err(D::Error::custom(format!("'{text}' is no limit"))),
    }
}

fn write_limit<S: Serializer>(
    limit: Option<Limit>,
    write: fn(u64) -> f64,
    s: S,
) -> Result<S::Ok, S::Error> {
    let text = limit.map(|limit| match limit {
        Limit::Amount(amount) => LimitText::Number(write(amount)),
        Limit::Unlimited => LimitText::Text("unlimited".to_owned()),
    });
    text.serialize(s)
}

/// A limit of cpus, perhaps absent.
pub(super) mod limit_cpus {
    use super::*;

    pub(in crate::pod) fn serialize<S: Serializer>(
        l: &Option<Limit>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        write_limit(*l, cpus_decimal, s)
    }

    pub(in crate::pod) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<Limit>, D::Error> {
        limit(d, milli_from_decimal)
    }
}

/// A limit of memory in MiB, perhaps absent.
pub(super) mod limit_mib {
    use super::*;

    pub(in crate::pod) fn serialize<S: Serializer>(
        l: &Option<Limit>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        write_limit(*l, mib_decimal, s)
    }

    pub(in crate::pod) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<Limit>, D::Error> {
        limit(d, bytes_from_mib)
    }
}

/// The text `disabled`; any text reads as it, as in Marathon.
pub(super) mod disabled {
    use super::*;

    pub(in crate::pod) fn serialize<S: Serializer>(s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str("disabled")
    }

    pub(in crate::pod) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<(), D::Error> {
        String::deserialize(d).map(|_| ())
    }
}
