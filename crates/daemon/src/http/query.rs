//! Queries in which one name may stand several times.

use axum::http::Uri;
use percent_encoding::percent_decode_str;

/// All values of `name`, in their order.
pub(super) fn values(uri: &Uri, name: &str) -> Vec<String> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text).decode_utf8_lossy().into_owned()
    };
    uri.query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key) == name).then(|| decode(value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_stand_several_times() {
        let uri: Uri = "/v2/events?event_type=a&x=1&event%5Ftype=b%20c+d&event_type"
            .parse()
            .unwrap();
        assert_eq!(values(&uri, "event_type"), ["a", "b c d", ""]);
        assert_eq!(values(&uri, "y"), Vec::<String>::new());
        assert_eq!(
            values(&"/".parse().unwrap(), "event_type"),
            Vec::<String>::new()
        );
    }
}
