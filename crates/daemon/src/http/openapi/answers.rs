//! Answers that several paths give, as the document describes them.

use std::collections::BTreeMap;

use serde_json::json;
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{
        ContentBuilder, HeaderBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Type,
        path::Operation,
    },
};

use super::super::error::ErrorBody;

macro_rules! refusals {
    ($($(#[doc = $text:literal])+ $name:ident = $status:literal),+ $(,)?) => {
        $(
            $(#[doc = $text])+
            #[derive(Debug)]
            pub(in crate::http) struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    let text = concat!($($text),+).trim();
                    BTreeMap::from([($status.to_owned(), RefOr::T(refusal(text)))])
                }
            }
        )+
    };
}

refusals! {
    /// There is no such thing.
    NotFound = "404",
    /// The id makes another path of it, which has no such method.
    OtherPath = "405",
    /// It is there already, or a deployment is in the way: `?force=true` cancels that one.
    Conflict = "409",
    /// The body does not say that it is JSON.
    MediaType = "415",
    /// What was sent can be read but breaks rules.
    Invalid = "422",
}

/// What any request may be answered.
const ANY: [(&str, &str); 7] = [
    (
        "400",
        "The request is broken: its query, its body, or the JSON in it.",
    ),
    ("401", "There is no token, or a wrong one."),
    (
        "403",
        "The caller may not do this, or too many deployments run.",
    ),
    ("408", "The body did not come in time."),
    ("413", "The body is too large."),
    ("500", "Our own fault; the daemon's log says more."),
    (
        "503",
        "The daemon recovers, stops, cannot store or has too much to do; with `Retry-After` it passes by itself.",
    ),
];

fn refusal(description: &str) -> Response {
    let schema = Ref::from_schema_name(ErrorBody::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new()
        .description(description)
        .content("application/json", content)
        .build()
}

/// Adds what any request may be answered, and what every answer carries.
pub(super) fn complete(operation: &mut Operation) {
    let answers = &mut operation.responses.responses;
    for (status, description) in ANY {
        let described = answers.entry(status.to_owned());
        described.or_insert_with(|| RefOr::T(refusal(description)));
    }
    for (status, answer) in answers {
        if let RefOr::T(answer) = answer {
            let own = match status.as_str() {
                "401" => Some(("WWW-Authenticate", "`Bearer`.")),
                "405" => Some(("Allow", "The methods that the path has.")),
                "503" => Some(("Retry-After", "Seconds to wait, where it passes by itself.")),
                _ => None,
            };
            let every = ("X-Marathon-Leader", "This daemon's URL.");
            for (name, description) in [every].into_iter().chain(own) {
                let text = ObjectBuilder::new().schema_type(Type::String);
                let header = HeaderBuilder::new()
                    .schema(Some(text))
                    .description(Some(description));
                answer
                    .headers
                    .insert(name.to_owned(), header.build().into());
            }
        }
    }
}

/// A list in which nothing ever is: there is one host, and there are only pods.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub(in crate::http) struct Nothing([(); 0]);

impl utoipa::PartialSchema for Nothing {
    fn schema() -> RefOr<utoipa::openapi::Schema> {
        let schema =
            json!({ "description": "Always empty.", "type": "array", "maxItems": 0, "items": {} });
        serde_json::from_value(schema).expect("a constant, tried by every test of the document")
    }
}

impl ToSchema for Nothing {}
