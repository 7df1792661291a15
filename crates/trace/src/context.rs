//! Which span a process belongs to, as it is handed from one to another: `TRACEPARENT` and `TRACESTATE`, with what headers of
//! W3C Trace Context hold.

use crate::settings::Lookup;
use opentelemetry::{Context, propagation::TextMapPropagator, trace::TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use std::collections::HashMap;

const PARENT: &str = "TRACEPARENT";
const STATE: &str = "TRACESTATE";
const NAMES: [(&str, &str); 2] = [(PARENT, "traceparent"), (STATE, "tracestate")];

/// The span that what is done here belongs to; `None` where the environment names none.
///
/// # Errors
/// What is wrong with what it names, in a sentence without a full stop.
pub(crate) fn given(lookup: Lookup<'_>) -> Result<Option<Context>, String> {
    let Some(parent) = lookup(PARENT).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let mut carrier = HashMap::from([("traceparent".to_owned(), parent.clone())]);
    carrier.extend(lookup(STATE).map(|state| ("tracestate".to_owned(), state)));
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    // The library takes numbers of any length.
    if !is_formed(&parent) || !context.span().span_context().is_valid() {
        return Err(format!("{PARENT} is no trace context of W3C, and is not followed"));
    }
    Ok(Some(context))
}

/// What a process that works for this span is to find in its environment.
pub(crate) fn handed_on(context: &Context) -> Vec<(&'static str, String)> {
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(context, &mut carrier);
    NAMES.iter().map(|(variable, header)| (*variable, carrier.remove(*header).unwrap_or_default())).collect()
}

/// Version, trace, span and flags, in so many digits each; a later version may say more behind that.
fn is_formed(parent: &str) -> bool {
    let digits =
        |part: &str, count| part.len() == count && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = parent.split('-');
    [2, 32, 16, 2].into_iter().all(|count| parts.next().is_some_and(|part| digits(part, count)))
        && (!parent.starts_with("00-") || parts.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn of(parent: &str, state: &str) -> Result<Option<Context>, String> {
        let (parent, state) = (parent.to_owned(), state.to_owned());
        given(&move |name| {
            [(PARENT, &parent), (STATE, &state)].iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).clone())
        })
    }

    #[test]
    fn what_is_taken_is_handed_on() {
        for (flags, sampled) in [("01", true), ("00", false)] {
            let parent = format!("00-{TRACE}-{SPAN}-{flags}");
            let context = of(&format!(" {parent} "), "vendor=value").unwrap().unwrap();
            assert_eq!(context.span().span_context().trace_id().to_string(), TRACE);
            assert_eq!(context.span().span_context().is_sampled(), sampled);
            assert_eq!(handed_on(&context), [(PARENT, parent), (STATE, "vendor=value".to_owned())]);
        }
        let later = of(&format!("01-{TRACE}-{SPAN}-01-more"), "not a state").unwrap().unwrap();
        assert_eq!(later.span().span_context().span_id().to_string(), SPAN);
        assert!(of("", "").unwrap().is_none());
        assert!(given(&|_| None).unwrap().is_none());
    }

    #[test]
    fn what_is_no_context_is_not_followed() {
        let zeros = "0".repeat(32);
        for bad in [
            "1".to_owned(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00-{TRACE}0-{SPAN}-01"),
            format!("00-{TRACE}-+7ad6b7169203331-01"),
            format!("0-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-é1"),
            "-".repeat(100_000),
        ] {
            let why = of(&bad, "").unwrap_err();
            assert!(why.starts_with("TRACEPARENT is no trace context"), "{why}");
        }
    }
}
