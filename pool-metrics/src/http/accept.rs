//! What a client accepts.

use axum::http::{HeaderMap, header};

/// Whether a client asks for `wanted` by name, and no less than for `usual`.
pub(super) fn prefers(headers: &HeaderMap, wanted: &str, usual: &str) -> bool {
    let quality = |name| quality(headers, name);
    quality(wanted).is_some_and(|q| q > 0.0 && q >= quality(usual).unwrap_or(0.0))
}

/// How much a client likes a media type that it names; the most, where it names it several times.
fn quality(headers: &HeaderMap, name: &str) -> Option<f32> {
    let lines = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let ranges = lines.flat_map(|line| line.split(','));
    let qualities = ranges.filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case(name) {
            return None;
        }
        let q = parts.find_map(|part| part.strip_prefix(['q', 'Q'])?.strip_prefix("="));
        Some(q.map_or(1.0, |q| q.parse().unwrap_or(0.0)))
    });
    qualities.reduce(f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_chosen_by_those_who_name_it() {
        let open = |accept: &str| {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
            prefers(&headers, "application/openmetrics-text", "text/plain")
        };
        // As Prometheus sends it, with each of the two first.
        assert!(open(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             text/plain;version=0.0.4;q=0.4,*/*;q=0.1"
        ));
        assert!(!open(
            "text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5"
        ));
        assert!(open("Application/OpenMetrics-Text"));
        for other in ["*/*", "text/html, */*;q=0.8", "application/openmetrics-text;q=0", ""] {
            assert!(!open(other), "{other}");
        }
        assert!(!prefers(&HeaderMap::new(), "application/openmetrics-text", "text/plain"));
    }
}
